package service

import (
	"context"
	"math"
	"strconv"
	"testing"
	"time"

	"millrace.dev/auth"
	"millrace.dev/engine"
	"millrace.dev/engine/memory"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// audience is sessions that are subscribed to one channel of a node, and read
// what they are sent when told to.
type audience struct {
	service  *Service
	sessions []*Session
}

func newAudience(tb testing.TB, size int) *audience {
	tb.Helper()
	s, err := New(tb.Context(), memory.Open(memory.Options{}), Config{
		Rules: []Rule{{Pattern: ">", History: engine.Retention{Messages: 4}}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	a := &audience{service: s}
	for range size {
		session := newSession(s, everybody, time.Hour, false)
		session.timer = time.NewTimer(time.Hour) // which the first wait makes, whenever that is
		tb.Cleanup(func() { session.close(nil) })
		if _, err := session.subscribe(tb.Context(), &millracev1.Subscription{Channel: "chat"}); err != nil {
			tb.Fatal(err)
		}
		a.sessions = append(a.sessions, session)
	}
	a.receive(tb) // what a subscription begins with
	return a
}

var benchMessage = &millracev1.PublishRequest{
	Channel: "chat", Data: &millracev1.PublishRequest_Payload{
		Payload: &millracev1.Payload{Kind: &millracev1.Payload_Text{Text: "0123456789abcdef"}},
	},
}

// everybody may do everything.
var everybody = auth.Identity{Grants: []auth.Grant{auth.Everything}}

// receive has every session read what is pending, and returns how many messages
// they were.
func (a *audience) receive(tb testing.TB) (messages int) {
	tb.Helper()
	for _, session := range a.sessions {
		frames, err := session.next(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		for _, f := range frames {
			if f.Message != nil {
				messages++
			}
		}
	}
	return messages
}

// publish publishes one message and has everybody read it.
func (a *audience) publish(ctx context.Context, tb testing.TB) {
	tb.Helper()
	if _, err := a.service.Publish(ctx, benchMessage); err != nil {
		tb.Fatal(err)
	}
	if n := a.receive(tb); n != len(a.sessions) {
		tb.Fatalf("%d of %d sessions received the message", n, len(a.sessions))
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{1, 100, 10_000} {
		b.Run(strconv.Itoa(size)+" sessions", func(b *testing.B) {
			a := newAudience(b, size)
			ctx := context.WithValue(b.Context(), callerKey{}, caller{identity: everybody})
			b.ReportAllocs()
			for b.Loop() {
				a.publish(ctx, b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/delivery")
		})
	}
}

func TestAMessageIsAllocatedOnceHoweverManyReceiveIt(t *testing.T) {
	cost := func(size int) float64 {
		a := newAudience(t, size)
		ctx := context.WithValue(t.Context(), callerKey{}, caller{identity: everybody})
		for range 10 { // until rings and queues have their size
			a.publish(ctx, t)
		}
		least := math.Inf(1) // what else the node does allocates now and then
		for range 10 {
			least = min(least, testing.AllocsPerRun(1, func() { a.publish(ctx, t) }))
		}
		return least
	}
	one := cost(1)
	for _, size := range []int{100, 10_000} {
		if n := cost(size); n > one+3 {
			t.Errorf("%v allocations for %d sessions, %v for one", n, size, one)
		}
	}
}

func BenchmarkPatternMatch(b *testing.B) {
	for _, patterns := range []int{0, 1, 10_000} {
		b.Run(strconv.Itoa(patterns)+" patterns", func(b *testing.B) {
			var index patternIndex
			for i := range patterns {
				index.add(newTopic("chat." + strconv.Itoa(i) + ".>"))
			}
			b.ReportAllocs()
			for b.Loop() {
				index.match("chat.0.typing")
			}
		})
	}
}
