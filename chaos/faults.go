package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"
)

// fault is something that goes wrong, and is over when it returns.
type fault struct {
	name   string
	needs  need
	happen func(ctx context.Context, f *fleet, random *rand.Rand)
}

// need is what a fleet must have for a fault.
type need int

const (
	nothing  need = iota
	machines      // each server has its own, and those of NATS a disk
	clocks        // each server has its own
)

func (f *fleet) has(n need) bool {
	switch n {
	case machines:
		return f.wiring != nil
	case clocks:
		return f.nodes[0].clock != ""
	default:
		return true
	}
}

// faults are what happens, one after the other in an order that the seed decides.
var faults = slices.Concat(faultsOfProcesses, faultsOfTheNetwork, faultsOfMachines)

// possible are the faults that a fleet can have and that the name asks for.
func possible(f *fleet, name string) []fault {
	return slices.DeleteFunc(slices.Clone(faults), func(one fault) bool { return !f.has(one.needs) || !strings.Contains(one.name, name) })
}

var faultsOfProcesses = []fault{
	{"kill -9 of a node", nothing, func(ctx context.Context, f *fleet, random *rand.Rand) {
		killOne(ctx, pick(random, f.nodes), upTo(random, 4*time.Second))
	}},
	{"kill -9 of a NATS server", nothing, func(ctx context.Context, f *fleet, random *rand.Rand) {
		killOne(ctx, pick(random, f.nats), upTo(random, 4*time.Second))
	}},
	{"SIGSTOP of a node for 6 s", nothing, func(ctx context.Context, f *fleet, random *rand.Rand) {
		freeze(ctx, pick(random, f.nodes), 6*time.Second)
	}},
	{"SIGSTOP of a NATS server for 6 s", nothing, func(ctx context.Context, f *fleet, random *rand.Rand) {
		freeze(ctx, pick(random, f.nats), 6*time.Second)
	}},
	{"rolling restart of the nodes", nothing, func(ctx context.Context, f *fleet, _ *rand.Rand) { roll(ctx, f.nodes) }},
	{"rolling restart of the NATS servers", nothing, func(ctx context.Context, f *fleet, _ *rand.Rand) { roll(ctx, f.nats) }},
	{"kill -9 of all NATS servers at once", nothing, func(ctx context.Context, f *fleet, _ *rand.Rand) {
		for _, p := range f.nats {
			p.end(syscall.SIGKILL)
		}
		for _, p := range f.nats {
			restart(ctx, p)
		}
	}},
}

func pick(random *rand.Rand, of []*process) *process { return of[random.IntN(len(of))] }

func upTo(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
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
	if err := p.start(); err != nil {
		sayf("%s does not start: %v", p.name, err)
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
