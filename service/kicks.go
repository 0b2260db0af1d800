package service

import (
	"sync"
	"time"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// maxKicks bounds how many users are kept out at the same time.
const maxKicks = 100_000

// kicks are the users who are kept out for a while. The zero value has none.
type kicks struct {
	mu    sync.RWMutex
	until map[string]time.Time // by user
}

// add keeps a user out until a time, unless there are too many.
func (k *kicks) add(user string, until time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until == nil {
		k.until = map[string]time.Time{}
	}
	if len(k.until) >= maxKicks {
		k.forget(time.Now())
	}
	if len(k.until) >= maxKicks {
		return refuse(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, "user", "user: too many are kept out already")
	}
	k.until[user] = until
	return nil
}

// forget drops those who may come back. Called under mu.
func (k *kicks) forget(now time.Time) {
	for user, until := range k.until {
		if !now.Before(until) {
			delete(k.until, user)
		}
	}
}

// check reports a caller who is kept out, and for how long.
func (k *kicks) check(identity auth.Identity) error {
	if identity.User == "" {
		return nil
	}
	k.mu.RLock()
	until, kicked := k.until[identity.User]
	k.mu.RUnlock()
	left := time.Until(until)
	if !kicked || left <= 0 {
		return nil
	}
	return refuse(millracev1.ErrorReason_ERROR_REASON_FORBIDDEN, "", "an administrator keeps the user out").retryAfter(left)
}
