package auth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrTooManyTickets says that no more tickets can be open.
var ErrTooManyTickets = errors.New("too many tickets are open")

// maxTickets bounds the tickets that were made and neither used nor expired.
const maxTickets = 100_000

// Tickets are handles that stand for an identity once and for a short time, where
// nothing but a URL can carry credentials. Its zero value has none.
type Tickets struct {
	mu   sync.Mutex
	open map[[sha256.Size]byte]ticket // by digest, so that a look-up tells nothing of how much of a guess was right
}

type ticket struct {
	identity Identity
	origin   string
	expires  time.Time
}

// Issue makes a ticket for an identity, which only pages of the origin may use;
// an empty origin is any.
func (t *Tickets) Issue(identity Identity, origin string, ttl time.Duration) (text string, expires time.Time, err error) {
	now := time.Now()
	expires = now.Add(ttl)
	if !identity.Expires.IsZero() && identity.Expires.Before(expires) {
		expires = identity.Expires
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[[sha256.Size]byte]ticket{}
	}
	if len(t.open) >= maxTickets {
		t.forget(now)
	}
	if len(t.open) >= maxTickets {
		return "", time.Time{}, ErrTooManyTickets
	}
	text = newID()
	t.open[sha256.Sum256([]byte(text))] = ticket{identity, origin, expires}
	return text, expires, nil
}

// forget drops tickets that nobody can use any more. Called under mu.
func (t *Tickets) forget(now time.Time) {
	for digest, ticket := range t.open {
		if !now.Before(ticket.expires) {
			delete(t.open, digest)
		}
	}
}

// Redeem uses a ticket up, whoever shows it, and returns whom it stands for.
func (t *Tickets) Redeem(text, origin string) (Identity, error) {
	digest := sha256.Sum256([]byte(text))
	t.mu.Lock()
	defer t.mu.Unlock()
	found, known := t.open[digest]
	delete(t.open, digest)
	switch {
	case !known || !time.Now().Before(found.expires):
		return Identity{}, fmt.Errorf("%w: the ticket was used, has expired, or never was", ErrUnauthenticated)
	case found.origin != "" && found.origin != origin:
		return Identity{}, fmt.Errorf("%w: the ticket is for another origin", ErrUnauthenticated)
	}
	return found.identity, nil
}
