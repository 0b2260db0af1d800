package compare

import (
	"fmt"
	"io"
)

// target is a bound for one of our figures, or for it divided by another's.
type target struct {
	ours, metric string
	other        string  // whose figure ours is divided by; empty for the figure itself
	most, least  float64 // one of them is 0
}

// targets are what we are out for.
var targets = []target{
	{ours: "millrace WebSocket", metric: "cpu", other: "centrifuge WebSocket", most: 0.30},
	{ours: "millrace WebSocket", metric: "cpu", other: "floor: io_uring", most: 1.3},
	{ours: "millrace WebSocket, no ring", metric: "cpu", other: "centrifuge WebSocket", most: 0.60},
	{ours: "millrace WebSocket, no ring", metric: "cpu", other: "floor: send(2)", most: 1.3},
	{ours: "millrace WebSocket, no ring", metric: "p99", other: "centrifuge WebSocket", most: 0.7},
	{ours: "millrace WebSocket", metric: "p99", other: "centrifuge WebSocket", most: 0.7},
	{ours: "millrace WebSocket", metric: "deliveries", other: "centrifuge WebSocket", least: 5},
	{ours: "millrace WebSocket", metric: "saturated p99", other: "centrifuge WebSocket", most: 0.1},
	{ours: "millrace WebSocket", metric: "setup", other: "centrifuge WebSocket", most: 0.5},
	{ours: "millrace WebSocket", metric: "idle", most: 5.5},
	{ours: "millrace WebSocket", metric: "stalled", most: 64},
	{ours: "millrace WebSocket", metric: "stalled p99", most: 1.1},
	{ours: "millrace SSE", metric: "cpu", other: "centrifuge SSE", most: 0.30},
	{ours: "millrace SSE", metric: "cpu", other: "mercure SSE", most: 0.30},
	{ours: "millrace SSE, no ring", metric: "cpu", other: "centrifuge SSE", most: 0.55},
	{ours: "millrace SSE, no ring", metric: "cpu", other: "mercure SSE", most: 0.55},
	{ours: "millrace SSE", metric: "p99", other: "centrifuge SSE", most: 0.7},
	{ours: "millrace SSE", metric: "p99", other: "mercure SSE", most: 0.7},
	{ours: "millrace SSE, no ring", metric: "p99", other: "centrifuge SSE", most: 0.7},
	{ours: "millrace SSE, no ring", metric: "p99", other: "mercure SSE", most: 0.7},
	{ours: "millrace SSE", metric: "deliveries", other: "mercure SSE", least: 10},
	{ours: "millrace SSE", metric: "saturated p99", other: "mercure SSE", most: 0.1},
	{ours: "millrace SSE", metric: "idle", most: 3},
	{ours: "millrace SSE", metric: "stalled", most: 64},
	{ours: "millrace SSE", metric: "stalled p99", most: 1.1},
	{ours: "millrace Connect, HTTP/1.1", metric: "cpu", other: "floor: net/http, HTTP/1.1", most: 1.3},
	{ours: "millrace Connect", metric: "cpu", other: "floor: net/http, HTTP/2", most: 1.3},
	{ours: "millrace gRPC", metric: "cpu", other: "floor: net/http, HTTP/2", most: 1.3},
	{ours: "millrace gRPC", metric: "burst cpu", other: "grpc-go, shared buffers", most: 1},
	{ours: "millrace gRPC", metric: "stalled", most: 64},
	{ours: "millrace Connect ×100", metric: "burst cpu", other: "grpc-go, shared buffers ×100", most: 1},
	{ours: "millrace gRPC ×100", metric: "burst cpu", other: "grpc-go, shared buffers ×100", most: 1},
	{ours: "millrace Connect ×100", metric: "idle", most: 20},
	{ours: "millrace WebSocket, TLS", metric: "idle", other: "centrifuge WebSocket, TLS", most: 0.5},
	{ours: "millrace SSE, TLS", metric: "idle", other: "centrifuge SSE, TLS", most: 0.5},
	{ours: "millrace", metric: "elsewhere p99", most: 5},
	{ours: "millrace", metric: "subscribe p99", most: 5},
	{ours: "millrace, no ring", metric: "elsewhere p99", most: 5},
	{ours: "millrace, no ring", metric: "subscribe p99", most: 5},
	{ours: ourProcess, metric: "deliver growth", most: 1.3},
	{ours: ourProcess, metric: "publish growth", most: 1.3},
}

// WriteTargets writes what we are out for, and how far we are.
func (r *Report) WriteTargets(w io.Writer) {
	var rows [][]string
	for _, t := range targets {
		if value, noisy, found := r.measured(t); found {
			rows = append(rows, []string{t.String(), t.bound(), cell(value, noisy, true), t.verdict(value)})
		}
	}
	writeTable(w, []string{"", "target", "measured", ""}, rows)
}

// measured is what a target bounds.
func (r *Report) measured(t target) (value float64, noisy, found bool) {
	value, noisy, found = r.median(t.ours, t.metric)
	if t.other == "" || !found {
		return value, noisy, found
	}
	theirs, alsoNoisy, found := r.median(t.other, t.metric)
	return value / theirs, noisy || alsoNoisy, found && theirs != 0
}

// String is what is bounded, in words.
func (t target) String() string {
	text := fmt.Sprintf("%s: %s", t.ours, titleOf(t.metric))
	if t.other != "" {
		text += ", divided by that of " + t.other
	}
	return text
}

func (t target) bound() string {
	if t.least > 0 {
		return "at least " + figure(t.least)
	}
	return "at most " + figure(t.most)
}

func (t target) verdict(value float64) string {
	if t.least > 0 && value >= t.least || t.most > 0 && value <= t.most {
		return "met"
	}
	return "**missed**"
}

func titleOf(metric string) string {
	for _, m := range metrics {
		if m.name == metric {
			return m.title
		}
	}
	return metric
}
