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
	flag.IntVar(&o.crowd, "crowd", 0, "instead: have so many members on one node, and kill, freeze and restart it")
	flag.BoolVar(&o.costs, "costs", false, "instead: measure the processor time of deliveries and publishes with 1, 2 and 4 nodes")
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
	costs             bool
}

func run(ctx context.Context, o options) (err error) {
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
	f, err := startFleet(starting, dir, bin, o.listen, 3, 3)
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
	r := &trial{options: o, fleet: f, ledger: newLedger()}
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
		publishing.Go(func() { publish(publishCtx, url, channel, t.every, t.ledger) })
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
		running.Go(func() { m.stay(until, url, sync.OnceFunc(entered.Done)) })
	}
	entered.Wait()
	return leavers, stayers, cutOff
}

// trouble lets faults happen, each kind before one comes again.
func (t *trial) trouble(ctx context.Context) {
	random := rand.New(rand.NewPCG(t.seed, 0))
	pause(ctx, 2*time.Second)
	for end := time.Now().Add(t.long); ; {
		for _, i := range random.Perm(len(faults)) {
			if time.Now().After(end) || ctx.Err() != nil {
				return
			}
			if !strings.Contains(faults[i].name, t.only) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format(time.TimeOnly), faults[i].name)
			t.happens = append(t.happens, faults[i].name)
			faults[i].happen(ctx, t.fleet, random)
			pause(ctx, 5*time.Second)
		}
	}
}

// conclude reports, and fails if a rule was broken.
func (t *trial) conclude() error {
	n := t.ledger.numbers
	counts := map[string]int{}
	for _, name := range t.happens {
		counts[name]++
	}
	text := fmt.Sprintf("seed %d, %s, %d faults: %d acknowledged, %d delivered on %d readers, %d connections of readers, %d publishes tried again, %d members; "+
		"longest publish %s, longest delivery after its acknowledgement %s; %d rules broken\n",
		t.seed, t.long, len(t.happens), n.Acked, n.Delivered, len(t.ledger.readers), n.Resumes, n.Retries, t.members,
		n.LongestPublish.Round(time.Millisecond), n.LongestDelay.Round(time.Millisecond), len(t.ledger.faults))
	fmt.Fprint(os.Stderr, text)
	return errors.Join(t.ledger.verdict(), t.write(text, counts))
}

// write adds the report to a file.
func (t *trial) write(text string, counts map[string]int) error {
	if t.report == "" {
		return nil
	}
	f, err := os.OpenFile(t.report, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	fmt.Fprintf(f, "- %s", text)
	for _, fault := range faults {
		fmt.Fprintf(f, "  - %d × %s\n", counts[fault.name], fault.name)
	}
	return f.Close()
}
