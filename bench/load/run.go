package load

import (
	"context"
	"fmt"
	"time"
)

// drainTimeout is for what is on its way when publishing ends; what has not
// come by then is lost.
const drainTimeout = 5 * time.Second

// Plan is what to publish.
type Plan struct {
	Duration time.Duration
	// Rate is in messages per second. 0: as fast as they are delivered, with
	// Window of them on their way.
	Rate float64
	// Burst is how many are published at once, at most 32. Default 1.
	Burst int
	// Window counts where there is no Rate. Default 256.
	Window int
	// Size of a message in bytes. Default 128, at least MinSize.
	Size int
}

func (p Plan) withDefaults() Plan {
	if p.Burst == 0 {
		p.Burst = 1
	}
	if p.Window == 0 {
		p.Window = 256
	}
	if p.Size == 0 {
		p.Size = 128
	}
	p.Size, p.Burst = max(p.Size, MinSize), min(p.Burst, publishers)
	return p
}

// Result is what came of a plan.
type Result struct {
	Published  uint64
	Delivered  uint64        // each message once to each subscriber
	Lost       uint64        // deliveries that never came
	Misordered uint64        // markers that came late, or again
	Closed     int           // connections that the server ended
	Reads      uint64        // system calls that read
	Elapsed    time.Duration // from the first message until all were delivered
	Latency    Histogram
}

// Clean reports whether every message came once and in order.
func (r *Result) Clean() error {
	if r.Lost > 0 || r.Misordered > 0 || r.Closed > 0 {
		return fmt.Errorf("%d of %d deliveries lost, %d out of order, %d connections closed",
			r.Lost, r.Lost+r.Delivered, r.Misordered, r.Closed)
	}
	return nil
}

// run is a plan that is being carried out.
type run struct {
	*Client
	plan     Plan
	start    time.Time
	due      time.Time // of the next burst
	expected uint64    // deliveries
}

// Run carries out a plan, and waits until all is delivered.
func (c *Client) Run(ctx context.Context, plan Plan) (*Result, error) {
	if err := c.openPublishers(); err != nil {
		return nil, err
	}
	now := time.Now()
	r := &run{Client: c, plan: plan.withDefaults(), start: now, due: now}
	c.result, c.missed = &Result{}, 0
	for _, p := range c.publishers {
		p.resize(r.plan.Size)
	}
	for now.Sub(r.start) < plan.Duration {
		if err := r.publish(now); err != nil {
			return nil, err
		}
		if err := c.step(ctx, r.wait()); err != nil {
			return nil, err
		}
		now = time.Now()
	}
	return r.finish(ctx)
}

// publish publishes what is due.
func (r *run) publish(now time.Time) error {
	if r.plan.Rate == 0 {
		for r.open() && len(r.idle) > 0 {
			if err := r.one(); err != nil {
				return err
			}
		}
		return nil
	}
	for !now.Before(r.due) {
		if len(r.idle) < r.plan.Burst {
			return nil // the rate is not held, which Published shows
		}
		for range r.plan.Burst {
			if err := r.one(); err != nil {
				return err
			}
		}
		r.due = r.due.Add(time.Duration(float64(r.plan.Burst) / r.plan.Rate * float64(time.Second)))
	}
	return nil
}

// open reports whether the window has room.
func (r *run) open() bool {
	return r.outstanding() < uint64(r.plan.Window*r.live)
}

func (r *run) outstanding() uint64 {
	return r.expected - min(r.result.Delivered+r.missed, r.expected)
}

func (r *run) one() error {
	p := r.idle[len(r.idle)-1]
	r.idle = r.idle[:len(r.idle)-1]
	r.result.Published++
	r.expected += uint64(r.live)
	return p.publish()
}

// wait is until the next burst, or until something is readable.
func (r *run) wait() time.Duration {
	if r.plan.Rate == 0 || len(r.idle) == 0 {
		return longestWait
	}
	return min(longestWait, time.Until(r.due))
}

func (r *run) finish(ctx context.Context) (*Result, error) {
	end := time.Now().Add(drainTimeout)
	for r.busy() && time.Now().Before(end) {
		if err := r.step(ctx, longestWait); err != nil {
			return nil, err
		}
	}
	r.result.Elapsed = time.Since(r.start)
	r.result.Lost = r.expected - min(r.result.Delivered, r.expected)
	if len(r.idle) < publishers {
		return nil, fmt.Errorf("%d publishers got no answer", publishers-len(r.idle))
	}
	return r.result, nil
}

// busy reports whether deliveries or answers are on their way.
func (r *run) busy() bool {
	return r.outstanding() > 0 || len(r.idle) < publishers
}
