//go:build e2e

// Package e2e plays scenarios against the real server, over every wire.
//
// The clients are programs that we did not write, or that a user would write. They speak for themselves: what each
// receives is in its own output, in its own format, and this file reads it.
package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take before the test gives up. It is not a measure: two cores may have forty
// programs to start.
const patience = 90 * time.Second

// An event is what a program says it saw. Few fields are set in each; the names are those of clients/*.mjs.
type event struct {
	Tab string `json:"tab"` // of the browser

	Subscribed string `json:"subscribed"`
	Channel    string `json:"channel"` // of a message
	Offset     uint64 `json:"offset"`  // 0 where the wire has none
	Data       string `json:"data"`
	Published  uint64 `json:"published"` // offset of the program's own message
	Cancelled  bool   `json:"cancelled"`

	Open         bool            `json:"open"`
	Gap          json.RawMessage `json:"gap"`
	Reconnecting bool            `json:"reconnecting"`
	Closed       int             `json:"closed"` // close code
	Error        json.RawMessage `json:"error"`

	Screenshot string `json:"screenshot"`
	Console    string `json:"console"`
	PageError  string `json:"pageerror"`
}

// A recording is what was seen so far.
type recording struct {
	name string

	mu      sync.Mutex
	events  []event
	over    bool  // nothing follows
	why     error // nil where the end was no fault
	changed chan struct{}
}

func newRecording(name string) *recording {
	return &recording{name: name, changed: make(chan struct{})}
}

func (r *recording) add(e event) { r.change(func() { r.events = append(r.events, e) }) }

func (r *recording) end(why error) { r.change(func() { r.over, r.why = true, why }) }

func (r *recording) change(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	close(r.changed)
	r.changed = make(chan struct{})
}

// await waits until what was seen is enough, and returns it.
func (r *recording) await(t *testing.T, what string, enough func([]event) bool) []event {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		r.mu.Lock()
		events, over, why, changed := slices.Clone(r.events), r.over, r.why, r.changed
		r.mu.Unlock()
		if enough(events) {
			return events
		}
		recent := events[max(0, len(events)-5):]
		if over {
			t.Fatalf("%s: no %s, and it ended: %v\nit saw %d events, the last ones %+v", r.name, what, why, len(events), recent)
		}
		select {
		case <-changed:
		case <-timeout.C:
			t.Fatalf("%s: no %s in %s\nit saw %d events, the last ones %+v", r.name, what, patience, len(events), recent)
		}
	}
}

// awaitOne waits for an event of a kind.
func (r *recording) awaitOne(t *testing.T, what string, is func(event) bool) event {
	t.Helper()
	events := r.await(t, what, func(events []event) bool { return slices.ContainsFunc(events, is) })
	return events[slices.IndexFunc(events, is)]
}

func (r *recording) awaitSubscribed(t *testing.T) {
	t.Helper()
	r.awaitOne(t, "confirmation of the subscription", func(e event) bool { return e.Subscribed != "" })
}

// awaitMessages waits for n messages and returns all there are.
func (r *recording) awaitMessages(t *testing.T, n int) []event {
	t.Helper()
	return messagesOf(r.await(t, "further message", func(events []event) bool { return len(messagesOf(events)) >= n }))
}

func (r *recording) gaps() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.events), func(e event) bool { return e.Gap == nil })
}

func messagesOf(events []event) []event {
	return slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.Data == "" })
}

// A program is a process whose output is recorded.
type program struct {
	*recording
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  *transcript   // all that it printed
	done  chan struct{} // closed when it has ended
	err   error         // how it ended; read after done
}

// start starts a program, which ends with the test at the latest.
func start(t *testing.T, name string, decode decoder, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{recording: newRecording(name), cmd: cmd, said: new(transcript), done: make(chan struct{})}
	cmd.Stderr = p.said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what it starts ends with it
	var err error
	p.stdin, err = cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	go p.record(stdout, decode)
	t.Cleanup(func() {
		_ = p.signal(syscall.SIGKILL) // it may have ended long ago
		<-p.done
		if t.Failed() {
			t.Logf("%s: %s\n%s", name, strings.Join(cmd.Args, " "), tail(p.said.String()))
		}
	})
	return p
}

// record reads what the program prints, to its end.
func (p *program) record(stdout io.Reader, decode decoder) {
	defer close(p.done)
	output := io.TeeReader(stdout, p.said)
	err := decode(output, p.add)
	_, drainErr := io.Copy(io.Discard, output)
	p.err = errors.Join(err, drainErr, p.cmd.Wait())
	p.end(p.err)
}

func (p *program) signal(s syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, s) }

// write gives the program a line of input.
func (p *program) write(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		t.Fatalf("write to %s: %v", p.name, err)
	}
}

// wait waits for the end of the program.
func (p *program) wait(t *testing.T) error {
	t.Helper()
	eventually(t, "end of "+p.name, p.hasEnded)
	return p.err
}

func (p *program) hasEnded() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// finish waits for an end without fault.
func (p *program) finish(t *testing.T) {
	t.Helper()
	if err := p.wait(t); err != nil {
		t.Errorf("%s: %v", p.name, err)
	}
}

// interrupt ends the program as ctrl-C does. How it exits then is its own affair.
func (p *program) interrupt(t *testing.T) {
	t.Helper()
	must(t, p.signal(syscall.SIGINT))
	_ = p.wait(t)
}

// A transcript keeps what a program printed.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func tail(text string) string { return text[max(0, len(text)-4000):] }
