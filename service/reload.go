package service

import (
	"fmt"
	"sync/atomic"

	"millrace.dev/auth"
)

// current is what of the configuration may change while the node runs, besides the
// rules.
type current struct {
	limits        Limits
	authenticator auth.Authenticator
}

// limits are those in force. They must not be modified.
func (s *Service) limits() *Limits { return &s.current.Load().limits }

func (s *Service) authenticator() auth.Authenticator { return s.current.Load().authenticator }

// Reload puts other rules, limits and credentials in force; the rest of the
// configuration is as it was. What is under way goes on: sessions keep the
// credentials and the age that they began with, subscriptions what they were
// allowed, and channels what they keep, until the next message.
func (s *Service) Reload(config Config) error {
	if err := config.Check(); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	config = config.withDefaults()
	s.current.Store(&current{config.Limits, config.Authenticator})
	s.rules.all.Store((*rules)(&config.Rules))
	s.publishes.change(config.Limits.PublishRate)
	s.calls.change(config.Limits.CallRate)
	s.authorizer.forget() // an answer may have been about a rule that is gone
	return nil
}

// ruleset is the rules that are in force.
type ruleset struct{ all atomic.Pointer[rules] }

func newRuleset(all []Rule) *ruleset {
	r := &ruleset{}
	r.all.Store((*rules)(&all))
	return r
}

// of finds the rule of a channel.
func (r *ruleset) of(name string) Rule { return r.all.Load().of(name) }

// allowsPattern reports whether no channel of a pattern has a rule against it.
func (r *ruleset) allowsPattern(pattern string) bool { return r.all.Load().allowsPattern(pattern) }

// inbox is what the rule of an inbox gives to users.
func (r *ruleset) inbox(identity auth.Identity, action auth.Action, name string) access {
	return r.all.Load().inbox(identity, action, name)
}
