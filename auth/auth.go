// Package auth says who calls and what they may do. A caller has an
// [Identity]; its grants name, by channel pattern, the actions that are allowed.
// What no grant allows is refused.
//
// What it guarantees:
//
//   - A token is accepted only if a key that is bound to its algorithm signed it.
//   - A token without an end, or past it, is refused; so is one that is meant for
//     another audience or comes from another issuer, where these are configured.
//   - "{user}" never widens a grant: a user whose name is no single token of a
//     channel matches none of those.
//   - Whatever is compared with a secret is compared in constant time.
package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace.dev/channel"
)

// Action is what a grant allows.
type Action string

// The actions.
const (
	Subscribe Action = "subscribe" // receive messages
	Publish   Action = "publish"   // publish messages
	Presence  Action = "presence"  // be present
	Watch     Action = "watch"     // see who is present
	History   Action = "history"   // read history

	Inspect    Action = "inspect"    // see sessions, channels and rates
	Disconnect Action = "disconnect" // end sessions and subscriptions of others
	Revoke     Action = "revoke"     // make credentials worthless
	Admin      Action = "admin"      // administer the server: the three before, without limits
)

// Actions are all actions.
var Actions = []Action{Subscribe, Publish, Presence, Watch, History, Inspect, Disconnect, Revoke, Admin}

// IsAdministrative reports whether an action is [Admin] or one of those that it
// stands for.
func (a Action) IsAdministrative() bool {
	return a == Inspect || a == Disconnect || a == Revoke || a == Admin
}

// Grant allows actions on the channels that match a pattern. "{user}" as a
// token of the pattern stands for the caller's own name: `user.{user}.>`.
type Grant struct {
	Pattern string   `json:"pattern"`
	Actions []Action `json:"actions"`
}

// allows reports whether the grant has the action, wherever it applies.
func (g Grant) allows(action Action) bool {
	return slices.Contains(g.Actions, action) || action.IsAdministrative() && slices.Contains(g.Actions, Admin)
}

// Identity is who calls.
type Identity struct {
	User   string  `json:"user,omitempty"` // empty for an anonymous caller
	Grants []Grant `json:"grants,omitempty"`
	// Within are patterns that bound all grants; nil for no bounds.
	Within  []string  `json:"within"`
	Expires time.Time `json:"expires"` // zero for never
	// TokenID and Issued say which credentials these are, for revocation: the
	// token's `jti` and `iat`. Either may be zero.
	TokenID string    `json:"token_id,omitempty"`
	Issued  time.Time `json:"issued"`
}

// May reports whether the caller may do action to name, a channel or a
// pattern. For a pattern, one grant must cover all of it.
func (id Identity) May(action Action, name string) bool {
	return id.Reaches(name) && slices.ContainsFunc(id.Grants, func(grant Grant) bool {
		return grant.allows(action) && id.covers(grant.Pattern, name)
	})
}

// IsAdmin reports whether the caller administers the server.
func (id Identity) IsAdmin() bool { return id.May(Admin, ">") }

// Expired reports whether the credentials have come to their end.
func (id Identity) Expired() bool {
	return !id.Expires.IsZero() && !time.Now().Before(id.Expires)
}

// Reaches reports whether name is within the bounds of the credentials.
func (id Identity) Reaches(name string) bool {
	return id.Within == nil || slices.ContainsFunc(id.Within, func(bound string) bool { return channel.Covers(bound, name) })
}

func (id Identity) covers(pattern, name string) bool {
	own, ok := id.own(pattern)
	return ok && channel.Covers(own, name)
}

// own is a pattern with the caller's name in it. A name that is no single token
// would widen or shift the pattern, and has none.
func (id Identity) own(pattern string) (string, bool) {
	if !strings.Contains(pattern, "{user}") {
		return pattern, true
	}
	if id.User == "" || strings.ContainsAny(id.User, ".*>") {
		return "", false
	}
	return strings.ReplaceAll(pattern, "{user}", id.User), true
}

// Explain says in words why the caller may or may not do action to name: first
// the decision, then what each grant has to do with it.
func (id Identity) Explain(action Action, name string) []string {
	var lines []string
	for _, grant := range id.Grants {
		lines = append(lines, fmt.Sprintf("the grant %s for %v %s", grant.Pattern, grant.Actions, id.relation(grant, action, name)))
	}
	switch {
	case !id.Reaches(name):
		lines = append(lines, fmt.Sprintf("the credentials are bound to %v, which does not cover %s", id.Within, name))
	case len(id.Grants) == 0:
		lines = append(lines, "there is no grant")
	}
	return lines
}

func (id Identity) relation(grant Grant, action Action, name string) string {
	own, ok := id.own(grant.Pattern)
	switch {
	case !ok && id.User == "":
		return "is for callers with a user"
	case !ok:
		return fmt.Sprintf("cannot be for the user %q, whose name is not one token of a channel", id.User)
	case !channel.Covers(own, name):
		return fmt.Sprintf("does not cover %s", name)
	case !grant.allows(action):
		return fmt.Sprintf("covers %s, but does not allow %s", name, action)
	}
	return fmt.Sprintf("covers %s and allows %s", name, action)
}

// Everything is the grant that allows all actions on all channels.
var Everything = Grant{Pattern: ">", Actions: Actions}

// Errors that refusals of credentials wrap.
var (
	// ErrUnauthenticated says that the credentials are not good.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrUnavailable says that it cannot be told now whether they are.
	ErrUnavailable = errors.New("credentials cannot be checked now")
)

// Credentials are what a caller shows.
type Credentials struct {
	// Token is a JSON Web Token or an API key. Empty for none.
	Token string
	// Certificate is the client's, verified by the listener. Nil for none.
	Certificate *x509.Certificate
}

// Authenticator turns credentials into an identity. It returns an error that
// wraps [ErrUnauthenticated] for those that it does not accept, and one that
// wraps [ErrUnavailable] where it cannot tell; no credentials are a caller like
// another.
type Authenticator interface {
	Authenticate(ctx context.Context, credentials Credentials) (Identity, error)
}

// Open accepts everybody and allows everything: for development on loopback.
type Open struct{}

// Authenticate implements [Authenticator].
func (Open) Authenticate(context.Context, Credentials) (Identity, error) {
	return Identity{Grants: []Grant{Everything}}, nil
}

// CheckGrants reports the first grant that can never work.
func CheckGrants(grants []Grant) error {
	for i, grant := range grants {
		if err := channel.CheckPattern(strings.ReplaceAll(grant.Pattern, "{user}", "user")); err != nil {
			return fmt.Errorf("grants[%d].pattern: %w", i, err)
		}
		if len(grant.Actions) == 0 {
			return fmt.Errorf("grants[%d].actions: none given", i)
		}
		for _, action := range grant.Actions {
			if !slices.Contains(Actions, action) {
				return fmt.Errorf("grants[%d].actions: %q is none of %v", i, action, Actions)
			}
		}
	}
	return nil
}
