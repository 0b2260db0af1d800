package service_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// slowTaker is a wire on which each delivery takes a little of the processor.
type slowTaker struct {
	taker
	begun *atomic.Int64 // how often any was sent something
	first func()        // done when the first message of all was taken
}

func (s *slowTaker) Deliver(delivery service.Delivery) (bool, error) {
	for began := time.Now(); time.Since(began) < 20*time.Microsecond; {
	}
	s.begun.Add(1)
	had := s.taken.Load()
	taken, err := s.taker.Deliver(delivery)
	if had == 0 && s.taken.Load() > 0 {
		s.first()
	}
	return taken, err
}

func TestAChannelOfManyHoldsUpNobodyElse(t *testing.T) {
	before := runtime.GOMAXPROCS(1) // all sessions have one writer
	defer runtime.GOMAXPROCS(before)
	for name, atOnce := range map[string]bool{"published while it is sent to": false, "published together": true} {
		t.Run(name, func(t *testing.T) {
			n := start(t, keeping(1))
			open := func(stream connect.ServerStream) {
				t.Helper()
				if err := n.Server().Call(t.Context(), millracev1connect.RealtimeServiceSubscribeProcedure, &connect.CallInfo{}, stream); err != nil {
					t.Fatal(err)
				}
			}
			const many = 2000
			var crowd, elsewhere, meanwhile, begun atomic.Int64
			open(&slowTaker{taker: taker{channel: "elsewhere", taken: &elsewhere}, begun: &begun, first: func() { meanwhile.Store(crowd.Load()) }})
			sentTo := func() {}
			if !atOnce {
				sentTo = func() { n.publish("elsewhere", "x") }
			}
			for range many {
				open(&slowTaker{taker: taker{channel: "crowd", taken: &crowd}, begun: &begun, first: sentTo})
			}
			await(&begun, many+1) // nothing is left but what is published
			n.publish("crowd", "x")
			if atOnce {
				n.publish("elsewhere", "x")
			}
			await(&crowd, many)
			await(&elsewhere, 1)
			if had := meanwhile.Load(); had > many/2 {
				t.Errorf("%d of %d had the crowd's message before one elsewhere had its own", had, many)
			}
		})
	}
}
