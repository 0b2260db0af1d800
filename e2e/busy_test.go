package e2e_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// errEnough ends a stub's session.
var errEnough = errors.New("enough")

// busyScene is a server that waits for this process, however busy it is.
func busyScene(t *testing.T) *scene {
	t.Helper()
	at := start(t, engines[0].open(t), func(c *service.Config) { c.Limits.PendingBytes = 1 << 30 })
	return &scene{T: t, at: at, wire: rpc{}}
}

// flood publishes to a channel as fast as the server takes it, until the caller
// stops it.
func (s *scene) flood(name string) (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	var publishing sync.WaitGroup
	for range 2 {
		publishing.Go(func() {
			for ctx.Err() == nil {
				if err := s.callStub(ctx, "Publish", &millracev1.PublishRequest{Channel: name}, nil); err != nil && ctx.Err() == nil {
					s.Errorf("publish: %v", err)
					return
				}
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); publishing.Wait() })
	s.Cleanup(stop)
	return stop
}

// A session that has just come is not slow, however fast messages flow through a
// channel that keeps none to catch up from.
func TestD7JoiningABusyChannelNeedsNoHistory(t *testing.T) {
	t.Parallel()
	s := busyScene(t)
	stop := s.flood(nothing + ".flow")
	var joining sync.WaitGroup
	for range 4 {
		joining.Go(func() {
			for range 150 {
				if err := s.seeThree(t.Context()); err != nil {
					t.Errorf("a session that has just come: %v", err)
					return
				}
			}
		})
	}
	joining.Wait()
	stop()
}

// seeThree joins the channel until three messages have come, without a hole.
func (s *scene) seeThree(ctx context.Context) error {
	var last uint64
	seen := 0
	err := s.subscribeStub(ctx, nothing+".flow", func(batch *service.Batch) error {
		for _, f := range batch.Frames {
			if at := f.Notice.GetSubscribed().GetPosition(); at != nil {
				last = at.GetOffset()
			}
			if f.Message == nil {
				continue
			}
			last, seen = last+1, seen+1
			if f.Message.Position.Offset != last {
				return errors.New("a message is missing")
			}
			if seen == 3 {
				return errEnough
			}
		}
		return nil
	})
	if seen == 3 {
		return nil
	}
	return err
}

// Who leaves a busy channel is not told that he was too slow for it.
func TestD11LeavingABusyChannelEndsNothingElse(t *testing.T) {
	t.Parallel()
	for name, onSlow := range millracev1.OnSlow_value {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := busyScene(t)
			stop := s.flood(nothing + ".flow")
			s.comeAndLeave(millracev1.OnSlow(onSlow), 300)
			stop()
		})
	}
}

// comeAndLeave adds and removes the channel on one session.
func (s *scene) comeAndLeave(onSlow millracev1.OnSlow, times int) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	token, message, ended := make(chan string, 1), make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- s.callStub(ctx, "Subscribe", &millracev1.SubscribeRequest{}, func(batch *service.Batch) error {
			if ready := batch.Frames[0].Notice.GetReady(); ready != nil {
				token <- ready.GetSessionToken()
			}
			select {
			case message <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	sessionToken := <-token
	update := func(request *millracev1.UpdateSubscriptionRequest) {
		s.Helper()
		request.SessionToken = sessionToken
		if err := s.callStub(ctx, "UpdateSubscription", request, nil); err != nil {
			cancel()
			s.Fatalf("update: %v; the session ended with %v", err, <-ended)
		}
	}
	for range times {
		update(&millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{{Channel: nothing + ".flow", OnSlow: onSlow}}})
		for range 2 { // until its reader is at work
			select {
			case <-message:
			case err := <-ended:
				cancel()
				s.Fatalf("the session ended with %v", err)
			}
		}
		update(&millracev1.UpdateSubscriptionRequest{Remove: []string{nothing + ".flow"}})
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		s.Errorf("the session ended with %v", err)
	}
}
