package service_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// reader is a wire that takes everything at once, or nothing while it is stalled.
type reader struct {
	channel string
	session service.Attachment
	asked   bool
	timed   bool // it notes how long messages took

	mu       sync.Mutex
	stalled  bool
	received int
	last     uint64 // offset
	holes    int
	delays   delays // from publishing to delivery
}

func (r *reader) Receive(message any) error {
	request, ok := message.(*millracev1.SubscribeRequest)
	if !ok || r.asked {
		return io.EOF
	}
	r.asked = true
	request.Subscriptions = []*millracev1.Subscription{{Channel: r.channel}}
	return nil
}

func (r *reader) SendHeaders() error { return nil }
func (r *reader) Send(any) error     { return errors.New("a sink is delivered to") }
func (r *reader) Idle()              {}
func (r *reader) End(error)          {}

func (r *reader) Attach(a service.Attachment) error {
	r.session = a
	return nil
}

func (r *reader) Deliver(delivery service.Delivery) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, f := range delivery.Frames {
		if f.Message == nil {
			continue
		}
		r.received++
		if offset := f.Message.Position.Offset; offset != r.last+1 {
			r.holes++
		}
		r.last = f.Message.Position.Offset
		if r.timed {
			sent := time.Unix(0, int64(binary.BigEndian.Uint64(f.Message.Payload.Data)))
			r.delays.add(now.Sub(sent))
		}
	}
	return !r.stalled, nil
}

// stall stops the reader, or lets it read again.
func (r *reader) stall(stalled bool) {
	r.mu.Lock()
	r.stalled = stalled
	r.mu.Unlock()
	if !stalled {
		r.session.Resume()
	}
}

func (r *reader) count() (received, holes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.received, r.holes
}

// await returns when the reader has taken so many messages.
func (r *reader) await(messages int) {
	for received := 0; received < messages; received, _ = r.count() {
		time.Sleep(time.Millisecond)
	}
}

// delays counts durations by their size, to within a hundredth.
type delays struct{ counts [64 << delayBits]uint32 }

const delayBits = 6 // of a duration that are told apart, after its first

func (d *delays) add(took time.Duration) {
	n := uint64(max(took, 1))
	shift := max(bits.Len64(n)-delayBits-1, 0)
	d.counts[shift<<delayBits+int(n>>shift)]++
}

// percentile is the duration that so many of a hundred do not exceed.
func percentile(readers []*reader, p int) float64 {
	var sum delays
	total := 0
	for _, r := range readers {
		for i, n := range &r.delays.counts {
			sum.counts[i] += n
			total += int(n)
		}
	}
	before := 0
	for i, n := range &sum.counts {
		if before += int(n); before*100 >= total*p {
			shift := max(i>>delayBits-1, 0)
			return float64(uint64(i-shift<<delayBits)<<shift) / 1e3
		}
	}
	return 0
}

const stallRounds = 9 // of each kind

// BenchmarkOneStalledReaderAmongMany publishes b.N messages at 5,000 a second to
// 1,000 readers and one more, which takes nothing in every second round: the
// figures of the publisher and of the others are to be the same in both. They are
// medians over the rounds; a ratio is of a round with him to the one before it. With -benchtime 150000x a round has 30 seconds.
func BenchmarkOneStalledReaderAmongMany(b *testing.B) {
	figures := map[string][]float64{}
	for range stallRounds {
		for _, stalled := range []bool{false, true} {
			for name, value := range stallRound(b, stalled) {
				figures[name] = append(figures[name], value)
			}
		}
	}
	for _, name := range []string{"publish-p99", "delivery-p99"} {
		for i, stalled := range figures[name+"-stalled-µs"] {
			figures[name+"-ratio"] = append(figures[name+"-ratio"], stalled/figures[name+"-µs"][i])
		}
	}
	for name, values := range figures {
		b.Logf("%s: %.2f", name, values)
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], name)
	}
}

func stallRound(b *testing.B, stalled bool) map[string]float64 {
	b.Helper()
	const others, rate, room = 1000, 5000, 2 << 20
	config := keeping(b.N + 1)
	config.Limits.WriteTimeout = time.Hour
	n := start(b, config)
	readers := make([]*reader, others+1)
	for i := range readers {
		readers[i] = &reader{channel: "busy", timed: i%10 == 0 && i < others}
		if err := n.Server().Call(b.Context(), millracev1connect.RealtimeServiceSubscribeProcedure, &connect.CallInfo{}, readers[i]); err != nil {
			b.Fatal(err)
		}
	}
	slow := readers[others]
	slow.stall(stalled)
	runtime.GC()
	took := publishAt(b, n.Service, rate)
	if pending := n.mostPending(); pending > room {
		b.Errorf("%d bytes are pending", pending)
	}
	back := time.Now()
	slow.stall(false)
	slow.await(b.N)
	caughtUp := time.Since(back)
	for i, r := range readers {
		r.await(b.N)
		if received, holes := r.count(); received != b.N || holes > 0 {
			b.Fatalf("reader %d took %d messages of %d, with %d holes", i, received, b.N, holes)
		}
	}
	suffix := "-µs"
	if stalled {
		suffix = "-stalled-µs"
	}
	figures := map[string]float64{
		"publish-p99" + suffix:  float64(took[len(took)*99/100].Nanoseconds()) / 1e3,
		"delivery-p50" + suffix: percentile(readers, 50),
		"delivery-p99" + suffix: percentile(readers, 99),
	}
	if stalled {
		figures["caught-up-after-ms"] = float64(caughtUp.Milliseconds())
	}
	n.close()
	return figures
}

// publishAt publishes b.N messages at a rate and returns how long each took, in
// order of that.
func publishAt(b *testing.B, node *service.Service, rate int) []time.Duration {
	b.Helper()
	took := make([]time.Duration, 0, b.N)
	start := time.Now()
	for n := range b.N {
		if ahead := time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(rate))); ahead > 0 {
			time.Sleep(ahead)
		}
		now := time.Now()
		payload := binary.BigEndian.AppendUint64(make([]byte, 0, 128), uint64(now.UnixNano()))[:128]
		call(b, node, &millracev1.PublishRequest{Channel: "busy", Data: &millracev1.PublishRequest_Payload{
			Payload: &millracev1.Payload{Kind: &millracev1.Payload_Binary{Binary: payload}},
		}})
		took = append(took, time.Since(now))
	}
	slices.SortFunc(took, cmp.Compare[time.Duration])
	return took
}

// unaryCall is a call without a wire.
type unaryCall struct{ request *millracev1.PublishRequest }

func (u *unaryCall) Receive(message any) error {
	into, ok := message.(*millracev1.PublishRequest)
	if !ok {
		return io.EOF
	}
	into.Channel, into.Data = u.request.GetChannel(), u.request.GetData()
	return nil
}

func (u *unaryCall) SendHeaders() error { return nil }
func (u *unaryCall) Send(any) error     { return nil }

func call(b *testing.B, node *service.Service, request *millracev1.PublishRequest) {
	b.Helper()
	err := node.Server().Call(context.Background(), millracev1connect.RealtimeServicePublishProcedure, &connect.CallInfo{}, &unaryCall{request})
	if err != nil {
		b.Fatal(err)
	}
}
