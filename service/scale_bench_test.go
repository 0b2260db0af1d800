package service_test

import (
	"context"
	"fmt"
	"testing"

	"connectrpc.com/connect/v2"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// large is the large size of a benchmark, which is to cost what the small one
// does. With -short, to see whether it runs at all, it is a fiftieth.
func large(n int) int {
	if testing.Short() {
		return n / 50
	}
	return n
}

// until is a stream that ends its call once it has taken so many messages.
type until struct {
	*client
	left int
}

// Send implements [connect.ServerStream].
func (u *until) Send(message any) error {
	for _, f := range message.(*service.Batch).Frames { //nolint:errcheck // anything else is a bug that may panic
		if f.Message != nil {
			u.left--
		}
	}
	if u.left == 0 {
		return errLost
	}
	return nil
}

// BenchmarkResumeNearTheHead resumes ten messages before the head, of logs of
// several sizes: it must cost the same.
func BenchmarkResumeNearTheHead(b *testing.B) {
	for _, kept := range []int{1_000, large(1_000_000)} {
		b.Run(fmt.Sprint("kept=", kept), func(b *testing.B) {
			n := start(b, keeping(kept))
			for range kept {
				n.publish("a", "x")
			}
			subscription := since("a", n.at("a", uint64(kept-10)))
			request := &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{subscription}}
			b.ReportAllocs()
			for b.Loop() {
				stream := &until{client: &client{request: request}, left: 10}
				err := n.Server().Call(context.Background(), millracev1connect.RealtimeServiceSubscribeProcedure, &connect.CallInfo{}, stream)
				if stream.left != 0 {
					b.Fatalf("%d messages did not come: %v", stream.left, err)
				}
			}
		})
	}
}
