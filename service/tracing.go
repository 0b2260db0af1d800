package service

import (
	"context"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"millrace.dev/engine"
)

// A message carries the context of its trace in its headers, as W3C Trace Context
// has them, so that whoever receives it goes on with the trace: other nodes, and
// subscribers on every wire that has headers.
var traceContext propagation.TraceContext

const headerTrace = "traceparent"

// Names of attributes: those of OpenTelemetry's conventions where there are such.
const (
	attrMethod  = "rpc.method"
	attrWire    = "network.protocol.name"
	attrReason  = "error.type"
	attrChannel = "messaging.destination.name"
	attrOffset  = "messaging.message.offset"
	attrID      = "messaging.message.id"
	attrSession = "session.id"
)

// tracedSends is how many sessions' sends of one message have a span on this node.
// A message to a hundred thousand would else be as many spans.
const tracedSends = 16

// trace is the interceptor that begins a span for each call with one answer. It
// comes after identify: only who administers the server decides for it which calls
// are traced, for others it decides itself.
func (s *Service) trace(next connect.ServerFunc) connect.ServerFunc {
	if !s.telemetry.tracing {
		return next
	}
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		info, ok := connect.CallInfoForServerContext(ctx)
		if !ok || spec.StreamType != connect.StreamTypeUnary {
			return next(ctx, spec, stream)
		}
		ctx, span := s.telemetry.tracer.Start(s.remote(ctx, headerCarrier{info.RequestHeader()}), strings.TrimPrefix(spec.Procedure, "/"),
			trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.String(attrWire, info.Protocol)))
		defer span.End()
		err := next(ctx, spec, stream)
		if reason := reasonOf(err); reason != "" {
			span.SetStatus(codes.Error, err.Error())
			span.SetAttributes(attribute.String(attrReason, reason))
		}
		return err
	}
}

// remote is a context with the trace that a caller brings. What a stranger says
// about sampling does not count: spans cost more than messages.
func (s *Service) remote(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	remote := trace.SpanContextFromContext(traceContext.Extract(context.Background(), carrier))
	if !remote.IsValid() {
		return ctx
	}
	if !identityOf(ctx).IsAdmin() {
		remote = remote.WithTraceFlags(remote.TraceFlags().WithSampled(false))
	}
	return trace.ContextWithRemoteSpanContext(ctx, remote)
}

// headerCarrier reads and writes the headers of a call.
type headerCarrier struct{ *connect.Header }

// Keys implements [propagation.TextMapCarrier]; nobody asks for them.
func (headerCarrier) Keys() []string { return nil }

// carry puts the context of the trace into a message's headers. Where nothing is
// traced here, what the caller has said goes on as it is.
func (s *Service) carry(ctx context.Context, m *engine.Message) {
	carrier := propagation.MapCarrier{}
	switch info, ok := connect.CallInfoForServerContext(ctx); {
	case s.telemetry.tracing && (trace.SpanContextFromContext(ctx).IsSampled() || m.Headers[headerTrace] != ""):
		traceContext.Inject(ctx, carrier)
	case !s.telemetry.tracing && ok && m.Headers[headerTrace] == "" && info.RequestHeader().Get(headerTrace) != "":
		traceContext.Inject(traceContext.Extract(context.Background(), headerCarrier{info.RequestHeader()}), carrier)
	}
	if len(carrier) > 0 {
		m.Headers = maps.Clone(m.Headers) // the request's own are the caller's
		if m.Headers == nil {
			m.Headers = map[string]string{}
		}
		maps.Copy(m.Headers, carrier)
	}
}

// append has the engine place a message. What the message itself says about its
// trace comes before what the call does.
func (s *Service) append(ctx context.Context, m *engine.Message, options engine.AppendOptions) (engine.Receipt, error) {
	ctx, span := s.startPlacing(ctx, "append", m)
	defer span.End()
	began := time.Now()
	receipt, err := s.engine.Append(ctx, m, options)
	s.telemetry.appends.Record(ctx, time.Since(began).Seconds())
	if err == nil {
		s.placed(ctx, m, receipt, began)
	}
	span.SetAttributes(attribute.Int64(attrOffset, int64(receipt.Position.Offset)))
	return receipt, err
}

// broadcast has the engine hand an ephemeral message to all nodes.
func (s *Service) broadcast(ctx context.Context, m *engine.Message) error {
	ctx, span := s.startPlacing(ctx, "broadcast", m)
	defer span.End()
	began := time.Now()
	err := s.engine.Broadcast(ctx, m)
	if err == nil {
		s.placed(ctx, m, engine.Receipt{}, began)
	}
	return err
}

func (s *Service) startPlacing(ctx context.Context, name string, m *engine.Message) (context.Context, trace.Span) {
	if s.telemetry.tracing && m.Headers[headerTrace] != "" {
		ctx = s.remote(ctx, propagation.MapCarrier(m.Headers))
	}
	ctx, span := s.telemetry.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindProducer), //nolint:spancheck // the callers end it
		trace.WithAttributes(attribute.String(attrChannel, m.Channel), attribute.String(attrID, m.ID)))
	s.carry(ctx, m)
	return ctx, span //nolint:spancheck // the callers end it
}

// followed is a message on its way through this node that somebody looks at.
type followed struct {
	span    trace.SpanContext // of its delivery; not valid where it is not traced
	tracers []*tracer
	at      time.Time // of its delivery
	sends   atomic.Int32
}

// follow begins to look at a message that goes to the subscriptions of some
// topics, nil if nobody wants to.
func (s *Service) follow(m *engine.Message, t *topic, patterns []*topic) *followed {
	span, tracers := s.telemetry.startDelivery(m), s.tracers.of(m.Channel)
	if tracers == nil && !span.IsValid() {
		return nil
	}
	f := &followed{span: span, tracers: tracers}
	if tracers != nil {
		f.delivered(m, t, patterns)
	}
	return f
}

// lookedAt says who looks at the frame's message.
func (f *Frame) lookedAt(by *followed) *Frame {
	f.followed = by
	return f
}

// follows reports whether anybody looks at messages at all.
func (s *Service) follows() bool { return s.telemetry.tracing || s.tracers.all.Load() != nil }

// startDelivery is the span of a delivery; not valid where the message is not
// traced.
func (t *telemetry) startDelivery(m *engine.Message) trace.SpanContext {
	if !t.tracing || m.Headers[headerTrace] == "" {
		return trace.SpanContext{}
	}
	ctx := traceContext.Extract(context.Background(), propagation.MapCarrier(m.Headers))
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return trace.SpanContext{}
	}
	_, span := t.tracer.Start(ctx, "deliver", trace.WithAttributes(
		attribute.String(attrChannel, m.Channel), attribute.Int64(attrOffset, int64(m.Position.Offset))))
	span.End()
	return span.SpanContext()
}

// sent looks at the followed messages of a batch that was just sent.
func (s *Session) sent(frames []*Frame, began time.Time) {
	if !s.service.follows() {
		return
	}
	for _, f := range frames {
		if f.followed == nil {
			continue
		}
		n := f.followed.sends.Add(1)
		if f.followed.tracers != nil && n <= tracedSessions {
			f.followed.sentTo(s, f.Message)
		}
		if f.followed.span.IsValid() && n <= tracedSends {
			s.service.telemetry.spanOfSend(s, f, began)
		}
	}
}

func (t *telemetry) spanOfSend(s *Session, f *Frame, began time.Time) {
	_, span := t.tracer.Start(trace.ContextWithSpanContext(context.Background(), f.followed.span), "send",
		trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String(attrSession, s.id), attribute.String(attrWire, s.protocol), attribute.String(attrChannel, f.Message.Channel)))
	span.End()
}
