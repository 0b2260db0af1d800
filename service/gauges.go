package service

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// registerGauges has a meter read what is counted anyway, when somebody looks.
func (s *Service) registerGauges(m metric.Meter) {
	gauge := func(name, unit, description string, read metric.Int64Callback) {
		must(m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description), metric.WithInt64Callback(read)))
	}
	counter := func(name, unit, description string, read func(totals) uint64) {
		must(m.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(int64(read(s.totals(time.Now()))))
				return nil
			})))
	}
	gauge("millrace.sessions", "{session}", "Sessions that are open, by wire.", func(_ context.Context, o metric.Int64Observer) error {
		for wire, n := range s.sessionsByWire() {
			o.Observe(int64(n), metric.WithAttributes(attribute.String(attrWire, wire)))
		}
		return nil
	})
	gauge("millrace.sessions.slow", "{session}", "Sessions that are slow to take what they are sent.", func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(int64(s.slow.Load()))
		return nil
	})
	gauge("millrace.channels", "{channel}", "Channels and patterns with subscriptions.", func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(int64(s.hub.size()))
		return nil
	})
	counter("millrace.messages.published", "{message}", "Messages that were published through this node.", func(t totals) uint64 { return t.published })
	counter("millrace.messages.delivered", "{message}", "Messages that were sent to sessions.", func(t totals) uint64 { return t.delivered })
	counter("millrace.messages.delivered.size", "By", "Bytes of the messages that were sent to sessions, before the framing of the wire.", func(t totals) uint64 { return t.bytes })
}
