package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The environment of whoever runs the tests is not what they are about.
func TestMain(m *testing.M) {
	attackInstead()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "MILLRACE_") {
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		for _, tidy := range atTheEnd {
			if err := tidy(); err != nil {
				panic(err)
			}
		}
		os.Exit(code)
	}))
}

// result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

// call runs a command to its end.
func call(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// mustCall runs a command that must succeed, and returns its stdout.
func mustCall(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	r := call(t, stdin, args...)
	if r.code != exitOK {
		t.Fatalf("%v: exit code %d: %s", args, r.code, r.stderr)
	}
	return r.stdout
}

// process is a command that runs until it is stopped.
type process struct {
	stdout, stderr *transcript
	cancel         context.CancelFunc
	done           chan struct{}
	code           int // once done is closed
}

// start runs a command, which is stopped at the end of the test at the latest.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startWith(t, strings.NewReader(""), args...)
}

func startWith(t *testing.T, stdin io.Reader, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{stdout: newTranscript(), stderr: newTranscript(), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.code = run(ctx, args, stdin, p.stdout, p.stderr)
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop interrupts the command, which is no failure of it.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d after an interruption: %s", code, p.stderr)
	}
}

func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("the command does not end: %s", p.stderr)
	}
	return p.code
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// transcript is output that others wait for.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed at the next write
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	return s.text.Write(b)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the text has so many occurrences of part.
func (s *transcript) await(t *testing.T, count int, part string) {
	t.Helper()
	s.awaitFor(t, patience, count, part)
}

func (s *transcript) awaitFor(t *testing.T, patience time.Duration, count int, part string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		text, changed := s.text.String(), s.changed
		s.mu.Unlock()
		if strings.Count(text, part) >= count {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%q does not come %d times in:\n%s", part, count, text)
		}
	}
}
