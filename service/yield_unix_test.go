//go:build unix

package service

import (
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The runtime asks the network every 10 ms where something can always run. The
// processor's time is counted, not the clock's: other processes have theirs.
func TestWhoYieldsGoesOnSoonWhereOthersCanAlwaysRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var stop atomic.Bool
	busy := make(chan struct{})
	go func() {
		defer close(busy)
		for !stop.Load() {
			runtime.Gosched()
		}
	}()
	defer func() { stop.Store(true); <-busy }()
	var y yielder
	defer y.close()
	var took []time.Duration
	for range 50 {
		before := processorTime(t)
		y.yield()
		took = append(took, processorTime(t)-before)
	}
	if median := slices.Sorted(slices.Values(took))[len(took)/2]; median > 4*maxTurn {
		t.Errorf("half of the turns of others take more than %v, want about %v", median, maxTurn)
	}
}

// Else a writer that loses its processor at the wrong moment would send no more.
func TestWhoYieldsTooLateDoesNotWaitForWhatNobodySends(t *testing.T) {
	t.Parallel()
	var y yielder
	defer y.close()
	y.open()
	for range 3 {
		for _, left := range []time.Duration{-time.Second, time.Hour} {
			if !y.wait(time.Now().Add(left)) {
				t.Error("it cannot wait any more")
			}
		}
	}
}

// Nor may a deadline that is over between the byte's coming and its being taken: a
// writer that cannot wait any more gives others only what the runtime gives them.
func TestWhoYieldsAtTheLastMomentCanYieldAgain(t *testing.T) {
	t.Parallel()
	var y yielder
	defer y.close()
	y.open()
	for i := range 20_000 {
		if !y.wait(time.Now().Add(time.Duration(i%400) * 100 * time.Nanosecond)) {
			t.Fatalf("after %d turns it cannot wait any more", i)
		}
	}
}

// processorTime is what the process has had so far.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
