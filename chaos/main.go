// Command chaos runs three nodes on three NATS servers, with a proxy in front, and
// breaks them while clients publish, follow and are present. It checks what they
// see against the rules of docs/PROTOCOL.md, and exits with 1 on any loss, repeat,
// reorder, silent gap, ghost or false leave.
//
//	chaos --for 60s --seed 1        faults, one after the other
//	chaos --crowd 5000              what becomes of the members of a node that is killed, frozen, restarted
//	chaos --costs                   processor time of a delivery and a publish, with 1, 2 and 4 nodes
//	chaos --for 0 --listen :8080    no faults: a cluster to try, until interrupted
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.DurationVar(&o.long, "for", time.Minute, "how long faults happen; 0 for a cluster without faults and clients")
	flag.Uint64Var(&o.seed, "seed", 1, "what decides which faults happen")
	flag.StringVar(&o.bin, "bin", ".tmp/bin", "where millrace and nats-server are")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address of the proxy")
	flag.IntVar(&o.channels, "channels", 6, "channels that are published to")
	flag.IntVar(&o.members, "members", 40, "sessions that are present")
	flag.DurationVar(&o.every, "every", 25*time.Millisecond, "how often each channel is published to")
	flag.StringVar(&o.only, "only", "", "let only faults happen whose name has this text")
	flag.BoolVar(&o.processes, "processes", false, "let only faults of processes happen: no network and no disk is made for them")
	flag.IntVar(&o.crowd, "crowd", 0, "instead: have so many members on one node, and kill, freeze and restart it")
	flag.BoolVar(&o.costs, "costs", false, "instead: measure the memory of silent sessions, and the processor time of deliveries and publishes, with 1, 2 and 4 nodes")
	flag.BoolVar(&o.clocks, "clocks", false, "the programs are built for clocks that jump (see chaos/clock)")
	flag.StringVar(&o.report, "report", "", "file to add the report to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

type options struct {
	long, every       time.Duration
	seed              uint64
	bin, listen       string
	report, only      string
	channels, members int
	crowd             int
	costs, clocks     bool
	processes         bool
}

// isTrial reports whether faults are to happen.
func (o options) isTrial() bool { return o.long > 0 && o.crowd == 0 && !o.costs }

func run(ctx context.Context, o options) (err error) {
	if o.isTrial() && !o.processes {
		if ran, err := enterWorld(ctx); ran {
			return err
		}
	}
	world, err := furnish()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "millrace-chaos-")
	if err != nil {
		return err
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	if o.costs {
		return errors.Join(costs(ctx, bin, dir), os.RemoveAll(dir))
	}
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	f, err := startFleet(starting, plan{dir: dir, bin: bin, listen: o.listen, servers: 3, nodes: 3, machines: world, clocks: o.clocks})
	cancel()
	defer func() {
		if stopErr := f.stop(); err == nil {
			err = stopErr
		}
		if err == nil {
			err = os.RemoveAll(dir) // else its logs say more
		}
	}()
	if err != nil {
		return err
	}
	if o.long == 0 {
		fmt.Fprintf(os.Stderr, "three nodes on three NATS servers: %s; logs in %s\n", f.proxy.url(), dir)
		for _, p := range f.nodes {
			fmt.Fprintf(os.Stderr, "  %s: http://%s\n", p.name, p.address)
		}
		<-ctx.Done()
		return nil
	}
	if o.crowd > 0 {
		return ghosts(ctx, f, o.crowd)
	}
	r := &trial{options: o, fleet: f, ledger: newLedger(), recoveries: map[string]time.Duration{}}
	r.run(ctx)
	return r.conclude()
}

// trial is one run of faults.
type trial struct {
	options
	fleet   *fleet
	ledger  *ledger
	watcher *watcher
	happens []string // the faults, in order
	// recoveries is how long it took after each kind of fault until all was well.
	recoveries map[string]time.Duration
}

// settleFor is how long all may take to be well again after the last fault.
const settleFor = 60 * time.Second

func (t *trial) run(ctx context.Context) {
	url := t.fleet.proxy.url()
	ctx, stopAll := context.WithCancel(ctx)
	var reading, publishing sync.WaitGroup
	defer reading.Wait()
	defer stopAll()
	publishCtx, stopPublishing := context.WithCancel(ctx)
	defer stopPublishing()
	for i := range t.channels {
		channel := fmt.Sprint("chaos.", i)
		for wire := range wires {
			r := t.ledger.reader(wire, channel)
			reading.Go(func() { follow(ctx, url, r) })
		}
		publishing.Go(func() { publish(publishCtx, t.fleet.proxy, channel, t.every, t.ledger) })
	}
	leavers, stayers, cutOff := t.present(ctx, url, &reading)
	t.watcher = newWatcher(t.ledger, lobby)
	reading.Go(func() { t.watcher.watch(ctx, url) })
	t.trouble(ctx)
	stopPublishing()
	publishing.Wait()
	t.ledger.await(ctx, "D-3", "every reader has all", settleFor, t.ledger.behind)
	t.ledger.await(ctx, "P-12", "all members are there", settleFor, func() string { return t.watcher.missing(append(leavers, stayers...)) })
	// Those who are cut off now linger for 15 s, and then are gone.
	t.watcher.allow(leavers)
	cutOff()
	t.ledger.await(ctx, "P-3", "those who left are gone", settleFor, func() string { return t.watcher.present(leavers) })
	t.ledger.check()
}

// present has members enter, half of whom cutOff cuts off.
func (t *trial) present(ctx context.Context, url string, running *sync.WaitGroup) (leavers, stayers []*member, cutOff func()) {
	leaving, cutOff := context.WithCancel(ctx)
	var entered sync.WaitGroup
	for i := range t.members {
		m := &member{ledger: t.ledger, room: lobby, patience: quiet}
		until := ctx
		if i%2 == 0 {
			until, leavers = leaving, append(leavers, m)
		} else {
			stayers = append(stayers, m)
		}
		entered.Add(1)
		running.Go(func() { m.stay(until, []string{url}, sync.OnceFunc(entered.Done)) })
	}
	entered.Wait()
	return leavers, stayers, cutOff
}

// trouble lets faults happen, each kind before one comes again.
func (t *trial) trouble(ctx context.Context) {
	random, all := rand.New(rand.NewPCG(t.seed, 0)), possible(t.fleet, t.only)
	if len(all) == 0 {
		t.ledger.notef("none", "no fault that is possible here has %q in its name", t.only)
		return
	}
	pause(ctx, 2*time.Second)
	for end := time.Now().Add(t.long); ; {
		for _, i := range random.Perm(len(all)) {
			if time.Now().After(end) || ctx.Err() != nil {
				return
			}
			sayf("%s %s", time.Now().Format(time.TimeOnly), all[i].name)
			t.happens = append(t.happens, all[i].name)
			t.ledger.begins(all[i].name)
			all[i].happen(ctx, t.fleet, random)
			t.recover(ctx, all[i].name)
			pause(ctx, 5*time.Second)
		}
	}
}

// recover waits until what is published is delivered to everybody again.
func (t *trial) recover(ctx context.Context, from string) {
	over := time.Now()
	t.ledger.await(ctx, "D-3", "", settleFor, func() string { return t.ledger.stuck(over) })
	t.recoveries[from] = max(t.recoveries[from], time.Since(over))
}

// conclude reports, and fails if a rule was broken.
func (t *trial) conclude() error {
	counts := map[string]int{}
	for _, name := range t.happens {
		counts[name]++
	}
	n := t.ledger.numbers
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %s, %d faults: %d acknowledged, %d delivered to %d readers, %d connections of readers, %d tries to publish that failed, %d members; rules broken %v\n",
		t.seed, t.long, len(t.happens), n.Acked, n.Delivered, len(t.ledger.readers), n.Resumes, n.Retries, t.members, t.ledger.broken)
	fmt.Fprintf(&b, "longest publish %s, longest try of one that failed %s, longest delivery after its acknowledgement %s (%s)\n",
		inTenths(n.LongestPublish), inTenths(n.LongestTry), inTenths(n.LongestDelay), t.ledger.latest)
	for _, slow := range t.ledger.slow {
		fmt.Fprintf(&b, "slow: %s\n", slow)
	}
	fmt.Fprint(&b, "\n| fault | times | longest time until all was well |\n| --- | --- | --- |\n")
	for _, fault := range possible(t.fleet, t.only) {
		fmt.Fprintf(&b, "| %s | %d | %s |\n", fault.name, counts[fault.name], inTenths(t.recoveries[fault.name]))
	}
	fmt.Fprint(os.Stderr, b.String())
	return errors.Join(t.ledger.verdict(), t.write(b.String()))
}

// write adds the report to a file.
func (t *trial) write(text string) error {
	if t.report == "" {
		return nil
	}
	f, err := os.OpenFile(t.report, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
