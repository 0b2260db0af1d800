package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

// fault is something that goes wrong, and is over when it returns.
type fault struct {
	name   string
	happen func(ctx context.Context, f *fleet, random *rand.Rand)
}

// faults are what happens, one after the other in an order that the seed decides.
var faults = []fault{
	{"kill -9 of a node", func(ctx context.Context, f *fleet, random *rand.Rand) {
		killOne(ctx, f.nodes[random.IntN(len(f.nodes))], time.Duration(random.IntN(4000))*time.Millisecond)
	}},
	{"kill -9 of a NATS server", func(ctx context.Context, f *fleet, random *rand.Rand) {
		killOne(ctx, f.nats[random.IntN(len(f.nats))], time.Duration(random.IntN(4000))*time.Millisecond)
	}},
	{"SIGSTOP of a node for 6 s", func(ctx context.Context, f *fleet, random *rand.Rand) {
		freeze(ctx, f.nodes[random.IntN(len(f.nodes))], 6*time.Second)
	}},
	{"SIGSTOP of a NATS server for 6 s", func(ctx context.Context, f *fleet, random *rand.Rand) {
		freeze(ctx, f.nats[random.IntN(len(f.nats))], 6*time.Second)
	}},
	{"rolling restart of the nodes", func(ctx context.Context, f *fleet, _ *rand.Rand) { roll(ctx, f.nodes) }},
	{"rolling restart of the NATS servers", func(ctx context.Context, f *fleet, _ *rand.Rand) { roll(ctx, f.nats) }},
	{"kill -9 of all NATS servers at once", func(ctx context.Context, f *fleet, _ *rand.Rand) {
		for _, p := range f.nats {
			p.end(syscall.SIGKILL)
		}
		for _, p := range f.nats {
			restart(ctx, p)
		}
	}},
}

func killOne(ctx context.Context, p *process, away time.Duration) {
	p.end(syscall.SIGKILL)
	pause(ctx, away)
	restart(ctx, p)
}

func freeze(ctx context.Context, p *process, d time.Duration) {
	_ = p.signal(syscall.SIGSTOP) // it runs
	pause(ctx, d)
	_ = p.signal(syscall.SIGCONT)
}

func roll(ctx context.Context, all []*process) {
	for _, p := range all {
		p.end(syscall.SIGTERM)
		restart(ctx, p)
		pause(ctx, 3*time.Second)
	}
}

// restart starts a process again. One that does not come up shows in what is never
// delivered.
func restart(ctx context.Context, p *process) {
	if p.start() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_ = p.waitReady(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
