package e2e_test

import (
	"context"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// stub is a stream of the Connect server without a wire: an adapter that looks
// at the frames instead of writing them.
type stub struct {
	request proto.Message // nil once received
	send    func(*service.Batch) error
}

func (s *stub) Receive(message any) error {
	into, ok := message.(proto.Message)
	if s.request == nil || !ok {
		return io.EOF
	}
	proto.Merge(into, s.request)
	s.request = nil
	return nil
}

func (s *stub) SendHeaders() error { return nil }

func (s *stub) Send(message any) error {
	if batch, ok := message.(*service.Batch); ok {
		return s.send(batch)
	}
	return nil // a response
}

// callStub calls a method of RealtimeService, and Subscribe until it ends.
func (s *scene) callStub(ctx context.Context, method string, request proto.Message, send func(*service.Batch) error) error {
	procedure := "/" + millracev1connect.RealtimeServiceName + "/" + method
	return asRefusal(s.at.node.Server().Call(ctx, procedure, &connect.CallInfo{}, &stub{request, send}))
}

// subscribeStub runs a session in this goroutine.
func (s *scene) subscribeStub(ctx context.Context, channel string, send func(*service.Batch) error) error {
	request := &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{subscribe(channel)}}
	return s.callStub(ctx, "Subscribe", request, send)
}

// copies is how the frame of one message reached many sessions.
type copies struct {
	frames   map[*service.Frame]int
	encoded  map[service.Format]map[*byte]int // by the bytes that were written
	received sync.WaitGroup
}

// watcherStub is one of many subscribers, that writes in one of two formats.
type watcherStub struct {
	format service.Format
	mu     *sync.Mutex
	now    *copies
	ready  *sync.WaitGroup
}

func (w *watcherStub) send(batch *service.Batch) error {
	var written pointers
	write := batch.WriteProto
	if w.format == service.FormatProtoJSON {
		write = batch.WriteJSON
	}
	if err := write(&written); err != nil {
		return err
	}
	for _, f := range batch.Frames {
		if f.Notice.GetSubscribed() != nil {
			w.ready.Done()
		}
		if f.Message != nil {
			w.note(f, written)
		}
	}
	return nil
}

// note counts the frame, and the bytes that were written of it: those that it
// shares, or others.
func (w *watcherStub) note(f *service.Frame, written pointers) {
	shared := f.Bytes(w.format, func(*service.Frame) []byte { return []byte("encoded after it was written") })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now.frames[f]++
	if written[unsafe.SliceData(shared)] {
		w.now.encoded[w.format][unsafe.SliceData(shared)]++
	}
	w.now.received.Done()
}

// pointers notes where what is written lies.
type pointers map[*byte]bool

func (p *pointers) Write(data []byte) (int, error) {
	if *p == nil {
		*p = pointers{}
	}
	(*p)[unsafe.SliceData(data)] = true
	return len(data), nil
}

// One frame of a message reaches all sessions, on the API's wires as the same
// bytes at the same address. It does not run in parallel, because it measures
// what the process allocates.
func TestAMessageIsEncodedOnceForAll(t *testing.T) {
	for _, n := range []int{1, 100, 1000} {
		s := &scene{T: t, at: start(t, engines[0].open(t)), wire: rpc{}}
		s.encodeOnce(n)
	}
}

func (s *scene) encodeOnce(n int) {
	const payload, messages = 64 << 10, 4
	var mu sync.Mutex
	var ready, running sync.WaitGroup
	now := &copies{}
	ctx, cancel := context.WithCancel(s.Context())
	defer func() { cancel(); running.Wait() }()
	for i := range n {
		w := &watcherStub{format: service.Format(i % 2), mu: &mu, now: now, ready: &ready}
		ready.Add(1)
		running.Go(func() {
			if err := s.subscribeStub(ctx, "once", w.send); ctx.Err() == nil {
				s.Errorf("a session ended: %v", err)
			}
		})
	}
	ready.Wait()
	browsers := s.browsers("once")
	publisher := s.arrive("")
	allocated := totalAlloc()
	for range messages {
		mu.Lock()
		now.frames = map[*service.Frame]int{}
		now.encoded = map[service.Format]map[*byte]int{service.FormatProto: {}, service.FormatProtoJSON: {}}
		now.received.Add(n)
		mu.Unlock()
		message := publisher.say("once", `"`+strings.Repeat("x", payload)+`"`)
		now.received.Wait()
		for _, c := range browsers {
			c.sees(message)
		}
		checkCopies(s, n, now)
	}
	// The browsers' clients in this process parse what they get, which costs a
	// fixed sum; an encoding for each subscriber would cost n payloads.
	if each := (totalAlloc() - allocated) / messages; n == 1000 && each > uint64(n*payload/2) {
		s.Errorf("a message of %d bytes for %d subscribers allocates %d bytes", payload, n, each)
	}
}

// browsers are subscribers whose wires have formats of their own.
func (s *scene) browsers(channel string) []*client {
	s.Helper()
	var clients []*client
	for _, name := range []string{"ws", "ws", "sse", "sse", "sse envelope"} {
		clients = append(clients, s.on(wireNamed(name)).join(subscribe(channel)))
	}
	return clients
}

func checkCopies(s *scene, n int, now *copies) {
	s.Helper()
	if len(now.frames) != 1 {
		s.Fatalf("a message reached %d sessions in %d frames, want one", n, len(now.frames))
	}
	for format, at := range now.encoded {
		want := (n + 1 - int(format)) / 2
		for _, written := range at {
			if len(at) != 1 || written != want {
				s.Errorf("format %d: %d addresses, and %d sessions wrote what is at one, want one and %d", format, len(at), written, want)
			}
		}
		if want > 0 && len(at) == 0 {
			s.Errorf("format %d: nobody wrote the shared bytes", format)
		}
	}
	// What browsers have got was put into the same frame: it needs no encoding.
	for f := range now.frames {
		for _, format := range []service.Format{service.FormatWebSocket, service.FormatSSEID, service.FormatEnvelopeID} {
			f.Bytes(format, func(*service.Frame) []byte {
				s.Errorf("format %d was written and is not in the frame", format)
				return nil
			})
		}
	}
}

func totalAlloc() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}
