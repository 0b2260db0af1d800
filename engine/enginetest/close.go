package enginetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"millrace.dev/engine"
)

func closePromises(options Options) []promise {
	promises := []promise{
		{"every call after Close answers ErrClosed", closedForAll},
		{"Close ends all deliveries before it returns, and loses none that was acknowledged", closeEndsDeliveries},
		{"whoever closes an engine at the same time waits as well", closeWaitsForAll},
		{"a closed engine leaves no goroutine behind", closeLeavesNothing},
	}
	if options.Durable {
		return append(promises, promise{"an engine that is opened anew has its channels again", reopenedContinues})
	}
	return append(promises, promise{"an engine that is opened anew has new epochs", reopenedBeginsAnew})
}

func (s *subject) close() {
	s.Helper()
	if err := s.Close(); err != nil {
		s.Fatalf("close: %v", err)
	}
}

func closedForAll(s *subject) {
	s.fill("closed", 1)
	s.close()
	for name, call := range map[string]func(context.Context) error{
		"Append":        func(ctx context.Context) error { _, err := s.Append(ctx, text("closed", ""), keep); return err },
		"first Append":  func(ctx context.Context) error { _, err := s.Append(ctx, text("new", ""), keep); return err },
		"Broadcast":     func(ctx context.Context) error { return s.Broadcast(ctx, ephemeral("closed", "")) },
		"State":         func(ctx context.Context) error { _, err := s.State(ctx, "closed"); return err },
		"another State": func(ctx context.Context) error { _, err := s.State(ctx, "new"); return err },
		"Read": func(ctx context.Context) error {
			_, err := s.Read(ctx, "closed", engine.ReadOptions{Limit: 1})
			return err
		},
		"Sync":     func(ctx context.Context) error { return s.Sync(ctx) },
		"Sequence": func(ctx context.Context) error { _, err := s.Sequence(ctx); return err },
		"Channels": func(ctx context.Context) error {
			_, err := s.Channels(ctx, func(string) bool { return true }, 0)
			return err
		},
	} {
		if err := call(s.Context()); !errors.Is(err, engine.ErrClosed) {
			s.Errorf("%s after Close: %v", name, err)
		}
	}
	if n := s.count(); n != 1 {
		s.Errorf("%d messages were delivered", n)
	}
	s.close() // once more does no harm
}

func closeEndsDeliveries(s *subject) {
	var mu sync.Mutex
	acknowledged := []string{}
	var running sync.WaitGroup
	for i := range publishers {
		running.Go(func() {
			for k := 0; ; k++ {
				data := strconv.Itoa(i) + "/" + strconv.Itoa(k)
				_, err := s.Append(s.Context(), text("close."+strconv.Itoa(k%7), data), keeping(10, 0))
				if err == nil {
					err = s.Broadcast(s.Context(), ephemeral("close."+strconv.Itoa(i), ""))
					mu.Lock()
					acknowledged = append(acknowledged, data)
					mu.Unlock()
				}
				if err != nil {
					if !errors.Is(err, engine.ErrClosed) {
						s.Errorf("publish: %v", err)
					}
					return
				}
			}
		})
	}
	for s.count() < 200 {
		runtime.Gosched()
	}
	s.close()
	count := s.count()
	running.Wait()
	if late := s.since(count); len(late) > 0 {
		s.Errorf("%d messages were delivered after Close", len(late))
	}
	delivered := map[string]bool{}
	for _, m := range s.since(0) {
		delivered[string(m.Payload.Data)] = true
	}
	for _, data := range acknowledged {
		if !delivered[data] {
			s.Errorf("%s was acknowledged and not delivered", data)
		}
	}
}

func closeWaitsForAll(s *subject) {
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for {
				if _, err := s.Append(s.Context(), text("close", ""), keeping(1, 0)); err != nil {
					return
				}
			}
		})
	}
	for s.count() < 50 {
		runtime.Gosched()
	}
	each(4, func(int) {
		err := s.Close()
		count := s.count()
		for range 100 {
			runtime.Gosched()
		}
		if late := len(s.since(count)); err != nil || late > 0 {
			s.Errorf("close: %v; %d messages were delivered after it", err, late)
		}
	})
	running.Wait()
}

func closeLeavesNothing(s *subject) {
	s.close()
	before := runtime.NumGoroutine()
	s.open()
	s.crowd()
	s.broadcast(ephemeral("crowd.a", ""))
	s.close()
	for range 1000 { // what has ended may still be counted
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	s.eventually(func() string {
		if n := runtime.NumGoroutine(); n > before {
			stacks := make([]byte, 64<<10)
			return fmt.Sprintf("%d goroutines, %d before:\n%s", n, before, stacks[:runtime.Stack(stacks, true)])
		}
		return ""
	})
}

func reopenedContinues(s *subject) {
	s.fill("durable", 3)
	first := s.publish(withID("durable", "a", "4"), keep)
	state, log, sequence := s.state("durable"), s.kept("durable"), s.sequence()
	s.close()
	s.open()
	if again := s.state("durable"); again != state {
		s.Errorf("the channel was at %+v and is at %+v", state, again)
	}
	if d := difference("the log", s.kept("durable"), "the log before", log); d != "" {
		s.Error(d)
	}
	if again := s.sequence(); again.Epoch == sequence.Epoch && again.Offset < sequence.Offset {
		s.Errorf("the sequence was %v and is %v", sequence, again)
	}
	s.again(withID("durable", "a", "4"), keep, first)
	s.fill("durable", 1)
	if broken := brokenChain(s.delivered("durable"), state.Position()); broken != "" {
		s.Error(broken)
	}
	if n := len(s.delivered("durable")); n != 1 {
		s.Errorf("%d messages were delivered, want the new one", n)
	}
}

func reopenedBeginsAnew(s *subject) {
	s.fill("a", 3)
	used, unused, sequence := s.state("a"), s.state("b"), s.sequence()
	s.close()
	s.open()
	epochs := []string{s.state("a").Epoch, s.state("b").Epoch, s.sequence().Epoch}
	for _, old := range []string{used.Epoch, unused.Epoch, sequence.Epoch} {
		if slices.Contains(epochs, old) {
			s.Errorf("epoch %q has come back among %q", old, epochs)
		}
	}
	if len(s.kept("a")) > 0 {
		s.Errorf("messages have come back without their epoch")
	}
}
