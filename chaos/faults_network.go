package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// bad is how long the network is bad. A node that says nothing for 10 s is given up,
// and that is not what these faults are to show.
const bad = 6 * time.Second

var faultsOfTheNetwork = []fault{
	{"partition: a NATS server from everybody", machines, func(ctx context.Context, f *fleet, random *rand.Rand) {
		f.alone(ctx, pick(random, f.nats), weather{cut: true})
	}},
	{"partition: two NATS servers from each other", machines, func(ctx context.Context, f *fleet, random *rand.Rand) {
		one := pick(random, f.nats)
		other := pick(random, without(f.nats, one))
		f.wiring.between([]*process{one}, []*process{other}, weather{cut: true})
		pause(ctx, 3*bad) // their nodes have the time to go elsewhere
		f.wiring.clear()
	}},
	{"partition: all NATS servers from each other", machines, func(ctx context.Context, f *fleet, _ *rand.Rand) {
		f.turbulence(ctx, func() { f.wiring.between(f.nats, f.nats, weather{cut: true}) })
	}},
	{"partition: a NATS server hears and is not heard", machines, func(ctx context.Context, f *fleet, random *rand.Rand) {
		one := pick(random, f.nats)
		f.turbulence(ctx, func() { f.wiring.from([]*process{one}, without(f.all(), one), weather{cut: true}) })
	}},
	{"partition: a node from NATS, not from its clients", machines, func(ctx context.Context, f *fleet, random *rand.Rand) {
		f.turbulence(ctx, func() { f.wiring.between([]*process{pick(random, f.nodes)}, f.nats, weather{cut: true}) })
	}},
	{"partition: a node from NATS and its clients", machines, func(ctx context.Context, f *fleet, random *rand.Rand) {
		f.alone(ctx, pick(random, f.nodes), weather{cut: true})
	}},
	{"partition: a link that comes and goes", machines, func(ctx context.Context, f *fleet, random *rand.Rand) {
		one := pick(random, f.nats)
		for range 5 {
			f.wiring.between([]*process{one}, without(f.all(), one), weather{cut: true})
			pause(ctx, upTo(random, 800*time.Millisecond))
			f.wiring.clear()
			pause(ctx, upTo(random, 800*time.Millisecond))
		}
	}},
	{"delay: of 300 ms to and from a NATS server", machines, func(ctx context.Context, f *fleet, random *rand.Rand) {
		f.alone(ctx, pick(random, f.nats), weather{late: 300 * time.Millisecond})
	}},
	{"delay: of 100 ms between all servers", machines, func(ctx context.Context, f *fleet, _ *rand.Rand) {
		f.turbulence(ctx, func() { f.wiring.between(f.all(), f.all(), weather{late: 100 * time.Millisecond}) })
	}},
	{"loss: of every fifth packet between all servers", machines, func(ctx context.Context, f *fleet, _ *rand.Rand) {
		f.turbulence(ctx, func() { f.wiring.between(f.all(), f.all(), weather{loss: 0.2}) })
	}},
}

// turbulence has bad weather for a while.
func (f *fleet) turbulence(ctx context.Context, begin func()) {
	begin()
	pause(ctx, bad)
	f.wiring.clear()
}

// alone has bad weather between a server and all others, clients included.
func (f *fleet) alone(ctx context.Context, p *process, now weather) {
	f.turbulence(ctx, func() {
		f.wiring.between([]*process{p}, without(f.all(), p), now)
		f.wiring.between([]*process{p}, []*process{f.wiring.clients()}, now)
	})
}

func without(all []*process, one *process) []*process {
	return slices.DeleteFunc(slices.Clone(all), func(p *process) bool { return p == one })
}
