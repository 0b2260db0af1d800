package e2e_test

import (
	"context"
	"fmt"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// wires are the ways to reach the server.
var wires = []struct {
	name string
	wire wire
}{
	{"connect", rpc{http1: true}},
	{"connect json", rpc{options: []connecthttp.Option{connecthttp.WithProtoJSON()}}},
	{"grpc", rpc{options: []connecthttp.Option{connecthttp.WithGRPC()}}},
	{"grpc-web", rpc{http1: true, options: []connecthttp.Option{connecthttp.WithGRPCWeb()}}},
	{"ws", plainSocket{}},
	{"ws json", typedSocket{protocol: "millrace.v1.json"}},
	{"ws proto", typedSocket{protocol: "millrace.v1.proto"}},
	{"sse", eventStream{}},
	{"sse envelope", eventStream{envelope: true}},
	{"sse and posts", eventStream{envelope: true, posted: true}},
}

// wire opens sessions. It is a driver for clients of one kind.
type wire interface {
	// open starts a session of whom the token says. It returns when the server has
	// accepted all that is requested, which the events then confirm.
	open(ctx context.Context, at *server, token string, request *millracev1.SubscribeRequest) (session, error)
	// shows reduces a message to what clients of the wire can see of it.
	shows(m *millracev1.Message) *millracev1.Message
}

// session is a client's stay on a wire. Only one goroutine uses it.
type session interface {
	// call runs the method of the API that takes such a request, in the session's
	// name. It goes the wire's own way where there is one, else by Connect.
	call(ctx context.Context, request proto.Message) (proto.Message, error)
	// next waits for the next event. The error says why none follows.
	next(ctx context.Context) (event, error)
	// close ends the session and returns when nothing of it is left here.
	close()
}

var methods = millracev1.File_millrace_v1_realtime_service_proto.Services().ByName("RealtimeService").Methods()

// methodOf finds the unary method that takes a request.
func methodOf(request proto.Message) protoreflect.MethodDescriptor {
	name := request.ProtoReflect().Descriptor().FullName()
	for i := range methods.Len() {
		if m := methods.Get(i); m.Input().FullName() == name && !m.IsStreamingServer() {
			return m
		}
	}
	panic(fmt.Sprintf("no method takes %s", name))
}

// unary calls the method of the API that takes a request.
func unary(ctx context.Context, client *connect.Client, token string, request proto.Message) (proto.Message, error) {
	method := methodOf(request)
	kind, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		return nil, err
	}
	response := kind.New().Interface()
	spec := connect.Spec{
		StreamType: connect.StreamTypeUnary,
		Schema:     method,
		Procedure:  fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name()),
	}
	if err := client.CallUnary(withToken(ctx, token), spec, request, response); err != nil {
		return nil, asRefusal(err)
	}
	return response, nil
}

// withToken adds credentials to a call.
func withToken(ctx context.Context, token string) context.Context {
	ctx, info := connect.NewClientContext(ctx)
	if token != "" {
		info.RequestHeader().Set("Authorization", "Bearer "+token)
	}
	return ctx
}

// withSession is the request with the handle of a session, where it has a place
// for one and has none yet.
func withSession(request proto.Message, sessionToken string) proto.Message {
	field := request.ProtoReflect().Descriptor().Fields().ByName("session_token")
	if field == nil || request.ProtoReflect().Has(field) {
		return request
	}
	request = proto.Clone(request)
	request.ProtoReflect().Set(field, protoreflect.ValueOfString(sessionToken))
	return request
}

// addAll is the call that adds what was asked for when a session was opened, on
// wires where it cannot be said all at once.
func addAll(ctx context.Context, s session, request *millracev1.SubscribeRequest) error {
	if len(request.GetSubscriptions()) == 0 {
		return nil
	}
	response, err := s.call(ctx, &millracev1.UpdateSubscriptionRequest{Add: request.GetSubscriptions(), Cursor: request.GetCursor()})
	if err != nil {
		return err
	}
	if update, ok := response.(*millracev1.UpdateSubscriptionResponse); ok && len(update.GetErrors()) > 0 {
		return &refusal{info: update.GetErrors()[0]}
	}
	return nil
}
