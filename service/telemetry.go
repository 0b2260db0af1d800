package service

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// The name under which the node measures.
const instrumentation = "millrace.dev/service"

// telemetry is what the node tells about itself. Nothing of it is paid for by each
// subscriber of a message.
type telemetry struct {
	tracer  trace.Tracer
	tracing bool // whether anybody has the spans
	calls   metric.Float64Histogram
	appends metric.Float64Histogram
	opened  metric.Int64Counter
	refused metric.Int64Counter
	ended   metric.Int64Counter
	gaps    metric.Int64Counter
	// options are those of one set of attributes each, made once.
	options sync.Map // of labels
}

// buckets are bounds of times in seconds, from what a message takes in memory to
// what a client gives up after.
var buckets = metric.WithExplicitBucketBoundaries(.00001, .000025, .0001, .00025, .001, .0025, .01, .025, .1, .25, 1, 2.5, 10)

// newTelemetry makes the instruments. There may be nobody who has the spans.
func newTelemetry(m metric.Meter, tracers trace.TracerProvider) *telemetry {
	t := &telemetry{tracing: tracers != nil}
	if tracers == nil {
		tracers = tracenoop.NewTracerProvider()
	}
	t.tracer = tracers.Tracer(instrumentation)
	t.calls = must(m.Float64Histogram("rpc.server.call.duration", metric.WithUnit("s"), buckets,
		metric.WithDescription("Calls with one answer, on every wire: commands of a WebSocket are such.")))
	t.appends = must(m.Float64Histogram("millrace.engine.append.duration", metric.WithUnit("s"), buckets,
		metric.WithDescription("From asking the engine to place a message until it has.")))
	t.opened = must(m.Int64Counter("millrace.sessions.opened", metric.WithUnit("{session}"), metric.WithDescription("Sessions that began.")))
	t.refused = must(m.Int64Counter("millrace.sessions.refused", metric.WithUnit("{session}"), metric.WithDescription("Sessions that did not begin, by reason.")))
	t.ended = must(m.Int64Counter("millrace.sessions.ended", metric.WithUnit("{session}"), metric.WithDescription("Sessions that ended, by reason.")))
	t.gaps = must(m.Int64Counter("millrace.gaps", metric.WithUnit("{gap}"), metric.WithDescription("Gaps that subscribers were told of, by reason.")))
	return t
}

// must is for instruments, which fail only for a name that is not one.
func must[T any](instrument T, err error) T {
	if err != nil {
		panic("instrument: " + err.Error())
	}
	return instrument
}

// labels are names and values of attributes in turn. A name without a value is
// left out.
type labels [6]string

// with is an option with some attributes.
func (t *telemetry) with(l labels) metric.MeasurementOption {
	if known, found := t.options.Load(l); found {
		return known.(metric.MeasurementOption) //nolint:errcheck // nothing else is stored
	}
	var attributes []attribute.KeyValue
	for i := 0; i < len(l); i += 2 {
		if l[i+1] != "" {
			attributes = append(attributes, attribute.String(l[i], l[i+1]))
		}
	}
	option := metric.WithAttributeSet(attribute.NewSet(attributes...))
	t.options.Store(l, option)
	return option
}

// reasonOf is why something failed, as an attribute; empty if it did not.
func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(ErrorInfo(err).GetReason().String(), "ERROR_REASON_")
}

// opening notes whether a call of Subscribe has come as far as a session.
type opening struct{ done bool }

type openingKey struct{}

// observe is the outermost interceptor: it counts calls, and logs those that
// failed by a fault of ours.
func (s *Service) observe(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		began, note := time.Now(), &opening{}
		err := next(context.WithValue(ctx, openingKey{}, note), spec, stream)
		reason, wire := reasonOf(err), ""
		if info, ok := connect.CallInfoForServerContext(ctx); ok {
			wire = info.Protocol
		}
		if reason == reasonInternal {
			s.log.ErrorContext(ctx, "a call failed", "method", spec.Procedure, "protocol", wire, "error", deepest(err))
		}
		switch {
		case spec.StreamType == connect.StreamTypeUnary:
			s.telemetry.calls.Record(ctx, time.Since(began).Seconds(), s.telemetry.with(labels{attrMethod, strings.TrimPrefix(spec.Procedure, "/"), attrWire, wire, attrReason, reason}))
		case err != nil && !note.done:
			s.telemetry.refused.Add(ctx, 1, s.telemetry.with(labels{attrWire, wire, attrReason, reason}))
		}
		return err
	}
}

const reasonInternal = "INTERNAL"

// deepest is what an internal error hides from clients.
func deepest(err error) error {
	if r, ok := errors.AsType[*refusal](err); ok && r.cause != nil {
		return r.cause
	}
	if e, ok := errors.AsType[*connect.Error](err); ok && errors.Unwrap(e) != nil {
		return deepest(errors.Unwrap(e))
	}
	return err
}

// began tells of a new session.
func (s *Service) began(ctx context.Context, session *Session) {
	if note, ok := ctx.Value(openingKey{}).(*opening); ok {
		note.done = true
	}
	s.telemetry.opened.Add(ctx, 1, s.telemetry.with(labels{attrWire, session.protocol}))
	s.log.DebugContext(ctx, "session began", "session", session.id, "user", session.who().User, "protocol", session.protocol, "peer", session.peer, "client", session.client)
}

// ended tells how a session ended.
func (s *Service) ended(session *Session, reason error) {
	why := reasonOf(reason)
	if errors.Is(reason, ErrLeft) || errors.Is(reason, context.Canceled) || errors.Is(reason, context.DeadlineExceeded) || why == reasonInternal {
		why = "" // the client or its connection has gone
	}
	ctx := context.Background()
	s.telemetry.ended.Add(ctx, 1, s.telemetry.with(labels{attrWire, session.protocol, attrReason, why}))
	s.log.DebugContext(ctx, "session ended", "session", session.id, "user", session.who().User, "protocol", session.protocol,
		"reason", why, "error", reason, "age", time.Since(session.started))
}

// gapNotice tells a subscriber of a gap.
func (s *Service) gapNotice(gap *millracev1.Gap) *Frame {
	reason := strings.TrimPrefix(gap.GetReason().String(), "GAP_REASON_")
	s.telemetry.gaps.Add(context.Background(), 1, s.telemetry.with(labels{attrReason, reason}))
	return newNotice(&millracev1.SubscribeResponse{Notice: &millracev1.SubscribeResponse_Gap{Gap: gap}})
}
