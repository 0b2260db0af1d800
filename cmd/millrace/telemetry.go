package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// telemetry is where the node's measures and traces go: to whoever scrapes, and to
// the collector that is configured.
type telemetry struct {
	meters   *sdkmetric.MeterProvider
	tracers  *sdktrace.TracerProvider // nil for no collector
	registry *prometheus.Registry
}

func newTelemetry(c config, log *slog.Logger) (*telemetry, error) {
	about := resource.NewSchemaless(attribute.String("service.name", "millrace"), attribute.String("service.version", buildVersion().Version))
	t := &telemetry{registry: prometheus.NewRegistry()}
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := exporter.New(exporter.WithRegisterer(t.registry), exporter.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	t.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(about))
	if c.Tracing.Endpoint == "" {
		return t, nil
	}
	t.tracers = sdktrace.NewTracerProvider(sdktrace.WithBatcher(newOTLP(c.Tracing.Endpoint, log)), sdktrace.WithResource(about), sdktrace.WithSampler(sampler(c.Tracing.Sample)))
	return t, nil
}

// sampler traces what a trusted caller traces, and of all else a part.
func sampler(part float64) sdktrace.Sampler {
	some := sdktrace.TraceIDRatioBased(part)
	return sdktrace.ParentBased(some, sdktrace.WithRemoteParentNotSampled(some))
}

// tracerProvider is nil where nobody has the spans.
func (t *telemetry) tracerProvider() trace.TracerProvider {
	if t.tracers == nil {
		return nil
	}
	return t.tracers
}

// metrics serves what was measured, as Prometheus and OpenMetrics have it.
func (t *telemetry) metrics() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// observe counts who was not let in at an address.
func (t *telemetry) observe(entrance *turnstile, address string) error {
	at := metric.WithAttributes(attribute.String("server.address", address))
	_, err := t.meters.Meter("millrace.dev/cmd/millrace").Int64ObservableCounter("millrace.connections.refused", metric.WithUnit("{connection}"),
		metric.WithDescription("Connections that were closed at once, because their address had as many as limits.address_connections."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(entrance.refused.Load(), at)
			return nil
		}))
	return err
}

// close sends the spans that wait.
func (t *telemetry) close(ctx context.Context) error {
	err := t.meters.Shutdown(ctx)
	if t.tracers != nil {
		err = errors.Join(err, t.tracers.Shutdown(ctx))
	}
	return err
}

// tracedLog adds the trace to the lines of a log that belong to one.
type tracedLog struct{ slog.Handler }

// Handle implements [slog.Handler].
func (l tracedLog) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (l tracedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tracedLog{l.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (l tracedLog) WithGroup(name string) slog.Handler { return tracedLog{l.Handler.WithGroup(name)} }
