package service

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect/v2"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// Sink is a stream that never blocks. Its session has no goroutine of its own:
// one of the service's writers sends to many of them in turn. After Attach, the
// writer calls the other methods, one at a time.
type Sink interface {
	connect.ServerStream
	// Attach opens the stream. If it fails, the session ends at once.
	Attach(a Attachment) error
	// Deliver sends frames, or has the outbox send them. It returns false if the
	// client has not taken all of them: what is left is the sink's, which calls
	// Attachment.Resume when it is gone. Until then nothing is delivered.
	Deliver(delivery Delivery) (taken bool, err error)
	// Idle sends a sign of life, after the heartbeat interval without anything.
	Idle()
	// End says why the session is over. It is the last call.
	End(reason error)
}

// Attachment is a sink's way to its session.
type Attachment struct{ session *Session }

// Token is what other calls are made with in the name of the session.
func (a Attachment) Token() string { return a.session.token }

// Ready is what the stream's first notice says.
func (a Attachment) Ready() *millracev1.Ready { return a.session.ready() }

// Resume says that the client has taken everything that was delivered.
func (a Attachment) Resume() {
	a.session.blocked.Store(false)
	a.session.writing.Store(0)
	if a.session.missed.Swap(false) {
		a.session.awake()
	}
}

// Go runs a goroutine of the connection, which ends soon after End. Closing the
// service waits for it.
func (a Attachment) Go(run func()) { a.session.service.stopped.Go(run) }

// Leave ends the session, as the connection has for the given reason.
func (a Attachment) Leave(reason error) { a.session.finish(reason) }

// sendTogether is for how many sessions an outbox waits: none of them waits long.
const sendTogether = 32

// maxPause bounds how long a busy writer waits for more to send at once.
const maxPause = 5 * time.Millisecond

// maxTurn is after how long a sweep lets others have a turn.
const maxTurn = 250 * time.Microsecond

// writer tells its sessions what is published, and sends to those that are
// attached to it, in turn, whatever each has pending in one write.
type writer struct {
	wake   chan struct{} // holds one token if there is something to do
	outbox Outbox        // nil where none is configured
	counts counts

	mu     sync.Mutex
	queue  []*Session      // attached, that have something to send
	groups []*group        // that have something new
	passed []chan struct{} // closed after a sweep
	closed bool            // no session is attached any more

	// Owned by the goroutine of run.
	work    []*Session
	few     []*Session // served in the middle of a sweep
	found   []*Session // by the visit that is under way
	spare   []*group   // for groups
	batch   batch      // of the session that is being sent to
	blocks  blocks
	wheel   wheel
	yielder yielder
}

func newWriter(outbox Outbox) *writer { return &writer{wake: make(chan struct{}, 1), outbox: outbox} }

// add has the writer look at a session. Its scheduled flag is set.
func (w *writer) add(s *Session) {
	w.mu.Lock()
	w.queue = append(w.queue, s)
	w.mu.Unlock()
	w.signal()
}

// addGroup has the writer visit a group. Its mark is set.
func (w *writer) addGroup(g *group) {
	w.mu.Lock()
	w.groups = append(w.groups, g)
	w.mu.Unlock()
	w.signal()
}

// pass waits until the writer has come round.
func (w *writer) pass(ctx context.Context) error {
	passed := make(chan struct{})
	w.mu.Lock()
	w.passed = append(w.passed, passed)
	w.mu.Unlock()
	w.signal()
	select {
	case <-passed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("a writer does not come round: %w", ctx.Err())
	}
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run sweeps the queue until ctx ends.
//
// Before each sweep it has rested as long as the last one took: it is busy half of
// the time at most. Without that it would come round once for each message, and never have
// two to send in one write, just when that is needed most.
func (w *writer) run(ctx context.Context) {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	var last, took time.Duration // when the last sweep ended, and how long it took
	epoch := time.Now()
	for {
		select {
		case <-ctx.Done():
			w.close()
			return
		case now := <-ticker.C:
			w.tick(ctx, now)
		case <-w.wake:
			start := time.Since(epoch)
			if rested := start - last; rested < took {
				time.Sleep(min(took-rested, maxPause)) //nolint:forbidigo // the pause is the point
				start = time.Since(epoch)
			}
			w.sweep(ctx)
			last = time.Since(epoch)
			took = last - start
		}
	}
}

// sweep serves the sessions that have something to send, with those of the groups
// that have something new.
//
// A channel of many subscribers takes long. Others do not wait for it: their turn is
// first, and a sweep lets the process have turns, and serves in between what came up
// for a few.
func (w *writer) sweep(ctx context.Context) {
	w.mu.Lock()
	passed := w.passed
	w.passed = nil
	w.mu.Unlock()
	turn := time.Now()
	pause := func() {
		if time.Since(turn) >= maxTurn {
			w.yielder.yield()
			w.serveFew(ctx)
			turn = time.Now()
		}
	}
	for _, most := range []int{sendTogether, math.MaxInt} {
		w.mu.Lock()
		w.work, w.queue = w.queue, w.work[:0]
		w.mu.Unlock()
		w.work = w.visit(w.work, most, pause)
		for left := w.work; len(left) > 0; {
			n := min(len(left), sendTogether)
			w.serve(ctx, left[:n])
			left = left[n:]
			if len(left) > 0 {
				pause()
			}
		}
		clear(w.work)
	}
	w.blocks.reset()
	for _, each := range passed {
		close(each)
	}
}

// serve sends to sessions, together.
func (w *writer) serve(ctx context.Context, sessions []*Session) {
	for _, s := range sessions {
		s.scheduled.Store(false)
		s.sweep(ctx)
	}
	w.flush()
}

// serveFew serves what came up during a sweep, as much as goes together. Large
// groups wait for the next sweep: they have more to send in one write then.
func (w *writer) serveFew(ctx context.Context) {
	w.few = w.visit(w.few[:0], sendTogether, func() {})
	w.mu.Lock()
	w.queue = append(w.queue, w.few...)
	clear(w.few) // it may be more than is served
	n := min(len(w.queue), sendTogether)
	w.few = append(w.few[:0], w.queue[:n]...)
	w.queue = slices.Delete(w.queue, 0, n)
	hasMore := len(w.queue) > 0
	w.mu.Unlock()
	if hasMore {
		w.signal()
	}
	w.serve(ctx, w.few)
	clear(w.few)
}

// flush sends what sinks have put into the outbox. Nobody needs the blocks then,
// but for those that more sessions may share.
func (w *writer) flush() {
	if w.outbox != nil {
		w.outbox.Flush()
	}
	if len(w.blocks.bytes) > maxBlockBytes {
		w.blocks.reset()
	}
}

// visit visits the groups that have something new and at most so many members, and
// appends the sessions that have something to send for it. During a pause it may be
// called again, for others.
func (w *writer) visit(found []*Session, most int, pause func()) []*Session {
	w.mu.Lock()
	groups := w.groups
	w.groups, w.spare = w.spare, nil
	w.mu.Unlock()
	outer := w.found
	w.found = found
	for _, g := range groups {
		if g.hasAtMost(most) {
			g.visit(pause)
		} else {
			w.addGroup(g)
		}
	}
	found, w.found = w.found, outer
	clear(groups)
	w.spare = groups[:0]
	return found
}

// visited says that a visit has something for a session.
func (w *writer) visited(s *Session) {
	switch {
	case s.wake != nil:
		s.awake() // it has a goroutine of its own
	case !s.scheduled.Swap(true):
		w.found = append(w.found, s)
	}
}

// tick gives the sessions that are due their signs of life.
func (w *writer) tick(ctx context.Context, now time.Time) {
	for _, s := range w.wheel.turn() {
		if s.service.elapsed(now) >= s.due.Load() {
			s.tick(ctx, now)
		}
		w.watch(s)
	}
	w.flush()
	w.blocks.reset()
}

// watch has the session ticked when it is due, while it is attached.
func (w *writer) watch(s *Session) {
	if s.slot == noSlot && s.attached.Load() {
		w.wheel.put(s, time.Duration(s.due.Load()-s.service.elapsed(time.Now())))
	}
}

// close ends what is still attached.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	left := w.queue
	w.mu.Unlock()
	for range wheelSlots {
		left = append(left, w.wheel.turn()...)
	}
	for _, s := range left {
		s.detach(engine.ErrClosed)
	}
	if w.outbox != nil {
		w.outbox.Close() //nolint:errcheck // it has nothing to lose
	}
	w.yielder.close()
}

// isClosed reports whether no session is attached any more.
func (w *writer) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// attach hands a session over to its writer. Whatever comes of it, the session
// ends there.
func (s *Session) attach(sink Sink) error {
	if err := sink.Attach(Attachment{s}); err != nil {
		return s.service.end(s, err)
	}
	s.sink, s.batch, s.silent = sink, &s.writer.batch, time.Now()
	s.due.Store(s.service.elapsed(s.silent.Add(s.untilDue(s.silent))))
	s.attached.Store(true)
	s.awake() // also for the writer to watch it
	if s.writer.isClosed() {
		s.detach(engine.ErrClosed)
	}
	return nil
}

// sweep sends what there is. Only the session's writer calls it.
func (s *Session) sweep(ctx context.Context) {
	if !s.attached.Load() || !s.isFree() {
		return // attach and Resume schedule it again
	}
	s.writer.watch(s)
	now := time.Now()
	end := s.collect(ctx, now)
	if err := s.deliver(now); err != nil {
		end = err
	}
	switch {
	case end != nil:
		s.detach(end)
	case len(s.work) > 0:
		s.awake()
	case len(s.held) > 0:
		s.holdTimer()
	}
}

// isFree reports whether the client has taken what was delivered. If not, Resume
// schedules the session.
func (s *Session) isFree() bool {
	if !s.blocked.Load() {
		return true
	}
	s.missed.Store(true)
	return !s.blocked.Load() && s.missed.Swap(false)
}

// deliver sends the batch, if there is any.
func (s *Session) deliver(now time.Time) error {
	if len(s.batch.frames) == 0 {
		return nil
	}
	s.silent = now
	s.due.Store(s.service.elapsed(now.Add(s.untilDue(now))))
	s.blocked.Store(true) // before, because Resume may come before Deliver returns
	s.writing.Store(s.service.elapsed(now))
	if s.expelled.Load() {
		return s.reason()
	}
	s.counts().count(s.batch)
	taken, err := s.sink.Deliver(Delivery{Frames: s.batch.frames, Outbox: s.writer.outbox, blocks: &s.writer.blocks})
	s.sent(s.batch.frames, now)
	if taken {
		s.blocked.Store(false)
		s.writing.Store(0)
	}
	return err
}

// holdTimer has the session swept again when the first turn comes.
func (s *Session) holdTimer() {
	d := s.untilDue(time.Now())
	if s.timer == nil {
		s.timer = time.AfterFunc(d, s.awake)
		return
	}
	s.timer.Reset(d)
}

// tick is what there is to do after silence. Only the session's writer calls it.
func (s *Session) tick(ctx context.Context, now time.Time) {
	if !s.attached.Load() || !s.isFree() {
		return
	}
	if s.reason() != nil { // which counts, whatever time says
		s.sweep(ctx)
		return
	}
	s.batch.reset()
	if err := s.onTimer(now); err != nil {
		s.detach(err)
		return
	}
	if len(s.batch.frames) == 0 {
		s.sweep(ctx)
		return
	}
	if err := s.deliver(now); err != nil {
		s.detach(err)
		return
	}
	s.sink.Idle()
}

// detach ends a session that is attached.
func (s *Session) detach(end error) {
	if !s.attached.Swap(false) {
		return
	}
	if s.slot != noSlot {
		s.writer.wheel.remove(s)
	}
	_ = s.service.end(s, end) // the sink tells it
	s.sink.End(end)
}
