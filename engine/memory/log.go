package memory

import (
	"sync"
	"sync/atomic"
	"time"

	"millrace.dev/engine/internal/channellog"
)

// log is one channel.
type log struct {
	name string // set once
	plan plan   // guarded by the shard's schedule

	// newest is the sequence of the newest message, read without the lock.
	newest atomic.Uint64

	mu sync.Mutex
	*channellog.Log
	used    time.Time // last time anybody asked
	due     time.Time // a sweep looks at the log by then
	dropped bool      // no longer in the shard; look it up again
}

// use locks the log. It returns false, without the lock, if the log was dropped.
func (l *log) use() bool {
	l.mu.Lock()
	if l.dropped {
		l.mu.Unlock()
		return false
	}
	l.used = time.Now()
	return true
}

func (l *log) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped = true
}

// isUnused reports whether nothing is lost with the log.
func (l *log) isUnused(now time.Time, ttl time.Duration) bool {
	return l.IsBare() && !l.forgettable(ttl).After(now)
}

// forgettable is from when on a log that has nothing but its position may go. One
// that never had a message has nothing that the next one would not have.
func (l *log) forgettable(ttl time.Duration) time.Time {
	if l.State().Head == 0 {
		ttl = sweepInterval
	}
	return l.used.Add(ttl)
}

// next is when the log has something to be freed, or is to go itself. It is not
// ok if nothing that it has ever ends by itself.
func (l *log) next(ttl time.Duration) (at time.Time, ok bool) {
	if l.IsBare() {
		return l.forgettable(ttl), true
	}
	return l.Due()
}
