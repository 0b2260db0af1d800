package compare

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"time"

	"millrace.dev/bench/machine"
)

// Options say what to measure, and for how long. There are no defaults but
// those of [Full] and [Quick].
type Options struct {
	Binaries string         // directory that Build filled
	Only     *regexp.Regexp // names of contenders
	Measures *regexp.Regexp // names of measures
	Rounds   int            // clean samples of each
	Noise    float64        // share of the machine for others, above which a sample is thrown away
	Pin      bool           // server and client to a processor each

	Duration    time.Duration // of one sample
	Settle      time.Duration // before memory is looked at
	Rate        float64       // messages per second
	Size        int           // bytes of a message
	Window      int           // messages on their way when saturated
	Subscribers int           // that get the messages
	Setups      int           // connections that are set up
	Idle        int           // connections whose memory is looked at
	Readers     int           // of which one in ten stalls
	Crowd       int           // subscribers of a channel that is broadcast to
	Process     string        // time or number of times for each benchmark without a wire
}

// Full is a measurement to publish.
var Full = Options{
	Only: regexp.MustCompile(""), Measures: regexp.MustCompile(""), Rounds: 5, Noise: 0.15, Pin: true,
	Duration: time.Second, Settle: time.Second, Rate: 100, Size: 128, Window: 256,
	Subscribers: 500, Setups: 2000, Idle: 10_000, Readers: 100, Crowd: 19_000, Process: "1s",
}

// Quick shows in a few seconds that everything works. Its figures mean nothing.
var Quick = Options{
	Only: regexp.MustCompile(""), Measures: regexp.MustCompile(""), Rounds: 1, Noise: 1,
	Duration: 200 * time.Millisecond, Settle: 50 * time.Millisecond, Rate: 100, Size: 128, Window: 16,
	Subscribers: 20, Setups: 100, Idle: 100, Readers: 20, Crowd: 200, Process: "1x",
}

// harness carries out a comparison.
type harness struct {
	Options
	progress             io.Writer
	serverCPU, clientCPU int
}

// Run measures, and tells progress what it found on the way. A contender that
// fails is in the report and stops nobody else.
func Run(ctx context.Context, o Options, progress io.Writer) (*Report, error) {
	h := &harness{Options: o, progress: progress}
	if err := h.pin(); err != nil {
		return nil, err
	}
	report, err := newReport(o)
	if err != nil {
		return nil, err
	}
	// Twice as many rounds as wanted, for those that are thrown away.
	for round := 1; round <= 2*o.Rounds; round++ {
		for _, m := range measures {
			if o.Measures.MatchString(m.name) {
				h.round(ctx, report, m, round)
			}
		}
		if ctx.Err() != nil {
			return report, context.Cause(ctx)
		}
	}
	return report, nil
}

// wanted is how many clean samples there are to be.
func (h *harness) wanted(m measure) int {
	if m.rounds > 0 {
		return min(m.rounds, h.Rounds)
	}
	return h.Rounds
}

// pin gives this process a processor of its own, where there is a second one.
func (h *harness) pin() error {
	if !h.Pin {
		return nil
	}
	cpus, err := machine.CPUs()
	if err != nil {
		return err
	}
	h.serverCPU, h.clientCPU = cpus[0], cpus[min(1, len(cpus)-1)]
	runtime.GOMAXPROCS(1)
	return machine.Pin(h.clientCPU)
}

// round visits every contender that does not have its samples yet.
func (h *harness) round(ctx context.Context, report *Report, m measure, round int) {
	for _, c := range report.contenders {
		if report.clean(c.Name, m.name) >= h.wanted(m) || !m.isOf(c) || ctx.Err() != nil {
			continue
		}
		found, err := m.take(h, ctx, c)
		s := Sample{
			Contender: c.Name, Measure: m.name, Round: round,
			Foreign: found.foreign, Kept: err == nil && found.foreign <= h.Noise, Values: found.values,
		}
		if found.flaw != nil {
			s.Flaw = found.flaw.Error()
		}
		if err != nil {
			s.Error = err.Error()
		}
		report.Samples = append(report.Samples, s)
		fmt.Fprintln(h.progress, s)
	}
}
