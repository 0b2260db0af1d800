package service

import (
	"context"
	"fmt"
	"io"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	nodev1 "millrace.dev/gen/millrace/node/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// ownerCalls are the methods that change a session: the node that has it runs them.
var ownerCalls = map[string]bool{
	millracev1connect.RealtimeServiceUpdateSubscriptionProcedure: true,
	millracev1connect.RealtimeServiceEnterPresenceProcedure:      true,
	millracev1connect.RealtimeServiceUpdatePresenceProcedure:     true,
	millracev1connect.RealtimeServiceLeavePresenceProcedure:      true,
	millracev1connect.RealtimeServiceRefreshTokenProcedure:       true,
}

type passedKey struct{} // for the caller of a call that another node has passed on

// route has calls about a session run by the node that has it, and those of
// operators by all.
func (s *Service) route(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		_, isPassed := ctx.Value(passedKey{}).(caller)
		merge := merges[spec.Procedure]
		if isPassed || s.nodes.bus == nil || !ownerCalls[spec.Procedure] && merge == nil {
			return next(ctx, spec, stream)
		}
		request, err := newMessage(spec, protoreflect.MethodDescriptor.Input)
		if err != nil {
			return err
		}
		if err := stream.Receive(request); err != nil {
			return err
		}
		if merge != nil {
			return s.gather(ctx, spec, request, stream, next, merge)
		}
		owner := parseToken(sessionTokenIn(ctx, request)).node
		if owner == s.node || !s.presence.isLive(owner) {
			return next(ctx, spec, &replay{ServerStream: stream, request: request})
		}
		response, err := s.runOn(ctx, owner, spec, request)
		if err != nil {
			return err
		}
		return stream.Send(response)
	}
}

// sessionTokenIn finds the token of the session that a request is about, and puts
// it in, where it is only in the header.
func sessionTokenIn(ctx context.Context, request proto.Message) string {
	m := request.ProtoReflect()
	field := m.Descriptor().Fields().ByName("session_token")
	if token := m.Get(field).String(); token != "" {
		return token
	}
	info, ok := connect.CallInfoForServerContext(ctx)
	if !ok {
		return ""
	}
	token := info.RequestHeader().Get(HeaderSession)
	if token != "" {
		m.Set(field, protoreflect.ValueOfString(token))
	}
	return token
}

// runOn has another node run a method.
func (s *Service) runOn(ctx context.Context, node string, spec connect.Spec, request proto.Message) (proto.Message, error) {
	data, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	answer, err := s.nodes.call(ctx, node, &nodev1.Call{Call: &nodev1.Call_Run{
		Run: &nodev1.Run{Procedure: spec.Procedure, Request: data, Caller: callerOf(ctx).toNode(), CommandId: commandIDOf(ctx)},
	}})
	if err != nil {
		return nil, err
	}
	response, err := newMessage(spec, protoreflect.MethodDescriptor.Output)
	if err == nil {
		err = proto.Unmarshal(answer.GetResponse(), response)
	}
	return response, err
}

// runHere runs a method that another node has passed on.
func (s *Service) runHere(ctx context.Context, run *nodev1.Run) ([]byte, error) {
	c, err := callerFromNode(run.GetCaller())
	if err != nil {
		return nil, err
	}
	stream := &passed{data: run.GetRequest()}
	info := &connect.CallInfo{Protocol: c.protocol, PeerAddr: c.host}
	ctx = WithCommandID(context.WithValue(ctx, passedKey{}, c), run.GetCommandId())
	if err := s.server.Call(ctx, run.GetProcedure(), info, stream); err != nil {
		return nil, err
	}
	return stream.response, nil
}

// newMessage makes an empty request or response of a method.
func newMessage(spec connect.Spec, side func(protoreflect.MethodDescriptor) protoreflect.MessageDescriptor) (proto.Message, error) {
	method, ok := spec.Schema.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s has no schema", spec.Procedure)
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(side(method).FullName())
	if err != nil {
		return nil, err
	}
	return kind.New().Interface(), nil
}

// replay is a stream whose request was received already. It keeps the response,
// where it is to be changed before it is sent.
type replay struct {
	connect.ServerStream
	request  proto.Message
	keep     bool
	response proto.Message
}

// Receive implements [connect.ServerStream].
func (r *replay) Receive(message any) error { return receive(message, &r.request) }

// Send implements [connect.ServerStream].
func (r *replay) Send(message any) error {
	response, ok := message.(proto.Message)
	if !r.keep || !ok {
		return r.ServerStream.Send(message)
	}
	r.response = response
	return nil
}

func receive(message any, request *proto.Message) error {
	into, ok := message.(proto.Message)
	if *request == nil || !ok {
		return io.EOF
	}
	proto.Merge(into, *request)
	*request = nil
	return nil
}

// passed is the stream of a call that another node has passed on.
type passed struct {
	data     []byte // nil once received
	done     bool
	response []byte
}

// Receive implements [connect.ServerStream].
func (p *passed) Receive(message any) error {
	into, ok := message.(proto.Message)
	if p.done || !ok {
		return io.EOF
	}
	p.done = true
	return proto.Unmarshal(p.data, into)
}

// SendHeaders implements [connect.ServerStream].
func (p *passed) SendHeaders() error { return nil }

// Send implements [connect.ServerStream].
func (p *passed) Send(message any) (err error) {
	response, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("the response is a %T", message)
	}
	p.response, err = proto.Marshal(response)
	return err
}
