package e2e_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// scene is where a scenario plays: a server of its own, and the wire that its
// clients use.
type scene struct {
	*testing.T
	at     *server
	wire   wire
	engine func(*testing.T) engine.Open
	nodes  *nodes // that clients come to; nil for at alone
}

// nodes are servers that share their channels. Each client comes to the next one.
type nodes struct {
	all  []*server
	came int
}

func (n *nodes) next() *server {
	n.came++
	return n.all[n.came%len(n.all)]
}

// everywhere is all nodes of the scene.
func (s *scene) everywhere() []*server {
	if s.nodes == nil {
		return []*server{s.at}
	}
	return s.nodes.all
}

// isEverywhere waits until each node has the first messages of a channel: those
// that did not acknowledge them have them a moment later.
func (s *scene) isEverywhere(messages []*millracev1.Message) {
	s.Helper()
	first := messages[0]
	before := &millracev1.Position{Epoch: first.GetPosition().GetEpoch(), Offset: first.GetPosition().GetOffset() - 1}
	for _, at := range s.everywhere() {
		c := (&scene{T: s.T, at: at, wire: rpc{}, engine: s.engine}).arrive("", since(first.GetChannel(), before))
		c.seesResumed(first.GetChannel())
		c.sees(messages...)
		c.leave()
	}
}

// restart is the same scene on a server that knows nothing of the first.
func (s *scene) restart() *scene {
	return &scene{T: s.T, at: start(s.T, s.engine(s.T)), wire: s.wire, engine: s.engine}
}

// on is the same scene on another wire.
func (s *scene) on(w wire) *scene {
	return &scene{T: s.T, at: s.at, wire: w, engine: s.engine, nodes: s.nodes}
}

// open starts a session of a user, which ends with the test if not before.
func (s *scene) open(user string, request *millracev1.SubscribeRequest) (*client, error) {
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	at := s.at
	if s.nodes != nil {
		at = s.nodes.next()
	}
	opened, err := s.wire.open(ctx, at, tokenOf(s.T, user), request)
	if err != nil {
		return nil, err
	}
	c := &client{scene: &scene{T: s.T, at: at, wire: s.wire, engine: s.engine, nodes: s.nodes}, session: opened}
	s.Cleanup(c.leave)
	return c, nil
}

// join starts a session that is subscribed, and checks that it says so.
func (s *scene) join(subscriptions ...*millracev1.Subscription) *client {
	s.Helper()
	c := s.arrive("", subscriptions...)
	for _, sub := range subscriptions {
		c.seesSubscribed(sub.GetChannel())
	}
	return c
}

// arrive starts a session of a user, and leaves to the caller what it is told.
func (s *scene) arrive(user string, subscriptions ...*millracev1.Subscription) *client {
	s.Helper()
	c, err := s.open(user, &millracev1.SubscribeRequest{Subscriptions: subscriptions})
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	return c
}

// client is one client in a scene: what it is told and was not expected fails
// the test.
type client struct {
	*scene
	session
	left bool
}

// leave ends the session.
func (c *client) leave() {
	if !c.left {
		c.left = true
		c.close()
	}
}

// try calls a method. Tests that expect it to work use do.
func (c *client) try(request proto.Message) (proto.Message, error) {
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	return c.call(ctx, request)
}

func (c *client) do(request proto.Message) proto.Message {
	c.Helper()
	response, err := c.try(request)
	if err != nil {
		c.Fatalf("%s: %v", request.ProtoReflect().Descriptor().Name(), err)
	}
	return response
}

// ask calls a method whose response is of the type.
func ask[Response proto.Message](c *client, request proto.Message) Response {
	c.Helper()
	answer := c.do(request)
	response, ok := answer.(Response)
	if !ok {
		c.Fatalf("%s: the response is a %T", request.ProtoReflect().Descriptor().Name(), answer)
	}
	return response
}

// isRefused calls a method that must not work, and returns why it did not.
func (c *client) isRefused(request proto.Message, reason millracev1.ErrorReason, field string) *millracev1.ErrorInfo {
	c.Helper()
	_, err := c.try(request)
	return checkRefusal(c.T, err, reason, c.spelled(request, field))
}

// spelled is how the client's wire names a field of a request.
func (c *client) spelled(request proto.Message, field string) string {
	var spelling map[string]string
	stream, isStream := c.wire.(eventStream)
	publish, isPublish := request.(*millracev1.PublishRequest)
	switch _, isPlain := c.wire.(plainSocket); {
	case isPlain && (!isPublish || canSay(publish)), stream.posted && canPost(request):
		spelling = map[string]string{
			"id": "messageId", "type": "messageType", "payload": "data", "expected_position": "expect",
			"entity.name": "entity", "entity.query_keys_json": "queryKeys", "page_size": "limit", "page_token": "page",
		}
	case isStream:
		if plainHTTP(c.at, request) != nil {
			spelling = map[string]string{
				"payload": "body", "payload.json": "body", "expected_position": "expect", "page_size": "limit", "page_token": "page",
			}
		}
	}
	return cmp.Or(spelling[field], field)
}

// checkRefusal checks that an error has the reason and names the field.
func checkRefusal(t *testing.T, err error, reason millracev1.ErrorReason, field string) *millracev1.ErrorInfo {
	t.Helper()
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		t.Errorf("refused with %v, want the reason %s", err, reason)
		return nil
	}
	if refused.info.GetReason() != reason || refused.info.GetField() != field {
		t.Errorf("refused for %s in field %q, want %s in %q: %v", refused.info.GetReason(), refused.info.GetField(), reason, field, refused.info)
	}
	if refused.info.GetMessage() == "" {
		t.Errorf("the refusal %v explains nothing", refused.info)
	}
	return refused.info
}

// publish publishes, and returns what subscribers will see.
func (c *client) publish(request *millracev1.PublishRequest) *millracev1.Message {
	c.Helper()
	response := ask[*millracev1.PublishResponse](c, request)
	if response.GetDuplicate() {
		c.Errorf("publish %s: it is a duplicate", request)
	}
	return published(request, response)
}

// say publishes JSON.
func (c *client) say(channel, data string) *millracev1.Message {
	c.Helper()
	return c.publish(&millracev1.PublishRequest{Channel: channel, Data: jsonData(data)})
}

// sayAll publishes so many numbered messages.
func (c *client) sayAll(channel string, n int) []*millracev1.Message {
	c.Helper()
	messages := make([]*millracev1.Message, n)
	for i := range messages {
		messages[i] = c.say(channel, fmt.Sprintf(`{"n":%d}`, i))
	}
	return messages
}

func (c *client) add(subscriptions ...*millracev1.Subscription) *millracev1.UpdateSubscriptionResponse {
	c.Helper()
	return ask[*millracev1.UpdateSubscriptionResponse](c, &millracev1.UpdateSubscriptionRequest{Add: subscriptions})
}

func (c *client) remove(channels ...string) {
	c.Helper()
	c.do(&millracev1.UpdateSubscriptionRequest{Remove: channels})
}

// told waits for the next event.
func (c *client) told() event {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	e, err := c.next(ctx)
	if err != nil {
		c.Fatalf("next event: %v", err)
	}
	return e
}

// toldOf is told of something of a kind, or the test fails.
func (c *client) toldOf(kind string) event {
	c.Helper()
	e := c.told()
	if e.kind() != kind {
		c.Fatalf("got %s, want %s", e, kind)
	}
	return e
}

// seesSubscribed expects the confirmation of a subscription.
func (c *client) seesSubscribed(channel string) *millracev1.Subscribed {
	c.Helper()
	got := c.toldOf("subscribed").subscribed
	if got.GetChannel() != channel || got.GetPosition().GetEpoch() == "" {
		c.Fatalf("subscribed {%s}, want channel %s and a position", got, channel)
	}
	return got
}

// seesUnsubscribed expects the end of a subscription.
func (c *client) seesUnsubscribed(channel string) {
	c.Helper()
	got := c.toldOf("unsubscribed").unsubscribed
	if got.GetChannel() != channel || got.GetError() != nil {
		c.Fatalf("unsubscribed {%s}, want channel %s", got, channel)
	}
}

// sees expects these messages and no others before or between them.
func (c *client) sees(messages ...*millracev1.Message) {
	c.Helper()
	for i, want := range messages {
		got := c.toldOf("message").message
		if !same(got, c.wire.shows(want)) {
			c.Fatalf("message %d of %d is\n{%.500s}, want\n{%.500s}", i+1, len(messages), got, c.wire.shows(want))
		}
	}
}

// seesEach expects these messages, those of each channel in order: there is no
// other order between them.
func (c *client) seesEach(messages ...*millracev1.Message) {
	c.Helper()
	next := map[string][]*millracev1.Message{}
	for _, m := range messages {
		next[m.GetChannel()] = append(next[m.GetChannel()], m)
	}
	for range messages {
		got := c.toldOf("message").message
		of := next[got.GetChannel()]
		if len(of) == 0 || !same(got, c.wire.shows(of[0])) {
			c.Fatalf("got {%.300s}, want the next of its channel: %.300s", got, of)
		}
		next[got.GetChannel()] = of[1:]
	}
}

// seesNoMore expects that nothing waits to be told: what comes next is what
// happens next. Each time that is in another channel: what was published by one node
// before a subscription on another may come after it.
func (c *client) seesNoMore() {
	c.Helper()
	fence := fmt.Sprint("fence.", fences.Add(1))
	c.add(&millracev1.Subscription{Channel: fence})
	c.seesSubscribed(fence)
	c.sees(c.on(rpc{}).arrive("").say(fence, `"fence"`))
	c.remove(fence)
	c.seesUnsubscribed(fence)
}

var fences atomic.Int64

// same compares messages, but for the time, and for a position that the
// publisher was not told.
func same(got, want *millracev1.Message) bool {
	got, want = proto.CloneOf(got), proto.CloneOf(want)
	got.PublishTime, got.Ttl, got.PreviousOffset, got.Pattern = nil, nil, 0, ""
	if want.Position == nil && !want.GetEphemeral() {
		want.Position = got.Position
	}
	if want.GetEntity() != nil && want.GetEntity().GetTimestamp() == "" && got.GetEntity().GetTimestamp() != "" {
		want.Entity.Timestamp = got.GetEntity().GetTimestamp()
	}
	return proto.Equal(got, want)
}

// published is what subscribers see of what was published.
func published(r *millracev1.PublishRequest, response *millracev1.PublishResponse) *millracev1.Message {
	return &millracev1.Message{
		Channel: r.GetChannel(), Position: response.GetPosition(), Id: r.GetId(), Type: r.GetType(), Payload: r.GetPayload(),
		Headers: r.GetHeaders(), Key: r.GetKey(), Ephemeral: r.GetEphemeral(), Entity: r.GetEntity(),
	}
}

// Shorthands of the API's requests.

func subscribe(channel string) *millracev1.Subscription {
	return &millracev1.Subscription{Channel: channel}
}

func since(channel string, p *millracev1.Position) *millracev1.Subscription {
	return &millracev1.Subscription{Channel: channel, Since: p}
}

func jsonData(text string) *millracev1.PublishRequest_Payload {
	return &millracev1.PublishRequest_Payload{Payload: payloadJSON([]byte(text))}
}
