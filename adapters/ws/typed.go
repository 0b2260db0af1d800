package ws

import (
	"context"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"millrace.dev/adapters/internal/call"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// typed is the wire of both sub-protocols: a frame is one Command from the
// client and one SubscribeResponse from the server.
type typed struct {
	*connection
	kind      websocket.MessageType
	encoding  service.Format
	encode    func(*service.Frame) []byte
	marshal   func(proto.Message) ([]byte, error)
	unmarshal func([]byte, proto.Message) error
	identify  func([]byte) uint32 // id of a command that cannot be read
}

func typedProto(c *connection) *typed {
	return &typed{
		connection: c,
		kind:       websocket.MessageBinary,
		encoding:   service.FormatWebSocketProto,
		encode: func(f *service.Frame) []byte {
			return appendFrame(nil, websocket.MessageBinary, service.EncodeProto(f))
		},
		marshal:   proto.Marshal,
		unmarshal: c.handler.service.DecodeProto,
		identify:  identifyProto,
	}
}

func typedJSON(c *connection) *typed {
	return &typed{
		connection: c,
		kind:       websocket.MessageText,
		encoding:   service.FormatWebSocketJSON,
		encode: func(f *service.Frame) []byte {
			return appendFrame(nil, websocket.MessageText, service.EncodeJSON(f))
		},
		marshal:   protojson.Marshal,
		unmarshal: c.handler.service.DecodeJSON,
		identify:  identifyJSON,
	}
}

func (t *typed) messageType() websocket.MessageType { return t.kind }

func (t *typed) format() service.Format { return t.encoding }

func (t *typed) appendFrame(b []byte, f *service.Frame) []byte {
	return append(b, f.Bytes(t.encoding, t.encode)...)
}

// command runs the method that a Command stands for.
func (t *typed) command(ctx context.Context, data []byte) error {
	var command millracev1.Command
	if err := t.unmarshal(data, &command); err != nil {
		return t.reply(&millracev1.Reply{Id: t.identify(data), Result: commandError(unread(err))})
	}
	reply, err := t.run(ctx, &command)
	switch {
	case err != nil:
		return t.reply(&millracev1.Reply{Id: command.GetId(), Result: commandError(err)})
	case command.GetId() == 0:
		return nil
	}
	reply.Id = command.GetId()
	return t.reply(reply)
}

// credentials implements wire.
func (t *typed) credentials(data []byte) (firstCommand, error) {
	var command millracev1.Command
	if err := t.unmarshal(data, &command); err != nil {
		return firstCommand{}, unread(err)
	}
	return firstCommand{token: command.GetRefreshToken().GetToken()}, nil
}

// authenticated implements wire: `ready` is the answer.
func (t *typed) authenticated(firstCommand, *millracev1.Ready) {}

// unread says why a command could not be read: it has too much of something, or is
// none.
func unread(err error) error {
	if info := service.ErrorInfo(err); info.GetReason() == millracev1.ErrorReason_ERROR_REASON_TOO_MANY {
		return err
	}
	return service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "frame", "frame: not a millrace.v1.Command")
}

func (t *typed) refuse(err error) error {
	return t.reply(&millracev1.Reply{Result: commandError(err)})
}

func commandError(err error) *millracev1.Reply_Error {
	info := service.ErrorInfo(err)
	return &millracev1.Reply_Error{Error: &millracev1.CommandError{Code: service.Code(info.GetReason()).String(), Info: info}}
}

func (t *typed) reply(reply *millracev1.Reply) error {
	data, err := t.marshal(&millracev1.SubscribeResponse{Notice: &millracev1.SubscribeResponse_Reply{Reply: reply}})
	if err != nil {
		return err
	}
	return t.answer(data)
}

// run is the table of commands and methods.
func (t *typed) run(ctx context.Context, command *millracev1.Command) (*millracev1.Reply, error) {
	reply := &millracev1.Reply{}
	var err error
	switch c := command.GetCommand().(type) {
	case *millracev1.Command_UpdateSubscription:
		r := &millracev1.Reply_UpdateSubscription{}
		r.UpdateSubscription, err = unary[*millracev1.UpdateSubscriptionResponse](ctx, t.connection, millracev1connect.RealtimeServiceUpdateSubscriptionProcedure, c.UpdateSubscription)
		reply.Result = r
	case *millracev1.Command_Publish:
		r := &millracev1.Reply_Publish{}
		r.Publish, err = unary[*millracev1.PublishResponse](ctx, t.connection, millracev1connect.RealtimeServicePublishProcedure, c.Publish)
		reply.Result = r
	case *millracev1.Command_PublishBatch:
		r := &millracev1.Reply_PublishBatch{}
		r.PublishBatch, err = unary[*millracev1.PublishBatchResponse](ctx, t.connection, millracev1connect.RealtimeServicePublishBatchProcedure, c.PublishBatch)
		reply.Result = r
	case *millracev1.Command_History:
		r := &millracev1.Reply_History{}
		r.History, err = unary[*millracev1.HistoryResponse](ctx, t.connection, millracev1connect.RealtimeServiceHistoryProcedure, c.History)
		reply.Result = r
	case *millracev1.Command_Presence:
		r := &millracev1.Reply_Presence{}
		r.Presence, err = unary[*millracev1.PresenceResponse](ctx, t.connection, millracev1connect.RealtimeServicePresenceProcedure, c.Presence)
		reply.Result = r
	case *millracev1.Command_EnterPresence:
		r := &millracev1.Reply_EnterPresence{}
		r.EnterPresence, err = unary[*millracev1.EnterPresenceResponse](ctx, t.connection, millracev1connect.RealtimeServiceEnterPresenceProcedure, c.EnterPresence)
		reply.Result = r
	case *millracev1.Command_UpdatePresence:
		r := &millracev1.Reply_UpdatePresence{}
		r.UpdatePresence, err = unary[*millracev1.UpdatePresenceResponse](ctx, t.connection, millracev1connect.RealtimeServiceUpdatePresenceProcedure, c.UpdatePresence)
		reply.Result = r
	case *millracev1.Command_LeavePresence:
		r := &millracev1.Reply_LeavePresence{}
		r.LeavePresence, err = unary[*millracev1.LeavePresenceResponse](ctx, t.connection, millracev1connect.RealtimeServiceLeavePresenceProcedure, c.LeavePresence)
		reply.Result = r
	case *millracev1.Command_GetPositions:
		r := &millracev1.Reply_GetPositions{}
		r.GetPositions, err = unary[*millracev1.GetPositionsResponse](ctx, t.connection, millracev1connect.RealtimeServiceGetPositionsProcedure, c.GetPositions)
		reply.Result = r
	case *millracev1.Command_GetServerInfo:
		r := &millracev1.Reply_GetServerInfo{}
		r.GetServerInfo, err = unary[*millracev1.GetServerInfoResponse](ctx, t.connection, millracev1connect.RealtimeServiceGetServerInfoProcedure, c.GetServerInfo)
		reply.Result = r
	case *millracev1.Command_RefreshToken:
		reply.Result, err = t.refresh(ctx, c.RefreshToken)
	case *millracev1.Command_Ping:
		reply.Result = &millracev1.Reply_Pong{Pong: &millracev1.Pong{}}
	default:
		err = service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "command", "command: none that this server knows")
	}
	return reply, err
}

func (t *typed) refresh(ctx context.Context, request *millracev1.RefreshTokenRequest) (*millracev1.Reply_RefreshToken, error) {
	response, err := unary[*millracev1.RefreshTokenResponse](ctx, t.connection, millracev1connect.RealtimeServiceRefreshTokenProcedure, request)
	return &millracev1.Reply_RefreshToken{RefreshToken: response}, err
}

func identifyJSON(data []byte) uint32 { return uint32(gjson.GetBytes(data, "id").Uint()) } //nolint:gosec // an id that is none is nobody's

func identifyProto(data []byte) uint32 {
	field := (&millracev1.Command{}).ProtoReflect().Descriptor().Fields().ByName("id").Number()
	for len(data) > 0 {
		number, kind, tag := protowire.ConsumeTag(data)
		if tag < 0 {
			return 0
		}
		if number == field && kind == protowire.VarintType {
			id, _ := protowire.ConsumeVarint(data[tag:])
			return uint32(id) //nolint:gosec // the same
		}
		value := protowire.ConsumeFieldValue(number, kind, data[tag:])
		if value < 0 {
			return 0
		}
		data = data[tag+value:]
	}
	return 0
}

// unary calls a method in the name of the connection's session.
func unary[Response proto.Message](ctx context.Context, c *connection, procedure string, request proto.Message) (Response, error) {
	return call.Unary[Response](ctx, c.handler.service.Server(), procedure, c.peer, request)
}
