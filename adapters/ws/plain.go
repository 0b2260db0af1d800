package ws

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/coder/websocket"

	"google.golang.org/protobuf/proto"

	"millrace.dev/adapters/internal/browser"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// plain is the wire of clients that chose no sub-protocol. Only deliveries have
// a top-level `channel`; what else is about a channel names it with `for`.
type plain struct {
	*connection
	answer func(frame []byte) error
}

// commandID is the client's number or text for a command, as it came. Clients
// that send none get no confirmations.
type commandID = json.RawMessage

func (p *plain) messageType() websocket.MessageType { return websocket.MessageText }

func (p *plain) format() service.Format { return service.FormatWebSocket }

func (p *plain) appendFrame(b []byte, f *service.Frame) []byte {
	if f.Message != nil {
		return append(b, f.Bytes(service.FormatWebSocket, encodeMessage)...)
	}
	if data := p.encode(f.Notice); data != nil {
		b = appendFrame(b, websocket.MessageText, data)
	}
	return b
}

func encodeMessage(f *service.Frame) []byte {
	return appendFrame(nil, websocket.MessageText, browser.AppendMessage(nil, f.Message, f.Pattern))
}

// encode makes the frames of those notices that the client asked for or needs.
func (p *plain) encode(notice *millracev1.SubscribeResponse) []byte {
	id := commandID(notice.GetCommandId())
	switch n := notice.GetNotice().(type) {
	case *millracev1.SubscribeResponse_Subscribed:
		if len(id) > 0 {
			return frame("subscribed", id, browser.FromSubscribed(n.Subscribed))
		}
	case *millracev1.SubscribeResponse_Unsubscribed:
		if len(id) > 0 || n.Unsubscribed.GetError() != nil {
			return unsubscribed(n.Unsubscribed, id)
		}
	case *millracev1.SubscribeResponse_Gap:
		return frame("gap", nil, browser.FromGap(n.Gap))
	case *millracev1.SubscribeResponse_Checkpoint:
		return frame("checkpoint", nil, browser.FromCheckpoint(n.Checkpoint))
	case *millracev1.SubscribeResponse_Draining:
		return frame("draining", nil, browser.FromDraining(n.Draining))
	case *millracev1.SubscribeResponse_PresenceSnapshot:
		return frame("presence", nil, browser.FromSnapshot(n.PresenceSnapshot))
	case *millracev1.SubscribeResponse_PresenceChanges:
		return frame("presence", nil, browser.FromChanges(n.PresenceChanges))
	}
	return nil
}

func unsubscribed(u *millracev1.Unsubscribed, id commandID) []byte {
	body := struct {
		For   string         `json:"for"`
		Error *browser.Error `json:"error,omitempty"`
	}{For: u.GetChannel()}
	if u.GetError() != nil {
		e := browser.FromErrorInfo(u.GetError())
		body.Error = &e
	}
	return frame("unsubscribed", id, body)
}

// frame makes a control frame: `type` and, for an answer, `id`, before the
// fields of body.
func frame(kind string, id commandID, body any) []byte {
	b := append([]byte(`{"type":"`), kind...)
	b = append(b, '"')
	if len(id) > 0 {
		b = append(append(b, `,"id":`...), id...)
	}
	fields := browser.Marshal(body)
	if len(fields) > len("{}") {
		b = append(b, ',')
	}
	return append(b, fields[1:]...)
}

func (p *plain) refuse(err error) error {
	return p.answerError(&plainCommand{}, err)
}

// spelling is how frames call the fields of the API.
var spelling = browser.Spelling{
	"id": "messageId", "type": "messageType", "payload": "data", "payload.json": "data", "payload.text": "data", "payload.content_type": "contentType",
	"expected_position": "expect", "entity.name": "entity", "entity.id": "entityId", "entity.timestamp": "timestamp", "entity.query_keys_json": "queryKeys",
	"min_interval": "minInterval", "on_slow": "onSlow", "page_size": "limit", "page_token": "page",
}

// answerError answers a command that was refused: its error is of the API, or of
// the frame itself.
func (p *plain) answerError(c *plainCommand, err error) error {
	e := browser.FromErrorOn(c.Channel, err)
	if _, isOfAPI := errors.AsType[callError](err); isOfAPI {
		e = e.Spelled(spelling)
	}
	return p.answer(frame("error", c.ID, e))
}

// callError is an error of the API.
type callError struct{ error }

func (e callError) Unwrap() error { return e.error }

// ask calls the API.
func ask[Response proto.Message](ctx context.Context, p *plain, procedure string, request proto.Message) (Response, error) {
	response, err := unary[Response](ctx, p.connection, procedure, request)
	if err != nil {
		err = callError{err}
	}
	return response, err
}

// command does what a frame asks. The type decides; a frame with data but
// without a type, or with that of an entity event, publishes.
func (p *plain) command(ctx context.Context, data []byte) error {
	c, err := decodePlain(data)
	if err == nil {
		err = p.run(ctx, c)
	}
	if err != nil && ctx.Err() == nil {
		return p.answerError(c, err)
	}
	return err
}

func (p *plain) run(ctx context.Context, c *plainCommand) error {
	switch c.Type {
	case "subscribe":
		return p.subscribe(ctx, c)
	case "unsubscribe":
		return p.unsubscribe(ctx, c)
	case "publish", "":
		return p.publish(ctx, c)
	case "ping":
		return p.answer(frame("pong", c.ID, struct{}{}))
	case "history":
		return p.history(ctx, c)
	case "presence":
		return p.presence(ctx, c)
	case "enter", "update", "leave":
		if c.Entity == nil {
			return p.present(ctx, c)
		}
	case "positions":
		return p.positions(ctx, c)
	case "hello":
		return p.hello(ctx, c)
	case "auth":
		return p.refresh(ctx, c)
	}
	if c.isEntityEvent() {
		return p.publish(ctx, c)
	}
	return service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "type", "type: %.32q is no command", c.Type)
}

// credentials implements wire.
func (p *plain) credentials(data []byte) (firstCommand, error) {
	c, err := decodePlain(data)
	if err != nil {
		return firstCommand{}, err
	}
	if c.Type != "auth" {
		return firstCommand{}, service.Refuse(millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED, "type", "type: the first frame must be of type auth")
	}
	return firstCommand{id: c.ID, token: c.Token}, nil
}

// authenticated implements wire.
func (p *plain) authenticated(first firstCommand, ready *millracev1.Ready) {
	if first.id != nil {
		_ = p.answer(frame("auth", first.id, browser.FromExpireTime(ready.GetExpireTime()))) // the reader notices if this fails
	}
}

// refresh gives the session new credentials.
func (p *plain) refresh(ctx context.Context, c *plainCommand) error {
	response, err := ask[*millracev1.RefreshTokenResponse](ctx, p, millracev1connect.RealtimeServiceRefreshTokenProcedure,
		&millracev1.RefreshTokenRequest{Token: c.Token})
	if err != nil || c.ID == nil {
		return err
	}
	return p.answer(frame("auth", c.ID, browser.FromExpireTime(response.GetExpireTime())))
}

func (p *plain) subscribe(ctx context.Context, c *plainCommand) error {
	add, err := c.subscription(p.handler.service.Limits())
	if err != nil {
		return err
	}
	response, err := p.update(ctx, c, &millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{add}, Cursor: c.Cursor})
	if err == nil && len(response.GetErrors()) > 0 {
		return p.answer(frame("error", c.ID, browser.FromErrorInfo(response.GetErrors()[0]).Spelled(spelling)))
	}
	return err
}

func (p *plain) unsubscribe(ctx context.Context, c *plainCommand) error {
	response, err := p.update(ctx, c, &millracev1.UpdateSubscriptionRequest{Remove: []string{c.Channel}})
	if err == nil && len(response.GetUnsubscribed()) == 0 && c.ID != nil {
		return p.answer(frame("unsubscribed", c.ID, map[string]any{"for": c.Channel, "already": true}))
	}
	return err
}

// update changes the session's subscriptions. The stream confirms what changes,
// so that what is confirmed and the messages come in order.
func (p *plain) update(ctx context.Context, c *plainCommand, request *millracev1.UpdateSubscriptionRequest) (*millracev1.UpdateSubscriptionResponse, error) {
	ctx = service.WithCommandID(ctx, string(c.ID))
	return ask[*millracev1.UpdateSubscriptionResponse](ctx, p, millracev1connect.RealtimeServiceUpdateSubscriptionProcedure, request)
}

func (p *plain) publish(ctx context.Context, c *plainCommand) error {
	request, err := c.publication()
	if err != nil {
		return err
	}
	response, err := ask[*millracev1.PublishResponse](ctx, p, millracev1connect.RealtimeServicePublishProcedure, request)
	if err != nil || c.ID == nil || c.isEntityEvent() {
		return err
	}
	return p.answer(frame("published", c.ID, browser.FromPublished(c.Channel, response)))
}

func (p *plain) history(ctx context.Context, c *plainCommand) error {
	request := &millracev1.HistoryRequest{
		Channel: c.Channel, Since: c.Since.Proto(), PageSize: c.Limit, PageToken: c.Page,
	}
	if c.Newest {
		request.Order = millracev1.HistoryOrder_HISTORY_ORDER_NEWEST_FIRST
	}
	response, err := ask[*millracev1.HistoryResponse](ctx, p, millracev1connect.RealtimeServiceHistoryProcedure, request)
	if err != nil {
		return err
	}
	return p.answer(frame("history", c.ID, browser.FromHistory(c.Channel, response)))
}

func (p *plain) presence(ctx context.Context, c *plainCommand) error {
	response, err := ask[*millracev1.PresenceResponse](ctx, p, millracev1connect.RealtimeServicePresenceProcedure,
		&millracev1.PresenceRequest{Channel: c.Channel, PageSize: c.Limit, PageToken: c.Page})
	if err != nil {
		return err
	}
	return p.answer(frame("presence", c.ID, browser.FromPage(c.Channel, response)))
}

// present enters, updates or leaves the presence of a channel.
func (p *plain) present(ctx context.Context, c *plainCommand) error {
	var version *millracev1.PresenceVersion
	data, err := c.payload()
	if err != nil {
		return err
	}
	switch c.Type {
	case "enter":
		r, callErr := ask[*millracev1.EnterPresenceResponse](ctx, p, millracev1connect.RealtimeServiceEnterPresenceProcedure,
			&millracev1.EnterPresenceRequest{Channel: c.Channel, Data: data})
		version, err = r.GetVersion(), callErr
	case "update":
		r, callErr := ask[*millracev1.UpdatePresenceResponse](ctx, p, millracev1connect.RealtimeServiceUpdatePresenceProcedure,
			&millracev1.UpdatePresenceRequest{Channel: c.Channel, Data: data})
		version, err = r.GetVersion(), callErr
	case "leave":
		r, callErr := ask[*millracev1.LeavePresenceResponse](ctx, p, millracev1connect.RealtimeServiceLeavePresenceProcedure,
			&millracev1.LeavePresenceRequest{Channel: c.Channel})
		version, err = r.GetVersion(), callErr
	}
	if err != nil || c.ID == nil {
		return err
	}
	return p.answer(frame("present", c.ID, map[string]any{
		"for": c.Channel, "version": version.GetNumber(), "epoch": version.GetEpoch(),
	}))
}

func (p *plain) positions(ctx context.Context, c *plainCommand) error {
	channels, err := c.channels(p.handler.service.Limits().Channels)
	if err != nil {
		return err
	}
	response, err := ask[*millracev1.GetPositionsResponse](ctx, p, millracev1connect.RealtimeServiceGetPositionsProcedure,
		&millracev1.GetPositionsRequest{Channels: channels})
	if err != nil {
		return err
	}
	positions := map[string]*browser.Position{}
	for _, entry := range response.GetPositions() {
		positions[entry.GetChannel()] = browser.FromPosition(entry.GetPosition())
	}
	return p.answer(frame("positions", c.ID, map[string]any{"positions": positions, "cursor": response.GetCursor()}))
}

// hello answers with what a client of ours wants to know of the server.
func (p *plain) hello(ctx context.Context, c *plainCommand) error {
	info, err := ask[*millracev1.GetServerInfoResponse](ctx, p, millracev1connect.RealtimeServiceGetServerInfoProcedure,
		&millracev1.GetServerInfoRequest{})
	if err != nil {
		return err
	}
	ready := p.session.Ready()
	return p.answer(frame("hello", c.ID, map[string]any{
		"version":      info.GetVersion(),
		"node":         info.GetNode(),
		"time":         info.GetTime().AsTime().UnixMilli(),
		"session":      ready.GetSession(),
		"sessionToken": ready.GetSessionToken(),
		"user":         ready.GetUser(),
		"ping":         ready.GetHeartbeatInterval().AsDuration().Milliseconds(),
		"limits": map[string]any{
			"payloadBytes": info.GetLimits().GetMaxPayloadBytes(),
			"channels":     info.GetLimits().GetMaxChannels(),
			"channelBytes": info.GetLimits().GetMaxChannelBytes(),
		},
	}))
}
