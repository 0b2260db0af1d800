package service

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"millrace.dev/channel"
	"millrace.dev/engine"
)

// listener is a subscription of a session that does nothing else. As a feed it
// keeps what it is shown.
type listener struct {
	hub    *hub
	writer *writer
	sub    *subscription
	shown  []*Frame
}

// listen has a new listener join the topic of a name, live.
func listen(h *hub, name string) *listener {
	w := newWriter(nil)
	session := &Session{wake: make(chan struct{}, 1), writer: w, budget: 1 << 40}
	l := &listener{hub: h, writer: w, sub: newSubscription(session, subKey{name: name})}
	l.sub.feed = l
	h.join(name, l.sub)
	l.sub.goLive(always)
	return l
}

func (l *listener) accept(f *Frame, _ *batch) bool {
	l.shown = append(l.shown, f)
	return true
}

func (l *listener) catchUp(context.Context, *batch) (bool, error) {
	l.sub.goLive(always)
	return true, nil
}

func (l *listener) leave() { l.hub.leave(l.sub) }

func (l *listener) checkpoints(*batch) {}

func (l *listener) place() engine.Position { return engine.Position{} }

// read takes what is new, and returns all that was shown.
func (l *listener) read(t *testing.T) []*Frame {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = l.sub.read(t.Context(), &batch{}); err != nil {
			t.Fatal(err)
		}
	}
	return l.shown
}

func messageAt(name string, offset uint64) *engine.Message {
	return &engine.Message{
		Channel: name, Position: engine.Position{Epoch: "e", Offset: offset}, Previous: offset - 1, Sequence: offset,
	}
}

// topics names the topics of a hub.
func (h *hub) topics() (names []string) {
	h.each(func(t *topic) { names = append(names, t.name) })
	slices.Sort(names)
	return names
}

func TestAMessageGoesToItsChannelAndToThePatternsThatMatch(t *testing.T) {
	t.Parallel()
	h := newHub()
	for name, want := range map[string]bool{
		"chat.42": true, "chat.*": true, "chat.>": true, ">": true, "*.42": true, "*.*": true,
		"chat.43": false, "chat": false, "chat.*.*": false, "chat.42.>": false, "*": false, "user.>": false,
	} {
		l := listen(h, name)
		m := messageAt("chat.42", 1)
		h.deliver(m)
		shown := l.read(t)
		if got := len(shown) == 1 && shown[0].Message == m; got != want || len(shown) > 1 {
			t.Errorf("%q was shown %d messages", name, len(shown))
		}
		l.leave()
	}
}

func TestAllWhoAreSubscribedToOneNameShareOneFrame(t *testing.T) {
	t.Parallel()
	h := newHub()
	frames := map[string]*Frame{}
	var listeners []*listener
	for _, name := range []string{"chat.42", "chat.*", ">", "chat.42", "chat.*"} {
		listeners = append(listeners, listen(h, name))
	}
	h.deliver(messageAt("chat.42", 1))
	for _, l := range listeners {
		name, shown := l.sub.key.name, l.read(t)
		if first := frames[name]; len(shown) != 1 || first != nil && shown[0] != first {
			t.Fatalf("%q has a frame of its own among its %d", name, len(shown))
		}
		frames[name] = shown[0]
		if shown[0].Pattern != "" && shown[0].Pattern != name || channel.IsPattern(name) != (shown[0].Pattern != "") {
			t.Errorf("%q has a frame that says %q", name, shown[0].Pattern)
		}
	}
}

func TestATopicGoesWithItsLastSubscriber(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"chat.42", "chat.*", "chat.*.typing", "user.>", ">", "*"} {
		h := newHub()
		first, second, third := listen(h, name), listen(h, name), listen(h, name)
		for _, l := range []*listener{first, third} {
			l.leave()
			if got := h.topics(); !slices.Equal(got, []string{name}) {
				t.Errorf("%q: with a subscriber the topics are %q", name, got)
			}
		}
		second.leave()
		if got := h.topics(); len(got) > 0 {
			t.Errorf("%q: without subscribers the topics are %q", name, got)
		}
		if !h.patterns.root.isEmpty() || h.patterns.count.Load() != 0 {
			t.Errorf("%q: the index still has %d patterns: %+v", name, h.patterns.count.Load(), &h.patterns.root)
		}
		h.deliver(messageAt("chat.42", 1))
		if again := listen(h, name); len(again.read(t)) > 0 {
			t.Errorf("%q: a new subscriber was shown an old message", name)
		}
	}
}

func TestWhoLeavesIsShownNothingMore(t *testing.T) {
	t.Parallel()
	h := newHub()
	stays, leaves := listen(h, "chat.42"), listen(h, "chat.42")
	h.deliver(messageAt("chat.42", 1))
	leaves.sub.close()
	h.deliver(messageAt("chat.42", 2))
	if n := len(leaves.read(t)); n != 0 {
		t.Errorf("a subscription that was closed read %d messages", n)
	}
	if n := len(stays.read(t)); n != 2 {
		t.Errorf("the other one read %d messages", n)
	}
	if pending := leaves.sub.session.pending.Load(); pending != 0 {
		t.Errorf("%d bytes still wait for the closed one", pending)
	}
}

// A random program joins, leaves and delivers; who is shown what is compared
// with asking every subscriber's pattern.
func TestTheHubFindsWhomASearchFinds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test repeats itself
		h := newHub()
		joined := []*listener{}
		for step := range 600 {
			switch op := random.IntN(10); {
			case op < 4 || len(joined) == 0:
				joined = append(joined, listen(h, randomPattern(random)))
			case op < 7:
				i := random.IntN(len(joined))
				joined[i].leave()
				joined = slices.Delete(joined, i, i+1)
			default:
				deliverAndCompare(t, h, joined, messageAt(randomName(random, "a", "b", "c"), uint64(step+1)))
			}
			want := []string{}
			for _, l := range joined {
				want = append(want, l.sub.key.name)
			}
			slices.Sort(want)
			if want = slices.Compact(want); !slices.Equal(h.topics(), want) {
				t.Fatalf("the topics are %q, want %q", h.topics(), want)
			}
		}
	}
}

func deliverAndCompare(t *testing.T, h *hub, joined []*listener, m *engine.Message) {
	t.Helper()
	before := map[*listener]int{}
	for _, l := range joined {
		before[l] = len(l.shown)
	}
	h.deliver(m)
	for _, l := range joined {
		want := before[l]
		if channel.Match(l.sub.key.name, m.Channel) {
			want++
		}
		if shown := l.read(t); len(shown) != want || want > before[l] && shown[want-1].Message != m {
			t.Fatalf("a message on %q: %q was shown %d, want %d", m.Channel, l.sub.key.name, len(shown), want)
		}
	}
}

func randomName(random *rand.Rand, tokens ...string) string {
	name := []string{}
	for range 1 + random.IntN(4) {
		name = append(name, tokens[random.IntN(len(tokens))])
	}
	return strings.Join(name, ".")
}

func randomPattern(random *rand.Rand) string {
	pattern := randomName(random, "a", "b", "*")
	switch random.IntN(4) {
	case 0:
		return ">"
	case 1:
		return pattern + ".>"
	}
	return pattern
}

// While some come and go, those who stay are shown every message of each
// channel once and in order, and those who come every message from some on.
func TestJoiningLeavingAndDeliveringAtOnce(t *testing.T) {
	t.Parallel()
	const channels, messages = 4, 400
	h := newHub()
	names := []string{"a.0", "a.1", "a.2", "a.3", "a.*", ">", "a.>"}
	var stay []*listener
	for _, name := range names {
		stay = append(stay, listen(h, name))
	}
	var delivering, changing sync.WaitGroup
	var done atomic.Bool
	for i := range channels {
		delivering.Go(func() {
			for offset := range uint64(messages) {
				h.deliver(messageAt("a."+strconv.Itoa(i), offset+1))
			}
		})
	}
	for i := range 4 {
		changing.Go(func() {
			for k := i; !done.Load(); k++ {
				l := listen(h, names[k%len(names)])
				l.read(t)
				if broken := brokenOrder(l.read(t), false); broken != "" {
					t.Errorf("%q: %s", l.sub.key.name, broken)
				}
				l.leave()
			}
		})
	}
	for _, l := range stay {
		changing.Go(func() {
			for !done.Load() {
				l.read(t)
			}
		})
	}
	delivering.Wait()
	done.Store(true)
	changing.Wait()
	for _, l := range stay {
		want := messages
		if channel.IsPattern(l.sub.key.name) {
			want *= channels
		}
		shown := l.read(t)
		if broken := brokenOrder(shown, true); len(shown) != want || broken != "" {
			t.Errorf("%q was shown %d messages, want %d; %s", l.sub.key.name, len(shown), want, broken)
		}
		if pending := l.sub.session.pending.Load(); pending != 0 {
			t.Errorf("%q: %d bytes wait for a session that has read all", l.sub.key.name, pending)
		}
		l.leave()
	}
	if got := h.topics(); len(got) > 0 {
		t.Errorf("topics are left: %q", got)
	}
}

// brokenOrder says where the messages of a channel are not one after the other.
func brokenOrder(shown []*Frame, fromTheFirst bool) string {
	at := map[string]uint64{}
	for _, f := range shown {
		last, known := at[f.Message.Channel]
		if offset := f.Message.Position.Offset; (known || fromTheFirst) && offset != last+1 {
			return fmt.Sprintf("%d of %s comes after %d", offset, f.Message.Channel, last)
		}
		at[f.Message.Channel] = f.Message.Position.Offset
	}
	return ""
}

func TestASessionOverItsBudgetLetsGoOfWhatWaits(t *testing.T) {
	t.Parallel()
	h := newHub()
	l := listen(h, "chat")
	size := int64(newMessageFrame(messageAt("chat", 1)).size())
	l.sub.session.budget = 3 * size
	for offset := range uint64(3) {
		h.deliver(messageAt("chat", offset+1))
		l.writer.visit(nil, math.MaxInt, func() {})
	}
	if pending := l.sub.session.pending.Load(); pending != 3*size || l.sub.cursor.Load() == nil {
		t.Errorf("within the budget %d bytes wait, live %v", pending, l.sub.cursor.Load() != nil)
	}
	h.deliver(messageAt("chat", 4))
	l.writer.visit(nil, math.MaxInt, func() {})
	if pending := l.sub.session.pending.Load(); pending != 0 || l.sub.cursor.Load() != nil {
		t.Errorf("over the budget %d bytes wait, live %v", pending, l.sub.cursor.Load() != nil)
	}
}
