package service

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect/v2/connecthttp"
)

type cutKey struct{}

// WithCut tells the service how to free a write to the client that is stuck: it
// ends one stream, and not what else goes over the same connection, which may be
// a proxy's. The function is called from another goroutine, at most once in a
// while, and must not block. See [WithHangUp] for who is to have no connection.
func WithCut(ctx context.Context, cut func()) context.Context {
	return context.WithValue(ctx, cutKey{}, cut)
}

// cuttable gives every request that passes a way to be cut: a write deadline in
// the past, which ends an HTTP/1.1 connection or resets an HTTP/2 stream.
type cuttable struct{ connecthttp.ServeMux }

// Handle implements [connecthttp.ServeMux].
func (c cuttable) Handle(pattern string, next http.Handler) {
	c.ServeMux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(WithCut(r.Context(), CutResponse(w))))
	}))
}

// CutResponse frees a write to w that is stuck.
func CutResponse(w http.ResponseWriter) func() {
	control := http.NewResponseController(w)
	return func() {
		// Where a ResponseWriter has no deadlines there is nothing to do: the
		// server's own time-outs are left.
		_ = control.SetWriteDeadline(time.Now())
	}
}

// watchdog cuts the sessions whose client has not taken anything for too long.
// One goroutine looks at all of them, which costs a session two stores for each
// write; a deadline for each write would cost it a timer.
func (s *Service) watchdog(ctx context.Context) {
	timeout := s.limits().WriteTimeout
	ticker := time.NewTicker(timeout / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			s.mu.RLock()
			sessions := s.all()
			s.mu.RUnlock()
			slow := uint32(0)
			for _, session := range sessions {
				if session.stalled(now) > timeout {
					session.cut()
				}
				if session.isSlow(now) {
					slow++
				}
			}
			s.slow.Store(slow)
		}
	}
}

// elapsed is a time as sessions note it for others to read: nanoseconds since the
// service began, never 0. The clock on the wall can be set: it would cut those who wait,
// and leave others without a sign of life.
func (s *Service) elapsed(t time.Time) int64 { return int64(t.Sub(s.started)) + 1 }

// slowAfter is how long a client may take nothing before it counts as slow.
const slowAfter = time.Second

// stalled is how long the client has taken nothing of what is being sent.
func (s *Session) stalled(now time.Time) time.Duration {
	since := s.writing.Load()
	if since == 0 {
		return 0
	}
	return time.Duration(s.service.elapsed(now) - since)
}

// isSlow reports whether the client takes less than it is sent.
func (s *Session) isSlow(now time.Time) bool {
	return s.pending.Load() > s.budget/2 || s.stalled(now) > slowAfter
}
