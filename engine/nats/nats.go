// Package nats is the engine whose channels live in a stream of NATS JetStream:
// on several nodes, or durable on one.
//
//   - A channel is the records of one subject. Each is appended on the condition
//     that the one before it is the newest, so the stream alone decides the order,
//     and a record says what came before it.
//   - Every node follows the whole stream and applies each record once, in order.
//     Sequences are contiguous: any jump is a gap, and is read from the stream.
//   - A node that appends to a channel, or reads it, has a replica of it in memory.
//     All that the contract asks is decided on the replica, and holds because the
//     stream refuses a record whose writer knew too little.
//   - An append is acknowledged when its record has come back from the stream: it
//     is stored on a majority of the stream's replicas, and was delivered here.
//   - An append whose outcome is not known is tried again until somebody's record
//     is in its place: its own, or another one.
package nats

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	client "github.com/nats-io/nats.go"

	"millrace.dev/engine"
	"millrace.dev/engine/internal/channellog"
)

// Options configure the engine. The zero value works with a server on this
// machine.
type Options struct {
	// URL of the NATS servers, comma-separated, with user and password if they
	// ask for such. Default nats://127.0.0.1:4222.
	URL string
	// Connection has further options of the connection, such as credentials.
	Connection []client.Option
	// Prefix of all subjects, and the name of the stream. Default "millrace".
	Prefix string
	// Replicas of the stream: 1, 3 or 5. Default what the stream has; a new one has
	// 3 in a cluster of NATS servers, and 1 on a single server.
	Replicas int
	// MessageBytes is the largest message that will be appended. Open fails if the
	// servers do not take it. 0 checks nothing.
	MessageBytes int
	// MaxBytes is how large the stream may grow before appends are refused. 0 means
	// no limit.
	MaxBytes int64
	// DedupWindow is how long a message id is remembered. Default 5 minutes.
	DedupWindow time.Duration
	// DedupIDs is how many ids a channel remembers. Default 10,000.
	DedupIDs int
	// StateTTL is how long the position of a channel is remembered after its last
	// message. Default 24 hours.
	StateTTL time.Duration
	// AppendTimeout is how long an append waits for the stream, which is without a
	// leader for some seconds when a server dies. Default 15 seconds.
	AppendTimeout time.Duration
	// Generation is part of all positions. It is another one after records may have
	// been lost, so that no position means two messages.
	Generation string
	// Force, if set, forces to the disk what the stream has. It is called before records
	// are delivered and acknowledged, once for all that have come until then. Once it
	// has failed, it fails.
	Force func() error
	// Log is for what an operator should know. Default: nothing.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	o.URL = cmp.Or(o.URL, client.DefaultURL)
	o.Prefix = cmp.Or(o.Prefix, "millrace")
	o.DedupWindow = cmp.Or(o.DedupWindow, 5*time.Minute)
	o.DedupIDs = cmp.Or(o.DedupIDs, 10_000)
	o.StateTTL = cmp.Or(o.StateTTL, 24*time.Hour)
	o.AppendTimeout = cmp.Or(o.AppendTimeout, 15*time.Second)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Force == nil {
		o.Force = func() error { return nil }
	}
	return o
}

const (
	shards     = 256
	openWithin = 30 * time.Second // how long NATS may take to be there at the start
)

// nats implements [engine.Engine].
type nats struct {
	// Set once.
	options    Options
	limits     channellog.Limits
	deliver    engine.Deliver
	log        *slog.Logger
	conn       *client.Conn
	stream     *stream
	epoch      string // of the stream: what all epochs begin with
	maxMessage int
	seed       maphash.Seed
	voice      string          // of what this node says to others
	alive      context.Context //nolint:containedctx // the engine's life, for what outlives a call
	die        context.CancelFunc

	tail        chan *client.Msg
	nudges      chan uint64
	reconnected chan struct{}
	purges      chan purge

	closing sync.Once
	stop    <-chan struct{} // closed by Close
	running sync.WaitGroup

	progress progress
	newest   atomic.Uint64 // sequence of the newest record that is being delivered, or was
	settled  uint64        // Sequence of the message delivered last; owned by follow
	syncs    syncs
	catalog  catalog
	kept     kept
	shards   [shards]shard
}

// shard is a part of the channels. Its lock is held while a message of one of
// them is delivered, so that the deliveries of a channel come one after another.
type shard struct {
	mu       sync.Mutex
	replicas map[string]*replica
	lanes    map[string]*lane
	newest   map[string]place // of the channels with records since the node began to follow
}

// place is where the newest record of a channel is.
type place struct {
	sequence uint64
	time     time.Time
}

type purge struct {
	subject string
	before  uint64
}

// Open returns the function that starts the engine. It waits for NATS for 30
// seconds, and creates the stream or checks the one there is.
func Open(options Options) engine.Open {
	return func(ctx context.Context, deliver engine.Deliver) (engine.Engine, error) {
		return open(ctx, options.withDefaults(), deliver)
	}
}

func open(ctx context.Context, options Options, deliver engine.Deliver) (*nats, error) {
	e := &nats{
		options: options,
		limits:  channellog.Limits{DedupWindow: options.DedupWindow, DedupIDs: options.DedupIDs, StateTTL: options.StateTTL},
		deliver: deliver,
		log:     options.Log,
		seed:    maphash.MakeSeed(),
		voice:   rand.Text(),

		tail:        make(chan *client.Msg, tailBuffer),
		nudges:      make(chan uint64, 1),
		reconnected: make(chan struct{}, 1),
		purges:      make(chan purge, 1024),
	}
	for i := range e.shards {
		e.shards[i] = shard{replicas: map[string]*replica{}, lanes: map[string]*lane{}, newest: map[string]place{}}
	}
	e.alive, e.die = context.WithCancel(context.WithoutCancel(ctx))
	e.stop = e.alive.Done()
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	if err := e.start(ctx); err != nil {
		e.die()
		if e.conn != nil {
			e.conn.Close()
		}
		return nil, err
	}
	e.running.Go(e.follow)
	e.running.Go(e.sweep)
	return e, nil
}

// start connects, finds the stream, and begins to follow it where it ends now.
func (e *nats) start(ctx context.Context) error {
	var err error
	if e.conn, err = e.connect(ctx); err != nil {
		return err
	}
	// A record and what NATS adds to it.
	e.maxMessage = int(e.conn.MaxPayload()) - 16<<10
	if e.maxMessage < e.options.MessageBytes {
		return fmt.Errorf("the NATS servers take messages of %d bytes (max_payload), and %d are needed for the largest payload", e.conn.MaxPayload(), e.options.MessageBytes+16<<10)
	}
	created, err := ensure(ctx, e.conn, e.options)
	if err != nil {
		return err
	}
	e.epoch = epochOf(created.Created, e.options.Generation)
	e.log.InfoContext(ctx, "NATS: following the stream", "stream", e.options.Prefix, "replicas", created.Config.Replicas,
		"records", created.State.Msgs, "server", e.conn.ConnectedUrlRedacted())
	e.stream = &stream{conn: e.conn, name: e.options.Prefix}
	for _, space := range []string{tailSpace, castSpace} {
		if _, err := e.conn.ChanSubscribe(e.options.Prefix+space+">", e.tail); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
	}
	if err := e.conn.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return errors.Join(e.begin(ctx), e.options.Force())
}

// begin notes where the stream ends now. One that was made just now, or whose
// leader is being elected, is asked until it answers.
func (e *nats) begin(ctx context.Context) error {
	for {
		now, err := e.stream.info(ctx)
		var newest *stored
		if err == nil {
			newest, err = e.stream.get(ctx, getRequest{LastOf: e.options.Prefix + logSpace + ">"})
		}
		switch {
		case err == nil:
			if newest != nil {
				e.newest.Store(newest.sequence)
				e.catalog.newest = newest.sequence
			}
			e.progress.reach(now.State.LastSequence)
			e.catalog.floor = now.State.LastSequence
			return nil
		case ctx.Err() != nil || !isPassing(err):
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(maxBackoff):
		}
	}
}

// isPassing reports whether the stream is not to be had, or not yet known to the
// server that was asked.
func isPassing(err error) bool {
	refused, ok := errors.AsType[*apiError](err)
	return errors.Is(err, engine.ErrUnavailable) || ok && refused.ErrCode == codeNoStream
}

// epochOf is what all epochs of a stream begin with.
func epochOf(created time.Time, generation string) string {
	if generation != "" {
		generation = "." + generation
	}
	return strconv.FormatInt(created.UnixMicro(), 36) + generation + "-"
}

func (e *nats) epochs() string { return e.epoch }

// epochNow is the number of the epoch of a channel that begins now. A channel is
// forgotten StateTTL after its last record, so its next life has another number.
func (e *nats) epochNow() uint64 { return uint64(e.now().UnixNano() / int64(e.options.StateTTL)) }

func (e *nats) now() time.Time { return time.Now() }

// recordTTL is how long the stream keeps a record; 0 for ever.
func (e *nats) recordTTL(keep engine.Retention) time.Duration {
	if keep.Messages > 0 && keep.Age == 0 {
		return 0
	}
	return max(keep.Age, e.options.DedupWindow, e.options.StateTTL) + time.Second
}

func (e *nats) subject(channel string) string { return e.options.Prefix + logSpace + encode(channel) }

func (e *nats) shard(channel string) *shard {
	return &e.shards[maphash.String(e.seed, channel)%shards]
}

func (e *nats) isClosed() bool {
	select {
	case <-e.stop:
		return true
	default:
		return false
	}
}

// Broadcast implements [engine.Engine]. On this node the message is delivered at
// once; on others it may overtake messages that were appended before.
func (e *nats) Broadcast(_ context.Context, m *engine.Message) error {
	if e.isClosed() {
		return engine.ErrClosed
	}
	// Not under the lock: the connection may be stuck, and others need the channel.
	err := e.say(castSpace+encode(m.Channel), encodeMessage(m))
	if err != nil && !e.isClosed() {
		return unavailable("broadcast", err)
	}
	s := e.shard(m.Channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.isClosed() {
		return engine.ErrClosed
	}
	e.deliver(m)
	return nil
}

// State implements [engine.Engine].
func (e *nats) State(ctx context.Context, channel string) (engine.State, error) {
	page, err := e.Read(ctx, channel, engine.ReadOptions{})
	return page.State, err
}

// Read implements [engine.Engine].
func (e *nats) Read(ctx context.Context, channel string, options engine.ReadOptions) (engine.Page, error) {
	r, err := e.replica(ctx, channel)
	if err != nil {
		return engine.Page{}, err
	}
	s := e.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.isClosed() {
		return engine.Page{}, engine.ErrClosed
	}
	now := e.now()
	r.Expire(now)
	if options.Limit == 0 {
		return engine.Page{State: r.State()}, nil
	}
	return r.Read(options, now), nil
}

// Sequence implements [engine.Engine]. It is the same on all nodes that have
// followed the stream as far.
func (e *nats) Sequence(context.Context) (engine.Position, error) {
	if e.isClosed() {
		return engine.Position{}, engine.ErrClosed
	}
	return engine.Position{Epoch: e.epoch, Offset: lastSequence(e.newest.Load())}, nil
}

// Close implements [engine.Engine].
func (e *nats) Close() error {
	e.closing.Do(func() {
		for i := range e.shards { // whoever delivers is waited for
			e.shards[i].mu.Lock()
		}
		e.syncs.mu.Lock()
		e.die()
		e.syncs.mu.Unlock()
		for i := range e.shards {
			e.shards[i].mu.Unlock()
		}
		e.running.Wait()
		if e.conn.IsConnected() {
			_ = e.conn.FlushTimeout(requestTimeout) // the last that this node said; nobody waits for it
		}
		e.conn.Close()
	})
	return nil
}
