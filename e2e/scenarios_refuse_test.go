package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect/v2"
	"connectrpc.com/grpcreflect/v2"
	"google.golang.org/protobuf/types/known/durationpb"

	healthv1 "millrace.dev/gen/grpc/health/v1"
	"millrace.dev/gen/grpc/health/v1/healthv1connect"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// refuse publishes what cannot be, and checks each time that the session lives
// on and that nothing has come of it.
func refuse(s *scene) {
	const name = "refuse"
	c := s.join(subscribe(name))
	tooLarge, invalid, tooMany := millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, millracev1.ErrorReason_ERROR_REASON_TOO_MANY
	headers := map[string]string{}
	for i := range 17 {
		headers[fmt.Sprint(i)] = "x"
	}
	long := strings.Repeat("x", 129)
	user := &millracev1.Entity{Name: "user"}
	for _, r := range []struct {
		request *millracev1.PublishRequest
		reason  millracev1.ErrorReason
		field   string
		limit   uint64
	}{
		{&millracev1.PublishRequest{Data: jsonData(`"` + strings.Repeat("x", payloadLimit) + `"`)}, tooLarge, "payload", payloadLimit},
		{&millracev1.PublishRequest{Data: jsonData(`{"a":`)}, millracev1.ErrorReason_ERROR_REASON_INVALID_JSON, "payload.json", 0},
		{&millracev1.PublishRequest{Data: jsonData(``)}, millracev1.ErrorReason_ERROR_REASON_INVALID_JSON, "payload.json", 0},
		{&millracev1.PublishRequest{Id: long}, tooLarge, "id", 128},
		{&millracev1.PublishRequest{Type: long}, tooLarge, "type", 128},
		{&millracev1.PublishRequest{Key: long}, tooLarge, "key", 128},
		{&millracev1.PublishRequest{Id: "two\nlines"}, invalid, "id", 0},
		{&millracev1.PublishRequest{Type: "nul\x00"}, invalid, "type", 0},
		{&millracev1.PublishRequest{Key: "del\x7f"}, invalid, "key", 0},
		{&millracev1.PublishRequest{Headers: headers}, tooMany, "headers", 16},
		{&millracev1.PublishRequest{Headers: map[string]string{"x": strings.Repeat("x", 5000)}}, tooLarge, "headers", 4096},
		{&millracev1.PublishRequest{Headers: map[string]string{"x": "two\r\nlines"}}, invalid, "headers", 0},
		{&millracev1.PublishRequest{Ttl: durationpb.New(-1e9)}, invalid, "ttl", 0},
		{&millracev1.PublishRequest{Type: "changed", Entity: user}, invalid, "type", 0},
		{&millracev1.PublishRequest{Type: "update", Entity: &millracev1.Entity{}}, invalid, "entity.name", 0},
		{&millracev1.PublishRequest{Type: "update", Entity: &millracev1.Entity{Name: long}}, tooLarge, "entity.name", 128},
		{&millracev1.PublishRequest{Type: "update", Entity: &millracev1.Entity{Name: "user", QueryKeysJson: `{}`}}, millracev1.ErrorReason_ERROR_REASON_INVALID_JSON, "entity.query_keys_json", 0},
	} {
		r.request.Channel = name
		info := c.isRefusedSomehow(r.request, r.reason, r.field)
		if info.GetLimit() != r.limit || info.GetChannel() != name {
			s.Errorf("%.100s: the refusal is about %q and names the limit %d, want %q and %d", r.request, info.GetChannel(), info.GetLimit(), name, r.limit)
		}
	}
	if info := c.isRefused(&millracev1.GetPositionsRequest{Channels: slices.Repeat([]string{name}, 513)}, tooMany, "channels"); info.GetLimit() != 512 {
		s.Errorf("too many channels: the refusal names the limit %d, want 512", info.GetLimit())
	}
	c.sees(c.say(name, `"and on it goes"`))
	c.seesNoMore()
}

// isRefusedSomehow is isRefused where the refusal may come without an answer: to
// the wire of browsers an entity's message has no number of a command.
func (c *client) isRefusedSomehow(request *millracev1.PublishRequest, reason millracev1.ErrorReason, field string) *millracev1.ErrorInfo {
	c.Helper()
	response, err := c.try(request)
	if answered, ok := response.(*millracev1.PublishResponse); ok && err == nil && answered.GetPosition() == nil {
		err = &refusal{info: c.toldOf("refusal").refused}
	}
	return checkRefusal(c.T, err, reason, c.spelled(request, field))
}

// badChannels cannot be the name of a channel or a pattern.
var badChannels = []string{
	"", ".", "a..b", ".a", "a.", "a b", "a\tb", "a\nb", "a\r\nb", "a\x00b", "\x7f", "a\u00a0b", "a\u2028b", "a\u0085b",
	"*x", "a.>.b", ">.a", "a.b*", strings.Repeat("x", 256), "millrace.ready", "millrace.>",
}

func refuseChannels(s *scene) {
	c := s.join(subscribe("fine"))
	for _, name := range badChannels {
		info := c.isRefusedSubscription(subscribe(name), millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel")
		checkNamed(s, info, name)
		if name == "" || strings.HasPrefix(name, ".") {
			continue // not a path
		}
		request := &millracev1.PublishRequest{Channel: name, Data: jsonData(`1`)}
		checkNamed(s, c.isRefused(request, millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel"), name)
	}
	c.isRefused(&millracev1.PublishRequest{Channel: "a.*", Data: jsonData(`1`)}, millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel")

	_, err := s.open("", &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{subscribe("fine"), subscribe("not fine")}})
	checkRefusal(s.T, err, millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel")

	_, err = s.open("", &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{{Channel: "p.*", Recent: 1}}})
	checkRefusal(s.T, err, millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "recent")

	c.sees(c.say("fine", `"and on it goes"`))
	c.seesNoMore()
}

// checkNamed checks that a refusal names the channel, as far as it can be shown.
func checkNamed(s *scene, info *millracev1.ErrorInfo, name string) {
	s.Helper()
	if len(name) > 255 {
		if info.GetLimit() != 255 || len(info.GetChannel()) > 80 {
			s.Errorf("the refusal of a long name is {%s}, want the limit and a part of the name", info)
		}
		return
	}
	if info.GetChannel() != name {
		s.Errorf("the refusal of %q is about %q", name, info.GetChannel())
	}
}

func refuseUnknownSession(s *scene) {
	c := s.on(rpc{}).join(subscribe("fine"))
	if w, ok := s.wire.(rpc); ok {
		c = s.on(w).join(subscribe("fine"))
	}
	const unknown = "nobody"
	notFound := millracev1.ErrorReason_ERROR_REASON_SESSION_NOT_FOUND
	c.isRefused(&millracev1.UpdateSubscriptionRequest{SessionToken: unknown}, notFound, "session_token")
	c.isRefused(&millracev1.EnterPresenceRequest{SessionToken: unknown, Channel: "fine"}, notFound, "session_token")

	// A session that has ended is as unknown.
	gone := s.on(c.wire).arrive("")
	gone.leave()
	s.eventually("an ended session is refused", func() bool {
		_, err := gone.try(&millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{subscribe("fine")}})
		return err != nil
	})
	gone.isRefused(&millracev1.UpdateSubscriptionRequest{}, notFound, "session_token")

	// One of another user's is not ours.
	theirs, err := s.on(c.wire).open("ada", &millracev1.SubscribeRequest{})
	if err != nil {
		s.Fatal(err)
	}
	stolen := &millracev1.UpdateSubscriptionRequest{SessionToken: sessionTokenOf(theirs)}
	c.isRefused(stolen, millracev1.ErrorReason_ERROR_REASON_FORBIDDEN, "session_token")
	c.sees(c.say("fine", `"and on it goes"`))
}

// sessionTokenOf is the secret handle of a session, where the wire tells it.
func sessionTokenOf(c *client) string {
	switch s := c.session.(type) {
	case *rpcSession:
		return s.sessionToken
	case *typedSession:
		return s.sessionToken
	case *streamSession:
		return s.sessionToken
	}
	return ""
}

func answerHealth(s *scene) {
	client := s.at.connect()
	if w, ok := s.wire.(rpc); ok {
		client = w.client(s.at)
	}
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	health := healthv1connect.NewHealthClient(client)
	for _, service := range []string{"", "millrace.v1.RealtimeService", "millrace.v1.AdminService"} {
		response, err := health.Check(ctx, &healthv1.HealthCheckRequest{Service: service})
		if err != nil || response.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			s.Errorf("check %q: %s, %v", service, response, err)
		}
	}
	if _, err := health.Check(ctx, &healthv1.HealthCheckRequest{Service: "unknown"}); connect.CodeOf(err) != connect.CodeNotFound {
		s.Errorf("check of an unknown service: %v, want not_found", err)
	}
	checkReflection(s, client)
	const serving, notServing, unknown = healthv1.HealthCheckResponse_SERVING, healthv1.HealthCheckResponse_NOT_SERVING, healthv1.HealthCheckResponse_SERVICE_UNKNOWN
	known := watchHealth(ctx, s, health, "")
	none := watchHealth(ctx, s, health, "unknown")
	known(serving)
	none(unknown)
	if err := s.at.node.Drain(ctx, 0); err != nil {
		s.Error(err)
	}
	for range 2 { // who watched, and who begins too late
		known(notServing, connect.CodeUnavailable)
		none(unknown, connect.CodeUnavailable)
		known, none = watchHealth(ctx, s, health, ""), watchHealth(ctx, s, health, "unknown")
	}
}

// watchHealth returns a function that wants a status of the service next, and then
// maybe the end of the stream.
func watchHealth(ctx context.Context, s *scene, health healthv1connect.HealthClient, service string) func(healthv1.HealthCheckResponse_ServingStatus, ...connect.Code) {
	s.Helper()
	stream, err := health.Watch(ctx, &healthv1.HealthCheckRequest{Service: service})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = stream.Close() }) // it may have ended
	return func(want healthv1.HealthCheckResponse_ServingStatus, end ...connect.Code) {
		s.Helper()
		if response, err := stream.Receive(); err != nil || response.GetStatus() != want {
			s.Errorf("watching %q: %s, %v; want %s", service, response, err, want)
		}
		for _, code := range end {
			if response, err := stream.Receive(); connect.CodeOf(err) != code {
				s.Errorf("watching %q: %s, %v; want %v", service, response, err, code)
			}
		}
	}
}

// checkReflection checks that the API describes itself, over HTTP/2, which its
// stream of two directions needs.
func checkReflection(s *scene, client *connect.Client) {
	s.Helper()
	if w, ok := s.wire.(rpc); ok && w.http1 {
		client = s.at.connect(w.options...)
	}
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	stream := grpcreflect.NewClient(client).NewStream(ctx)
	defer stream.Close()
	names, err := stream.ListServices()
	if err != nil {
		s.Fatal(err)
	}
	listed := fmt.Sprint(names)
	for _, name := range []string{"millrace.v1.RealtimeService", "millrace.v1.AdminService", "grpc.health.v1.Health"} {
		if !strings.Contains(listed, name) {
			s.Errorf("reflection lists %s, and not %s", listed, name)
		}
		if files, err := stream.FileContainingSymbol(names[0]); err != nil || len(files) == 0 {
			s.Errorf("reflection describes %s with %d files, %v", names[0], len(files), err)
		}
	}
}
