package nats

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"time"

	"millrace.dev/engine"
	"millrace.dev/engine/internal/channellog"
)

// lane is the appends of this node to one channel. One record is on its way at a
// time; what comes meanwhile goes into the next one together. A lane exists while
// there is something to append. All is guarded by the shard's lock.
type lane struct {
	channel string
	queue   []*pending
	flight  *flight
}

// pending is one Append.
type pending struct {
	// Set once.
	message *engine.Message
	content channellog.Digest
	options engine.AppendOptions

	gone     atomic.Bool   // nobody waits for the answer
	verified bool          // owned by the lane: refused by a replica that was up to date
	done     chan struct{} // closed once there is an answer
	receipt  engine.Receipt
	err      error
}

func (p *pending) answer(receipt engine.Receipt, err error) {
	p.receipt, p.err = receipt, err
	close(p.done)
}

// flight is a record on its way to the stream. What is under way can come back at
// any time, also after its request has failed: it is known by its token.
type flight struct {
	record *record
	batch  []*pending
	done   chan struct{} // closed when the record has come back
}

// isWanted reports whether anybody waits for the flight.
func (f *flight) isWanted() bool {
	for _, p := range f.batch {
		if !p.gone.Load() {
			return true
		}
	}
	return false
}

// Append implements [engine.Engine].
func (e *nats) Append(ctx context.Context, m *engine.Message, options engine.AppendOptions) (engine.Receipt, error) {
	p := &pending{message: m, content: channellog.Fingerprint(m), options: options, done: make(chan struct{})}
	if err := e.enqueue(p); err != nil {
		return engine.Receipt{}, err
	}
	timeout := time.NewTimer(e.options.AppendTimeout)
	defer timeout.Stop()
	var err error
	select {
	case <-p.done:
		return p.receipt, p.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timeout.C:
		err = unavailable("append", context.DeadlineExceeded)
	case <-e.stop:
		err = engine.ErrClosed
	}
	p.gone.Store(true)
	return engine.Receipt{}, err
}

// enqueue puts an append in its lane, and gives a new lane its goroutine.
func (e *nats) enqueue(p *pending) error {
	if p.message.Size() > e.maxMessage {
		return errTooLarge
	}
	s := e.shard(p.message.Channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.isClosed() {
		return engine.ErrClosed
	}
	l := s.lanes[p.message.Channel]
	switch {
	case l == nil:
		l = &lane{channel: p.message.Channel}
		s.lanes[l.channel] = l
		e.running.Go(func() { e.run(s, l) })
	case len(l.queue) >= maxQueue:
		return engine.ErrOverloaded
	}
	l.queue = append(l.queue, p)
	return nil
}

// maxQueue is how many appends of one channel may wait.
const maxQueue = 4096

var errTooLarge = errors.New("the message is larger than the NATS servers accept (max_payload)")

// run writes what is in a lane until nothing is.
func (e *nats) run(s *shard, l *lane) {
	for {
		r, err := e.replica(e.alive, l.channel)
		s.mu.Lock()
		if err != nil {
			for _, p := range l.queue {
				p.answer(engine.Receipt{}, err)
			}
			l.queue = nil
		}
		if len(l.queue) == 0 {
			delete(s.lanes, l.channel)
			s.mu.Unlock()
			return
		}
		stale := l.fly(r, e.now())
		f := l.flight
		s.mu.Unlock()
		switch {
		case f != nil:
			e.land(s, l, f)
		case stale:
			if err := e.refresh(e.alive, l.channel); err != nil {
				e.refuseFirst(s, l, err)
			}
		}
	}
}

// refuseFirst answers the first append in a lane.
func (e *nats) refuseFirst(s *shard, l *lane, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := l.queue[0]
	l.queue = l.queue[1:]
	p.answer(engine.Receipt{}, err)
}

// fly answers what needs no record, and makes a record of what is next in the
// queue. It reports stale if the replica may not know enough to answer.
func (l *lane) fly(r *replica, now time.Time) (stale bool) {
	l.flight = nil
	state := r.State()
	f := &flight{done: make(chan struct{}), record: &record{
		channel: l.channel, token: rand.Text()[:16],
		previous: r.at, epoch: r.epoch, head: state.Head, newest: state.Sequence,
	}}
	known := map[string]bool{} // ids and producers of the batch
	size := 0
	for len(l.queue) > 0 && len(f.batch) < maxBatch {
		p := l.queue[0]
		if p.gone.Load() {
			l.queue = l.queue[1:]
			continue
		}
		size += p.message.Size()
		if len(f.batch) > 0 && (size > maxBytes || !p.fits(f, known)) {
			break
		}
		receipt, done, err := r.Check(p.message, p.content, p.options.Expect, now)
		switch {
		case done && err != nil && !p.verified:
			if len(f.batch) == 0 {
				p.verified, stale = true, true
				return stale
			}
		case done:
			l.queue = l.queue[1:]
			p.answer(receipt, err)
			continue
		default:
			l.queue = l.queue[1:]
			p.join(f, known)
			continue
		}
		break
	}
	if len(f.batch) > 0 {
		l.flight = f
	}
	return false
}

// fits reports whether the append can be decided without knowing what becomes of
// those before it in the record.
func (p *pending) fits(f *flight, known map[string]bool) bool {
	m := p.message
	return p.options.Expect == nil && p.options.Retention == f.record.keep &&
		(m.ID == "" || !known["i"+m.ID]) && (m.Producer == nil || !known["p"+m.Producer.ID])
}

func (p *pending) join(f *flight, known map[string]bool) {
	m := p.message
	f.batch = append(f.batch, p)
	f.record.messages = append(f.record.messages, m)
	f.record.keep = p.options.Retention
	if m.ID != "" {
		known["i"+m.ID] = true
	}
	if m.Producer != nil {
		known["p"+m.Producer.ID] = true
	}
}

// land brings a flight to its end: the record has come back, or another one has
// taken its place and the appends are in the queue again, or nobody waits.
func (e *nats) land(s *shard, l *lane, f *flight) {
	data, subject := f.record.encode(), e.subject(l.channel)
	ttl := e.recordTTL(f.record.keep)
	for wait := minBackoff; ; wait = min(2*wait, maxBackoff) {
		sequence, err := e.stream.publish(e.alive, subject, data, f.record.previous, ttl)
		switch {
		case err == nil:
			if e.await(f, sequence) {
				return
			}
		case errors.Is(err, errMoved):
			if e.retake(s, l, f) {
				return
			}
		case errors.Is(err, errNoSpace):
			e.fail(s, l, f, err)
			return
		}
		select {
		case <-f.done:
			return
		case <-e.stop:
			e.fail(s, l, f, engine.ErrClosed)
			return
		case <-time.After(wait):
		}
		if !f.isWanted() {
			e.fail(s, l, f, err)
			return
		}
	}
}

const (
	minBackoff = 20 * time.Millisecond
	maxBackoff = 500 * time.Millisecond
)

// await waits for a record that the stream has to come back, and has it read from
// there if it does not.
func (e *nats) await(f *flight, sequence uint64) bool {
	for {
		select {
		case <-f.done:
			return true
		case <-e.stop:
			return false
		case <-time.After(lostAfter):
			e.nudge(sequence)
		}
	}
}

// lostAfter is how long a record that is in the stream may be on its way here.
const lostAfter = 200 * time.Millisecond

// retake puts the appends of a flight whose place was taken back into the queue.
// It returns false as long as this node does not know who took it.
func (e *nats) retake(s *shard, l *lane, f *flight) bool {
	if e.refresh(e.alive, l.channel) != nil {
		return false
	}
	r, err := e.replica(e.alive, l.channel)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case l.flight != f:
		return true // it was the flight itself
	case r.at == f.record.previous:
		delete(s.replicas, l.channel) // it knows of nothing newer, so it may be wrong
		return false
	}
	l.queue = append(f.batch, l.queue...)
	l.flight = nil
	return true
}

// fail answers a flight whose outcome is not known.
func (e *nats) fail(s *shard, l *lane, f *flight, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.flight != f {
		return
	}
	l.flight = nil
	for _, p := range f.batch {
		p.answer(engine.Receipt{}, err)
	}
}

// complete answers a flight whose record has come back. Called under the shard's
// lock.
func (l *lane) complete(rec *record) {
	f := l.flight
	if f == nil || f.record.token != rec.token {
		return
	}
	l.flight = nil
	for i, p := range f.batch {
		p.answer(engine.Receipt{Position: rec.messages[i].Position}, nil)
	}
	close(f.done)
}
