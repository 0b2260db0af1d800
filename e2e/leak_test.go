package e2e_test

import (
	"context"
	"sync"
	"testing"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/internal/leak"
)

// coming and going at the same time.
const leakConcurrency = 8

// cycles is how often clients come and go on each wire.
func cycles() int {
	if raceEnabled {
		return 200
	}
	return 1000
}

// Clients come, subscribe, and go: half of them as they should, the others as if
// their connection were lost. It does not run in parallel with other tests,
// because it counts what the whole process has.
func TestComingAndGoingLeavesNothingBehind(t *testing.T) {
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			s := &scene{T: t, at: start(t, engines[0].open(t)), wire: w.wire}
			s.comeAndGo(2 * leakConcurrency) // what is made once is made
			s.rest()
			before := leak.Now()
			s.comeAndGo(cycles())
			s.rest()
			if err := before.Check(s.at.h1.CloseIdleConnections, s.at.h2.CloseIdleConnections); err != nil {
				t.Errorf("after %d cycles, %v", cycles(), err)
			}
		})
	}
}

// comeAndGo opens and ends n sessions, some at the same time.
func (s *scene) comeAndGo(n int) {
	s.Helper()
	var all sync.WaitGroup
	for worker := range leakConcurrency {
		all.Go(func() {
			for i := worker; i < n; i += leakConcurrency {
				if err := s.comeAndGoOnce(i%2 == 0); err != nil {
					s.Errorf("cycle %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func (s *scene) comeAndGoOnce(politely bool) error {
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	request := &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{subscribe("leak"), {Channel: "leak.2", Presence: true}}}
	opened, err := s.wire.open(ctx, s.at, "", request)
	if err != nil {
		return err
	}
	if lost, ok := opened.(interface{ abort() }); ok && !politely {
		defer lost.abort()
	} else {
		defer opened.close()
	}
	if _, err := opened.call(ctx, &millracev1.EnterPresenceRequest{Channel: "leak.2"}); err != nil {
		return err
	}
	for range 3 { // two subscriptions and who is present
		if _, err := opened.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// rest waits until the server has seen the last one go, and closes what clients
// keep for later.
func (s *scene) rest() {
	s.Helper()
	admin := millracev1connect.NewAdminServiceClient(s.at.connect())
	s.eventually("no session is left", func() bool {
		response, err := admin.ListSessions(s.Context(), &millracev1.ListSessionsRequest{})
		if err != nil {
			s.Fatal(err)
		}
		return response.GetTotal() == 0
	})
	s.at.h1.CloseIdleConnections()
	s.at.h2.CloseIdleConnections()
}
