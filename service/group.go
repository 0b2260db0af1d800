package service

import (
	"slices"
	"sync"
	"sync/atomic"
)

// group is the subscriptions to a topic whose sessions have one writer. A message
// marks it, and its writer visits them: publishing costs the same however many
// they are.
type group struct {
	// Set once.
	topic  *topic
	writer *writer

	size   int         // of those in it once all changes are made; guarded by topic.mu
	marked atomic.Bool // in the writer's list

	mu      sync.Mutex
	changes []change // in their order, not made yet

	members []*subscription // owned by the writer
}

// change is a subscription that has come or gone.
type change struct {
	sub  *subscription
	gone bool
}

func (g *group) change(c change) {
	g.mu.Lock()
	g.changes = append(g.changes, c)
	g.mu.Unlock()
}

// mark has the writer visit the group.
func (g *group) mark() {
	if !g.marked.Load() && !g.marked.Swap(true) {
		g.writer.addGroup(g)
	}
}

// hasAtMost reports whether a visit goes to at most n members. Only the writer calls
// it.
func (g *group) hasAtMost(n int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.members)+len(g.changes) <= n
}

// visitTogether is how many subscriptions of a group are told without a pause.
const visitTogether = 256

// visit tells every subscription what the topic has for it, and pauses now and
// then. Only the writer calls it, and not for the same group during a pause.
func (g *group) visit(pause func()) {
	g.marked.Store(false) // first: what is published from here on marks it anew
	g.mu.Lock()
	changes := g.changes
	g.changes = nil
	g.mu.Unlock()
	for _, c := range changes {
		g.make(c)
	}
	tail := g.topic.tail.Load()
	for some := range slices.Chunk(g.members, visitTogether) {
		for _, sub := range some {
			sub.notify(tail)
		}
		if len(some) == visitTogether {
			pause()
		}
	}
}

// make makes one change. The last member takes the place of one that goes.
func (g *group) make(c change) {
	if !c.gone {
		c.sub.index = len(g.members)
		g.members = append(g.members, c.sub)
		return
	}
	last := len(g.members) - 1
	g.members[c.sub.index] = g.members[last]
	g.members[c.sub.index].index = c.sub.index
	g.members[last] = nil
	g.members = g.members[:last]
}
