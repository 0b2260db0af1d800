package nats

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	client "github.com/nats-io/nats.go"

	"millrace.dev/engine"
)

// syncs lets many wait for one answer of the stream. Who comes while one is asked
// for waits for the next.
type syncs struct {
	asking sync.Mutex // held by who asks

	mu   sync.Mutex
	next *round
}

type round struct {
	done chan struct{}
	err  error
}

// Sync implements [engine.Engine]. It appends a tick to the stream, which a
// majority of its replicas must take: a leader that was cut off answers no one.
func (e *nats) Sync(ctx context.Context) error {
	e.syncs.mu.Lock()
	if e.isClosed() {
		e.syncs.mu.Unlock()
		return engine.ErrClosed
	}
	r := e.syncs.next
	if r == nil {
		r = &round{done: make(chan struct{})}
		e.syncs.next = r
		e.running.Go(func() { e.ask(r) })
	}
	e.syncs.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-e.stop:
		return engine.ErrClosed
	}
}

// ask answers a round.
func (e *nats) ask(r *round) {
	e.syncs.asking.Lock()
	defer e.syncs.asking.Unlock()
	e.syncs.mu.Lock()
	e.syncs.next = nil // who comes now needs a later answer
	e.syncs.mu.Unlock()
	r.err = e.tick()
	close(r.done)
}

// tickTTL is how long the stream keeps a tick, which is of no use once it is over.
const tickTTL = time.Minute

func (e *nats) tick() error {
	m := client.NewMsg(e.options.Prefix + tickSubject)
	m.Header["Nats-TTL"] = []string{fmt.Sprintf("%ds", tickTTL/time.Second)}
	ctx, cancel := context.WithTimeout(e.alive, e.options.AppendTimeout)
	defer cancel()
	var sequence uint64
	err := e.insist(ctx, func() (err error) {
		sequence, err = e.stream.send(ctx, m)
		return err
	})
	if err != nil {
		return err
	}
	return e.arrive(ctx, sequence)
}

// arrive waits until this node has got to a sequence that the stream has.
func (e *nats) arrive(ctx context.Context, sequence uint64) error {
	for {
		soon, cancel := context.WithTimeout(ctx, lostAfter)
		err := e.progress.wait(soon, e.stop, sequence)
		cancel()
		if err == nil || ctx.Err() != nil || e.isClosed() {
			return err
		}
		e.nudge(sequence)
	}
}

// catalog names the channels that had no record since this node began to follow
// the stream. It is read when somebody asks for them.
type catalog struct {
	mu     sync.Mutex
	floor  uint64 // the shards know all channels with a record after this sequence
	newest uint64 // sequence of the newest record up to the floor
}

// Channels implements [engine.Engine].
func (e *nats) Channels(ctx context.Context, match func(string) bool, after uint64) ([]string, error) {
	if err := e.learn(ctx, after>>sequenceBits); err != nil {
		return nil, err
	}
	var names []string
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		for name, at := range s.newest {
			if lastSequence(at.sequence) > after && match(name) {
				names = append(names, name)
			}
		}
		s.mu.Unlock()
	}
	if e.isClosed() {
		return nil, engine.ErrClosed
	}
	return names, nil
}

// learn reads the names of all channels, if some had their last record after a
// sequence and before this node began to follow.
func (e *nats) learn(ctx context.Context, after uint64) error {
	e.catalog.mu.Lock()
	defer e.catalog.mu.Unlock()
	if after >= e.catalog.floor || e.isClosed() {
		return nil
	}
	if err := e.readCatalog(ctx); err != nil {
		return err
	}
	e.catalog.floor = 0
	return nil
}

// readCatalog reads the newest record of each channel, without its data. A replica
// of the stream that does not know the newest record may miss others.
func (e *nats) readCatalog(ctx context.Context) error {
	js, err := e.conn.JetStream()
	if err != nil {
		return err
	}
	names, err := js.SubscribeSync(e.options.Prefix+logSpace+">", client.OrderedConsumer(), client.DeliverLastPerSubject(), client.HeadersOnly())
	if err != nil {
		return unavailable("list channels", err)
	}
	defer names.Unsubscribe() //nolint:errcheck // it may have gone with the connection
	about, err := names.ConsumerInfo()
	if err != nil {
		return unavailable("list channels", err)
	}
	var newest uint64
	for left := about.NumPending + about.Delivered.Consumer; left > 0; {
		m, err := names.NextMsgWithContext(ctx)
		if err != nil {
			return unavailable("list channels", err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return unavailable("list channels", err)
		}
		newest, left = max(newest, meta.Sequence.Stream), meta.NumPending
		e.learnOne(strings.TrimPrefix(m.Subject, e.options.Prefix+logSpace), place{meta.Sequence.Stream, meta.Timestamp})
	}
	return e.checkCatalog(ctx, newest)
}

func (e *nats) checkCatalog(ctx context.Context, newest uint64) error {
	if newest >= e.catalog.newest {
		return nil
	}
	last, err := e.stream.get(ctx, getRequest{LastOf: e.options.Prefix + logSpace + ">"})
	if err == nil && last != nil && last.sequence > newest {
		err = unavailable("list channels", fmt.Errorf("a replica knows of record %d, the leader of %d", newest, last.sequence))
	}
	return err
}

func (e *nats) learnOne(subject string, at place) {
	channel, ok := decode(subject)
	if !ok {
		return
	}
	s := e.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest[channel].sequence < at.sequence {
		s.newest[channel] = at
	}
}
