package e2e_test

import (
	"context"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

func filterMessages(s *scene) {
	const name = "filtered"
	publisher, c := s.arrive(""), s.arrive("", &millracev1.Subscription{Channel: name, Filter: &millracev1.Filter{
		Types: []string{"wanted"}, Headers: map[string]string{"region": "eu"},
	}})
	c.seesSubscribed(name)
	say := func(kind, region string) *millracev1.Message {
		s.Helper()
		return publisher.publish(&millracev1.PublishRequest{
			Channel: name, Type: kind, Headers: map[string]string{"region": region}, Data: jsonData(`1`),
		})
	}
	c.sees(say("wanted", "eu"))
	hidden := []*millracev1.Message{say("wanted", "us"), say("other", "eu")}
	next := say("wanted", "eu")
	c.seesCheckpoint(hidden[1])
	c.sees(next)

	// A client that keeps its position goes on after what it was not shown.
	again := s.arrive("", since(name, hidden[0].GetPosition()))
	again.seesResumed(name)
	again.sees(hidden[1], next)
}

// seesCheckpoint expects to be told that the position is at a message.
func (c *client) seesCheckpoint(at *millracev1.Message) {
	c.Helper()
	got := c.toldOf("checkpoint").checkpoint
	if stream, isStream := c.wire.(eventStream); isStream && !stream.envelope {
		return // it has an opaque cursor instead
	}
	if got.GetChannel() != at.GetChannel() || got.GetPosition().GetOffset() != at.GetPosition().GetOffset() {
		c.Errorf("the checkpoint is {%s}, want %s at {%s}", got, at.GetChannel(), at.GetPosition())
	}
}

func excludeSelf(s *scene) {
	const name = "cursors"
	c, other := s.join(subscribe(name)), s.join(subscribe(name))
	mine := c.publish(&millracev1.PublishRequest{Channel: name, Data: jsonData(`"mine"`), ExcludeSelf: true})
	other.sees(mine)
	other.sees(c.publish(&millracev1.PublishRequest{Channel: name, Data: jsonData(`"mine"`), ExcludeSelf: true, Ephemeral: true}))
	theirs := other.say(name, `"theirs"`)
	other.sees(theirs)
	c.seesCheckpoint(mine)
	c.sees(theirs)
	c.seesNoMore()
}

func numberMessages(s *scene) {
	const name = "outbox"
	c := s.join(subscribe(name))
	numbered := func(epoch, seq uint64) *millracev1.PublishRequest {
		return &millracev1.PublishRequest{Channel: name, Data: jsonData(`1`), Producer: &millracev1.Producer{Id: "p", Epoch: epoch, Seq: seq}}
	}
	first, second := c.publish(numbered(1, 1)), c.publish(numbered(1, 2))
	again := ask[*millracev1.PublishResponse](c, numbered(1, 2))
	if !again.GetDuplicate() {
		s.Errorf("the same number again: %s, want a duplicate", again)
	}
	info := c.isRefused(numbered(1, 4), millracev1.ErrorReason_ERROR_REASON_SEQUENCE_MISMATCH, "producer.seq")
	if info.GetLimit() != 3 {
		s.Errorf("the expected number is %d, want 3", info.GetLimit())
	}
	third := c.publish(numbered(2, 1))
	c.isRefused(numbered(1, 3), millracev1.ErrorReason_ERROR_REASON_SEQUENCE_MISMATCH, "producer.epoch")
	c.sees(first, second, third)
	c.seesNoMore()
}

// takeOver loses a connection and comes back in time. The plain wire does not
// tell its clients the token that this needs.
func takeOver(s *scene) {
	if _, isPlain := s.wire.(plainSocket); isPlain {
		s = s.on(rpc{})
	}
	s = &scene{T: s.T, wire: s.wire, engine: s.engine, at: start(s.T, s.engine(s.T), func(c *service.Config) { c.Limits.Linger = 10 * patience })}
	watcher := s.arrive("", &millracev1.Subscription{Channel: room, Presence: true})
	watcher.told()
	watcher.told()
	lost, err := s.open("ada", &millracev1.SubscribeRequest{})
	if err != nil {
		s.Fatal(err)
	}
	lost.do(&millracev1.EnterPresenceRequest{Channel: room})
	watcher.seesChange("enter ada 1  of 1")
	lost.left = true
	if socket, ok := lost.session.(interface{ abort() }); ok {
		socket.abort()
	} else {
		lost.close()
	}

	back, err := s.open("ada", &millracev1.SubscribeRequest{SessionToken: sessionTokenOf(lost)})
	if err != nil {
		s.Fatal(err)
	}
	if sessionTokenOf(back) != sessionTokenOf(lost) {
		s.Error("the session has another token than the one that it took over")
	}
	back.do(&millracev1.UpdatePresenceRequest{Channel: room, Data: payloadJSON([]byte(`"back"`))})
	watcher.seesChange(`update ada 1 "back" of 1`)
	back.do(&millracev1.LeavePresenceRequest{Channel: room})
	watcher.seesChange(`leave ada 1 "back" of 0`)
	watcher.seesNoMore()
}

func administer(s *scene) {
	admin := millracev1connect.NewAdminServiceClient(s.at.connect())
	c := s.arrive("ada", subscribe("a"), subscribe("b"))
	c.seesSubscribed("a")
	c.seesSubscribed("b")
	removed, err := admin.Unsubscribe(s.Context(), &millracev1.UnsubscribeRequest{
		Target: &millracev1.UnsubscribeRequest_User{User: "ada"}, Channel: "a",
	})
	if err != nil || removed.GetSessions() != 1 {
		s.Errorf("unsubscribe: %s, %v", removed, err)
	}
	gone := c.toldOf("unsubscribed").unsubscribed
	if gone.GetChannel() != "a" || gone.GetError().GetReason() != millracev1.ErrorReason_ERROR_REASON_DISCONNECTED {
		s.Errorf("unsubscribed {%s}, want from a, by an administrator", gone)
	}
	publisher := s.arrive("")
	publisher.say("a", `"not for her"`)
	c.sees(publisher.say("b", `1`))

	ended, err := admin.Disconnect(s.Context(), &millracev1.DisconnectRequest{
		Target: &millracev1.DisconnectRequest_User{User: "ada"}, Message: "that is enough",
	})
	if err != nil || ended.GetSessions() != 1 {
		s.Errorf("disconnect: %s, %v", ended, err)
	}
	c.seesTheEnd(millracev1.ErrorReason_ERROR_REASON_DISCONNECTED)
}

// seesTheEnd expects the session to end for a reason.
func (c *client) seesTheEnd(reason millracev1.ErrorReason) *millracev1.ErrorInfo {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	e, err := c.next(ctx)
	info := infoOf(err)
	if info.GetReason() != reason {
		c.Fatalf("got %s and %v, want the end because of %s", e, err, reason)
	}
	return info
}

func drain(s *scene) {
	c := s.join(subscribe("draining"))
	publisher := (&scene{T: s.T, at: c.at, wire: rpc{}, engine: s.engine}).arrive("") // on the same node
	c.sees(publisher.say("draining", `"last words"`))
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	const window = 400 * time.Millisecond
	for _, at := range s.everywhere() {
		if err := at.node.Drain(ctx, window); err != nil {
			s.Error(err)
		}
	}
	if after := c.toldOf("draining").draining.GetRetryAfter(); after == nil || after.AsDuration() > window/2 {
		s.Errorf("go on elsewhere after %s, want a time within %s", after, window/2)
	}
	info := c.seesTheEnd(millracev1.ErrorReason_ERROR_REASON_DRAINING)
	if after := info.GetRetryAfter().AsDuration(); info.GetRetryAfter() == nil || after > window {
		s.Errorf("come back after %s, want a time within %s", after, window)
	}
	_, err := s.open("", &millracev1.SubscribeRequest{})
	if info := infoOf(err); info.GetReason() != millracev1.ErrorReason_ERROR_REASON_DRAINING || info.GetRetryAfter() == nil {
		s.Errorf("a session that comes while it goes: %v, want it refused with a time to come back after", err)
	}
}
