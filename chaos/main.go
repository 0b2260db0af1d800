// Command chaos runs three nodes on three NATS servers, with a proxy in front, and
// breaks them while clients publish, follow and are present. It checks what they
// see against the rules of docs/PROTOCOL.md, and exits with 1 on any loss, repeat,
// reorder, silent gap, ghost or false leave.
//
//	chaos --for 60s --seed 1        faults, one after the other
//	chaos --for 0 --listen :8080    no faults: a cluster to try, until interrupted
package main

import (
	"context"
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
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	f, err := startFleet(starting, dir, bin, o.listen, 3)
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
	t.watcher = &watcher{ledger: t.ledger, members: map[string]bool{}}
	reading.Go(func() { t.watcher.watch(ctx, url) })
	t.trouble(ctx)
	stopPublishing()
	publishing.Wait()
	t.await(ctx, "every reader has all", func() string { return t.ledger.behind() })
	t.await(ctx, "all members are there", func() string {
		if _, missing := t.watcher.ghosts(append(leavers, stayers...)); len(missing) > 0 {
			return fmt.Sprint(len(missing), " members are missing: ", missing)
		}
		return ""
	})
	// Those who are cut off now linger for 15 s, and then are gone.
	t.watcher.allow(leavers)
	cutOff()
	t.await(ctx, "those who left are gone", func() string {
		if ghosts, _ := t.watcher.ghosts(nil); len(ghosts) > 0 {
			return fmt.Sprint(len(ghosts), " ghosts: ", ghosts)
		}
		return ""
	})
	t.ledger.check()
}

// present has members enter, half of whom cutOff cuts off.
func (t *trial) present(ctx context.Context, url string, running *sync.WaitGroup) (leavers, stayers []*member, cutOff func()) {
	leaving, cutOff := context.WithCancel(ctx)
	var entered sync.WaitGroup
	for i := range t.members {
		m := &member{ledger: t.ledger}
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

// await waits until nothing is wrong, and notes what still is when it may not be
// any more.
func (t *trial) await(ctx context.Context, what string, wrong func() string) {
	began := time.Now()
	for {
		text := wrong()
		if text == "" {
			fmt.Fprintf(os.Stderr, "%s after %s\n", what, time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > settleFor || ctx.Err() != nil {
			t.ledger.mu.Lock()
			t.ledger.faultf("D-3", "not so after %s: %s: %s", settleFor, what, text)
			t.ledger.mu.Unlock()
			return
		}
		pause(ctx, 20*time.Millisecond)
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
	for i, f := range t.ledger.faults {
		if i == 20 {
			break
		}
		fmt.Fprintln(os.Stderr, " ", f)
	}
	if err := t.write(text, counts); err != nil {
		return err
	}
	if len(t.ledger.faults) > 0 {
		return fmt.Errorf("%d rules were broken", len(t.ledger.faults))
	}
	return nil
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
