package auth

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Revocation says which credentials count no longer: those with a token id, or
// all that a user was issued up to a moment.
type Revocation struct {
	TokenID string
	User    string
	// At is the moment. A token that was issued in the same second counts as
	// issued before, because `iat` tells no more; so does one without `iat`.
	At time.Time
	// Until is how long it is remembered: as long as such a token may live.
	Until time.Time
}

// Covers reports whether the revocation is about these credentials.
func (r Revocation) Covers(id Identity) bool {
	if r.TokenID != "" {
		return id.TokenID == r.TokenID
	}
	return id.User != "" && id.User == r.User && !id.Issued.After(r.At)
}

// ErrTooManyRevocations says that no more can be remembered.
var ErrTooManyRevocations = errors.New("too many revocations are remembered")

// maxRevocations bounds what is remembered: some hundred megabytes.
const maxRevocations = 1_000_000

// Revocations are those that are remembered. Its zero value has none.
type Revocations struct {
	mu     sync.RWMutex
	tokens map[string]Revocation
	users  map[string]Revocation
}

// Add remembers a revocation.
func (r *Revocations) Add(revocation Revocation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens == nil {
		r.tokens, r.users = map[string]Revocation{}, map[string]Revocation{}
	}
	if len(r.tokens)+len(r.users) >= maxRevocations {
		r.forget(time.Now())
	}
	if len(r.tokens)+len(r.users) >= maxRevocations {
		return ErrTooManyRevocations
	}
	if revocation.TokenID != "" {
		r.tokens[revocation.TokenID] = revocation
	} else {
		r.users[revocation.User] = revocation
	}
	return nil
}

// forget drops what need not be remembered. Called under mu.
func (r *Revocations) forget(now time.Time) {
	for _, all := range []map[string]Revocation{r.tokens, r.users} {
		for key, revocation := range all {
			if now.After(revocation.Until) {
				delete(all, key)
			}
		}
	}
}

// Check reports credentials that were revoked, with an error that wraps
// [ErrUnauthenticated].
func (r *Revocations) Check(id Identity) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.tokens)+len(r.users) == 0 {
		return nil
	}
	now := time.Now()
	for _, revocation := range []Revocation{r.tokens[id.TokenID], r.users[id.User]} {
		if (revocation.TokenID != "" || revocation.User != "") && revocation.Covers(id) && now.Before(revocation.Until) {
			return fmt.Errorf("%w: the credentials were revoked", ErrUnauthenticated)
		}
	}
	return nil
}
