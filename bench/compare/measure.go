package compare

import (
	"context"
	"errors"
	"slices"
	"time"

	"millrace.dev/bench/load"
)

// measure is one thing that is measured.
type measure struct {
	name string
	take func(*harness, context.Context, Contender) (sample, error)
	// What hardly differs from round to round, and takes long, has fewer.
	rounds int
}

var measures = []measure{
	{name: "rate", take: (*harness).rate},
	{name: "burst", take: (*harness).burst},
	{name: "saturated", take: (*harness).saturated},
	{name: "setup", take: (*harness).setup},
	{name: "idle", take: (*harness).idle, rounds: 2},
	{name: "stalled", take: (*harness).stalled},
	{name: "elsewhere", take: (*harness).elsewhere, rounds: 3},
	{name: "process", take: (*harness).inProcess, rounds: 3},
}

// isOf reports whether the measure is taken of a contender.
func (m measure) isOf(c Contender) bool { return slices.Contains(c.measures, m.name) }

// sample is what one visit found.
type sample struct {
	values  map[string]float64 // by the name of a metric
	foreign float64
	flaw    error // messages were lost, or in another order
}

// rate is one message at a time, at a rate that every server holds.
func (h *harness) rate(ctx context.Context, c Contender) (sample, error) {
	plan := load.Plan{Duration: h.Duration, Rate: h.Rate, Size: h.Size}
	return h.publish(ctx, c, plan, func(r *load.Result, cost cost) map[string]float64 {
		return map[string]float64{
			"cpu":  perDelivery(cost, r),
			"p50":  milliseconds(r.Latency.Quantile(0.5)),
			"p99":  milliseconds(r.Latency.Quantile(0.99)),
			"p999": milliseconds(r.Latency.Quantile(0.999)),
			"held": float64(r.Published) / (h.Rate * h.Duration.Seconds()),
		}
	})
}

// burst is the same rate, in bursts of twenty.
func (h *harness) burst(ctx context.Context, c Contender) (sample, error) {
	plan := load.Plan{Duration: h.Duration, Rate: h.Rate, Burst: 20, Size: h.Size}
	return h.publish(ctx, c, plan, func(r *load.Result, cost cost) map[string]float64 {
		return map[string]float64{
			"burst cpu": perDelivery(cost, r),
			"burst p99": milliseconds(r.Latency.Quantile(0.99)),
		}
	})
}

// saturated is as much as the server delivers.
func (h *harness) saturated(ctx context.Context, c Contender) (sample, error) {
	plan := load.Plan{Duration: h.Duration, Window: h.Window, Size: h.Size}
	return h.publish(ctx, c, plan, func(r *load.Result, cost cost) map[string]float64 {
		return map[string]float64{
			"deliveries":    float64(r.Delivered) / r.Elapsed.Seconds(),
			"saturated cpu": perDelivery(cost, r),
			"saturated p99": milliseconds(r.Latency.Quantile(0.99)),
			"server busy":   cost.cpu.Seconds() / r.Elapsed.Seconds(),
		}
	})
}

// publish carries out a plan once to warm up and once to measure.
func (h *harness) publish(ctx context.Context, c Contender, plan load.Plan, values func(*load.Result, cost) map[string]float64) (sample, error) {
	return h.visit(ctx, c, h.Subscribers, func(s *server, client *load.Client) (sample, error) {
		warm := plan
		warm.Duration = plan.Duration / 4
		if _, err := client.Run(ctx, warm); err != nil {
			return sample{}, err
		}
		before, err := s.mallocs(ctx)
		if err != nil {
			return sample{}, err
		}
		w, err := openWindow(s)
		if err != nil {
			return sample{}, err
		}
		result, err := client.Run(ctx, plan)
		if err != nil {
			return sample{}, err
		}
		cost, err := w.close()
		if err != nil {
			return sample{}, err
		}
		found := sample{values: values(result, cost), foreign: cost.foreign, flaw: result.Clean()}
		after, err := s.mallocs(ctx)
		if after > 0 && plan.Rate > 0 && plan.Burst == 0 {
			found.values["allocations"] = float64(after-before) / float64(max(1, result.Delivered))
		}
		return found, err
	})
}

// visit runs a server with subscribers for one sample.
func (h *harness) visit(ctx context.Context, c Contender, subscribers int, look func(*server, *load.Client) (sample, error)) (sample, error) {
	s, err := h.start(ctx, c.program)
	if err != nil {
		return sample{}, err
	}
	defer s.stop()
	client, err := load.Open(ctx, s.target(c.wire), subscribers)
	if err != nil {
		return sample{}, err
	}
	found, err := look(s, client)
	return found, errors.Join(err, client.Close())
}

// mallocs is how many objects the server has allocated; 0 where it does not say.
func (s *server) mallocs(ctx context.Context) (uint64, error) {
	found, err := s.collect(ctx)
	if err != nil {
		return 0, err
	}
	return found.Mallocs, nil
}

func perDelivery(c cost, r *load.Result) float64 {
	return float64(c.cpu.Nanoseconds()) / 1e3 / float64(max(1, r.Delivered))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
