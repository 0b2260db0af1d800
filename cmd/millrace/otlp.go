package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// otlp sends spans to a collector, as JSON over HTTP (the OpenTelemetry Protocol).
// It implements [sdktrace.SpanExporter]. The SDK's own exporter brings gRPC along,
// whose health service is registered under the name of ours.
type otlp struct {
	url    string
	client *http.Client
	log    *slog.Logger
}

const otlpTimeout = 10 * time.Second

// newOTLP makes the exporter of an endpoint, whose path may be left out.
func newOTLP(endpoint string, log *slog.Logger) *otlp {
	if strings.Count(endpoint, "/") < 3 {
		endpoint += "/v1/traces"
	}
	return &otlp{url: endpoint, client: &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}, Timeout: otlpTimeout}, log: log}
}

// ExportSpans implements [sdktrace.SpanExporter]. What cannot be sent is lost, and
// the log says so.
func (e *otlp) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.send(ctx, spans); err != nil {
		e.log.WarnContext(ctx, "spans are lost", "spans", len(spans), "error", err)
	}
	return nil
}

// Shutdown implements [sdktrace.SpanExporter].
func (e *otlp) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

func (e *otlp) send(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	body, err := json.Marshal(otlpRequest(spans))
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := e.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)); err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s answers %s", e.url, response.Status)
	}
	return nil
}

type (
	object map[string]any
	list   []any
)

func otlpRequest(spans []sdktrace.ReadOnlySpan) object {
	var all list
	for _, span := range spans {
		all = append(all, otlpSpan(span))
	}
	first := spans[0] // the SDK exports none without one
	scope := object{"scope": object{"name": first.InstrumentationScope().Name}, "spans": all}
	about := object{"attributes": otlpAttributes(first.Resource().Attributes())}
	return object{"resourceSpans": list{object{"resource": about, "scopeSpans": list{scope}}}}
}

func otlpSpan(span sdktrace.ReadOnlySpan) object {
	o := object{
		"traceId": span.SpanContext().TraceID().String(), "spanId": span.SpanContext().SpanID().String(),
		"name": span.Name(), "kind": int(span.SpanKind()), "attributes": otlpAttributes(span.Attributes()),
		"startTimeUnixNano": strconv.FormatInt(span.StartTime().UnixNano(), 10),
		"endTimeUnixNano":   strconv.FormatInt(span.EndTime().UnixNano(), 10),
	}
	if span.Parent().SpanID().IsValid() {
		o["parentSpanId"] = span.Parent().SpanID().String()
	}
	if span.Status().Code == codes.Error {
		o["status"] = object{"code": 2, "message": span.Status().Description}
	}
	return o
}

func otlpAttributes(attributes []attribute.KeyValue) list {
	all := list{}
	for _, a := range attributes {
		value := object{"stringValue": a.Value.String()}
		if a.Value.Type() == attribute.INT64 {
			value = object{"intValue": strconv.FormatInt(a.Value.AsInt64(), 10)}
		}
		all = append(all, object{"key": string(a.Key), "value": value})
	}
	return all
}
