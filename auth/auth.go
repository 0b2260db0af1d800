// Package auth says who calls and what they may do. A caller has an
// [Identity]; its grants name, by channel pattern, the actions that are allowed.
// What no grant allows is refused.
package auth

import (
	"context"
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
	Admin     Action = "admin"     // administer the server
)

// Actions are all actions.
var Actions = []Action{Subscribe, Publish, Presence, Watch, History, Admin}

// Grant allows actions on the channels that match a pattern. "{user}" as a
// token of the pattern stands for the caller's own name: `user.{user}.>`.
type Grant struct {
	Pattern string   `json:"pattern"`
	Actions []Action `json:"actions"`
}

// Identity is who calls.
type Identity struct {
	User    string // empty for an anonymous caller
	Grants  []Grant
	Expires time.Time // zero for never
}

// May reports whether the caller may do action to name, a channel or a
// pattern. For a pattern, one grant must cover all of it.
func (id Identity) May(action Action, name string) bool {
	for _, grant := range id.Grants {
		if slices.Contains(grant.Actions, action) && id.covers(grant.Pattern, name) {
			return true
		}
	}
	return false
}

func (id Identity) covers(pattern, name string) bool {
	if strings.Contains(pattern, "{user}") {
		// A user name that is no single token would widen or shift the pattern.
		if id.User == "" || strings.ContainsAny(id.User, ".*>") {
			return false
		}
		pattern = strings.ReplaceAll(pattern, "{user}", id.User)
	}
	return channel.Covers(pattern, name)
}

// Everything is the grant that allows all actions on all channels.
var Everything = Grant{Pattern: ">", Actions: Actions}

// ErrUnauthenticated is what every refusal of credentials wraps.
var ErrUnauthenticated = errors.New("unauthenticated")

// Authenticator turns a token into an identity. It returns an error that wraps
// [ErrUnauthenticated] for a token that it does not accept; the empty token is
// a caller without credentials.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Identity, error)
}

// Open accepts everybody and allows everything: for development on loopback.
type Open struct{}

// Authenticate implements [Authenticator].
func (Open) Authenticate(context.Context, string) (Identity, error) {
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
