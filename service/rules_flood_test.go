package service_test

import (
	"testing"
	"testing/synctest"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

func TestL1WhoIsRefusedMuchTooOftenIsHungUpOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, limitedTo(service.Limits{CallRate: 10}))
		amy, hungUp := n.token("amy", modest), 0
		call := func() error {
			ctx := service.WithHangUp(as(t.Context(), amy), func() { hungUp++ })
			return failure(n.rpc.GetServerInfo(ctx, &millracev1.GetServerInfoRequest{}))
		}
		for i := range 20 {
			if err := call(); err != nil {
				t.Fatalf("call %d, within the rate: %v", i+1, err)
			}
		}
		for i := range 40 { // twice as often as the rate, for two seconds
			refused(t, call(), "RATE_LIMITED")
			if hungUp > 0 {
				t.Fatalf("hung up on refusal %d", i+1)
			}
		}
		refused(t, call(), "RATE_LIMITED")
		refused(t, call(), "RATE_LIMITED")
		if hungUp != 2 {
			t.Errorf("hung up %d times, want each time", hungUp)
		}
		time.Sleep(time.Minute)
		if err := call(); err != nil || hungUp != 2 {
			t.Errorf("a minute later: %v, and %d times hung up", err, hungUp)
		}
	})
}
