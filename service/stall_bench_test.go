package service_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"millrace.dev/engine"
	"millrace.dev/engine/memory"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// reader is a wire that takes everything at once, or nothing from some time on.
type reader struct {
	channel string
	session service.Attachment
	asked   bool

	mu       sync.Mutex
	stalled  bool
	received int
	delays   []time.Duration // from publishing to delivery
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

func (r *reader) Attach(a service.Attachment, _ *millracev1.Ready) error {
	r.session = a
	return nil
}

func (r *reader) Deliver(frames []*service.Frame) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range frames {
		if f.Message == nil {
			continue
		}
		r.received++
		sent := time.Unix(0, int64(binary.BigEndian.Uint64(f.Message.Payload.Data)))
		r.delays = append(r.delays, time.Since(sent))
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

// One reader stops reading for as long as the benchmark lasts, among 1,000 at
// 5,000 messages a second; the figures of the publisher and of the others are to
// be those of a run without him.
func BenchmarkOneStalledReaderAmongMany(b *testing.B) {
	for name, stalled := range map[string]bool{"all read": false, "one stalled": true} {
		b.Run(name, func(b *testing.B) { stallBenchmark(b, stalled) })
	}
}

func stallBenchmark(b *testing.B, stalled bool) {
	b.Helper()
	const others, rate = 1000, 5000
	node, err := service.New(b.Context(), memory.Open(memory.Options{}), service.Config{
		Rules: []service.Rule{{Pattern: ">", History: engine.Retention{Messages: 1_000_000}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = node.Close() }()
	readers := make([]*reader, others+1)
	for i := range readers {
		readers[i] = &reader{channel: "busy"}
		if err := node.Server().Call(b.Context(), millracev1connect.RealtimeServiceSubscribeProcedure, &connect.CallInfo{}, readers[i]); err != nil {
			b.Fatal(err)
		}
	}
	slow := readers[others]
	slow.stall(stalled)
	publish := publishAt(b, node, rate)
	slow.stall(false)
	for slow.count() < b.N {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(percentile(publish, 99), "publish-p99-µs")
	var delays []time.Duration
	for _, r := range readers[:others] {
		delays = append(delays, r.delays...)
	}
	b.ReportMetric(percentile(delays, 50), "delivery-p50-µs")
	b.ReportMetric(percentile(delays, 99), "delivery-p99-µs")
}

func (r *reader) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.received
}

// publishAt publishes b.N messages at a rate and returns how long each took.
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

func percentile(durations []time.Duration, p int) float64 {
	slices.SortFunc(durations, cmp.Compare[time.Duration])
	return float64(durations[len(durations)*p/100].Nanoseconds()) / 1e3
}
