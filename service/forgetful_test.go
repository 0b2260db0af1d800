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

// slowToRead is an engine whose log is read only after something else has happened.
type slowToRead struct {
	engine.Engine
	before func(channel string)
}

func (e slowToRead) Read(ctx context.Context, channel string, options engine.ReadOptions) (engine.Page, error) {
	e.before(channel)
	return e.Engine.Read(ctx, channel, options)
}

// A session leaves a channel at the very moment in which it is found too slow for
// it, and is in another one as well.
func TestD11WhoLeavesAChannelIsNotTooSlowForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *client
		left := false
		open := func(ctx context.Context, deliver engine.Deliver) (engine.Engine, error) {
			below, err := memory.Open(memory.Options{})(ctx, deliver)
			return slowToRead{below, func(channel string) {
				if channel == "a" && c != nil {
					left = true
					c.remove("a")
				}
			}}, err
		}
		n := startOn(t, open, slowConfig(0))
		stalled := n.stalled(to("a"))
		n.flood("a", 100)
		synctest.Wait() // until a writer has seen that this is too much
		c = stalled
		c.goOn()
		synctest.Wait()
		if !left {
			t.Fatal("the log was not read")
		}
		n.publish("plug", "still here")
		got := c.news()
		if c.failure() != nil || got[len(got)-1] != "plug/2 still here" {
			t.Errorf("ended with %v after %q", c.failure(), got)
		}
	})
}
