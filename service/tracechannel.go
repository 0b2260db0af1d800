package service

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/auth"
	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

const (
	tracedSteps    = 1024 // that wait for one who traces; more are missed
	tracedSessions = 100  // whose sends of one message are told
	mostTracers    = 16   // at once: each step is made for each of them
)

// tracers are those who trace channels. Nearly always there is none, which costs a
// message one look.
type tracers struct {
	all atomic.Pointer[[]*tracer] // nil for none

	mu     sync.Mutex // held while all changes
	closed bool
}

// tracer is somebody who traces a channel or pattern.
type tracer struct {
	name   string
	steps  chan *millracev1.TraceStep
	missed atomic.Uint64
	done   chan struct{} // closed when there will be no more
}

// add begins a trace.
func (t *tracers) add(name string) (*tracer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*tracer
	if before := t.all.Load(); before != nil {
		all = slices.Clone(*before)
	}
	switch {
	case t.closed:
		return nil, engine.ErrClosed
	case len(all) >= mostTracers:
		return nil, limited("traces", mostTracers, "at once").retryAfter(time.Minute)
	}
	added := &tracer{name: name, steps: make(chan *millracev1.TraceStep, tracedSteps), done: make(chan struct{})}
	all = append(all, added)
	t.all.Store(&all)
	return added, nil
}

func (t *tracers) remove(one *tracer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.all.Load()
	if before == nil {
		return
	}
	all := slices.DeleteFunc(slices.Clone(*before), func(other *tracer) bool { return other == one })
	if len(all) == 0 {
		t.all.Store(nil)
		return
	}
	t.all.Store(&all)
}

// close ends all traces.
func (t *tracers) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if all := t.all.Swap(nil); all != nil {
		for _, one := range *all {
			close(one.done)
		}
	}
}

// of are those who trace a channel.
func (t *tracers) of(name string) []*tracer {
	all := t.all.Load()
	if all == nil {
		return nil
	}
	var some []*tracer
	for _, one := range *all {
		if channel.Covers(one.name, name) {
			some = append(some, one)
		}
	}
	return some
}

// tell tells of a step. Nobody waits for one who does not read.
func (t *tracer) tell(step *millracev1.TraceStep) {
	select {
	case t.steps <- step:
	default:
		t.missed.Add(1)
	}
}

func tellAll(some []*tracer, step *millracev1.TraceStep) {
	for _, one := range some {
		one.tell(step)
	}
}

// newStep is a step with what is known of its message.
func newStep(stage millracev1.TraceStage, m *engine.Message, at time.Time) *millracev1.TraceStep {
	return &millracev1.TraceStep{
		Stage: stage, Time: timestamppb.New(at), Channel: m.Channel, Position: positionToProto(m.Position), MessageId: m.ID, Publisher: m.Publisher,
	}
}

// by says in whose name, and on which wire, a step was asked for.
func by(ctx context.Context, step *millracev1.TraceStep) *millracev1.TraceStep {
	c := callerOf(ctx)
	step.Publisher, step.Protocol, step.Session = c.identity.User, c.protocol, c.session
	if span := trace.SpanContextFromContext(ctx); span.IsSampled() {
		step.TraceId = span.TraceID().String()
	}
	return step
}

// refused tells of a message that is not published.
func (s *Service) refused(ctx context.Context, request *millracev1.PublishRequest, why error) {
	some := s.tracers.of(request.GetChannel())
	if why == nil || some == nil {
		return
	}
	m := &engine.Message{Channel: request.GetChannel(), ID: request.GetId()}
	step := by(ctx, newStep(millracev1.TraceStage_TRACE_STAGE_REFUSED, m, time.Now()))
	step.Error = ErrorInfo(why)
	tellAll(some, step)
}

// placed tells of a message that the engine has.
func (s *Service) placed(ctx context.Context, m *engine.Message, receipt engine.Receipt, began time.Time) {
	some := s.tracers.of(m.Channel)
	if some == nil {
		return
	}
	now := time.Now()
	step := by(ctx, newStep(millracev1.TraceStage_TRACE_STAGE_PLACED, m, now))
	step.Duration, step.Position, step.Duplicate = durationpb.New(now.Sub(began)), positionToProto(receipt.Position), receipt.Duplicate
	tellAll(some, step)
}

// delivered tells of a message that goes to subscriptions.
func (f *followed) delivered(m *engine.Message, t *topic, patterns []*topic) {
	f.at = time.Now()
	step := newStep(millracev1.TraceStage_TRACE_STAGE_DELIVERED, m, f.at)
	if t != nil {
		step.Subscribers += uint32(t.subscribers())
	}
	for _, p := range patterns {
		step.Subscribers += uint32(p.subscribers())
	}
	f.describe(step)
	tellAll(f.tracers, step)
}

// sentTo tells that a session was sent the message.
func (f *followed) sentTo(s *Session, m *engine.Message) {
	now := time.Now()
	step := newStep(millracev1.TraceStage_TRACE_STAGE_SENT, m, now)
	step.Duration, step.Session, step.Protocol = durationpb.New(now.Sub(f.at)), s.id, s.protocol
	f.describe(step)
	tellAll(f.tracers, step)
}

func (f *followed) describe(step *millracev1.TraceStep) {
	if f.span.IsValid() {
		step.TraceId = f.span.TraceID().String()
	}
}

// TraceChannel implements the API.
func (a *admin) TraceChannel(ctx context.Context, request *millracev1.TraceChannelRequest, stream millracev1connect.AdminServiceTraceChannelServerStream) error {
	name := request.GetChannel()
	if err := channel.CheckPattern(name); err != nil {
		return err
	}
	if err := checkAdmin(ctx, auth.Inspect, name); err != nil {
		return err
	}
	traced, err := a.tracers.add(name)
	if err != nil {
		return err
	}
	defer a.tracers.remove(traced)
	silence := time.NewTicker(a.limits().Heartbeat)
	defer silence.Stop()
	allowed := time.NewTicker(time.Second) // also while there is nothing to trace
	defer allowed.Stop()
	for response := new(millracev1.TraceChannelResponse); ; {
		if response != nil {
			if err := a.sendInTime(ctx, func() error { return stream.Send(response) }); err != nil {
				return err
			}
		}
		response = nil
		select {
		case step := <-traced.steps:
			response = traced.gather(step)
		case <-silence.C:
			response = new(millracev1.TraceChannelResponse)
		case <-allowed.C:
		case <-traced.done:
			return leaving(time.Second)
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := a.stillMay(ctx); err != nil {
			return err
		}
	}
}

// gather makes one response of all the steps that wait.
func (t *tracer) gather(first *millracev1.TraceStep) *millracev1.TraceChannelResponse {
	response := &millracev1.TraceChannelResponse{Missed: t.missed.Swap(0), Steps: []*millracev1.TraceStep{first}}
	for range len(t.steps) {
		response.Steps = append(response.Steps, <-t.steps)
	}
	return response
}
