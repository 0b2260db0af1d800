package service_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// with is a text with an id.
func with(id, channel, data string) *millracev1.PublishRequest {
	request := text(channel, data)
	request.Id = id
	return request
}

func TestB1AnIDIsPlacedOnceHoweverManyAreSentAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		c := n.subscribe(to("a"))
		n.publish("a", "before")
		var placed atomic.Int64
		together(10, func(i int) {
			response, err := n.publishSomehow(i, with("id", "a", "x"))
			if err != nil || response.GetPosition().GetOffset() != 2 {
				t.Errorf("answered %v, %v", response, err)
			}
			if !response.GetDuplicate() {
				placed.Add(1)
			}
		})
		if placed.Load() != 1 {
			t.Errorf("%d of 10 were no duplicate", placed.Load())
		}
		n.publish("a", "after")
		c.takes("subscribed a/0", "a/1 before", "a/2 x", "a/3 after")
	})
}

// publishSomehow publishes alone, or in a batch with another message.
func (n *node) publishSomehow(i int, request *millracev1.PublishRequest) (*millracev1.PublishResponse, error) {
	if i%2 == 0 {
		return n.rpc.Publish(n.t.Context(), request)
	}
	response, err := n.rpc.PublishBatch(n.t.Context(), &millracev1.PublishBatchRequest{
		Requests: []*millracev1.PublishRequest{text("beside", "x"), request},
	})
	if info := response.GetResults()[1].GetError(); err == nil && info != nil {
		return nil, fmt.Errorf("refused: %v", info)
	}
	return response.GetResults()[1].GetResponse(), err
}

func TestB1AnIDIsForgottenAfterTheDeduplicationWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		n.send(with("id", "a", "x"))
		time.Sleep(5*time.Minute - time.Second)
		if again := n.send(with("id", "a", "x")); !again.GetDuplicate() || again.GetPosition().GetOffset() != 1 {
			t.Errorf("within the window: %v", again)
		}
		time.Sleep(time.Second)
		if later := n.send(with("id", "a", "x")); later.GetDuplicate() || later.GetPosition().GetOffset() != 2 {
			t.Errorf("after the window: %v", later)
		}
	})
}

func TestB1AChannelRemembersTenThousandIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		for i := range 10_001 {
			n.send(with(fmt.Sprint(i), "a", "x"))
		}
		if second := n.send(with("1", "a", "x")); !second.GetDuplicate() || second.GetPosition().GetOffset() != 2 {
			t.Errorf("the second of 10,001 ids: %v", second)
		}
		if first := n.send(with("0", "a", "x")); first.GetDuplicate() {
			t.Errorf("the first of 10,001 ids: %v", first)
		}
		if other := n.send(with("1", "b", "x")); other.GetDuplicate() {
			t.Errorf("the same id in another channel: %v", other)
		}
	})
}

func TestB1AnIDWithAnotherContentIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		n.send(with("id", "a", "x"))
		others := map[string]*millracev1.PublishRequest{
			"payload": with("id", "a", "y"), "type": with("id", "a", "x"), "key": with("id", "a", "x"), "form": with("id", "a", "x"),
		}
		others["type"].Type = "other"
		others["key"].Key = "other"
		others["form"].Data = &millracev1.PublishRequest_Payload{Payload: &millracev1.Payload{Kind: &millracev1.Payload_Binary{Binary: []byte("x")}}}
		for what, other := range others {
			_, err := n.rpc.Publish(t.Context(), other)
			if info := refused(t, err, "ID_REUSED"); info.GetChannel() != "a" || info.GetField() != "id" {
				t.Errorf("another %s is refused with %v", what, info)
			}
		}
		if p := n.head("a"); p.GetOffset() != 1 {
			t.Errorf("the channel is at %v", p)
		}
	})
}

// expecting is a text that is for a channel at a position.
func expecting(p *millracev1.Position, id, channel, data string) *millracev1.PublishRequest {
	request := with(id, channel, data)
	request.ExpectedPosition = p
	return request
}

func TestB2AMessageIsPlacedOnlyWhereItIsExpected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		first := &millracev1.Position{}
		one := n.send(expecting(first, "", "a", "1")).GetPosition()
		two := n.send(expecting(one, "", "a", "2")).GetPosition()
		for _, stale := range []*millracev1.Position{first, one, n.at("a", 3), {Offset: 2, Epoch: "other"}, {Offset: 2}} {
			_, err := n.rpc.Publish(t.Context(), expecting(stale, "", "a", "3"))
			info := refused(t, err, "POSITION_MISMATCH")
			if at := info.GetPosition(); at.GetOffset() != 2 || at.GetEpoch() != two.GetEpoch() {
				t.Errorf("expecting %v tells %v", stale, info)
			}
		}
		n.subscribe(since("a", n.at("a", 0))).takes("subscribed a/2 resumed", "a/1 1", "a/2 2")
	})
}

func TestB2TheFirstMessageCanBeExpectedWithTheEpochThatTheChannelHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		n.send(expecting(n.head("a"), "", "a", "1"))
		_, err := n.rpc.Publish(t.Context(), expecting(&millracev1.Position{}, "", "a", "1"))
		refused(t, err, "POSITION_MISMATCH")
	})
}

func TestB2OfSeveralThatExpectTheSameOneWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		for round := range uint64(20) {
			at := n.at("a", round)
			if round == 0 {
				at = &millracev1.Position{}
			}
			var won atomic.Int64
			together(8, func(i int) {
				request := expecting(at, fmt.Sprint(round, "-", i), "a", fmt.Sprint(i))
				_, err := n.rpc.Publish(t.Context(), request)
				if err != nil {
					refused(t, err, "POSITION_MISMATCH")
					return
				}
				won.Add(1)
				if again := n.send(request); !again.GetDuplicate() || again.GetPosition().GetOffset() != round+1 {
					t.Errorf("the winner's retry is answered %v", again)
				}
			})
			if won.Load() != 1 {
				t.Fatalf("%d of 8 have won", won.Load())
			}
		}
	})
}

func TestB2TwoEditorsNeverOverwriteEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		const edits = 100
		together(2, func(editor int) {
			for i := range edits {
				for {
					at := n.head("document")
					edit := expecting(at, fmt.Sprint(editor, "-", i), "document", fmt.Sprint("after ", at.GetOffset()))
					if _, err := n.rpc.Publish(t.Context(), edit); err == nil {
						break
					}
				}
			}
		})
		lines := messages(n.subscribe(recent("document", 1000)), "document")
		for i, line := range lines {
			if want := fmt.Sprintf("document/%d after %d", i+1, i); line != want || len(lines) != 2*edits {
				t.Fatalf("edit %d of %d is %q, want %q", i+1, len(lines), line, want)
			}
		}
	})
}

// numbered is a text with a producer's number.
func numbered(epoch, seq uint64) *millracev1.PublishRequest {
	request := text("a", fmt.Sprint(epoch, "-", seq))
	request.Producer = &millracev1.Producer{Id: "p", Epoch: epoch, Seq: seq}
	return request
}

func TestB3AProducersNumbersArePlacedOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		tests := []struct {
			epoch, seq uint64
			offset     uint64 // 0 for none
			duplicate  bool
			expected   uint64 // of a refusal
		}{
			{1, 1, 1, false, 0},
			{1, 2, 2, false, 0},
			{1, 2, 2, true, 0},
			{1, 1, 0, true, 0},
			{1, 4, 0, false, 3},
			{1, 3, 3, false, 0},
			{2, 2, 0, false, 1},
			{2, 1, 4, false, 0},
			{1, 4, 0, false, 2},
			{2, 1, 4, true, 0},
			{2, 2, 5, false, 0},
		}
		for _, test := range tests {
			response, err := n.rpc.Publish(t.Context(), numbered(test.epoch, test.seq))
			if test.expected > 0 {
				if info := refused(t, err, "SEQUENCE_MISMATCH"); info.GetLimit() != test.expected {
					t.Errorf("%d-%d is refused with %v, want %d", test.epoch, test.seq, info, test.expected)
				}
				continue
			}
			if err != nil || response.GetPosition().GetOffset() != test.offset || response.GetDuplicate() != test.duplicate {
				t.Errorf("%d-%d is answered %v, %v", test.epoch, test.seq, response, err)
			}
		}
		n.subscribe(recent("a", 9)).takes("subscribed a/5", "a/1 1-1", "a/2 1-2", "a/3 1-3", "a/4 2-1", "a/5 2-2")
	})
}
