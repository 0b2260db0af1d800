package channellog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"millrace.dev/engine"
)

// FuzzLog runs a program of bytes on a log and on a model of one, which keeps
// its messages in a plain slice, and compares them after every step.
func FuzzLog(f *testing.F) {
	f.Add([]byte("append some, then wait and read"))
	for seed := range uint64(8) {
		f.Add(randomProgram(seed))
	}
	f.Fuzz(runProgram)
}

func TestALogIsWhatItsModelIs(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		runProgram(t, randomProgram(seed))
	}
}

func randomProgram(seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test repeats itself
	program := make([]byte, 400)
	for i := range program {
		program[i] = byte(random.Uint32())
	}
	return program
}

var (
	testLimits     = Limits{DedupWindow: 100 * time.Second, DedupIDs: 3, StateTTL: time.Hour}
	testRetentions = []engine.Retention{
		{}, {Messages: 1}, {Messages: 3}, {Messages: 7, Age: 60 * time.Second}, {Messages: 40}, {Messages: 100, Age: 20 * time.Second},
	}
	testTTLs = []time.Duration{0, 0, 0, 5 * time.Second, 50 * time.Second}
)

// runProgram takes two bytes for a step: what to do, and with what.
func runProgram(t *testing.T, program []byte) {
	t.Helper()
	l, m := New("e", 0, 0, testLimits), &model{}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	keep := testRetentions[4]
	for step := 0; step+1 < len(program); step += 2 {
		arg := int(program[step+1])
		switch program[step] % 16 {
		case 0:
			keep = testRetentions[arg%len(testRetentions)]
		case 1, 2:
			now = now.Add(time.Duration(arg%64) * time.Second)
		case 3:
			l.forget(now)
			m.forget(now)
		default:
			runAppend(t, l, m, now, keep, arg)
		}
		compare(t, l, m, now, arg)
	}
}

func runAppend(t *testing.T, l *Log, m *model, now time.Time, keep engine.Retention, arg int) {
	t.Helper()
	message := func() *engine.Message {
		msg := &engine.Message{Time: now, TTL: testTTLs[arg%len(testTTLs)], Type: strconv.Itoa(arg / 128)}
		if arg%3 == 0 {
			msg.ID = strconv.Itoa(arg % 12)
		}
		return msg
	}
	published, modelled := message(), message()
	got, want := appendTo(l, published, now, keep), m.append(modelled, now, keep)
	if got != want {
		t.Fatalf("append %+v: got %s, want %s", published, got, want)
	}
}

// appendTo does to a log what Append does, and says what came of it.
func appendTo(l *Log, m *engine.Message, now time.Time, keep engine.Retention) string {
	content := Fingerprint(m)
	if receipt, done, err := l.Check(m, content, nil, now); done {
		return fmt.Sprint(receipt.Position.Offset, receipt.Duplicate, err)
	}
	m.Sequence = l.sequence + 1
	l.Append(m, content, keep, now)
	return fmt.Sprint(m.Position.Offset, false, nil)
}

// compare checks all that can be seen of a log, and that its ring is no larger
// than it must be.
func compare(t *testing.T, l *Log, m *model, now time.Time, arg int) {
	t.Helper()
	l.Expire(now)
	m.expire(now)
	if l.head != m.head || l.kept() != len(m.kept) || l.low != m.low() || l.sequence != m.head {
		t.Fatalf("the log keeps %d to %d, the model %d to %d", l.low, l.head, m.low(), m.head)
	}
	ttls := 0
	for i, want := range m.kept {
		if got := l.at(l.low + uint64(i)); got.Position.Offset != want.Position.Offset || got.Previous != want.Previous {
			t.Fatalf("message %d is at %v after %d, in the model at %v after %d",
				i, got.Position, got.Previous, want.Position, want.Previous)
		}
		if want.TTL > 0 {
			ttls++
		}
	}
	live := 0
	for _, slot := range l.ring {
		if slot != nil {
			live++
		}
	}
	if live != len(m.kept) || l.ttls != ttls || len(l.ring) > max(2*l.keep.Messages, 4) {
		t.Fatalf("a ring of %d holds %d messages, %d with a ttl; the model %d, %d", len(l.ring), live, l.ttls, len(m.kept), ttls)
	}
	if len(l.ids) != len(m.ids) || len(l.order) != len(m.ids) || len(m.ids) == 0 && (l.ids != nil || l.order != nil) {
		t.Fatalf("the log knows %d ids in a line of %d, the model %d", len(l.ids), len(l.order), len(m.ids))
	}
	options := engine.ReadOptions{NewestFirst: arg%2 == 0, Limit: 1 + arg%5}
	if offset := uint64(arg / 8); options.NewestFirst {
		options.Before = offset
	} else {
		options.After = offset
	}
	comparePages(t, options, l.Read(options, now), m.read(options, now))
}

func comparePages(t *testing.T, options engine.ReadOptions, got, want engine.Page) {
	t.Helper()
	same := slices.EqualFunc(got.Messages, want.Messages, func(a, b *engine.Message) bool {
		return a.Position.Offset == b.Position.Offset
	})
	if !same || got.More != want.More {
		t.Fatalf("read %+v: got %s more %v, want %s more %v", options, offsets(got), got.More, offsets(want), want.More)
	}
}

func offsets(p engine.Page) []byte {
	var list bytes.Buffer
	for _, m := range p.Messages {
		fmt.Fprintf(&list, "%d ", m.Position.Offset)
	}
	return list.Bytes()
}

// model is a log in the plainest form there is.
type model struct {
	head uint64
	kept []*engine.Message
	keep engine.Retention
	ids  []modelID // oldest first
}

type modelID struct {
	id, content string
	offset      uint64
	time        time.Time
}

func (m *model) low() uint64 { return m.head + 1 - uint64(len(m.kept)) }

func (m *model) append(msg *engine.Message, now time.Time, keep engine.Retention) string {
	m.expire(now)
	m.forget(now)
	for _, known := range m.ids {
		switch {
		case known.id != msg.ID:
		case known.content != msg.Type:
			return fmt.Sprint(known.offset, true, engine.ErrIDReused)
		default:
			return fmt.Sprint(known.offset, true, nil)
		}
	}
	msg.Previous = m.head
	m.head++
	msg.Position.Offset = m.head
	m.keep = keep
	m.kept = append(m.kept, msg)
	m.kept = m.kept[max(0, len(m.kept)-keep.Messages):]
	if msg.ID != "" {
		m.ids = append(m.ids, modelID{msg.ID, msg.Type, m.head, now})
		m.ids = m.ids[max(0, len(m.ids)-testLimits.DedupIDs):]
	}
	return fmt.Sprint(m.head, false, nil)
}

func (m *model) forget(now time.Time) {
	m.ids = slices.DeleteFunc(m.ids, func(known modelID) bool { return now.Sub(known.time) >= testLimits.DedupWindow })
}

func (m *model) expire(now time.Time) {
	for len(m.kept) > 0 && m.dead(m.kept[0], now) {
		m.kept = m.kept[1:]
	}
}

func (m *model) dead(msg *engine.Message, now time.Time) bool {
	age := now.Sub(msg.Time)
	return m.keep.Age > 0 && age >= m.keep.Age || msg.TTL > 0 && age >= msg.TTL
}

func (m *model) read(options engine.ReadOptions, now time.Time) (page engine.Page) {
	for _, msg := range m.kept {
		offset := msg.Position.Offset
		inside := offset > options.After
		if options.NewestFirst {
			inside = options.Before == 0 || offset < options.Before
		}
		// Only a ttl hides a message that is kept: none is older than the age
		// behind one that is not.
		if inside && !m.dead(msg, now) {
			page.Messages = append(page.Messages, msg)
		}
	}
	if options.NewestFirst {
		slices.Reverse(page.Messages)
	}
	if len(page.Messages) > options.Limit {
		page.Messages, page.More = page.Messages[:options.Limit], true
	}
	return page
}

func TestIDsAreFreedAfterTheirWindow(t *testing.T) {
	t.Parallel()
	l := New("e", 0, 0, Limits{DedupWindow: 5 * time.Minute, DedupIDs: 10_000})
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 20_000 {
		m := &engine.Message{ID: strconv.Itoa(i), Time: now}
		l.Append(m, Fingerprint(m), engine.Retention{}, now)
	}
	if ids, order, room := len(l.ids), len(l.order), cap(l.order); ids != 10_000 || order != 10_000 || room > 20_000 {
		t.Errorf("%d ids are remembered, %d in line with room for %d", ids, order, room)
	}
	l.Sweep(now.Add(6 * time.Minute))
	if l.ids != nil || l.order != nil || !l.IsBare() {
		t.Errorf("%d ids are left", len(l.ids))
	}
}

func TestASweepFreesTheRing(t *testing.T) {
	t.Parallel()
	l := New("e", 0, 0, Limits{})
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for range 100 {
		l.Append(&engine.Message{Time: now}, Digest{}, engine.Retention{Messages: 100, Age: time.Minute}, now)
	}
	l.Sweep(now.Add(2 * time.Minute))
	if l.ring != nil || l.kept() != 0 || l.head != 100 {
		t.Errorf("%d messages are kept in a ring of %d, head %d", l.kept(), len(l.ring), l.head)
	}
}
