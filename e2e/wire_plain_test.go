package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// plainSocket is a WebSocket without a sub-protocol: the wire of existing
// clients, with the fields that they do not know.
type plainSocket struct{}

// plainSession is one connection.
type plainSession struct {
	*socket
	at    *server
	token string
}

func (plainSocket) open(ctx context.Context, at *server, token string, request *millracev1.SubscribeRequest) (session, error) {
	conn, err := dialOn(ctx, at, plainSocket{}, url.Values{}, token)
	if err != nil {
		return nil, err
	}
	s := &plainSession{socket: newSocket(conn), at: at, token: token}
	go s.read(context.WithoutCancel(ctx), s.receive)
	if err := addAll(ctx, s, request); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// first is the frame that brings a token.
func (plainSocket) first(token string) (websocket.MessageType, []byte, error) {
	frame, err := command{"type": "auth", "id": "first", "token": token}.encode()
	return websocket.MessageText, frame, err
}

func (plainSocket) protocols() []string { return nil }

func (plainSocket) shows(m *millracev1.Message) *millracev1.Message { return showsInBrowsers(m) }

func (s *plainSession) receive(data []byte) error {
	var f frameJSON
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("frame %.200q: %w", data, err)
	}
	e, err := f.event()
	if err != nil {
		return fmt.Errorf("frame %.200q: %w", data, err)
	}
	// What confirms a command is also what happened on the stream.
	if e.kind() != "nothing" && e.refused == nil {
		s.put(e)
	}
	id, notNumber := strconv.ParseUint(string(f.ID), 10, 32)
	isAnswer := e.message == nil && notNumber == nil
	got := answer{response: f.response()}
	if f.Type == "error" {
		got = answer{err: f.refusal()}
	}
	if answered := isAnswer && s.answer(uint32(id), got); !answered && e.refused != nil {
		s.put(e)
	}
	return nil
}

// event is what the frame tells, if it is not an answer only.
func (f *frameJSON) event() (event, error) {
	if f.Channel != nil {
		m, err := f.message()
		return event{message: m}, err
	}
	switch f.Type {
	case "subscribed":
		return event{subscribed: &millracev1.Subscribed{Channel: f.For, Position: f.place(), Resumed: f.Resumed, Head: f.Head.proto(), Already: f.Already}}, nil
	case "unsubscribed":
		if f.Already {
			return event{}, nil
		}
		return event{unsubscribed: &millracev1.Unsubscribed{Channel: f.For, Error: f.Error.info()}}, nil
	case "gap":
		return event{gap: f.gap()}, nil
	case "checkpoint":
		return event{checkpoint: &millracev1.Checkpoint{Channel: f.For, Position: f.place(), Pattern: f.Pattern}}, nil
	case "presence":
		return f.presence(), nil
	case "draining":
		return event{draining: &millracev1.Draining{RetryAfter: f.retry()}}, nil
	case "error":
		return event{refused: f.info()}, nil
	}
	return event{}, nil
}

func (f *frameJSON) gap() *millracev1.Gap {
	return &millracev1.Gap{
		Channel: f.For, Reason: millracev1.GapReason(millracev1.GapReason_value["GAP_REASON_"+f.Reason]),
		Requested: f.Requested.proto(), Position: f.Position.proto(), Pattern: f.Pattern,
	}
}

// presence is a snapshot, or what changed; a page, which somebody asked for, is
// neither.
func (f *frameJSON) presence() event {
	version := &millracev1.PresenceVersion{Number: f.Version, Epoch: f.Epoch}
	if f.ID != nil {
		return event{}
	}
	if f.Changes == nil {
		snapshot := &millracev1.PresenceSnapshot{Channel: f.For, Version: version, Total: f.Total}
		for _, m := range f.Members {
			snapshot.Members = append(snapshot.Members, m.proto())
		}
		return event{snapshot: snapshot}
	}
	changes := &millracev1.PresenceChanges{Channel: f.For, Version: version, Total: f.Total}
	for _, c := range f.Changes {
		action := millracev1.PresenceAction(millracev1.PresenceAction_value["PRESENCE_ACTION_"+strings.ToUpper(c.Action)])
		changes.Changes = append(changes.Changes, &millracev1.PresenceChange{Action: action, Member: c.proto()})
	}
	return event{changes: changes}
}

// command is a frame to the server.
type command map[string]any

// encode spells a command. Raw JSON in it goes out as it is, but on one line.
func (c command) encode() ([]byte, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(c); err != nil {
		return nil, err
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// do sends a command and waits for its answer.
func (s *plainSession) do(ctx context.Context, c command) (proto.Message, error) {
	return s.ask(ctx, websocket.MessageText, func(id uint32) ([]byte, error) {
		c["id"] = id
		return c.encode()
	})
}

func (s *plainSession) call(ctx context.Context, request proto.Message) (proto.Message, error) {
	if r, ok := request.(*millracev1.PublishRequest); ok && r.GetEntity() != nil && canSay(r) {
		return s.publishEntity(ctx, r)
	}
	if canSayAll(request) {
		return doing(s.do).call(ctx, request)
	}
	return unary(ctx, s.at.connect(), s.token, request)
}

// doing carries a command to the server and returns its answer.
type doing func(context.Context, command) (proto.Message, error)

// call runs the method that takes a request, as a command.
func (do doing) call(ctx context.Context, request proto.Message) (proto.Message, error) {
	switch r := request.(type) {
	case *millracev1.PublishRequest:
		return do(ctx, publishCommand(r))
	case *millracev1.UpdateSubscriptionRequest:
		return do.update(ctx, r)
	case *millracev1.HistoryRequest:
		c := command{"type": "history", "channel": r.GetChannel(), "limit": r.GetPageSize(), "page": r.GetPageToken(),
			"newest": r.GetOrder() == millracev1.HistoryOrder_HISTORY_ORDER_NEWEST_FIRST}
		c.place("since", r.GetSince())
		return do(ctx, c)
	case *millracev1.PresenceRequest:
		return do(ctx, command{"type": "presence", "channel": r.GetChannel(), "limit": r.GetPageSize(), "page": r.GetPageToken()})
	case *millracev1.EnterPresenceRequest:
		return do(ctx, command{"type": "enter", "channel": r.GetChannel()}.payload(r.GetData()))
	case *millracev1.UpdatePresenceRequest:
		return do(ctx, command{"type": "update", "channel": r.GetChannel()}.payload(r.GetData()))
	case *millracev1.LeavePresenceRequest:
		return do(ctx, command{"type": "leave", "channel": r.GetChannel()})
	case *millracev1.GetPositionsRequest:
		return do(ctx, command{"type": "positions", "channels": r.GetChannels()})
	}
	return nil, fmt.Errorf("there is no command for %T", request)
}

// canSayAll reports whether there is a command for a call, with a place for all
// that is asked.
func canSayAll(request proto.Message) bool {
	switch r := request.(type) {
	case *millracev1.PublishRequest:
		return canSay(r)
	case *millracev1.UpdateSubscriptionRequest, *millracev1.HistoryRequest, *millracev1.PresenceRequest, *millracev1.EnterPresenceRequest,
		*millracev1.UpdatePresenceRequest, *millracev1.LeavePresenceRequest, *millracev1.GetPositionsRequest:
		return true
	}
	return false
}

// canSay reports whether a frame has a place for what is published.
func canSay(r *millracev1.PublishRequest) bool {
	data, isJSON := r.GetPayload().GetKind().(*millracev1.Payload_Json)
	return (!isJSON || json.Valid([]byte(data.Json))) && r.GetTtl().AsDuration() >= 0 &&
		(r.GetEntity() == nil || slices.Contains([]string{"create", "update", "patch", "delete", "invalidate"}, r.GetType()))
}

// update sends a command for each channel.
func (do doing) update(ctx context.Context, r *millracev1.UpdateSubscriptionRequest) (proto.Message, error) {
	response := &millracev1.UpdateSubscriptionResponse{}
	for _, name := range r.GetRemove() {
		if _, err := do(ctx, command{"type": "unsubscribe", "channel": name}); err != nil {
			return nil, err
		}
	}
	for _, add := range r.GetAdd() {
		got, err := do(ctx, subscribeCommand(add, r.GetCursor()))
		refused, isRefusal := err.(*refusal) //nolint:errorlint // answers are not wrapped
		switch {
		case isRefusal:
			response.Errors = append(response.Errors, refused.info)
		case err != nil:
			return nil, err
		case got != nil:
			response.Subscribed = append(response.Subscribed, got.(*millracev1.Subscribed)) //nolint:errcheck // see response
		}
	}
	return response, nil
}

func subscribeCommand(add *millracev1.Subscription, cursor string) command {
	c := command{"type": "subscribe", "channel": add.GetChannel(), "recent": add.GetRecent(), "presence": add.GetPresence(), "cursor": cursor}
	c.place("since", add.GetSince())
	if onGap := add.GetOnGap(); onGap != millracev1.OnGap_ON_GAP_UNSPECIFIED {
		c["onGap"] = strings.ToLower(strings.TrimPrefix(onGap.String(), "ON_GAP_"))
	}
	if f := add.GetFilter(); f != nil {
		c["filter"] = map[string]any{"types": f.GetTypes(), "headers": f.GetHeaders()}
	}
	if d := add.GetMinInterval(); d != nil {
		c["minInterval"] = d.AsDuration().Milliseconds()
	}
	seen := map[string]positionJSON{}
	for _, entry := range add.GetSeen() {
		seen[entry.GetChannel()] = positionJSON{entry.GetPosition().GetOffset(), entry.GetPosition().GetEpoch()}
	}
	c["seen"] = seen
	return c
}

// publishEntity sends a message of an entity. Its answer cannot be told from
// others: the entity's id stands where a command's would.
func (s *plainSession) publishEntity(ctx context.Context, r *millracev1.PublishRequest) (proto.Message, error) {
	frame, err := publishCommand(r).encode()
	if err != nil {
		return nil, err
	}
	return &millracev1.PublishResponse{}, s.conn.Write(ctx, websocket.MessageText, frame)
}

func publishCommand(r *millracev1.PublishRequest) command {
	c := command{"type": "publish", "channel": r.GetChannel(), "messageId": r.GetId(), "messageType": r.GetType(),
		"key": r.GetKey(), "headers": r.GetHeaders(), "ephemeral": r.GetEphemeral(), "ttl": r.GetTtl().AsDuration().Milliseconds()}
	c["excludeSelf"] = r.GetExcludeSelf()
	if p := r.GetProducer(); p != nil {
		c["producer"] = map[string]any{"id": p.GetId(), "epoch": p.GetEpoch(), "seq": p.GetSeq()}
	}
	c.place("expect", r.GetExpectedPosition())
	c.payload(r.GetPayload())
	e := r.GetEntity()
	if e == nil {
		return c
	}
	c["type"], c["entity"], c["id"], c["timestamp"] = r.GetType(), e.GetName(), e.GetId(), e.GetTimestamp()
	if e.GetQueryKeysJson() != "" {
		c["queryKeys"] = json.RawMessage(e.GetQueryKeysJson())
	}
	return c
}

func (c command) place(field string, p *millracev1.Position) {
	if p != nil {
		c[field] = positionJSON{p.GetOffset(), p.GetEpoch()}
	}
}

func (c command) payload(p *millracev1.Payload) command {
	switch kind := p.GetKind().(type) {
	case *millracev1.Payload_Json:
		c["data"] = json.RawMessage(kind.Json)
	case *millracev1.Payload_Text:
		c["data"], c["encoding"] = kind.Text, "text"
	case *millracev1.Payload_Binary:
		c["data"], c["encoding"], c["contentType"] = base64.StdEncoding.EncodeToString(kind.Binary), "base64", p.GetContentType()
	}
	return c
}
