package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// event is one thing that a session was told, whatever the wire: a message or
// one notice, in the API's terms. Heartbeats are none.
type event struct {
	message      *millracev1.Message
	subscribed   *millracev1.Subscribed
	unsubscribed *millracev1.Unsubscribed
	gap          *millracev1.Gap
	checkpoint   *millracev1.Checkpoint
	snapshot     *millracev1.PresenceSnapshot
	changes      *millracev1.PresenceChanges
	draining     *millracev1.Draining
	// refused answers something that nobody waits for the answer of.
	refused *millracev1.ErrorInfo

	// cursor is where the stream is after the event, on wires that say so.
	cursor string
}

// kind names what happened.
func (e event) kind() string {
	switch {
	case e.message != nil:
		return "message"
	case e.subscribed != nil:
		return "subscribed"
	case e.unsubscribed != nil:
		return "unsubscribed"
	case e.gap != nil:
		return "gap"
	case e.checkpoint != nil:
		return "checkpoint"
	case e.snapshot != nil:
		return "presence snapshot"
	case e.changes != nil:
		return "presence changes"
	case e.draining != nil:
		return "draining"
	case e.refused != nil:
		return "refusal"
	}
	return "nothing"
}

func (e event) String() string {
	for _, m := range []proto.Message{e.message, e.subscribed, e.unsubscribed, e.gap, e.checkpoint, e.snapshot, e.changes, e.draining, e.refused} {
		if m.ProtoReflect().IsValid() {
			return fmt.Sprintf("%s {%.300s}", e.kind(), m)
		}
	}
	return "nothing"
}

// eventsOf takes an item of a stream apart. Ready, heartbeats and replies are
// the drivers' own affair.
func eventsOf(response *millracev1.SubscribeResponse) []event {
	var events []event
	for _, m := range response.GetMessages() {
		events = append(events, event{message: m})
	}
	switch n := response.GetNotice().(type) {
	case *millracev1.SubscribeResponse_Subscribed:
		return []event{{subscribed: n.Subscribed}}
	case *millracev1.SubscribeResponse_Unsubscribed:
		return []event{{unsubscribed: n.Unsubscribed}}
	case *millracev1.SubscribeResponse_Gap:
		return []event{{gap: n.Gap}}
	case *millracev1.SubscribeResponse_Checkpoint:
		return []event{{checkpoint: n.Checkpoint}}
	case *millracev1.SubscribeResponse_PresenceSnapshot:
		return []event{{snapshot: n.PresenceSnapshot}}
	case *millracev1.SubscribeResponse_PresenceChanges:
		return []event{{changes: n.PresenceChanges}}
	case *millracev1.SubscribeResponse_Draining:
		return []event{{draining: n.Draining}}
	}
	return events
}

// inbox holds what a session was told and nobody has looked at yet. A driver's
// reader fills it.
type inbox struct {
	arrived chan struct{} // holds one token if there may be something new

	mu     sync.Mutex
	events []event
	ended  error // why nothing follows, once that is so
}

func newInbox() *inbox { return &inbox{arrived: make(chan struct{}, 1)} }

func (b *inbox) put(events ...event) {
	b.mu.Lock()
	b.events = append(b.events, events...)
	b.mu.Unlock()
	b.wake()
}

func (b *inbox) end(why error) {
	b.mu.Lock()
	if b.ended == nil {
		b.ended = why
	}
	b.mu.Unlock()
	b.wake()
}

func (b *inbox) wake() {
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// next waits for the next event. Only one goroutine may call it.
func (b *inbox) next(ctx context.Context) (event, error) {
	for {
		b.mu.Lock()
		if len(b.events) > 0 {
			e := b.events[0]
			b.events = b.events[1:]
			b.mu.Unlock()
			return e, nil
		}
		ended := b.ended
		b.mu.Unlock()
		if ended != nil {
			return event{}, ended
		}
		select {
		case <-b.arrived:
		case <-ctx.Done():
			return event{}, fmt.Errorf("no event: %w", ctx.Err())
		}
	}
}

// refusal is a request that was not done, on any wire.
type refusal struct {
	code string
	info *millracev1.ErrorInfo
}

func (r *refusal) Error() string { return fmt.Sprintf("%s {%s}", r.code, r.info) }

// infoOf is why something was refused, nil if the error does not say.
func infoOf(err error) *millracev1.ErrorInfo {
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused.info
	}
	return nil
}

// asRefusal translates the error of a call. Others pass as they are.
func asRefusal(err error) error {
	refused, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return err
	}
	for _, detail := range refused.Details() {
		message, err := connectproto.UnmarshalErrorDetail(detail)
		if info, ok := message.(*millracev1.ErrorInfo); ok && err == nil {
			return &refusal{code: refused.Code().String(), info: info}
		}
	}
	return err
}

// reasonNamed is the inverse of what browsers are sent.
func reasonNamed(name string) millracev1.ErrorReason {
	return millracev1.ErrorReason(millracev1.ErrorReason_value["ERROR_REASON_"+name])
}
