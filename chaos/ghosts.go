package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Times from the moment that something happens to a node.
const (
	backBy = 11 * time.Second // by when those come back who are to stay
	goneBy = 17 * time.Second // by when the others must be gone
	ice    = 20 * time.Second // how long a node is frozen: longer than it may say nothing
	healBy = 10 * time.Second // in which all is as before, once it is not any more
)

// moveBy is by when those are elsewhere who are asked to go.
const moveBy = 5 * time.Second

// perRoom is how many members a room has: of more than 1,000 only the number is told.
const perRoom = 200

// crowd is many members, who are connected with one node or another.
type crowd struct {
	size    int
	ledger  *ledger
	fleet   *fleet
	watcher *watcher
	members []*member
	running sync.WaitGroup
}

// ghosts tries what becomes of many members when a node that has them is killed,
// frozen or restarted.
func ghosts(ctx context.Context, f *fleet, size int) error {
	ctx, stop := context.WithCancel(ctx)
	l := newLedger()
	c := &crowd{size: size, ledger: l, fleet: f, watcher: newWatcher(l)}
	defer c.running.Wait()
	defer stop()
	for i := range (size + perRoom - 1) / perRoom {
		c.watcher.rooms = append(c.watcher.rooms, fmt.Sprint(lobby, ".", i))
	}
	c.fill()
	watching, unwatch := context.WithCancel(ctx)
	c.running.Go(func() { c.watcher.watch(watching, f.nodes[1].url()) })
	c.kill(ctx)
	c.freeze(ctx)
	unwatch()
	c.running.Go(func() { c.watcher.watch(ctx, f.proxy.url()) })
	c.roll(ctx)
	return l.verdict()
}

// fill adds the members that are not there any more. Those it adds are connected with
// no node yet.
func (c *crowd) fill() {
	for i := len(c.members); i < c.size; i++ {
		c.members = append(c.members, &member{ledger: c.ledger, room: c.watcher.rooms[i/perRoom], patience: time.Minute, cut: func() {}})
	}
}

// kill kills the node that has all members. Half of them come back in time, to the
// others.
func (c *crowd) kill(ctx context.Context) {
	c.connect(ctx, c.members, 0, c.fleet.nodes[0].url())
	c.ledger.await(ctx, "P-12", "all members are there", time.Minute, func() string { return c.watcher.missing(c.members) })
	stay, lost := halves(c.members)
	c.watcher.allow(lost)
	began := time.Now()
	c.fleet.nodes[0].end(syscall.SIGKILL)
	for _, m := range c.members {
		m.cut()
	}
	c.connect(ctx, stay, backBy, c.nodes()[1:]...)
	back := time.Since(began)
	c.ledger.await(ctx, "P-12", "the others are gone", goneBy-time.Since(began), func() string { return c.watcher.present(lost) })
	gone := time.Since(began)
	c.ledger.await(ctx, "P-12", "who came back is there", time.Second, func() string { return c.watcher.missing(stay) })
	sayf("kill -9 of the node of %d members: %d came back within %s, and the others were gone after %s", len(c.members), len(stay), inTenths(back), inTenths(gone))
	c.members = stay
	restart(ctx, c.fleet.nodes[0])
}

// freeze freezes a node. Half of its members leave by another node meanwhile, the
// others stay connected with it.
func (c *crowd) freeze(ctx context.Context) {
	frozen := c.fleet.nodes[2]
	var on []*member
	for _, m := range c.members {
		if m.at == frozen.url() {
			on = append(on, m)
		}
	}
	stay, moved := halves(on)
	c.watcher.allow(on)
	for _, m := range on {
		m.renounce()
	}
	_ = frozen.signal(syscall.SIGSTOP) // it runs
	began := time.Now()
	c.connect(ctx, moved, 0, c.fleet.nodes[0].url())
	for _, m := range moved {
		if err := m.leave(ctx); err != nil {
			c.ledger.notef("P-4", "%s cannot leave: %v", m.id, err)
		}
		m.cut()
	}
	c.ledger.await(ctx, "P-12", "the members of a frozen node are gone", goneBy-time.Since(began), func() string { return c.watcher.present(on) })
	gone := time.Since(began)
	pause(ctx, ice-time.Since(began))
	_ = frozen.signal(syscall.SIGCONT)
	thawed := time.Now()
	c.ledger.await(ctx, "P-13", "who is still connected is there again", healBy, func() string { return c.watcher.missing(stay) })
	healed := time.Since(thawed)
	pause(ctx, goneBy-healed) // it has said what it says late, and whom it cut off is gone
	if back := c.watcher.present(moved); back != "" {
		c.ledger.notef("P-13", "those who had left by another node are there again: %s", back)
	}
	sayf("SIGSTOP of the node of %d members for %s: they were gone after %s; %d who were still connected were there again %s after it ran on, %d who had left by another node were not",
		len(on), ice, inTenths(gone), len(stay), inTenths(healed), len(moved))
	c.members = slices.DeleteFunc(c.members, func(m *member) bool { return slices.Contains(moved, m) })
	c.watcher.allow(nil)
}

// nodes are the addresses of all nodes. Members have no proxy between them: it would be
// in this process, which may open only so many connections.
func (c *crowd) nodes() (urls []string) {
	for _, node := range c.fleet.nodes {
		urls = append(urls, node.url())
	}
	return urls
}

// roll restarts all nodes, one after the other.
func (c *crowd) roll(ctx context.Context) {
	c.fill()
	c.connect(ctx, c.members, moveBy, c.nodes()...)
	roll(ctx, c.fleet.nodes)
	pause(ctx, goneBy) // who has left falsely is gone
	c.ledger.await(ctx, "P-12", "all members are there", time.Second, func() string { return c.watcher.missing(c.members) })
	sayf("rolling restart of the nodes of %d members: %d are not there", len(c.members), len(c.watcher.absent(c.members)))
}

// connect connects members with the first of some addresses, the next, and so on,
// evenly over a time, instead of where they were. A member that loses its connection
// goes on to the next address. It returns once all are present.
func (c *crowd) connect(ctx context.Context, members []*member, over time.Duration, to ...string) {
	var entered sync.WaitGroup
	began := time.Now()
	for i, m := range members {
		pause(ctx, over*time.Duration(i)/time.Duration(len(members))-time.Since(began))
		once, cut := context.WithCancel(ctx)
		m.cut()
		own := slices.Concat(to[i%len(to):], to[:i%len(to)])
		m.at, m.cut = own[0], cut
		entered.Add(1)
		c.running.Go(func() { m.stay(once, own, sync.OnceFunc(entered.Done)) })
	}
	entered.Wait()
}

func halves(all []*member) (one, other []*member) { return all[:len(all)/2], all[len(all)/2:] }

func sayf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func inTenths(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
