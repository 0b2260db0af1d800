package service

import (
	"context"
	"maps"
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
	Attach(a Attachment, ready *millracev1.Ready) error
	// Deliver sends frames. It returns false if the client has not taken all of
	// them: what is left is the sink's, which calls Attachment.Resume when it is
	// gone. Until then nothing is delivered.
	Deliver(frames []*Frame) (taken bool, err error)
	// Idle sends a sign of life, after the heartbeat interval without anything.
	Idle()
	// End says why the session is over. It is the last call.
	End(reason error)
}

// Attachment is a sink's way to its session.
type Attachment struct{ session *Session }

// Resume says that the client has taken everything that was delivered.
func (a Attachment) Resume() {
	a.session.blocked.Store(false)
	a.session.writing.Store(0)
	a.session.awake()
}

// Go runs a goroutine of the connection, which ends soon after End. Closing the
// service waits for it.
func (a Attachment) Go(run func()) { a.session.service.stopped.Go(run) }

// Leave ends the session, as the connection has for the given reason.
func (a Attachment) Leave(reason error) { a.session.finish(reason) }

// tickInterval is how exactly silence and expiry of attached sessions are
// noticed.
const tickInterval = 500 * time.Millisecond

// maxPause bounds how long a busy writer waits for more to send at once.
const maxPause = 2 * time.Millisecond

// writer sends to the sessions that are attached to it, in turn, whatever each
// has pending in one write.
type writer struct {
	wake   chan struct{} // holds one token if the queue is not empty
	counts counts

	mu       sync.Mutex
	queue    []*Session // that have something to send
	sessions map[*Session]struct{}
	closed   bool // no session is attached any more
}

func newWriter() *writer {
	return &writer{wake: make(chan struct{}, 1), sessions: map[*Session]struct{}{}}
}

// add has the writer look at a session. Its scheduled flag is set.
func (w *writer) add(s *Session) {
	w.mu.Lock()
	w.queue = append(w.queue, s)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run sweeps the queue until ctx ends.
//
// A writer that is busy more than half of the time waits a little before each
// sweep. Without that it would come round once for each message, and never have
// two to send in one write, just when that is needed most.
func (w *writer) run(ctx context.Context) {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	var work []*Session
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
			if start-last < took {
				time.Sleep(min(took/4, maxPause)) //nolint:forbidigo // the pause is the point
				start = time.Since(epoch)
			}
			work = w.sweep(ctx, work)
			last = time.Since(epoch)
			took = last - start
		}
	}
}

func (w *writer) sweep(ctx context.Context, work []*Session) []*Session {
	w.mu.Lock()
	work, w.queue = w.queue, work[:0]
	w.mu.Unlock()
	for _, s := range work {
		s.scheduled.Store(false)
		s.sweep(ctx)
	}
	clear(work)
	return work
}

// tick gives each session its signs of life.
func (w *writer) tick(ctx context.Context, now time.Time) {
	w.mu.Lock()
	due := make([]*Session, 0, 64)
	for s := range w.sessions {
		if now.UnixNano() >= s.due.Load() {
			due = append(due, s)
		}
	}
	w.mu.Unlock()
	for _, s := range due {
		s.tick(ctx, now)
	}
}

// close ends what is still attached.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	left := slices.Collect(maps.Keys(w.sessions))
	w.mu.Unlock()
	for _, s := range left {
		s.detach(engine.ErrClosed)
	}
}

// attach adds a session. It returns false if the writer is closed.
func (w *writer) attach(s *Session) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions[s] = struct{}{}
	return !w.closed
}

func (w *writer) detach(s *Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sessions, s)
}

// attach hands a session over to its writer. Whatever comes of it, the session
// ends there.
func (s *Session) attach(sink Sink) error {
	if err := sink.Attach(Attachment{s}, s.ready().Notice.GetReady()); err != nil {
		return s.service.end(s, err)
	}
	s.sink, s.silent = sink, time.Now()
	s.due.Store(s.silent.Add(s.untilDue()).UnixNano())
	s.attached.Store(true)
	if !s.writer.attach(s) {
		s.detach(engine.ErrClosed)
	}
	s.awake()
	return nil
}

// sweep sends what there is. Only the session's writer calls it.
func (s *Session) sweep(ctx context.Context) {
	if !s.attached.Load() || s.blocked.Load() {
		return // attach and Resume schedule it again
	}
	end := s.collect(ctx)
	if err := s.deliver(time.Now()); err != nil {
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

// deliver sends the batch, if there is any.
func (s *Session) deliver(now time.Time) error {
	if len(s.batch.frames) == 0 {
		return nil
	}
	s.silent = now
	s.due.Store(now.Add(s.untilDue()).UnixNano())
	s.blocked.Store(true) // before, because Resume may come before Deliver returns
	s.writing.Store(now.UnixNano())
	if s.expelled.Load() {
		return s.reason()
	}
	s.counts().count(&s.batch)
	taken, err := s.sink.Deliver(s.batch.frames)
	s.sent(s.batch.frames, now)
	if taken {
		s.blocked.Store(false)
		s.writing.Store(0)
	}
	return err
}

// holdTimer has the session swept again when the first turn comes.
func (s *Session) holdTimer() {
	d := s.untilDue()
	if s.timer == nil {
		s.timer = time.AfterFunc(d, s.awake)
		return
	}
	s.timer.Reset(d)
}

// tick is what there is to do after silence. Only the session's writer calls it.
func (s *Session) tick(ctx context.Context, now time.Time) {
	if s.blocked.Load() || !s.attached.Load() {
		return
	}
	if s.reason() != nil { // which counts, whatever time says
		s.sweep(ctx)
		return
	}
	clear(s.batch.frames)
	s.batch.frames, s.batch.bytes = s.batch.frames[:0], 0
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
	s.writer.detach(s)
	_ = s.service.end(s, end) // the sink tells it
	s.sink.End(end)
}
