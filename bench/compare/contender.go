package compare

import (
	"net/url"
	"slices"

	"millrace.dev/bench/load"
)

// Contender is one way to subscribe to one server.
type Contender struct {
	Name   string
	Groups []string // who is compared with whom
	Ours   bool

	measures []string // that are taken of it
	program  program
	wire     load.Wire
}

// The groups.
const (
	webSockets  = "WebSocket"
	eventStream = "Event streams on HTTP/1.1"
	calls       = "Calls, one stream a connection"
	multiplexed = "Calls, 100 streams a connection"
	withTLS     = "With TLS"
	elsewhere   = "While a channel of many is broadcast to"
	inProcess   = "In process, without a wire"
)

var groups = []string{webSockets, eventStream, calls, multiplexed, withTLS, elsewhere, inProcess}

// What is measured of whom. What only differs in how it sends has the connections of
// another, and a floor is there to be sent from.
var (
	everything  = []string{"rate", "saturated", "setup", "idle", "stalled"}
	sending     = []string{"rate", "saturated"}
	connections = []string{"rate", "saturated", "setup", "idle"}
	calling     = []string{"rate", "burst"}
	callingIdle = []string{"rate", "burst", "idle"}
	securing    = []string{"rate", "idle"}
)

// Contenders are all of them, ours first in each group.
func Contenders() []Contender {
	list := webSocketContenders()
	list = append(list, eventContenders()...)
	list = append(list, callContenders()...)
	list = append(list, secureContenders()...)
	list = append(list, elsewhereContenders()...)
	return append(list, Contender{Name: ourProcess, Groups: []string{inProcess}, Ours: true, measures: []string{"process"}})
}

const ourProcess = "millrace's service"

func webSocketContenders() []Contender {
	in := []string{webSockets}
	socket := ourSocket("bench")
	raw := load.Wire{Path: "/ws", Ready: "subscribed"}
	return []Contender{
		{Name: "millrace WebSocket", Groups: in, Ours: true, measures: everything, program: millrace, wire: socket},
		{Name: "millrace WebSocket, no ring", Groups: in, Ours: true, measures: sending, program: millraceNoRing, wire: socket},
		{Name: "centrifuge WebSocket", Groups: in, measures: everything, program: centrifuge, wire: centrifugeSocket("bench")},
		{Name: "coder/websocket hub", Groups: in, measures: connections, program: coder, wire: load.Wire{
			Path: "/ws", Header: credentials(), Ready: "subscribed",
		}},
		{Name: "floor: send(2)", Groups: in, measures: []string{"rate"}, program: floor, wire: raw},
		{Name: "floor: io_uring", Groups: in, measures: []string{"rate"}, program: floorRing, wire: raw},
	}
}

func ourSocket(channel string) load.Wire {
	return load.Wire{
		Path: "/ws", Header: credentials(),
		Frames: []string{`{"type":"subscribe","id":1,"channel":"` + channel + `"}`}, Ready: `"type":"subscribed"`,
	}
}

func centrifugeSocket(channel string) load.Wire {
	return load.Wire{
		Path:   "/connection/websocket",
		Frames: []string{connect(), `{"id":2,"subscribe":{"channel":"` + channel + `"}}`}, Ready: `"id":2,"subscribe"`, Ping: "{}",
	}
}

// secureContenders have TLS.
func secureContenders() []Contender {
	in := []string{withTLS}
	list := []Contender{
		{Name: "millrace WebSocket, TLS", Ours: true, program: millrace, wire: ourSocket("bench")},
		{Name: "millrace SSE, TLS", Ours: true, program: millrace, wire: ourEvents()},
		{Name: "centrifuge WebSocket, TLS", program: centrifuge, wire: centrifugeSocket("bench")},
		{Name: "centrifuge SSE, TLS", program: centrifuge, wire: centrifugeEvents()},
	}
	for i := range list {
		c := &list[i]
		c.Groups, c.measures, c.wire.TLS, c.program.tls = in, securing, true, true
		c.program.streams = !c.program.profiles // it has an address for TLS beside its own
	}
	return list
}

// elsewhereContenders have something else to do while they broadcast.
func elsewhereContenders() []Contender {
	in, measures := []string{elsewhere}, []string{"elsewhere"}
	return []Contender{
		{Name: "millrace", Groups: in, Ours: true, measures: measures, program: millrace, wire: ourSocket(otherChannel)},
		{Name: "millrace, no ring", Groups: in, Ours: true, measures: measures, program: millraceNoRing, wire: ourSocket(otherChannel)},
		{Name: "centrifuge", Groups: in, measures: measures, program: centrifuge, wire: centrifugeSocket(otherChannel)},
	}
}

// connect is centrifuge's first command.
func connect() string { return `{"id":1,"connect":{"token":"` + token + `"}}` }

func eventContenders() []Contender {
	in := []string{eventStream}
	stream := ourEvents()
	return []Contender{
		{Name: "millrace SSE", Groups: in, Ours: true, measures: everything, program: millrace, wire: stream},
		{Name: "millrace SSE, no ring", Groups: in, Ours: true, measures: sending, program: millraceNoRing, wire: stream},
		{Name: "centrifuge SSE", Groups: in, measures: everything, program: centrifuge, wire: centrifugeEvents()},
		{Name: "centrifuge HTTP stream", Groups: in, measures: []string{"rate"}, program: centrifuge, wire: load.Wire{
			Protocol: load.HTTP1, Method: "POST", Path: "/connection/http_stream", Body: []byte(connect()), Ready: connected,
		}},
		{Name: "mercure SSE", Groups: in, measures: everything, program: mercure, wire: load.Wire{
			Protocol: load.HTTP1, Path: "/.well-known/mercure?topic=bench", Header: credentials(),
		}},
		{Name: "floor: net/http, HTTP/1.1", Groups: []string{eventStream, calls}, measures: calling, program: floor, wire: load.Wire{
			Protocol: load.HTTP1, Path: "/stream",
		}},
	}
}

const connected = `"subs":{"bench"` // centrifuge's answer

func ourEvents() load.Wire {
	return load.Wire{
		Protocol: load.HTTP1, Path: "/events?channel=bench", Header: credentials(), Ready: "event: millrace.subscribed",
	}
}

func centrifugeEvents() load.Wire {
	return load.Wire{
		Protocol: load.HTTP1, Path: "/connection/sse?cf_connect=" + url.QueryEscape(connect()), Ready: connected,
	}
}

func callContenders() []Contender {
	one, many := []string{calls}, []string{multiplexed}
	httpFloor := load.Wire{Protocol: load.HTTP2, Path: "/stream"}
	return []Contender{
		{Name: "millrace Connect, HTTP/1.1", Groups: one, Ours: true, measures: calling, program: millrace, wire: call(connectProto, load.HTTP1)},
		{Name: "millrace Connect", Groups: one, Ours: true, measures: callingIdle, program: millrace, wire: call(connectProto, load.HTTP2)},
		{Name: "millrace gRPC", Groups: one, Ours: true, measures: append(slices.Clip(callingIdle), "stalled"), program: millrace, wire: call(grpcProto, load.HTTP2)},
		{Name: "grpc-go", Groups: one, measures: calling, program: grpcTyped, wire: grpcCall()},
		{Name: "grpc-go, shared buffers", Groups: one, measures: callingIdle, program: grpcShared, wire: grpcCall()},
		{Name: "floor: net/http, HTTP/2", Groups: one, measures: calling, program: floor, wire: httpFloor},
		{Name: "millrace Connect ×100", Groups: many, Ours: true, measures: callingIdle, program: millrace, wire: hundred(call(connectProto, load.HTTP2))},
		{Name: "millrace gRPC ×100", Groups: many, Ours: true, measures: calling, program: millrace, wire: hundred(call(grpcProto, load.HTTP2))},
		{Name: "grpc-go ×100", Groups: many, measures: calling, program: grpcTyped, wire: hundred(grpcCall())},
		{Name: "grpc-go, shared buffers ×100", Groups: many, measures: callingIdle, program: grpcShared, wire: hundred(grpcCall())},
		{Name: "floor: net/http, HTTP/2 ×100", Groups: many, measures: calling, program: floor, wire: hundred(httpFloor)},
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
