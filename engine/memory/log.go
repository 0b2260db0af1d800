package memory

import (
	"sync"
	"sync/atomic"
	"time"

	"millrace.dev/engine/internal/channellog"
)

// log is one channel.
type log struct {
	// newest is the sequence of the newest message, read without the lock.
	newest atomic.Uint64

	mu sync.Mutex
	*channellog.Log
	used    time.Time // last time anybody asked
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

// isUnused reports whether nothing is lost with the log. One that never had a
// message has nothing that the next one would not have.
func (l *log) isUnused(now time.Time, ttl time.Duration) bool {
	idle := now.Sub(l.used)
	if l.State().Head == 0 {
		return idle >= sweepInterval
	}
	return l.IsBare() && idle >= ttl
}
