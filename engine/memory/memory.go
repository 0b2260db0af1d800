// Package memory is the engine that needs nothing but its process: channels are
// rings in memory, and go when it goes. Every start has new epochs, so clients
// that resume after a restart are told of the gap.
//
// Only channels with messages take memory: asking for any number of others, as
// strangers may, leaves nothing behind.
package memory

import (
	"cmp"
	"context"
	"crypto/rand"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"time"

	"millrace.dev/engine"
	"millrace.dev/engine/internal/channellog"
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
	// maxForgotten bounds what is kept of forgotten logs: all shards together
	// remember a million, in a few dozen megabytes.
	maxForgotten = 1 << 14
)

// memory implements [engine.Engine].
type memory struct {
	// Set once.
	options Options
	epoch   string // of the sequence, which patterns count by
	deliver engine.Deliver
	seed    maphash.Seed

	closing sync.Once
	stop    chan struct{} // closed by Close
	stopped sync.WaitGroup

	sequence *sequence
	shards   [shards]shard
}

// shard is a part of the channels, to keep locks short.
type shard struct {
	mu   sync.RWMutex
	logs map[string]*log // nil once closed
	// A channel without a log is in the shard's epoch, with the number of its
	// logs that were forgotten behind. So the epoch of a channel that never had
	// a message need not be kept, and no position ever means two messages.
	epoch     string
	forgotten map[uint64]int // by hash of the name

	schedule schedule // its lock comes after those of the logs
}

// Open returns the function that starts the engine.
func Open(options Options) engine.Open {
	return func(_ context.Context, deliver engine.Deliver) (engine.Engine, error) {
		return open(options.withDefaults(), deliver), nil
	}
}

func (o Options) withDefaults() Options {
	o.DedupWindow = cmp.Or(o.DedupWindow, 5*time.Minute)
	o.DedupIDs = cmp.Or(o.DedupIDs, 10_000)
	o.StateTTL = cmp.Or(o.StateTTL, 24*time.Hour)
	return o
}

func open(options Options, deliver engine.Deliver) *memory {
	e := &memory{
		options: options,
		epoch:   newEpoch(),
		deliver: deliver,
		seed:    maphash.MakeSeed(),
		stop:    make(chan struct{}),

		sequence: newSequence(),
	}
	for i := range e.shards {
		e.shards[i] = shard{logs: map[string]*log{}, epoch: newEpoch(), forgotten: map[uint64]int{}}
	}
	e.stopped.Go(e.sweep)
	return e
}

// Append implements [engine.Engine].
func (e *memory) Append(_ context.Context, m *engine.Message, options engine.AppendOptions) (engine.Receipt, error) {
	content := channellog.Fingerprint(m) // takes its time, so before the lock
	l, err := e.lock(m.Channel)
	if err != nil {
		return engine.Receipt{}, err
	}
	defer l.mu.Unlock()
	if receipt, done, err := l.Check(m, content, options.Expect, l.used); done {
		return receipt, err
	}
	m.Sequence, m.Settled = e.sequence.begin()
	defer e.sequence.end(m.Sequence)
	l.Append(m, content, options.Retention, l.used)
	l.newest.Store(m.Sequence)
	e.plan(l)
	e.deliver(m)
	return engine.Receipt{Position: m.Position}, nil
}

// Broadcast implements [engine.Engine]. It takes the channel's lock so that the
// deliveries of a channel come one after the other.
func (e *memory) Broadcast(_ context.Context, m *engine.Message) error {
	l, err := e.lock(m.Channel)
	if err != nil {
		return err
	}
	defer l.mu.Unlock()
	e.plan(l)
	e.deliver(m)
	return nil
}

// State implements [engine.Engine].
func (e *memory) State(_ context.Context, channel string) (engine.State, error) {
	l, err := e.look(channel)
	if err != nil {
		return engine.State{}, err
	}
	defer l.mu.Unlock()
	l.Expire(l.used)
	return l.State(), nil
}

// Read implements [engine.Engine].
func (e *memory) Read(_ context.Context, channel string, options engine.ReadOptions) (engine.Page, error) {
	l, err := e.look(channel)
	if err != nil {
		return engine.Page{}, err
	}
	defer l.mu.Unlock()
	l.Expire(l.used)
	return l.Read(options, l.used), nil
}

// Sequence implements [engine.Engine].
func (e *memory) Sequence(context.Context) (engine.Position, error) {
	if e.isClosed() {
		return engine.Position{}, engine.ErrClosed
	}
	return engine.Position{Epoch: e.epoch, Offset: e.sequence.load()}, nil
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
	if e.isClosed() { // perhaps after only some of the names
		return nil, engine.ErrClosed
	}
	return names, nil
}

// Sync implements [engine.Engine]: there is no other node.
func (e *memory) Sync(context.Context) error {
	if e.isClosed() {
		return engine.ErrClosed
	}
	return nil
}

// Bus implements [engine.Engine]: there is no other node.
func (e *memory) Bus() engine.Bus { return nil }

// Close implements [engine.Engine].
func (e *memory) Close() error {
	e.closing.Do(func() {
		close(e.stop)
		e.stopped.Wait()
		for i := range e.shards {
			e.shards[i].close()
		}
	})
	return nil
}

func (e *memory) isClosed() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// close takes the logs away. Whoever holds one is delivering and is waited for;
// whoever waits for one finds it dropped, and then the shard closed.
func (s *shard) close() {
	s.mu.Lock()
	logs := s.logs
	s.logs = nil
	s.mu.Unlock()
	for _, l := range logs {
		l.drop()
	}
}

// lock returns the channel's log, locked, and makes it if there is none.
func (e *memory) lock(channel string) (*log, error) {
	for {
		l, kept, err := e.find(channel)
		if err == nil && !kept {
			l, err = e.keep(channel)
		}
		if err != nil {
			return nil, err
		}
		if l.use() {
			return l, nil
		}
	}
}

// look returns the channel's log, locked, for those who only read it.
func (e *memory) look(channel string) (*log, error) {
	for {
		l, _, err := e.find(channel)
		if err != nil {
			return nil, err
		}
		if l.use() {
			return l, nil
		}
	}
}

// find returns the channel's log, or an empty one that nobody else will see.
func (e *memory) find(channel string) (l *log, kept bool, err error) {
	s, hash := e.shard(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.logs == nil {
		return nil, false, engine.ErrClosed
	}
	if l := s.logs[channel]; l != nil {
		return l, true, nil
	}
	return s.newLog(channel, hash, e.options), false, nil
}

// keep returns the channel's log and makes it if there is none.
func (e *memory) keep(channel string) (*log, error) {
	s, hash := e.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs == nil {
		return nil, engine.ErrClosed
	}
	l := s.logs[channel]
	if l == nil {
		l = s.newLog(strings.Clone(channel), hash, e.options)
		s.logs[l.name] = l
	}
	return l, nil
}

func (e *memory) shard(channel string) (s *shard, hash uint64) {
	hash = maphash.String(e.seed, channel)
	return &e.shards[hash%shards], hash
}

// newLog makes the log that the next message of a channel begins.
func (s *shard) newLog(channel string, hash uint64, options Options) *log {
	epoch := s.epoch
	if n := s.forgotten[hash]; n > 0 {
		epoch += strconv.Itoa(n)
	}
	l := &log{name: channel, Log: channellog.New(epoch, 0, 0, channellog.Limits(options))}
	l.plan = plan{log: l, next: -1}
	return l
}

// plan has a sweep look at the log when there is something to free. Called with
// the log locked; it is no more than a comparison where the log has a plan already.
func (e *memory) plan(l *log) {
	at, ok := l.next(e.options.StateTTL)
	if !ok || !l.due.IsZero() && !at.Before(l.due) {
		return
	}
	l.due = at
	s, _ := e.shard(l.name)
	s.schedule.by(&l.plan, at)
}

// sweep frees what nobody asks for: expired messages, forgotten ids, and the
// state of channels long unused. Reads and appends never depend on it, and it looks
// only at the channels that have such.
func (e *memory) sweep() {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-e.stop:
			return
		case now := <-ticker.C:
			for i := range e.shards {
				e.sweepShard(&e.shards[i], now)
			}
		}
	}
}

func (e *memory) sweepShard(s *shard, now time.Time) {
	for _, l := range s.schedule.takeDue(now) {
		l.mu.Lock()
		l.due = time.Time{}
		l.Sweep(now)
		unused := l.isUnused(now, e.options.StateTTL)
		if !unused {
			e.plan(l)
		}
		l.mu.Unlock()
		if unused {
			e.drop(s, l, now)
		}
	}
}

// drop removes a log that is still unused once both locks are held.
func (e *memory) drop(s *shard, l *log, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.dropped:
		return
	case !l.isUnused(now, e.options.StateTTL):
		e.plan(l)
		return
	}
	l.dropped = true
	delete(s.logs, l.name)
	if l.State().Head == 0 {
		return
	}
	s.forgotten[maphash.String(e.seed, l.name)]++
	if len(s.forgotten) > maxForgotten {
		s.epoch, s.forgotten = newEpoch(), map[uint64]int{}
	}
}

// newEpoch returns 8 random characters: 40 bits, which two logs of one channel
// share once in a million million restarts.
func newEpoch() string { return strings.ToLower(rand.Text()[:8]) }
