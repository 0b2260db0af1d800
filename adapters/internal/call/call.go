// Package call runs methods of the service's Connect server for adapters, so
// that interceptors see the calls of every wire alike.
package call

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	"millrace.dev/service"
)

// Peer is who is at the other end of a connection or request, and on which wire.
type Peer struct {
	Protocol string // "ws", "sse" or "http"
	Codec    string
	Address  string
	// Header are the request's headers that calls may look at.
	Header http.Header
	// Session is the token of a live session, whose credentials count instead.
	Session string
}

// From describes the sender of a request. A ticket in the URL counts as one in
// the header; a token never does.
func From(r *http.Request, protocol, codec string) Peer {
	header := r.Header
	if strings.Contains(r.URL.RawQuery, "ticket=") {
		header = header.Clone()
		header.Set(service.HeaderTicket, r.URL.Query().Get("ticket"))
	}
	return Peer{Protocol: protocol, Codec: codec, Address: r.RemoteAddr, Header: header}
}

// WithToken is the peer with a token for its only credentials.
func (p Peer) WithToken(token string) Peer {
	p.Header = p.Header.Clone()
	p.Header.Del(service.HeaderTicket)
	p.Header.Del(service.HeaderSession)
	p.Header.Set(service.HeaderAuthorization, "Bearer "+token)
	return p
}

// WithSession is the peer with the credentials of a live session.
func (p Peer) WithSession(token string) Peer {
	p.Header, p.Session = nil, token
	return p
}

// Info is the call's description for the Connect server.
func (p Peer) Info() *connect.CallInfo {
	info := &connect.CallInfo{PeerAddr: p.Address, Protocol: p.Protocol, Codec: p.Codec}
	if p.Session != "" {
		info.RequestHeader().Set(service.HeaderSession, p.Session)
	}
	for name, values := range p.Header {
		if !strings.HasPrefix(name, "Sec-") && name != "Connection" && name != "Upgrade" {
			info.RequestHeader().SetValues(name, values)
		}
	}
	return info
}

// Unary calls a method with one request and one response.
func Unary[Response proto.Message](ctx context.Context, server *connect.Server, procedure string, peer Peer, request proto.Message) (Response, error) {
	stream := &unary{request: request}
	err := server.Call(ctx, procedure, peer.Info(), stream)
	response, ok := stream.response.(Response)
	if err == nil && !ok {
		err = fmt.Errorf("%s: no response", procedure)
	}
	return response, err
}

// unary implements [connect.ServerStream] without a wire.
type unary struct {
	request  proto.Message // nil once received
	response any
}

// Receive implements [connect.ServerStream].
func (u *unary) Receive(message any) error {
	if u.request == nil {
		return io.EOF
	}
	into, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("receive into %T, which is no message", message)
	}
	proto.Merge(into, u.request)
	u.request = nil
	return nil
}

// SendHeaders implements [connect.ServerStream].
func (u *unary) SendHeaders() error { return nil }

// Send implements [connect.ServerStream].
func (u *unary) Send(message any) error {
	u.response = message
	return nil
}
