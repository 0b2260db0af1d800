package e2e_test

import (
	"context"
	"errors"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// rpc is Connect, gRPC or gRPC-Web, in protobuf or JSON.
type rpc struct {
	http1   bool
	options []connecthttp.Option
}

func (w rpc) client(at *server) *connect.Client {
	transport := at.h2
	if w.http1 {
		transport = at.h1
	}
	return connect.NewClient(connecthttp.NewTransport(transport, at.url, w.options...))
}

// rpcSession is a call of Subscribe, with the calls that go with it.
type rpcSession struct {
	*inbox
	client       *connect.Client
	token        string
	sessionToken string

	stream millracev1connect.RealtimeServiceSubscribeClientStream
	cancel context.CancelFunc
	done   chan struct{}
}

func (w rpc) open(ctx context.Context, at *server, token string, request *millracev1.SubscribeRequest) (session, error) {
	streaming, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &rpcSession{inbox: newInbox(), client: w.client(at), token: token, cancel: cancel, done: make(chan struct{})}
	// Until the session is open, it may take as long as the caller says.
	stop := context.AfterFunc(ctx, cancel)
	stream, err := millracev1connect.NewRealtimeServiceClient(s.client).Subscribe(withToken(streaming, token), request)
	if err == nil {
		s.stream = stream
		err = s.receiveReady()
	}
	if !stop() {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		cancel()
		return nil, asRefusal(errors.Join(err, s.stop()))
	}
	go s.read()
	return s, nil
}

// receiveReady receives what comes first.
func (s *rpcSession) receiveReady() error {
	first, err := s.stream.Receive()
	if err != nil {
		return err
	}
	s.sessionToken = first.GetReady().GetSessionToken()
	if s.sessionToken == "" {
		return errors.New("the first item of the stream is not ready: " + first.String())
	}
	return nil
}

func (s *rpcSession) read() {
	defer close(s.done)
	for {
		response, err := s.stream.Receive()
		if err != nil {
			s.end(asRefusal(err))
			return
		}
		s.put(eventsOf(response)...)
	}
}

func (s *rpcSession) call(ctx context.Context, request proto.Message) (proto.Message, error) {
	return unary(ctx, s.client, s.token, withSession(request, s.sessionToken))
}

func (s *rpcSession) close() {
	s.cancel()
	_ = s.stop()
	<-s.done
}

// stop releases the stream, if there is one.
func (s *rpcSession) stop() error {
	if s.stream == (millracev1connect.RealtimeServiceSubscribeClientStream{}) {
		return nil
	}
	return s.stream.Close()
}

// shows everything: what is published is what is delivered.
func (w rpc) shows(m *millracev1.Message) *millracev1.Message { return m }
