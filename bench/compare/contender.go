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
	return []Contender{
		{"millrace WebSocket", in, true, millrace, load.Wire{
			Path: "/ws", Header: credentials(),
			Frames: []string{`{"type":"subscribe","id":1,"channel":"bench"}`}, Ready: `"type":"subscribed"`,
		}},
		{"centrifuge WebSocket", in, false, centrifuge, load.Wire{
			Path:   "/connection/websocket",
			Frames: []string{connect(), `{"id":2,"subscribe":{"channel":"bench"}}`}, Ready: `"id":2,"subscribe"`, Ping: "{}",
		}},
		{"coder/websocket hub", in, false, coder, load.Wire{
			Path: "/ws", Header: credentials(), Ready: "subscribed",
		}},
		{"floor: send(2)", in, false, floor, load.Wire{
			Path: "/ws", Ready: "subscribed",
		}},
	}
}

// connect is centrifuge's first command.
func connect() string { return `{"id":1,"connect":{"token":"` + token + `"}}` }

func eventContenders() []Contender {
	in := []string{eventStream}
	const connected = `"subs":{"bench"`
	return []Contender{
		{"millrace SSE", in, true, millrace, load.Wire{
			Protocol: load.HTTP1, Path: "/events?channel=bench", Header: credentials(), Ready: "event: millrace.subscribed",
		}},
		{"centrifuge SSE", in, false, centrifuge, load.Wire{
			Protocol: load.HTTP1, Path: "/connection/sse?cf_connect=" + url.QueryEscape(connect()), Ready: connected,
		}},
		{"centrifuge HTTP stream", in, false, centrifuge, load.Wire{
			Protocol: load.HTTP1, Method: "POST", Path: "/connection/http_stream", Body: []byte(connect()), Ready: connected,
		}},
		{"mercure SSE", in, false, mercure, load.Wire{
			Protocol: load.HTTP1, Path: "/.well-known/mercure?topic=bench", Header: credentials(),
		}},
		{"floor: net/http, HTTP/1.1", []string{eventStream, calls}, false, floor, load.Wire{
			Protocol: load.HTTP1, Path: "/stream",
		}},
	}
}

func callContenders() []Contender {
	one, many := []string{calls}, []string{multiplexed}
	httpFloor := load.Wire{Protocol: load.HTTP2, Path: "/stream"}
	return []Contender{
		{"millrace Connect, HTTP/1.1", one, true, millrace, call(connectProto, load.HTTP1)},
		{"millrace Connect", one, true, millrace, call(connectProto, load.HTTP2)},
		{"millrace gRPC", one, true, millrace, call(grpcProto, load.HTTP2)},
		{"grpc-go", one, false, grpcTyped, grpcCall()},
		{"grpc-go, shared buffers", one, false, grpcShared, grpcCall()},
		{"floor: net/http, HTTP/2", one, false, floor, httpFloor},
		{"millrace Connect ×100", many, true, millrace, hundred(call(connectProto, load.HTTP2))},
		{"millrace gRPC ×100", many, true, millrace, hundred(call(grpcProto, load.HTTP2))},
		{"grpc-go ×100", many, false, grpcTyped, hundred(grpcCall())},
		{"grpc-go, shared buffers ×100", many, false, grpcShared, hundred(grpcCall())},
		{"floor: net/http, HTTP/2 ×100", many, false, floor, hundred(httpFloor)},
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
