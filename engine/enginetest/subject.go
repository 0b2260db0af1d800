package enginetest

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"millrace.dev/engine"
)

// subject is an engine under test and what it has delivered.
type subject struct {
	// Set once.
	*testing.T
	options Options
	start   engine.Open

	engine.Engine
	*recorder
}

// keep is the retention of messages that are to stay.
var keep = engine.AppendOptions{Retention: engine.Retention{Messages: 10_000}}

func newSubject(t *testing.T, start engine.Open, options Options) *subject {
	t.Helper()
	s := &subject{T: t, options: options, start: start}
	s.open()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the engine: %v", err)
		}
		if channel := s.overlap(); channel != "" {
			t.Errorf("two deliveries of channel %q overlap", channel)
		}
	})
	return s
}

// open starts the engine, or starts it anew once it was closed.
func (s *subject) open() {
	s.Helper()
	s.recorder = &recorder{busy: map[string]bool{}}
	e, err := s.start(s.Context(), s.deliver)
	if err != nil {
		s.Fatalf("open the engine: %v", err)
	}
	s.Engine = e
}

// text makes a message.
func text(channel, data string) *engine.Message {
	return &engine.Message{
		Channel: channel, Type: "text", Time: time.Now(),
		Payload: engine.Payload{Kind: engine.Text, Data: []byte(data)},
	}
}

// withID makes a message that is known by its id.
func withID(channel, id, data string) *engine.Message {
	m := text(channel, data)
	m.ID = id
	return m
}

// publish appends a message and returns where it is.
func (s *subject) publish(m *engine.Message, options engine.AppendOptions) engine.Position {
	s.Helper()
	receipt, err := s.Append(s.Context(), m, options)
	if err != nil || receipt.Duplicate {
		s.Fatalf("append %q to %s: got %+v, %v", m.Payload.Data, m.Channel, receipt, err)
	}
	return receipt.Position
}

// fill appends n messages that are to stay.
func (s *subject) fill(channel string, n int) {
	s.Helper()
	for i := range n {
		s.publish(text(channel, strconv.Itoa(i+1)), keep)
	}
}

func (s *subject) state(channel string) engine.State {
	s.Helper()
	state, err := s.State(s.Context(), channel)
	if err != nil {
		s.Fatalf("state of %s: %v", channel, err)
	}
	return state
}

func (s *subject) read(channel string, options engine.ReadOptions) engine.Page {
	s.Helper()
	page, err := s.Read(s.Context(), channel, options)
	if err != nil {
		s.Fatalf("read %s: %v", channel, err)
	}
	return page
}

// kept reads all that a channel keeps.
func (s *subject) kept(channel string) []*engine.Message {
	s.Helper()
	return s.read(channel, engine.ReadOptions{Limit: 1_000_000}).Messages
}

func (s *subject) sequence() engine.Position {
	s.Helper()
	p, err := s.Sequence(s.Context())
	if err != nil {
		s.Fatalf("sequence: %v", err)
	}
	return p
}

// elapse lets time pass.
func (s *subject) elapse(d time.Duration) { <-time.After(d) }

// eventually waits until nothing is wrong any more. With a fake clock, nothing
// may be wrong to begin with.
func (s *subject) eventually(wrong func() string) {
	s.Helper()
	deadline := time.Now().Add(s.options.Patience)
	for what := wrong(); what != ""; what = wrong() {
		if s.options.FakeClock || time.Now().After(deadline) {
			s.Fatal(what)
		}
		s.elapse(5 * time.Millisecond)
	}
}

// until is eventually for what is so until a time. A machine on which that is over by
// now is too slow to say.
func (s *subject) until(end time.Time, wrong func() string) {
	s.Helper()
	s.eventually(func() string {
		if what := wrong(); time.Now().Before(end) {
			return what
		}
		return ""
	})
}

// each runs fn in n goroutines and waits for them.
func each(n int, fn func(i int)) {
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { fn(i) })
	}
	running.Wait()
}

// texts are the payloads of messages.
func texts(messages []*engine.Message) []string {
	list := []string{}
	for _, m := range messages {
		list = append(list, string(m.Payload.Data))
	}
	return list
}

// numbers are the decimal texts from one number to another.
func numbers(from, to int) []string {
	list := []string{}
	for i := from; i <= to; i++ {
		list = append(list, strconv.Itoa(i))
	}
	return list
}

// difference says how two lists of messages differ, and "" if they do not.
func difference(name string, got []*engine.Message, wantName string, want []*engine.Message) string {
	for i := range min(len(got), len(want)) {
		if g, w := plain(got[i]), plain(want[i]); !reflect.DeepEqual(g, w) {
			return fmt.Sprintf("%s and %s differ at %d:\n%+v\n%+v", name, wantName, i, g, w)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%s has %d messages, %s has %d", name, len(got), wantName, len(want))
	}
	return ""
}

// plain is a message in a form that can be compared, without what only its delivery
// says.
func plain(m *engine.Message) engine.Message {
	p := *m
	p.Settled = 0
	p.Time = p.Time.UTC().Round(0)
	if len(p.Payload.Data) == 0 {
		p.Payload.Data = nil
	}
	if len(p.Headers) == 0 {
		p.Headers = nil
	}
	return p
}

// recorder keeps what an engine delivers.
type recorder struct {
	mu         sync.Mutex
	messages   []*engine.Message
	busy       map[string]bool // channels that have a delivery under way
	overlapped string          // channel that had two
}

// deliver implements [engine.Deliver]. It gives way, so that deliveries that may
// overlap do.
func (r *recorder) deliver(m *engine.Message) {
	r.mu.Lock()
	if r.busy[m.Channel] {
		r.overlapped = m.Channel
	}
	r.busy[m.Channel] = true
	r.mu.Unlock()

	runtime.Gosched()

	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, m.Channel)
	r.messages = append(r.messages, m)
}

func (r *recorder) overlap() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overlapped
}

// count is how many messages were delivered.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.messages)
}

// since are the messages of all channels after the first n.
func (r *recorder) since(n int) []*engine.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages[n:])
}

// delivered are the messages of a channel, with or without a position.
func (r *recorder) delivered(channel string) []*engine.Message {
	return slices.DeleteFunc(r.since(0), func(m *engine.Message) bool { return m.Channel != channel })
}
