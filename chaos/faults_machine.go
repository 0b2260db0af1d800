package main

import (
	"context"
	"math/rand/v2"
	"os"
	"time"
)

var faultsOfMachines = []fault{
	{"the disk of a NATS server is full", machines, func(ctx context.Context, f *fleet, random *rand.Rand) {
		fillUp(ctx, pick(random, f.nats))
	}},
	{"the disks of all NATS servers are full", machines, func(ctx context.Context, f *fleet, _ *rand.Rand) {
		fillUp(ctx, f.nats...)
	}},
	{"the clock of a node jumps", clocks, func(ctx context.Context, f *fleet, random *rand.Rand) {
		jump(ctx, pick(random, f.nodes), random)
	}},
	{"the clock of a NATS server jumps", clocks, func(ctx context.Context, f *fleet, random *rand.Rand) {
		jump(ctx, pick(random, f.nats), random)
	}},
}

// fillUp leaves disks without space for a while. NATS gives up its store when it
// cannot write, so an operator then makes space and restarts the servers.
func fillUp(ctx context.Context, all ...*process) {
	var ballast []string
	for _, p := range all {
		file, err := fill(p.disk)
		if err != nil {
			sayf("  %v", err)
		}
		ballast = append(ballast, file)
	}
	pause(ctx, bad)
	for _, file := range ballast {
		_ = os.Remove(file) // or the disk stays full, and what is never delivered shows it
	}
	roll(ctx, all)
}

// farOff is how far a clock may jump: more than ids are remembered.
const farOff = 20 * time.Minute

// jump has the clock of a server jump, ahead or behind, and after a while back.
func jump(ctx context.Context, p *process, random *rand.Rand) {
	off := upTo(random, 2*farOff) - farOff
	sayf("  %s of %s", off.Round(time.Second), p.name)
	for _, now := range []time.Duration{off, 0} {
		if err := p.setClock(now); err != nil {
			sayf("  set a clock: %v", err)
		}
		pause(ctx, bad)
	}
}
