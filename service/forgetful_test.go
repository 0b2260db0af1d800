package service_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millrace.dev/engine"
	"millrace.dev/engine/memory"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// forgetful makes an engine that hands over only what keep says, as one may whose
// messages come over a network. Its log has them all.
func forgetful(open engine.Open, keep func(*engine.Message) bool) engine.Open {
	return func(ctx context.Context, deliver engine.Deliver) (engine.Engine, error) {
		return open(ctx, func(m *engine.Message) {
			if keep(m) {
				deliver(m)
			}
		})
	}
}

func TestD4WhatWasNotHandedOverIsReadFromTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		isLost := func(m *engine.Message) bool { return m.Position.Offset%5 == 2 || m.Position.Offset%7 == 3 }
		open := forgetful(memory.Open(memory.Options{}), func(m *engine.Message) bool { return !isLost(m) })
		n := startOn(t, open, keeping(1000))
		sessions := []*client{
			n.subscribe(to("a")),
			n.subscribe(to("*")),
			n.subscribe(&millracev1.Subscription{Channel: "a", MinInterval: seconds(0.01)}),
		}
		var want []string
		for i := range 99 { // the last of which is handed over
			n.publish("a", "x")
			if i%10 == 0 {
				synctest.Wait()
			}
			want = append(want, fmt.Sprintf("a/%d x", i+1))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i, c := range sessions {
			if got := messages(c, "a"); !slices.Equal(got, want) {
				t.Errorf("session %d took %q", i, got)
			}
		}
	})
}
