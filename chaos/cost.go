package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// What is measured, with each number of nodes.
const (
	costReaders   = 240 // sessions on WebSocket at each node
	costMessages  = 500 // that all of them are delivered
	costEvery     = 20 * time.Millisecond
	costPublishes = 5000 // that nobody follows
	costAtOnce    = 64
	costSilent    = 2000 // sessions on WebSocket at each node, that do nothing
)

var costNodes = []int{1, 2, 4}

// costs measures what silent sessions occupy, and how much processor time deliveries
// and publishes take: of the nodes together, and of the NATS servers together.
func costs(ctx context.Context, bin, dir string) error {
	for _, n := range costNodes {
		dir := filepath.Join(dir, strconv.Itoa(n))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		f, err := startFleet(ctx, plan{dir: dir, bin: bin, listen: "127.0.0.1:0", servers: 3, nodes: n})
		if err == nil {
			err = cost(ctx, f)
		}
		if stopErr := f.stop(); err == nil {
			err = stopErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func cost(ctx context.Context, f *fleet) error {
	l := newLedger()
	client, hangUp := newClient(f.nodes[0].url())
	defer hangUp()
	publishOne(ctx, client, f.proxy, "chaos.cost", "first", l)
	if err := silence(ctx, f); err != nil {
		return err
	}
	idle := spend(f, func() { pause(ctx, 10*time.Second) })
	reading, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	var readers []*reader
	for i := range costReaders * len(f.nodes) {
		r := l.reader("ws", "chaos.cost")
		readers = append(readers, r)
		running.Go(func() { follow(reading, f.nodes[i%len(f.nodes)].url(), r) })
	}
	l.await(ctx, "D-3", "all follow", time.Minute, l.behind)
	delivered := spend(f, func() {
		for i := range costMessages {
			publishOne(ctx, client, f.proxy, "chaos.cost", fmt.Sprint("m", i), l)
			pause(ctx, costEvery)
		}
		l.await(ctx, "D-3", "all have all", time.Minute, l.behind)
	})
	published := spend(f, func() {
		var publishing sync.WaitGroup
		for k := range costAtOnce {
			publishing.Go(func() {
				for i := range costPublishes / costAtOnce {
					publishOne(ctx, client, f.proxy, fmt.Sprint("chaos.alone.", k), fmt.Sprint(k, "-", i), l)
				}
			})
		}
		publishing.Wait()
	})
	deliveries := time.Duration(costMessages * len(readers))
	sayf("%d nodes: %v of the nodes for a delivery; %v of the nodes and %v of the NATS servers for a publish that nobody follows; idle, %v and %v of a second",
		len(f.nodes), (delivered.nodes-idle.during(delivered.took).nodes)/deliveries, (published.nodes-idle.during(published.took).nodes)/costPublishes,
		(published.nats-idle.during(published.took).nats)/costPublishes, idle.during(time.Second).nodes.Round(time.Millisecond), idle.during(time.Second).nats.Round(time.Millisecond))
	return l.verdict()
}

// silence measures what each of many silent sessions occupies.
func silence(ctx context.Context, f *fleet) error {
	before := occupied(f.nodes)
	sessions := costSilent * len(f.nodes)
	ctx, end := context.WithCancel(ctx)
	defer end()
	opened := make(chan error, sessions)
	var opening sync.WaitGroup
	for k := range costAtOnce {
		opening.Go(func() {
			for i := k; i < sessions; i += costAtOnce {
				opened <- openSilent(ctx, f.nodes[i%len(f.nodes)].url())
			}
		})
	}
	opening.Wait()
	close(opened)
	for err := range opened {
		if err != nil {
			return fmt.Errorf("open silent sessions: %w", err)
		}
	}
	sayf("%d nodes: %.1f KB of the nodes for a silent session", len(f.nodes), float64(occupied(f.nodes)-before)/float64(sessions)/1000)
	return nil
}

// openSilent opens a session that does nothing until ctx ends.
func openSilent(ctx context.Context, url string) error {
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(url, "http")+"/ws?channel=chaos.silent", nil) //nolint:bodyclose // the library's
	if err == nil {
		conn.CloseRead(ctx)
	}
	return err
}

// occupied is what some processes have in memory, in bytes.
func occupied(all []*process) (sum int) {
	for _, p := range all {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
		if err != nil {
			continue // it has ended, which shows elsewhere
		}
		pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
		sum += pages * os.Getpagesize()
	}
	return sum
}

// spent is processor time.
type spent struct{ nodes, nats, took time.Duration }

// during is as much of it as goes on in a time.
func (s spent) during(d time.Duration) spent {
	part := d.Seconds() / s.took.Seconds()
	return spent{time.Duration(float64(s.nodes) * part), time.Duration(float64(s.nats) * part), d}
}

// spend measures what servers spend while something is done.
func spend(f *fleet, do func()) spent {
	began, nodes, nats := time.Now(), used(f.nodes), used(f.nats)
	do()
	return spent{used(f.nodes) - nodes, used(f.nats) - nats, time.Since(began)}
}

// used is the processor time of some processes since they started.
func used(all []*process) (sum time.Duration) {
	for _, p := range all {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil {
			continue // it has ended, which shows elsewhere
		}
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after)
		for _, ticks := range fields[11:13] { // of the user and of the system
			n, _ := strconv.Atoi(ticks)
			sum += time.Duration(n) * (time.Second / 100)
		}
	}
	return sum
}
