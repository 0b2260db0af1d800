// Package leak finds the goroutines and file descriptors that tests leave behind.
//
//   - A goroutine or descriptor counts as left behind if it is still there after
//     a while: what is on its way out is waited for.
//   - Connections that http.DefaultTransport keeps for later are closed first;
//     other transports are their owners' to close.
//   - Where the system does not list descriptors, only goroutines are counted.
package leak

import (
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	// patience is how long something may take to go. It is not a measure: a busy
	// machine takes its time to close a thousand connections.
	patience = 20 * time.Second
	interval = 10 * time.Millisecond
)

// Baseline is what there was at a moment, and may be there later.
type Baseline struct {
	goroutines goleak.Option
	files      int
}

// Now takes the baseline.
func Now() Baseline {
	return Baseline{goroutines: goleak.IgnoreCurrent(), files: files()}
}

// Check waits until nothing is left but what was there at the baseline, and
// says what is if that does not happen. Before each look it calls tidy, to close
// what clients keep for later: a connection may be in use at one look and be kept
// at the next.
func (b Baseline) Check(tidy ...func()) error {
	if transport, ok := http.DefaultTransport.(*http.Transport); ok {
		tidy = append(tidy, transport.CloseIdleConnections)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		for _, tidyUp := range tidy {
			tidyUp()
		}
		err := b.check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func (b Baseline) check() error {
	if err := goleak.Find(b.goroutines); err != nil {
		return fmt.Errorf("goroutines are left: %w", err)
	}
	if now := files(); now > b.files {
		return fmt.Errorf("file descriptors are left: %d were open, now %d are", b.files, now)
	}
	return nil
}

// Main runs the tests of a package and fails if they leave something behind. It
// is the whole of a package's TestMain.
func Main(m *testing.M) {
	before := Now()
	code := m.Run()
	if code == 0 {
		if err := before.Check(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// files counts the open file descriptors, 0 where that is not known.
func files() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
