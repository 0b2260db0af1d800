package service

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"millrace.dev/auth"
	"millrace.dev/channel"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// reserved begins the names that the server keeps for itself.
const reserved = "millrace."

// access is how much of a channel a caller may have.
type access int

const (
	noAccess  access = iota
	ownAccess        // of another's inbox: what the caller has published there
	allAccess
)

// allow checks a name and whether the caller may do action to all of it.
func (s *Service) allow(ctx context.Context, identity auth.Identity, action auth.Action, name string) error {
	granted, err := s.access(ctx, identity, action, name)
	if err == nil && granted != allAccess {
		err = forbidden(action, name)
	}
	return err
}

// access checks a name and how much of it the caller may have: what a grant
// allows, else what the channel's rule does, else what the application says.
func (s *Service) access(ctx context.Context, identity auth.Identity, action auth.Action, name string) (access, error) {
	if err := checkName(action, name); err != nil {
		return noAccess, err
	}
	granted, from := allAccess, "grant"
	if !identity.May(action, name) {
		granted, from = s.rules.inbox(identity, action, name), "inbox"
	}
	var err error
	if granted == noAccess && s.authorizer != nil && identity.Reaches(name) {
		from = "authorizer"
		granted, err = s.authorizer.ask(ctx, identity, action, name)
	}
	if err == nil && granted == noAccess {
		err = forbidden(action, name)
	}
	s.logDecision(ctx, identity, action, name, granted, from)
	return granted, err
}

func forbidden(action auth.Action, name string) *refusal {
	return refuse(millracev1.ErrorReason_ERROR_REASON_FORBIDDEN, "channel", "the credentials do not allow %s on this channel", action).on(name)
}

// checkName checks the name of a channel, or of a pattern where one may be.
func checkName(action auth.Action, name string) error {
	check := channel.Check
	if action == auth.Subscribe || action == auth.History {
		check = channel.CheckPattern
	}
	if err := check(name); err != nil {
		r := refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel", "%s", err).on(printable(name))
		if len(name) > channel.MaxBytes {
			r.info.Limit = channel.MaxBytes
		}
		return r
	}
	if strings.HasPrefix(name, reserved) {
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel", "channel: names that begin with %q are reserved", reserved).on(name)
	}
	return nil
}

// logDecision says why something is allowed or not, to who wants to know.
func (s *Service) logDecision(ctx context.Context, identity auth.Identity, action auth.Action, name string, granted access, from string) {
	if !s.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	c := callerOf(ctx)
	s.log.DebugContext(ctx, "decision", "user", identity.User, "action", string(action), "channel", name,
		"allowed", granted != noAccess, "by", from, "session", c.session, "protocol", c.protocol, "peer", c.host, "why", identity.Explain(action, name))
}

// inbox is what the rule of an inbox gives to users: everybody may send to it,
// its owner reads it, and others read what they have sent.
func (r rules) inbox(identity auth.Identity, action auth.Action, name string) access {
	rule := r.of(name)
	if !rule.Inbox || identity.User == "" || channel.IsPattern(name) || !identity.Reaches(name) {
		return noAccess
	}
	switch {
	case action == auth.Publish, isReading(action) && rule.owner(name) == identity.User:
		return allAccess
	case isReading(action):
		return ownAccess
	}
	return noAccess
}

func isReading(action auth.Action) bool { return action == auth.Subscribe || action == auth.History }

// owner is whose inbox a channel is: the token where the rule's pattern has its
// first "*".
func (r Rule) owner(name string) string {
	at := slices.Index(strings.Split(r.Pattern, "."), "*")
	tokens := strings.Split(name, ".")
	if at < 0 || at >= len(tokens) {
		return ""
	}
	return tokens[at]
}

// Explain says whether a service of this configuration allows an action, and
// why, one reason a line. What the application would be asked is not known.
func (c Config) Explain(identity auth.Identity, action auth.Action, name string) (allowed bool, why []string) {
	if err := checkName(action, name); err != nil {
		return false, []string{err.Error()}
	}
	why = identity.Explain(action, name)
	allowed = identity.May(action, name)
	rule := rules(c.Rules).of(name)
	if rule.Inbox {
		granted := rules(c.Rules).inbox(identity, action, name)
		allowed = allowed || granted != noAccess
		why = append(why, fmt.Sprintf("the rule %s makes it the inbox of %s: %s", rule.Pattern, rule.owner(name), granted))
	}
	if !allowed && c.Authorizer.Client != nil && !action.IsAdministrative() && identity.Reaches(name) {
		why = append(why, "the application is asked, and decides")
	}
	if off := rule.off(action); allowed && off != "" {
		return false, append(why, fmt.Sprintf("the rule %s has %s", rule.Pattern, off))
	}
	if allowed && channel.IsPattern(name) && !rules(c.Rules).allowsPattern(name) {
		return false, append(why, "a rule does not allow patterns here")
	}
	return allowed, why
}

// off is what of an action a rule leaves out.
func (r Rule) off(action auth.Action) string {
	switch {
	case r.NoPresence && (action == auth.Presence || action == auth.Watch):
		return "no presence"
	case r.History.Messages == 0 && action == auth.History:
		return "no history"
	}
	return ""
}

// String is the access in words.
func (a access) String() string {
	switch a {
	case ownAccess:
		return "only what the caller sent"
	case allAccess:
		return "allowed"
	case noAccess:
	}
	return "not allowed by it"
}
