package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// typedSocket is a WebSocket with a sub-protocol: the API's own messages.
type typedSocket struct{ protocol string }

func (w typedSocket) marshal(m proto.Message) ([]byte, error) {
	if w.kind() == websocket.MessageText {
		return protojson.Marshal(m)
	}
	return proto.Marshal(m)
}

func (w typedSocket) unmarshal(data []byte, m proto.Message) error {
	if w.kind() == websocket.MessageText {
		return protojson.Unmarshal(data, m)
	}
	return proto.Unmarshal(data, m)
}

func (w typedSocket) kind() websocket.MessageType {
	if w.protocol == "millrace.v1.json" {
		return websocket.MessageText
	}
	return websocket.MessageBinary
}

// first is the frame that brings a token.
func (w typedSocket) first(token string) (websocket.MessageType, []byte, error) {
	frame, err := w.marshal(commandOf(1, &millracev1.RefreshTokenRequest{Token: token}))
	return w.kind(), frame, err
}

func (w typedSocket) protocols() []string { return []string{w.protocol} }

// typedSession is one connection.
type typedSession struct {
	*socket
	wire         typedSocket
	sessionToken string
}

func (w typedSocket) open(ctx context.Context, at *server, token string, request *millracev1.SubscribeRequest) (session, error) {
	conn, err := dialOn(ctx, at, w, url.Values{"session": {request.GetSessionToken()}}, token)
	if err != nil {
		return nil, err
	}
	s := &typedSession{socket: newSocket(conn), wire: w}
	if err := s.receiveReady(ctx); err != nil {
		return nil, errors.Join(err, conn.CloseNow())
	}
	go s.read(context.WithoutCancel(ctx), s.receive)
	if err := addAll(ctx, s, request); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// receiveReady receives what comes first.
func (s *typedSession) receiveReady(ctx context.Context) error {
	if got := s.conn.Subprotocol(); got != s.wire.protocol {
		return fmt.Errorf("the sub-protocol is %q, want %q", got, s.wire.protocol)
	}
	_, data, err := s.conn.Read(ctx)
	if err != nil {
		return err
	}
	var first millracev1.SubscribeResponse
	if err := s.wire.unmarshal(data, &first); err != nil {
		return err
	}
	if s.sessionToken = first.GetReady().GetSessionToken(); s.sessionToken == "" {
		return fmt.Errorf("the first frame is not ready: %s", &first)
	}
	return nil
}

func (s *typedSession) receive(data []byte) error {
	var response millracev1.SubscribeResponse
	if err := s.wire.unmarshal(data, &response); err != nil {
		return fmt.Errorf("frame %.200q: %w", data, err)
	}
	reply := response.GetReply()
	if reply == nil {
		s.put(eventsOf(&response)...)
		return nil
	}
	got := answer{}
	if refused := reply.GetError(); refused != nil {
		got.err = &refusal{code: refused.GetCode(), info: refused.GetInfo()}
	} else if field := reply.ProtoReflect().WhichOneof(reply.ProtoReflect().Descriptor().Oneofs().ByName("result")); field != nil {
		got.response = reply.ProtoReflect().Get(field).Message().Interface()
	}
	if !s.answer(reply.GetId(), got) {
		s.put(event{refused: reply.GetError().GetInfo()})
	}
	return nil
}

func (s *typedSession) call(ctx context.Context, request proto.Message) (proto.Message, error) {
	return s.ask(ctx, s.wire.kind(), func(id uint32) ([]byte, error) {
		return s.wire.marshal(commandOf(id, request))
	})
}

// commandOf wraps a request.
func commandOf(id uint32, request proto.Message) *millracev1.Command {
	command := &millracev1.Command{Id: id}
	fields := command.ProtoReflect().Descriptor().Oneofs().ByName("command").Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); field.Message().FullName() == request.ProtoReflect().Descriptor().FullName() {
			command.ProtoReflect().Set(field, protoreflect.ValueOfMessage(request.ProtoReflect()))
		}
	}
	return command
}

// shows everything: what is published is what is delivered.
func (w typedSocket) shows(m *millracev1.Message) *millracev1.Message { return m }
