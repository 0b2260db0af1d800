package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// What the test of one sequence is made of.
const (
	sequenceRounds = 3
	publishers     = 16
	perPublisher   = 40 // messages in a round
	subscribers    = 100
)

// sequenceWires are where publishers and subscribers are, in equal shares.
var sequenceWires = []string{"ws", "sse", "connect", "grpc"}

// Sixteen publish at once to one channel, and a hundred on four wires see the
// same messages at the same positions in the same order.
func TestD1EverySubscriberSeesTheSameSequence(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			s := &scene{T: t, at: start(t, e.open(t)), engine: e.open}
			const name = long + ".sequence"
			listeners := s.spread(subscribers, subscribe(name))
			for _, c := range listeners {
				c.seesSubscribed(name)
			}
			speakers := s.spread(publishers)
			for round := range sequenceRounds {
				s.playRound(name, round, speakers, listeners)
			}
		})
	}
}

// spread opens n sessions, turn by turn on each of the wires.
func (s *scene) spread(n int, subscriptions ...*millracev1.Subscription) []*client {
	s.Helper()
	var clients []*client
	for i := range n {
		clients = append(clients, s.on(wireNamed(sequenceWires[i%len(sequenceWires)])).arrive("", subscriptions...))
	}
	return clients
}

func wireNamed(name string) wire {
	for _, w := range wires {
		if w.name == name {
			return w.wire
		}
	}
	panic("no wire is named " + name)
}

// playRound has all publish at once, and compares what all saw.
func (s *scene) playRound(name string, round int, speakers, listeners []*client) {
	s.Helper()
	const total = publishers * perPublisher
	ctx, cancel := context.WithTimeout(s.Context(), 2*patience)
	defer cancel()
	seen, failed := make([][]string, len(listeners)), make([]error, len(listeners)+len(speakers))
	var all sync.WaitGroup
	for i, c := range listeners {
		all.Go(func() { seen[i], failed[i] = c.collect(ctx, total) })
	}
	for i, c := range speakers {
		all.Go(func() { failed[len(listeners)+i] = c.publishRound(ctx, name, round, i) })
	}
	all.Wait()
	for _, err := range failed {
		if err != nil {
			s.Fatal(err)
		}
	}
	checkSequence(s, round, seen[0])
	for i, got := range seen {
		if !slices.Equal(got, seen[0]) {
			s.Errorf("subscriber %d on %s saw another sequence than subscriber 0, first where it has\n%s", i, sequenceWires[i%4], firstDifference(got, seen[0]))
		}
	}
}

func (c *client) publishRound(ctx context.Context, name string, round, publisher int) error {
	for n := range perPublisher {
		data := fmt.Sprintf(`{"round":%d,"publisher":%d,"n":%d}`, round, publisher, n)
		if _, err := c.call(ctx, &millracev1.PublishRequest{Channel: name, Data: jsonData(data)}); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return nil
}

// collect spells the next messages: the payload, byte for byte, at its position.
func (c *client) collect(ctx context.Context, n int) ([]string, error) {
	seen := make([]string, 0, n)
	for range n {
		e, err := c.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("after %d messages: %w", len(seen), err)
		}
		if e.message == nil {
			return nil, fmt.Errorf("after %d messages: got %s", len(seen), e)
		}
		seen = append(seen, positionOf(e.message.GetPosition()).String()+" "+e.message.GetPayload().GetJson())
	}
	return seen, nil
}

// checkSequence checks that all are there, each publisher's in its order, at
// offsets without a hole.
func checkSequence(s *scene, round int, seen []string) {
	s.Helper()
	const total = publishers * perPublisher
	next := make([]int, publishers)
	for i, spelled := range seen {
		var offset uint64
		var epoch string
		var in, publisher, n int
		_, err := fmt.Sscanf(spelled, "%d@%s "+`{"round":%d,"publisher":%d,"n":%d}`, &offset, &epoch, &in, &publisher, &n)
		if err != nil || offset != uint64(round*total+i+1) || in != round || n != next[publisher] {
			s.Fatalf("message %d of round %d is %s (%v), want the offset after the last and a publisher's next", i, round, spelled, err)
		}
		next[publisher]++
	}
}

func firstDifference(got, want []string) string {
	for i := range got {
		if got[i] != want[i] {
			return fmt.Sprintf("%s\nand that\n%s", got[i], want[i])
		}
	}
	return ""
}

// speaksPlain reports whether commands are JSON of the plain WebSocket wire.
func speaksPlain(w wire) bool {
	if stream, ok := w.(eventStream); ok {
		return stream.posted
	}
	_, ok := w.(plainSocket)
	return ok
}

// The same channel, seen on every wire there is: what each is shown is what was
// published, to the byte.
func TestD14EveryWireCarriesTheSameBytes(t *testing.T) {
	t.Parallel()
	s := &scene{T: t, at: start(t, engines[0].open(t)), engine: engines[0].open}
	var listeners []*client
	for _, w := range wires {
		listeners = append(listeners, s.on(w.wire).join(subscribe("bytes")))
	}
	for i, text := range jsonTexts {
		c := listeners[i%len(listeners)]
		want := c.publish(&millracev1.PublishRequest{Channel: "bytes", Data: jsonData(text)})
		if speaksPlain(c.wire) {
			want = proto.CloneOf(want) // what a frame has of it is on one line already
			want.Payload = payloadJSON([]byte(compact(text)))
		}
		for _, listener := range listeners {
			listener.sees(want)
		}
	}
}
