package nats

import (
	"time"
)

const (
	sweepInterval = time.Minute
	// idleReplica is how long a replica that nobody uses stays in memory.
	idleReplica = 5 * time.Minute
)

// sweep deletes records that nobody needs, and forgets replicas that nobody uses.
func (e *nats) sweep() {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-e.stop:
			return
		case p := <-e.purges:
			if err := e.stream.purge(e.alive, p.subject, p.before); err != nil && !e.isClosed() {
				e.log.Warn("delete records", "subject", p.subject, "error", err) // they go with the next ones
			}
		case now := <-ticker.C:
			e.forget(now)
		}
	}
}

// forget drops idle replicas, and the names of channels that the stream is about
// to forget as well.
func (e *nats) forget(now time.Time) {
	e.catalog.mu.Lock()
	defer e.catalog.mu.Unlock()
	for i := range e.shards {
		e.catalog.floor = max(e.catalog.floor, e.shards[i].forget(now, 2*e.options.StateTTL))
	}
}

func (s *shard) forget(now time.Time, ttl time.Duration) (forgotten uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for channel, at := range s.newest {
		if now.Sub(at.time) > ttl {
			delete(s.newest, channel)
			forgotten = max(forgotten, at.sequence)
		}
	}
	for channel, r := range s.replicas {
		if r.isReady() && s.lanes[channel] == nil && now.Sub(r.used) > idleReplica {
			delete(s.replicas, channel)
		}
	}
	return forgotten
}
