package memory

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace.dev/engine"
)

// start opens an engine that is closed with the test.
func start(t *testing.T, deliver engine.Deliver) *memory {
	t.Helper()
	started, err := Open(Options{})(t.Context(), deliver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := started.Close(); err != nil {
			t.Error(err)
		}
	})
	e, ok := started.(*memory)
	if !ok {
		t.Fatalf("the engine is a %T", started)
	}
	return e
}

func ignore(*engine.Message) {}

func stateOf(t *testing.T, e *memory, channel string) engine.State {
	t.Helper()
	state, err := e.State(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func appendOne(t *testing.T, e *memory, m *engine.Message, keep engine.Retention) engine.Position {
	t.Helper()
	m.Time = time.Now()
	receipt, err := e.Append(t.Context(), m, engine.AppendOptions{Retention: keep})
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Position
}

// logs counts the logs of all shards.
func (e *memory) logs() (n int) {
	for i := range e.shards {
		e.shards[i].mu.RLock()
		n += len(e.shards[i].logs)
		e.shards[i].mu.RUnlock()
	}
	return n
}

var tenMinutes = engine.Retention{Messages: 100, Age: 10 * time.Minute}

func TestAChannelIsForgottenAfterItsStateTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, ignore)
		p := appendOne(t, e, &engine.Message{Channel: "a"}, tenMinutes)
		time.Sleep(23 * time.Hour)
		want := engine.State{Epoch: p.Epoch, Low: 2, Head: 1, Sequence: 1}
		if state := stateOf(t, e, "a"); state != want {
			t.Errorf("within its time the channel is at %+v, want %+v", state, want)
		}
		time.Sleep(23 * time.Hour) // since it was asked for
		if n := e.logs(); n != 1 {
			t.Errorf("%d logs are left, want 1", n)
		}
		time.Sleep(2 * time.Hour)
		if n := e.logs(); n != 0 {
			t.Errorf("%d logs are left, want none", n)
		}
		state := stateOf(t, e, "a")
		if state.Epoch == p.Epoch || state.Head != 0 {
			t.Errorf("a forgotten channel that was in epoch %s is at %+v", p.Epoch, state)
		}
		if next := appendOne(t, e, &engine.Message{Channel: "a"}, tenMinutes); next.Epoch != state.Epoch || next.Offset != 1 {
			t.Errorf("the channel is at %+v, and its first message at %v", state, next)
		}
	})
}

func TestEveryLifeOfAChannelHasItsEpoch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, ignore)
		epochs := map[string]bool{}
		unused := stateOf(t, e, "unused")
		const lives = 3
		for range lives {
			epochs[appendOne(t, e, &engine.Message{Channel: "a"}, tenMinutes).Epoch] = true
			time.Sleep(25 * time.Hour)
		}
		if len(epochs) != lives {
			t.Errorf("%d lives had %d epochs", lives, len(epochs))
		}
		if state := stateOf(t, e, "unused"); state != unused {
			t.Errorf("a channel that nobody used was at %+v and is at %+v", unused, state)
		}
	})
}

func TestAskingForUnusedChannelsLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, ignore)
		before := map[string]engine.State{}
		for i := range 10_000 {
			name := strconv.Itoa(i)
			before[name] = stateOf(t, e, name)
			if _, err := e.Read(t.Context(), name, engine.ReadOptions{Limit: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if n := e.logs(); n != 0 {
			t.Fatalf("%d logs were made by asking", n)
		}
		for name := range before {
			if err := e.Broadcast(t.Context(), &engine.Message{Channel: name, Ephemeral: true}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * sweepInterval)
		if n := e.logs(); n != 0 {
			t.Errorf("%d logs are left of broadcasts", n)
		}
		for name, state := range before {
			if after := stateOf(t, e, name); after != state {
				t.Fatalf("channel %s was at %+v and is at %+v", name, state, after)
			}
		}
	})
}

func TestForgottenChannelsAreCountedUpToABound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, ignore)
		used := appendOne(t, e, &engine.Message{Channel: "a"}, engine.Retention{})
		s, _ := e.shard("a")
		s.mu.Lock()
		for i := range uint64(maxForgotten) {
			s.forgotten[i]++
		}
		unused := s.epoch
		s.mu.Unlock()
		time.Sleep(25 * time.Hour)
		s.mu.RLock()
		counted, epoch := len(s.forgotten), s.epoch
		s.mu.RUnlock()
		if counted != 0 || epoch == unused {
			t.Errorf("%d are counted in epoch %s, want none in another than %s", counted, epoch, unused)
		}
		if state := stateOf(t, e, "a"); state.Epoch == used.Epoch {
			t.Errorf("epoch %s has come back", used.Epoch)
		}
	})
}

func TestExpiredMessagesAreFreedThoughNobodyAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, ignore)
		for range 100 {
			appendOne(t, e, &engine.Message{Channel: "a"}, tenMinutes)
		}
		l, err := e.lock("a")
		if err != nil {
			t.Fatal(err)
		}
		l.mu.Unlock()
		time.Sleep(12 * time.Minute)
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.IsBare() || l.State().Head != 100 {
			t.Errorf("a log that was swept is at %+v, bare %v", l.State(), l.IsBare())
		}
	})
}

// planned counts the logs that sweeps of the next while would look at.
func (e *memory) planned(within time.Duration) (n int) {
	limit := time.Now().Add(within)
	for i := range e.shards {
		s := &e.shards[i].schedule
		s.mu.Lock()
		for _, p := range s.plans {
			if p.at.Before(limit) {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}

func TestH2AChannelInWhichNothingHappensCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := start(t, ignore)
		const channels = 1000
		for i := range channels {
			name := strconv.Itoa(i)
			appendOne(t, e, &engine.Message{Channel: name, ID: "id", Producer: &engine.Producer{ID: "p", Seq: 1}}, tenMinutes)
			appendOne(t, e, &engine.Message{Channel: name + " for ever"}, engine.Retention{Messages: 5})
		}
		time.Sleep(12 * time.Minute)
		if n := e.planned(23 * time.Hour); n != 0 {
			t.Errorf("sweeps of the next day look at %d logs, in which nothing happens", n)
		}
		time.Sleep(24 * time.Hour) // the producers go
		time.Sleep(25 * time.Hour) // and the channels
		if n := e.logs(); n != channels {
			t.Errorf("%d logs are left, want those whose messages never expire", n)
		}
	})
}

func TestH2ASweepLooksAtAChannelWhenItHasSomethingToFree(t *testing.T) {
	t.Parallel()
	kept := func(e *memory) (n int) {
		for i := range e.shards {
			e.shards[i].mu.RLock()
			for _, l := range e.shards[i].logs {
				l.mu.Lock()
				n += int(l.State().Head + 1 - l.State().Low)
				l.mu.Unlock()
			}
			e.shards[i].mu.RUnlock()
		}
		return n
	}
	synctest.Test(t, func(t *testing.T) {
		e := start(t, ignore)
		appendOne(t, e, &engine.Message{Channel: "a", TTL: time.Hour}, engine.Retention{Messages: 9})
		appendOne(t, e, &engine.Message{Channel: "b"}, tenMinutes)
		time.Sleep(20 * time.Hour) // only their positions are left, and a sweep is far off
		if n := kept(e); n != 0 {
			t.Fatalf("%d messages are kept", n)
		}
		appendOne(t, e, &engine.Message{Channel: "a"}, tenMinutes)
		appendOne(t, e, &engine.Message{Channel: "b", TTL: time.Second}, tenMinutes)
		time.Sleep(2 * time.Minute)
		if n := kept(e); n != 1 {
			t.Errorf("%d messages are kept, want 1", n)
		}
		time.Sleep(10 * time.Minute)
		if n := kept(e); n != 0 {
			t.Errorf("%d messages are kept, want none", n)
		}
	})
}

func TestAnIDIsFreeAfterItsWindowThoughNothingWasSwept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := open(Options{DedupWindow: sweepInterval / 4}.withDefaults(), ignore)
		defer e.Close()
		first := appendOne(t, e, &engine.Message{Channel: "a", ID: "1", Type: "x"}, engine.Retention{})
		time.Sleep(sweepInterval / 2)
		again := appendOne(t, e, &engine.Message{Channel: "a", ID: "1", Type: "y"}, engine.Retention{})
		if again.Offset != first.Offset+1 {
			t.Errorf("the id stands for %v and for %v", first, again)
		}
	})
}

func TestALogThatWasDroppedIsLookedUpAgain(t *testing.T) {
	t.Parallel()
	e := start(t, ignore)
	l, err := e.keep("a")
	if err != nil {
		t.Fatal(err)
	}
	l.drop()
	if l.use() {
		t.Error("a dropped log can be used")
	}
}

func TestALogThatIsUsedAgainIsNotDropped(t *testing.T) {
	t.Parallel()
	e := start(t, ignore)
	appendOne(t, e, &engine.Message{Channel: "a"}, engine.Retention{})
	s, _ := e.shard("a")
	e.drop(s, s.logs["a"], time.Now()) // the sweep that saw it unused
	if n := e.logs(); n != 1 {
		t.Errorf("%d logs are left, want 1", n)
	}
}

// A sweep in a far future drops the log at every opportunity, between the
// moments in which an append has found it and has locked it.
func TestNoAppendIsLostToASweep(t *testing.T) {
	t.Parallel()
	delivered := map[engine.Position]uint64{} // previous, by position; under the channel's lock
	e := start(t, func(m *engine.Message) {
		if _, found := delivered[m.Position]; found {
			t.Errorf("position %v means two messages", m.Position)
		}
		delivered[m.Position] = m.Previous
	})
	done := make(chan struct{})
	var sweeping sync.WaitGroup
	sweeping.Go(func() {
		s, _ := e.shard("a")
		for {
			select {
			case <-done:
				return
			default:
				e.sweepShard(s, time.Now().Add(1000*time.Hour))
			}
		}
	})
	const appenders, perOne = 4, 500
	var appending sync.WaitGroup
	for i := range appenders {
		appending.Go(func() {
			for k := range perOne {
				m := &engine.Message{Channel: "a", Payload: engine.Payload{Data: fmt.Append(nil, i, k)}}
				if _, err := e.Append(t.Context(), m, engine.AppendOptions{}); err != nil {
					t.Errorf("append: %v", err)
				}
				if _, err := e.State(t.Context(), "a"); err != nil {
					t.Errorf("state: %v", err)
				}
			}
		})
	}
	appending.Wait()
	close(done)
	sweeping.Wait()
	if len(delivered) != appenders*perOne {
		t.Errorf("%d messages were appended, %d delivered", appenders*perOne, len(delivered))
	}
	epochs := map[string]bool{}
	for p, previous := range delivered {
		epochs[p.Epoch] = true
		if previous+1 != p.Offset {
			t.Errorf("%v comes after %d", p, previous)
		}
	}
	t.Logf("the channel had %d lives", len(epochs))
}

func TestAppendsAndCloseMeet(t *testing.T) {
	t.Parallel()
	for range 20 {
		e := start(t, ignore)
		var running sync.WaitGroup
		for i := range 4 {
			running.Go(func() {
				for k := 0; ; k++ {
					m := &engine.Message{Channel: strconv.Itoa(i + k%3)}
					if _, err := e.Append(t.Context(), m, engine.AppendOptions{}); err != nil {
						return
					}
				}
			})
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if n := e.logs(); n != 0 {
			t.Errorf("%d logs are left of a closed engine", n)
		}
		running.Wait()
	}
}
