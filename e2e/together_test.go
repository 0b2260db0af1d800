package e2e_test

import (
	"fmt"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// The same message is sent from every wire at the same time, alone and in batches,
// and each wire has a listener.
func TestB1TheSameIDFromEveryWireAtOnceIsPlacedOnce(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			s := &scene{T: t, at: start(t, e.open(t)), engine: e.open}
			var listeners, senders []*client
			for _, w := range wires {
				listeners = append(listeners, s.on(w.wire).join(subscribe("once")))
				senders = append(senders, s.on(w.wire).arrive(""), s.on(w.wire).arrive(""))
			}
			for round := range 5 {
				request := &millracev1.PublishRequest{Channel: "once", Id: fmt.Sprint("order-", round), Data: jsonData(`{"n":1}`)}
				at := sendTogether(s, senders, request)
				want := published(request, &millracev1.PublishResponse{Position: at})
				for _, c := range listeners {
					c.sees(want)
				}
			}
			last := listeners[0].say("once", `"last"`)
			for _, c := range listeners {
				c.sees(last)
			}
		})
	}
}

// sendTogether has all send the same message, every second one in a batch, and
// returns the one position that all are told. All but one are told that it was
// there already.
func sendTogether(s *scene, senders []*client, request *millracev1.PublishRequest) *millracev1.Position {
	s.Helper()
	answers, failed := make([]*millracev1.PublishResponse, len(senders)), make([]error, len(senders))
	var sending sync.WaitGroup
	for i, c := range senders {
		sending.Go(func() { answers[i], failed[i] = c.sendSomehow(i%2 == 1, request) })
	}
	sending.Wait()
	placed := 0
	for i, answer := range answers {
		switch {
		case failed[i] != nil:
			s.Fatalf("sender %d: %v", i, failed[i])
		case !proto.Equal(answer.GetPosition(), answers[0].GetPosition()):
			s.Errorf("sender %d is told {%s}, sender 0 {%s}", i, answer, answers[0])
		case !answer.GetDuplicate():
			placed++
		}
	}
	if placed != 1 {
		s.Errorf("%d of %d were told that they placed it", placed, len(senders))
	}
	return answers[0].GetPosition()
}

// sendSomehow publishes a message alone, or in a batch with others of its channel
// and itself.
func (c *client) sendSomehow(batched bool, request *millracev1.PublishRequest) (*millracev1.PublishResponse, error) {
	if !batched {
		answer, err := c.try(request)
		response, _ := answer.(*millracev1.PublishResponse) // nil if there is an error
		return response, err
	}
	answer, err := c.try(&millracev1.PublishBatchRequest{Requests: []*millracev1.PublishRequest{
		{Channel: "beside", Data: jsonData(`1`)}, request, request,
	}})
	if err != nil {
		return nil, err
	}
	results := answer.(*millracev1.PublishBatchResponse).GetResults() //nolint:errcheck // of another type is a bug that may panic
	first, second := results[1].GetResponse(), results[2].GetResponse()
	if first == nil || !second.GetDuplicate() || !proto.Equal(first.GetPosition(), second.GetPosition()) {
		return nil, fmt.Errorf("the batch is answered %v", results)
	}
	return first, nil
}

// editTogether has two edit one document as fast as they can. Nothing is
// overwritten, because who comes second is told where the document is by now.
func editTogether(s *scene) {
	const name, edits = long + ".document", 25
	reader := s.join(subscribe(name))
	failed := make([]error, 2)
	var editing sync.WaitGroup
	for i, c := range []*client{s.arrive("ada"), s.on(rpc{}).arrive("bob")} {
		editing.Go(func() { failed[i] = c.edit(name, edits) })
	}
	editing.Wait()
	for _, err := range failed {
		if err != nil {
			s.Fatal(err)
		}
	}
	for n := range 2 * edits {
		got := reader.toldOf("message").message
		if want := fmt.Sprint(n); got.GetPosition().GetOffset() != uint64(n+1) || got.GetPayload().GetJson() != want {
			s.Fatalf("edit %d is {%s}, want one of version %s", n+1, got, want)
		}
	}
}

// edit publishes so many edits, each of which says of which version it is one.
func (c *client) edit(name string, edits int) error {
	at := &millracev1.Position{}
	for done := 0; done < edits; {
		answer, err := c.try(&millracev1.PublishRequest{Channel: name, Data: jsonData(fmt.Sprint(at.GetOffset())), ExpectedPosition: at})
		info := infoOf(err)
		switch {
		case err == nil:
			at = answer.(*millracev1.PublishResponse).GetPosition() //nolint:errcheck // of another type is a bug that may panic
			done++
		case info.GetReason() != millracev1.ErrorReason_ERROR_REASON_POSITION_MISMATCH || info.GetPosition().GetOffset() <= at.GetOffset():
			return fmt.Errorf("an edit of {%s}: %w", at, err)
		default:
			at = info.GetPosition()
		}
	}
	return nil
}
