// Package enginetest checks that an engine keeps the contract of package engine.
//
// Each promise is a subtest whose name says it:
//
//   - order.go: one unbroken chain of deliveries, the same that is read;
//   - stored.go: acknowledged means stored and delivered;
//   - once.go, producers.go: what was appended before is not appended again;
//   - expect.go: of those who expect the same position one wins;
//   - retention.go: what is kept, and what outlives it;
//   - read.go: pages from both ends, each of one moment;
//   - broadcast.go: messages without a position;
//   - sequence.go: what patterns are resumed by;
//   - close.go: nothing after the end, and what comes back;
//   - kept.go: what nodes keep for those that come later.
//
// Offsets need not be dense, and what is far away may take its time: only what
// the contract says is held against an engine.
package enginetest

import (
	"cmp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millrace.dev/engine"
)

// Options say what the engine can do, and how it was set up.
type Options struct {
	// Durable engines have their channels again when they are opened anew; all
	// others have new epochs.
	Durable bool
	// FakeClock is for engines whose clock and goroutines are all in this
	// process. Each promise is then checked in a bubble of testing/synctest,
	// where time passes at once.
	FakeClock bool
	// Age is the age that messages are kept for where they must expire. Default
	// one second; engines that look less often need more.
	Age time.Duration
	// Patience is how long a check waits for what may take its time. Default 10
	// seconds. With FakeClock nothing may.
	Patience time.Duration
	// DedupWindow and DedupIDs are the engine's own settings; zero leaves out
	// what needs to know them.
	DedupWindow time.Duration
	DedupIDs    int
}

// promise is one sentence of the contract.
type promise struct {
	says  string
	check func(*subject)
}

// Run checks every promise with an engine of its own. What open returns has
// channels that no other call of it has; called twice, it opens the same ones.
// Run must not share its process with parallel tests: it counts goroutines.
func Run(t *testing.T, open func(t *testing.T) engine.Open, options Options) {
	t.Helper()
	options.Age = cmp.Or(options.Age, time.Second)
	options.Patience = cmp.Or(options.Patience, 10*time.Second)
	for _, p := range slices.Concat(
		orderPromises, storedPromises, oncePromises(options), producerPromises, expectPromises,
		retentionPromises, readPromises, broadcastPromises, sequencePromises, closePromises(options), keptPromises(options),
	) {
		t.Run(p.says, func(t *testing.T) {
			t.Helper()
			if options.FakeClock {
				synctest.Test(t, func(t *testing.T) {
					t.Helper()
					p.check(newSubject(t, open(t), options))
				})
				return
			}
			p.check(newSubject(t, open(t), options))
		})
	}
}
