package service_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect/v2"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// taker is a wire that takes everything at once, and counts.
type taker struct {
	channel string
	asked   bool
	taken   *atomic.Int64 // by all
}

func (t *taker) Receive(message any) error {
	request, ok := message.(*millracev1.SubscribeRequest)
	if !ok || t.asked {
		return io.EOF
	}
	t.asked = true
	request.Subscriptions = []*millracev1.Subscription{{Channel: t.channel}}
	return nil
}

func (t *taker) SendHeaders() error              { return nil }
func (t *taker) Send(any) error                  { return errors.New("a sink is delivered to") }
func (t *taker) Attach(service.Attachment) error { return nil }
func (t *taker) Idle()                           {}
func (t *taker) End(error)                       {}

func (t *taker) Deliver(delivery service.Delivery) (bool, error) {
	for _, f := range delivery.Frames {
		if f.Message != nil {
			t.taken.Add(1)
		}
	}
	return true, nil
}

// subscribeTakers subscribes one session after the other, to the channels in turn.
func subscribeTakers(b *testing.B, n *node, sessions, channels int) *atomic.Int64 {
	b.Helper()
	taken := new(atomic.Int64)
	for i := range sessions {
		sink := &taker{channel: fmt.Sprint("c.", i%channels), taken: taken}
		if err := n.Server().Call(b.Context(), millracev1connect.RealtimeServiceSubscribeProcedure, &connect.CallInfo{}, sink); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	return taken
}

func await(taken *atomic.Int64, messages int) {
	for taken.Load() < int64(messages) {
		runtime.Gosched()
	}
}

// BenchmarkDeliverToMany is what a delivery costs without a wire: it is to be the
// same for a thousand subscribers of a channel and for a hundred thousand.
func BenchmarkDeliverToMany(b *testing.B) {
	for _, sessions := range []int{1_000, large(100_000)} {
		b.Run(fmt.Sprint("sessions=", sessions), func(b *testing.B) {
			n := start(b, keeping(1))
			taken := subscribeTakers(b, n, sessions, 1)
			for expected := sessions; b.Loop(); expected += sessions {
				n.publish("c.0", "x")
				await(taken, expected)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*sessions), "ns/delivery")
		})
	}
}

// BenchmarkPublishToOneOfMany is what a message to one subscriber costs without a
// wire: it is to be the same with a hundred channels and with a hundred thousand.
func BenchmarkPublishToOneOfMany(b *testing.B) {
	for _, channels := range []int{100, large(100_000)} {
		b.Run(fmt.Sprint("channels=", channels), func(b *testing.B) {
			n := start(b, keeping(1))
			taken := subscribeTakers(b, n, channels, channels)
			for range 2 { // until each channel has its log
				for i := range channels {
					n.publish(fmt.Sprint("c.", i), "x")
				}
			}
			await(taken, 2*channels)
			published := 2 * channels
			for ; b.Loop(); published++ {
				n.publish(fmt.Sprint("c.", published*7919%channels), "x")
			}
			await(taken, published)
		})
	}
}
