// Package memory is the engine that needs nothing but its process: channels are
// rings in memory, and go when it goes. Every start has new epochs, so clients
// that resume after a restart are told of the gap.
package memory

import (
	"context"
	"crypto/rand"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"millrace.dev/engine"
)

// Options configure the engine. The zero value works.
type Options struct {
	// DedupWindow is how long a message id is remembered. Default 5 minutes.
	DedupWindow time.Duration
	// DedupIDs is how many ids a channel remembers. Default 10,000.
	DedupIDs int
	// StateTTL is how long the position of a channel is remembered after its
	// last message has expired and its last use. Default 24 hours.
	StateTTL time.Duration
}

const (
	shards        = 64
	sweepInterval = time.Minute
)

// memory implements [engine.Engine].
type memory struct {
	// Set once.
	options Options
	epoch   string // of the sequence, which patterns count by
	deliver engine.Deliver
	seed    maphash.Seed
	stop    chan struct{}
	stopped sync.WaitGroup

	sequence atomic.Uint64
	closed   atomic.Bool
	shards   [shards]shard
}

// shard is a part of the channel names, to keep locks short.
type shard struct {
	mu   sync.RWMutex
	logs map[string]*log
}

// Open returns the function that starts the engine.
func Open(options Options) engine.Open {
	if options.DedupWindow == 0 {
		options.DedupWindow = 5 * time.Minute
	}
	if options.DedupIDs == 0 {
		options.DedupIDs = 10_000
	}
	if options.StateTTL == 0 {
		options.StateTTL = 24 * time.Hour
	}
	return func(_ context.Context, deliver engine.Deliver) (engine.Engine, error) {
		e := &memory{
			options: options,
			epoch:   newEpoch(),
			deliver: deliver,
			seed:    maphash.MakeSeed(),
			stop:    make(chan struct{}),
		}
		for i := range e.shards {
			e.shards[i].logs = map[string]*log{}
		}
		e.stopped.Go(e.sweep)
		return e, nil
	}
}

// Append implements [engine.Engine].
func (e *memory) Append(_ context.Context, m *engine.Message, options engine.AppendOptions) (engine.Receipt, error) {
	l := e.lock(m.Channel)
	defer l.mu.Unlock()
	if e.closed.Load() {
		return engine.Receipt{}, engine.ErrClosed
	}
	now := time.Now()
	l.expire(now)
	if receipt, found, err := l.lookUp(m); found {
		return receipt, err
	}
	if options.Expect != nil && !l.isAt(*options.Expect) {
		return engine.Receipt{Position: l.state().Position()}, engine.ErrPositionMismatch
	}
	l.push(m, e.sequence.Add(1), now, options.Retention)
	l.remember(m, now, e.options)
	e.deliver(m)
	return engine.Receipt{Position: m.Position}, nil
}

// Broadcast implements [engine.Engine]. It takes the channel's lock so that an
// ephemeral message keeps its place among the others of its publisher.
func (e *memory) Broadcast(_ context.Context, m *engine.Message) error {
	l := e.lock(m.Channel)
	defer l.mu.Unlock()
	if e.closed.Load() {
		return engine.ErrClosed
	}
	e.deliver(m)
	return nil
}

// State implements [engine.Engine].
func (e *memory) State(_ context.Context, channel string) (engine.State, error) {
	l := e.lock(channel)
	defer l.mu.Unlock()
	if e.closed.Load() {
		return engine.State{}, engine.ErrClosed
	}
	l.expire(time.Now())
	return l.state(), nil
}

// Read implements [engine.Engine].
func (e *memory) Read(_ context.Context, channel string, options engine.ReadOptions) (engine.Page, error) {
	l := e.lock(channel)
	defer l.mu.Unlock()
	if e.closed.Load() {
		return engine.Page{}, engine.ErrClosed
	}
	now := time.Now()
	l.expire(now)
	return l.read(options, now), nil
}

// Sequence implements [engine.Engine].
func (e *memory) Sequence(context.Context) (engine.Position, error) {
	return engine.Position{Epoch: e.epoch, Offset: e.sequence.Load()}, nil
}

// Channels implements [engine.Engine].
func (e *memory) Channels(_ context.Context, match func(string) bool, after uint64) ([]string, error) {
	var names []string
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.RLock()
		for name, l := range s.logs {
			if l.newest.Load() > after && match(name) {
				names = append(names, name)
			}
		}
		s.mu.RUnlock()
	}
	return names, nil
}

// Close implements [engine.Engine].
func (e *memory) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	close(e.stop)
	e.stopped.Wait()
	// Whoever holds a log is delivering; later ones see that it is closed.
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		for _, l := range s.logs {
			l.mu.Lock()
			l.mu.Unlock() //nolint:staticcheck // waits for the delivery under way
		}
		s.mu.Unlock()
	}
	return nil
}

// lock returns the channel's log, locked, and makes it if there is none.
func (e *memory) lock(channel string) *log {
	s := &e.shards[maphash.String(e.seed, channel)%shards]
	for {
		s.mu.RLock()
		l := s.logs[channel]
		s.mu.RUnlock()
		if l == nil {
			s.mu.Lock()
			if l = s.logs[channel]; l == nil {
				l = &log{epoch: newEpoch(), low: 1}
				s.logs[strings.Clone(channel)] = l
			}
			s.mu.Unlock()
		}
		l.mu.Lock()
		if !l.dropped {
			l.used = time.Now()
			return l
		}
		l.mu.Unlock()
	}
}

// sweep frees what nobody asks for: expired messages, forgotten ids, and the
// state of channels long unused. Reads and appends never depend on it.
func (e *memory) sweep() {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-e.stop:
			return
		case now := <-ticker.C:
			for i := range e.shards {
				e.shards[i].sweep(now, e.options)
			}
		}
	}
}

func (s *shard) sweep(now time.Time, options Options) {
	s.mu.RLock()
	logs := make(map[string]*log, len(s.logs))
	for name, l := range s.logs {
		logs[name] = l
	}
	s.mu.RUnlock()
	for name, l := range logs {
		l.mu.Lock()
		l.expire(now)
		l.forget(now, options)
		unused := l.kept() == 0 && len(l.ids) == 0 && now.Sub(l.used) > options.StateTTL
		l.mu.Unlock()
		if unused {
			s.drop(name, l, now, options)
		}
	}
}

// drop removes a log that is still unused once both locks are held.
func (s *shard) drop(name string, l *log, now time.Time, options Options) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept() == 0 && now.Sub(l.used) > options.StateTTL {
		l.dropped = true
		delete(s.logs, name)
	}
}

// newEpoch returns 8 random characters: 40 bits, which two logs of one channel
// share once in a million million restarts.
func newEpoch() string { return strings.ToLower(rand.Text()[:8]) }
