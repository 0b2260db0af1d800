package compare

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"millrace.dev/bench/load"
	"millrace.dev/bench/machine"
)

// warmUp is how many connections a server has had before connections are
// measured, so that its code is in memory.
const warmUp = 50

// setup is what it costs to accept a connection with a token, and subscribe.
func (h *harness) setup(ctx context.Context, c Contender) (sample, error) {
	return h.warmed(ctx, c, func(s *server) (sample, error) {
		w, err := openWindow(s)
		if err != nil {
			return sample{}, err
		}
		client, err := load.Open(ctx, s.target(c.wire), h.Setups)
		if err != nil {
			return sample{}, err
		}
		defer client.Close()
		cost, err := w.close()
		return sample{
			values:  map[string]float64{"setup": float64(cost.cpu.Microseconds()) / float64(h.Setups)},
			foreign: cost.foreign,
		}, err
	})
}

// idle is the memory of a subscriber that gets nothing, after a garbage
// collection.
func (h *harness) idle(ctx context.Context, c Contender) (sample, error) {
	return h.warmed(ctx, c, func(s *server) (sample, error) {
		n := h.Idle
		if c.wire.TLS {
			n /= 5 // a handshake takes long
		}
		before, err := s.resident(ctx)
		if err != nil {
			return sample{}, err
		}
		client, err := load.Open(ctx, s.target(c.wire), n)
		if err != nil {
			return sample{}, err
		}
		defer client.Close()
		if err := client.Idle(ctx, h.Settle); err != nil {
			return sample{}, err
		}
		after, err := s.resident(ctx)
		return sample{values: map[string]float64{"idle": float64(after-before) / 1024 / float64(n)}}, err
	})
}

// warmed runs a server that has had a few subscribers and messages.
func (h *harness) warmed(ctx context.Context, c Contender, look func(*server) (sample, error)) (sample, error) {
	s, err := h.start(ctx, c.program)
	if err != nil {
		return sample{}, err
	}
	defer s.stop()
	client, err := load.Open(ctx, s.target(c.wire), warmUp)
	if err != nil {
		return sample{}, err
	}
	_, err = client.Run(ctx, load.Plan{Duration: h.Settle, Rate: 20})
	if err == nil {
		err = client.Close()
	}
	if err != nil {
		return sample{}, err
	}
	return look(s)
}

// resident is the server's memory without what it could give back.
func (s *server) resident(ctx context.Context) (int, error) {
	found, err := s.collect(ctx)
	if err != nil {
		return 0, err
	}
	resident, err := machine.Resident(s.pid())
	return resident - found.Free, err
}

// The messages that fill the buffers of subscribers that do not read: several
// megabytes in a few seconds.
const (
	stalledSize = 16 << 10
	stalledRate = 100
)

// stalled is what one subscriber in ten that does not read costs: the kernel
// memory of each, and how the others' latency changes.
func (h *harness) stalled(ctx context.Context, c Contender) (sample, error) {
	return h.visit(ctx, c, h.Readers, func(s *server, client *load.Client) (sample, error) {
		plan := load.Plan{Duration: h.Duration, Rate: stalledRate, Size: stalledSize}
		w, err := openWindow(s)
		if err != nil {
			return sample{}, err
		}
		all, err := client.Run(ctx, plan)
		if err != nil {
			return sample{}, err
		}
		n, err := client.Stall(h.Readers / 10)
		if err != nil {
			return sample{}, err
		}
		memory := s.watchSendMemory(n)
		others, err := client.Run(ctx, plan)
		most, watchErr := memory.stop()
		if err != nil {
			return sample{}, err
		}
		cost, err := w.close()
		if err == nil {
			err = watchErr
		}
		return sample{
			values: map[string]float64{
				"stalled":     float64(most) / 1024 / float64(n),
				"stalled p99": float64(others.Latency.Quantile(0.99)) / float64(max(1, all.Latency.Quantile(0.99))),
			},
			foreign: cost.foreign, flaw: others.Clean(),
		}, err
	})
}

// watch looks at the kernel memory of a server's sockets now and then.
type watch struct {
	done    chan struct{}
	wait    sync.WaitGroup
	stalled int // subscribers that do not read

	// Owned by the goroutine, and after wait by stop.
	most int
	err  error
}

func (s *server) watchSendMemory(stalled int) *watch {
	w := &watch{done: make(chan struct{}), stalled: stalled}
	port, err := s.port()
	if err != nil {
		w.err = err
		return w
	}
	w.wait.Go(func() { w.run(port) })
	return w
}

func (w *watch) run(port uint16) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for w.err == nil {
		var sockets []int
		sockets, w.err = machine.SendMemory(port)
		w.most = max(w.most, largest(sockets, w.stalled))
		select {
		case <-ticker.C:
		case <-w.done:
			return
		}
	}
}

// largest adds up the n largest: others have something to send for a moment.
func largest(sockets []int, n int) int {
	slices.SortFunc(sockets, func(a, b int) int { return cmp.Compare(b, a) })
	total := 0
	for _, size := range sockets[:min(n, len(sockets))] {
		total += size
	}
	return total
}

// stop returns the most memory that there was.
func (w *watch) stop() (int, error) {
	close(w.done)
	w.wait.Wait()
	return w.most, w.err
}
