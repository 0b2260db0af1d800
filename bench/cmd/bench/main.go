// Command bench compares Millrace with its peers on this machine. It builds
// them all, lets them take turns, and prints tables in Markdown.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"millrace.dev/bench/compare"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// flags are what may differ from compare.Full and compare.Quick.
type flags struct {
	only, measures, json string
	document             string
	quick                bool
	rounds, idle         int
	subscribers          int
	rate, noise          float64
	duration             time.Duration
}

func parseFlags() flags {
	var f flags
	full := compare.Full
	flag.StringVar(&f.only, "only", "", "`expression` that the names of contenders match, such as WebSocket")
	flag.StringVar(&f.measures, "measures", ".*", "`expression` that the whole name of a measure matches: rate, burst, saturated, setup, idle, stalled, elsewhere, process")
	flag.StringVar(&f.json, "json", "bench.json", "`file` for all samples")
	flag.StringVar(&f.document, "document", "", "`file` in Markdown in which this run's tables take the place of the last one's")
	flag.BoolVar(&f.quick, "quick", false, "only show that everything works; of the other flags, -only and -measures count")
	flag.IntVar(&f.rounds, "rounds", full.Rounds, "clean samples of each")
	flag.DurationVar(&f.duration, "duration", full.Duration, "length of a sample")
	flag.Float64Var(&f.noise, "noise", full.Noise, "`share` of the machine for other processes, above which a sample is thrown away")
	flag.Float64Var(&f.rate, "rate", full.Rate, "messages per second")
	flag.IntVar(&f.subscribers, "subscribers", full.Subscribers, "subscribers that get the messages")
	flag.IntVar(&f.idle, "idle", full.Idle, "connections whose memory is looked at")
	flag.Parse()
	return f
}

func (f flags) options() (compare.Options, error) {
	o := compare.Full
	if f.quick {
		o = compare.Quick
	} else {
		o.Rounds, o.Duration, o.Noise, o.Rate = f.rounds, f.duration, f.noise, f.rate
		o.Subscribers, o.Idle = f.subscribers, f.idle
	}
	var err, also error
	o.Only, err = regexp.Compile(f.only)
	o.Measures, also = regexp.Compile("^(?:" + f.measures + ")$")
	return o, errors.Join(err, also)
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	f := parseFlags()
	o, err := f.options()
	if err != nil {
		return err
	}
	if o.Binaries, err = os.MkdirTemp("", "millrace-bench-"); err != nil {
		return err
	}
	report, err := measure(ctx, o)
	err = errors.Join(err, os.RemoveAll(o.Binaries))
	if report == nil {
		return err
	}
	// What was found before an interrupt is worth keeping.
	report.WriteMarkdown(os.Stdout)
	return errors.Join(err, writeJSON(report, f.json), writeDocument(report, f.document))
}

func writeDocument(report *compare.Report, name string) error {
	if name == "" {
		return nil
	}
	earlier, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := report.WriteDocument(&text, string(earlier)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, text.Bytes(), 0o644)
}

func measure(ctx context.Context, o compare.Options) (*compare.Report, error) {
	if err := compare.Build(ctx, o.Binaries); err != nil {
		return nil, err
	}
	return compare.Run(ctx, o, os.Stderr)
}

func writeJSON(report *compare.Report, name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(report.WriteJSON(file), file.Close())
}
