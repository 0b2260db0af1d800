package service_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// stuckTaker is a wire in which the writer is stuck, once there is a message.
type stuckTaker struct {
	taker
	stuck, free chan struct{}
}

func (s *stuckTaker) Deliver(delivery service.Delivery) (bool, error) {
	had := s.taken.Load()
	taken, err := s.taker.Deliver(delivery)
	if had == 0 && s.taken.Load() > 0 {
		close(s.stuck)
		<-s.free
	}
	return taken, err
}

func TestANodeIsReadyOnlyWhileAllWhoSendComeRound(t *testing.T) {
	before := runtime.GOMAXPROCS(2) // as many writers
	defer runtime.GOMAXPROCS(before)
	n := start(t, keeping(1))
	if err := n.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	wire := &stuckTaker{taker: taker{channel: "c", taken: new(atomic.Int64)}, stuck: make(chan struct{}), free: make(chan struct{})}
	if err := n.Server().Call(t.Context(), millracev1connect.RealtimeServiceSubscribeProcedure, &connect.CallInfo{}, wire); err != nil {
		t.Fatal(err)
	}
	n.publish("c", "x")
	<-wire.stuck
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := n.Ready(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a writer that is stuck, it is %v", err)
	}
	close(wire.free)
	if err := n.Ready(t.Context()); err != nil {
		t.Errorf("afterwards it is %v", err)
	}
}
