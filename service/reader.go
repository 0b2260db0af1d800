package service

import (
	"context"
	"errors"
	"slices"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// next waits for something to send. It returns frames, an error, or both: the
// frames are then the last. They are valid until the next call.
func (s *Session) next(ctx context.Context) ([]*Frame, error) {
	s.silent = time.Now()
	for {
		if err := s.collect(ctx, time.Now()); err != nil || len(s.batch.frames) > 0 {
			return s.batch.frames, err
		}
		if err := s.wait(ctx); err != nil || len(s.batch.frames) > 0 {
			return s.batch.frames, err
		}
	}
}

// collect fills the batch: notices first, then each subscription in turn. One
// that has more than fits goes to the end of the line.
func (s *Session) collect(ctx context.Context, now time.Time) error {
	s.batch.reset()
	s.mu.Lock()
	for _, n := range s.notices {
		n.fill()
		s.batch.add(n.frame)
	}
	s.notices = nil
	s.work = append(s.work, s.queue...)
	clear(s.queue)
	s.queue = s.queue[:0]
	end := s.end
	s.mu.Unlock()
	if end == nil {
		end = s.overdue(now)
	}
	s.release(now)
	read := 0
	for ; read < len(s.work) && !s.batch.full(); read++ {
		sub := s.work[read]
		if sub.nextTurn.After(now) {
			s.held = append(s.held, sub)
			continue
		}
		sub.queued.Store(false)
		more, err := s.readOne(ctx, sub, now)
		if err != nil {
			return err
		}
		if more && !sub.queued.Swap(true) {
			s.work = append(s.work, sub)
		}
	}
	left := copy(s.work, s.work[read:])
	clear(s.work[left:])
	s.work = s.work[:left]
	if now.Sub(s.marked) >= s.heartbeat {
		s.checkpoints(now) // the stream is not silent, and has no heartbeats
	}
	return end
}

// readOne takes one subscription's turn.
func (s *Session) readOne(ctx context.Context, sub *subscription, now time.Time) (more bool, err error) {
	from := len(s.batch.frames)
	more, err = sub.read(ctx, s.batch)
	for sub.pace.latestPerKey && err == nil {
		s.batch.conflate(from)
		if !more || s.batch.full() {
			break
		}
		more, err = sub.read(ctx, s.batch)
	}
	sub.report()
	if sub.pace.interval > 0 && len(s.batch.frames) > from {
		sub.nextTurn = now.Add(sub.pace.interval)
	}
	return more, err
}

// release gives the held subscriptions whose turn has come back to work.
func (s *Session) release(now time.Time) {
	s.held = slices.DeleteFunc(s.held, func(sub *subscription) bool {
		if sub.nextTurn.After(now) {
			return false
		}
		s.work = append(s.work, sub)
		return true
	})
}

// wait returns when there may be something to send; at a heartbeat, there is.
func (s *Session) wait(ctx context.Context) error {
	if len(s.work) > 0 {
		return ctx.Err()
	}
	d := s.untilDue(time.Now())
	if s.timer == nil {
		s.timer = time.NewTimer(d)
	} else {
		s.timer.Reset(d)
	}
	select {
	case <-s.wake:
		return nil
	case now := <-s.timer.C:
		return s.onTimer(now)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var heartbeatFrame = newNotice(&millracev1.SubscribeResponse{
	Notice: &millracev1.SubscribeResponse_Heartbeat{Heartbeat: &millracev1.Heartbeat{}},
})

// onTimer is what there is to do when nothing else was.
func (s *Session) onTimer(now time.Time) error {
	for _, sub := range s.held {
		if !sub.nextTurn.After(now) {
			return nil
		}
	}
	if err := errors.Join(s.overdue(now), s.neglected(now)); err != nil {
		return err
	}
	s.checkpoints(now)
	s.batch.add(heartbeatFrame)
	return nil
}

// checkpoints says where the subscriptions are that have moved unseen.
func (s *Session) checkpoints(now time.Time) {
	for _, sub := range s.unseen {
		sub.unseen = false
		if !sub.removed.Load() {
			sub.feed.checkpoints(s.batch)
		}
	}
	clear(s.unseen)
	s.unseen, s.marked = s.unseen[:0], now
}

// untilDue is how long the session may wait.
func (s *Session) untilDue(now time.Time) time.Duration {
	d := max(s.heartbeat-now.Sub(s.silent), 0)
	for _, sub := range s.held {
		d = min(d, max(sub.nextTurn.Sub(now), 0))
	}
	if expires := s.identity.Load().Expires; !expires.IsZero() {
		d = min(d, max(expires.Sub(now), 0))
	}
	return min(d, max(s.ends.Sub(now), 0))
}
