package compare

import (
	"net/url"

	"millrace.dev/bench/load"
)

// Contender is one way to subscribe to one server.
type Contender struct {
	Name   string
	Groups []string // who is compared with whom
	Ours   bool
	Sends  bool // it differs from another in how it sends: connections are as the other's

	program program
	wire    load.Wire
}

// The groups.
const (
	webSockets  = "WebSocket"
	eventStream = "Event streams on HTTP/1.1"
	calls       = "Calls, one stream a connection"
	multiplexed = "Calls, 100 streams a connection"
)

var groups = []string{webSockets, eventStream, calls, multiplexed}

// Contenders are all of them, ours first in each group.
func Contenders() []Contender {
	list := webSocketContenders()
	list = append(list, eventContenders()...)
	return append(list, callContenders()...)
}

func webSocketContenders() []Contender {
	in := []string{webSockets}
	socket := load.Wire{
		Path: "/ws", Header: credentials(),
		Frames: []string{`{"type":"subscribe","id":1,"channel":"bench"}`}, Ready: `"type":"subscribed"`,
	}
	raw := load.Wire{Path: "/ws", Ready: "subscribed"}
	return []Contender{
		{Name: "millrace WebSocket", Groups: in, Ours: true, program: millrace, wire: socket},
		{Name: "millrace WebSocket, no ring", Groups: in, Ours: true, Sends: true, program: millraceNoRing, wire: socket},
		{Name: "centrifuge WebSocket", Groups: in, program: centrifuge, wire: load.Wire{
			Path:   "/connection/websocket",
			Frames: []string{connect(), `{"id":2,"subscribe":{"channel":"bench"}}`}, Ready: `"id":2,"subscribe"`, Ping: "{}",
		}},
		{Name: "coder/websocket hub", Groups: in, program: coder, wire: load.Wire{
			Path: "/ws", Header: credentials(), Ready: "subscribed",
		}},
		{Name: "floor: send(2)", Groups: in, program: floor, wire: raw},
		{Name: "floor: io_uring", Groups: in, Sends: true, program: floorRing, wire: raw},
	}
}

// connect is centrifuge's first command.
func connect() string { return `{"id":1,"connect":{"token":"` + token + `"}}` }

func eventContenders() []Contender {
	in := []string{eventStream}
	const connected = `"subs":{"bench"`
	stream := load.Wire{
		Protocol: load.HTTP1, Path: "/events?channel=bench", Header: credentials(), Ready: "event: millrace.subscribed",
	}
	return []Contender{
		{Name: "millrace SSE", Groups: in, Ours: true, program: millrace, wire: stream},
		{Name: "millrace SSE, no ring", Groups: in, Ours: true, Sends: true, program: millraceNoRing, wire: stream},
		{Name: "centrifuge SSE", Groups: in, program: centrifuge, wire: load.Wire{
			Protocol: load.HTTP1, Path: "/connection/sse?cf_connect=" + url.QueryEscape(connect()), Ready: connected,
		}},
		{Name: "centrifuge HTTP stream", Groups: in, program: centrifuge, wire: load.Wire{
			Protocol: load.HTTP1, Method: "POST", Path: "/connection/http_stream", Body: []byte(connect()), Ready: connected,
		}},
		{Name: "mercure SSE", Groups: in, program: mercure, wire: load.Wire{
			Protocol: load.HTTP1, Path: "/.well-known/mercure?topic=bench", Header: credentials(),
		}},
		{Name: "floor: net/http, HTTP/1.1", Groups: []string{eventStream, calls}, program: floor, wire: load.Wire{
			Protocol: load.HTTP1, Path: "/stream",
		}},
	}
}

func callContenders() []Contender {
	one, many := []string{calls}, []string{multiplexed}
	httpFloor := load.Wire{Protocol: load.HTTP2, Path: "/stream"}
	return []Contender{
		{Name: "millrace Connect, HTTP/1.1", Groups: one, Ours: true, program: millrace, wire: call(connectProto, load.HTTP1)},
		{Name: "millrace Connect", Groups: one, Ours: true, program: millrace, wire: call(connectProto, load.HTTP2)},
		{Name: "millrace gRPC", Groups: one, Ours: true, program: millrace, wire: call(grpcProto, load.HTTP2)},
		{Name: "grpc-go", Groups: one, program: grpcTyped, wire: grpcCall()},
		{Name: "grpc-go, shared buffers", Groups: one, program: grpcShared, wire: grpcCall()},
		{Name: "floor: net/http, HTTP/2", Groups: one, program: floor, wire: httpFloor},
		{Name: "millrace Connect ×100", Groups: many, Ours: true, program: millrace, wire: hundred(call(connectProto, load.HTTP2))},
		{Name: "millrace gRPC ×100", Groups: many, Ours: true, program: millrace, wire: hundred(call(grpcProto, load.HTTP2))},
		{Name: "grpc-go ×100", Groups: many, program: grpcTyped, wire: hundred(grpcCall())},
		{Name: "grpc-go, shared buffers ×100", Groups: many, program: grpcShared, wire: hundred(grpcCall())},
		{Name: "floor: net/http, HTTP/2 ×100", Groups: many, program: floor, wire: hundred(httpFloor)},
	}
}

func hundred(w load.Wire) load.Wire {
	w.Streams = 100
	return w
}

const (
	connectProto = "application/connect+proto"
	grpcProto    = "application/grpc"
)

// call subscribes with Millrace's API. The confirmation is the first to name
// the channel.
func call(contentType string, protocol load.Protocol) load.Wire {
	return load.Wire{
		Protocol: protocol, Method: "POST", Path: "/millrace.v1.RealtimeService/Subscribe",
		Header: append(credentials(), load.Field{Name: "content-type", Value: contentType}),
		Body:   envelope(protoText(protoText("bench"))),
		Ready:  protoText("bench"),
	}
}

func grpcCall() load.Wire {
	return load.Wire{
		Protocol: load.HTTP2, Method: "POST", Path: "/bench.Hub/Subscribe",
		Header: append(credentials(), load.Field{Name: "content-type", Value: grpcProto}, load.Field{Name: "te", Value: "trailers"}),
		Body:   envelope(protoText("bench")),
	}
}

// protoText is field 1 of a protobuf message, as text or as a message.
func protoText(text string) string { return "\x0a" + string(rune(len(text))) + text }

// envelope is how gRPC and Connect delimit messages.
func envelope(message string) []byte {
	return append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
}
