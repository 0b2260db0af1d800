package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// bystanders are subscribers on three wires who must see all of their messages
// and nothing else, whatever others send.
type bystanders struct {
	publisher *client
	listeners []*client
	seen      int
}

const bystanding = long + ".bystander"

func watch(t *testing.T, at *server) *bystanders {
	t.Helper()
	s := &scene{T: t, at: at, wire: rpc{}}
	b := &bystanders{publisher: s.arrive("")}
	for _, name := range []string{"ws", "sse", "grpc"} {
		b.listeners = append(b.listeners, s.on(wireNamed(name)).join(subscribe(bystanding)))
	}
	return b
}

// areFine says something to them, and checks that it is what they hear next.
func (b *bystanders) areFine() {
	b.seen++
	message := b.publisher.say(bystanding, fmt.Sprint(b.seen))
	for _, c := range b.listeners {
		c.sees(message)
	}
}

// refusedFrame is a frame and why it is refused.
type refusedFrame struct {
	frame  string
	reason string
	field  string
	limit  uint64
}

// requestLimit is the largest request: a payload that is spelled with six
// characters for each byte, and its fields.
const requestLimit = 6*payloadLimit + 64<<10

func badFrames() []refusedFrame {
	name := strings.Repeat("x", 256)
	publish := func(field string) string { return `{"channel":"c","data":1,` + field + `}` }
	subscribe := func(field string) string { return `{"type":"subscribe","channel":"c",` + field + `}` }
	return []refusedFrame{
		{`{"channel":"` + name + `","data":1}`, "INVALID_CHANNEL", "channel", 255},
		{`{"type":"subscribe","channel":"` + name + `"}`, "INVALID_CHANNEL", "channel", 255},
		{`{"channel":"a\u0000b","data":1}`, "INVALID_CHANNEL", "channel", 0},
		{`{"channel":"a\nevent: b","data":1}`, "INVALID_CHANNEL", "channel", 0},
		{`{"type":"subscribe","channel":"a\r\nb"}`, "INVALID_CHANNEL", "channel", 0},
		{`{"type":"presence","channel":"a\u0000"}`, "INVALID_CHANNEL", "channel", 0},
		{`{"type":"positions","channels":["a","a b"]}`, "INVALID_CHANNEL", "channels[1]", 0},
		{`{"type":"positions","channels":["a"` + strings.Repeat(`,"a"`, 512) + `]}`, "TOO_MANY", "channels", 512},
		{`{"type":"positions","channels":"a"}`, "INVALID_REQUEST", "channels", 0},
		{`{"type":"positions","channels":["a",1]}`, "INVALID_REQUEST", "channels", 0},
		{publish(`"messageId":"two\nlines"`), "INVALID_REQUEST", "messageId", 0},
		{publish(`"messageType":"nul\u0000"`), "INVALID_REQUEST", "messageType", 0},
		{publish(`"key":"` + name + `"`), "TOO_LARGE", "key", 128},
		{publish(`"headers":{"a\nb":"c"}`), "INVALID_REQUEST", "headers", 0},
		{publish(`"headers":["a"]`), "INVALID_REQUEST", "headers", 0},
		{publish(`"ttl":-1`), "INVALID_REQUEST", "ttl", 0},
		{publish(`"expect":{"offset":-1}`), "INVALID_REQUEST", "expect.offset", 0},
		{publish(`"encoding":"hex"`), "INVALID_REQUEST", "data", 0},
		{`{"channel":"c","data":"00","encoding":"hex"}`, "INVALID_REQUEST", "encoding", 0},
		{`{"channel":"c","data":"!","encoding":"base64"}`, "INVALID_REQUEST", "data", 0},
		{`{"channel":"c","data":"` + strings.Repeat("x", payloadLimit) + `"}`, "TOO_LARGE", "data", payloadLimit},
		{`{"channel":"c","data":"` + strings.Repeat("x", requestLimit) + `"}`, "TOO_LARGE", "frame", requestLimit},
		{subscribe(`"recent":-1`), "INVALID_REQUEST", "recent", 0},
		{subscribe(`"recent":1e99`), "INVALID_REQUEST", "recent", 0},
		{subscribe(`"onGap":"explode"`), "INVALID_REQUEST", "onGap", 0},
		{subscribe(`"cursor":"!"`), "INVALID_CURSOR", "cursor", 0},
		{subscribe(`"cursor":"` + strings.Repeat("A", 257<<10) + `"`), "TOO_LARGE", "cursor", 256 << 10},
		{subscribe(`"recent":1,"since":"1@x"`), "INVALID_REQUEST", "recent", 0},
		{subscribe(`"seen":{"c":"1@x"}`), "INVALID_REQUEST", "seen", 0},
		{subscribe(`"since":"x"`), "INVALID_REQUEST", "since", 0},
		{subscribe(`"seen":{"c":"x"}`), "INVALID_REQUEST", "seen", 0},
		{`{"type":"subscribe","channel":"c.*","seen":{"c.a":"1@x"` + strings.Repeat(`,"c.a":"1@x"`, 512*32) + `}}`, "TOO_MANY", "seen", 512 * 32},
		{subscribe(`"filter":{"types":["a"` + strings.Repeat(`,"a"`, 32) + `]}`), "TOO_MANY", "filter.types", 32},
		{subscribe(`"filter":{"types":"a"}`), "INVALID_REQUEST", "filter.types", 0},
		{subscribe(`"filter":{"headers":{"a":"b"` + strings.Repeat(`,"a":"b"`, 16) + `}}`), "TOO_MANY", "headers", 16},
		{publish(`"headers":{"a":"b"` + strings.Repeat(`,"a":"b"`, 16) + `}`), "TOO_MANY", "headers", 16},
		{subscribe(`"since":"x","id":7`), "INVALID_REQUEST", "since", 0},
		{subscribe(`"recent":-1,"id":7`), "INVALID_REQUEST", "recent", 0},
		{`{"type":"subscribe","channel":["c"],"id":7}`, "INVALID_REQUEST", "channel", 0},
		{`{"type":"subscribe","channel":"c" "d","id":7`, "INVALID_REQUEST", "frame", 0},
		{`{"type":"update","entity":{},"channel":"c","id":{}}`, "INVALID_REQUEST", "entity", 0},
		{subscribe(`"id":{}`), "INVALID_REQUEST", "id", 0},
		{subscribe(`"id":"` + name + `"`), "INVALID_REQUEST", "id", 0},
		{`{"type":"history","channel":"c","limit":1001}`, "TOO_MANY", "limit", 1000},
		{`{"type":"history","channel":"c","page":"!"}`, "INVALID_CURSOR", "page", 0},
		{`{"type":"enter","channel":"c","data":"` + strings.Repeat("x", 2<<10) + `"}`, "TOO_LARGE", "data", 2 << 10},
		{"{\"channel\":\"c\",\"data\":\"\xff\"}", "INVALID_REQUEST", "frame", 0},
		{strings.Repeat("[", 20_000), "INVALID_REQUEST", "frame", 0},
	}
}

func TestBadFramesAreRefusedAndTheSocketLivesOn(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	others, c := watch(t, at), connectOld(t, at, "/ws")
	for _, bad := range badFrames() {
		c.sends(bad.frame)
		var f frameJSON
		if err := json.Unmarshal([]byte(c.getsError(bad.reason)), &f); err != nil {
			t.Fatal(err)
		}
		if hasID := strings.Contains(bad.frame, `,"id":7}`); string(f.ID) == "7" != hasID {
			t.Errorf("%.80s: refused with the id %q", bad.frame, f.ID)
		}
		if f.Field != bad.field || f.Limit != bad.limit || len(f.For) > 80 {
			t.Errorf("%.80s: refused in field %q with the limit %d for %q, want %q and %d", bad.frame, f.Field, f.Limit, f.For, bad.field, bad.limit)
		}
		c.getsNothing()
		others.areFine()
	}
}

// What is sent to one that speaks a sub-protocol, in either encoding.
func TestBadCommandsAreRefusedAndTheSocketLivesOn(t *testing.T) {
	t.Parallel()
	for _, w := range []typedSocket{{"millrace.v1.json"}, {"millrace.v1.proto"}} {
		t.Run(w.protocol, func(t *testing.T) {
			t.Parallel()
			at := start(t, engines[0].open(t))
			others := watch(t, at)
			c := (&scene{T: t, at: at, wire: w}).join(subscribe("fine"))
			conn := c.session.(*typedSession).conn //nolint:errcheck // it is what the wire opens
			for _, bad := range badCommands(t, w) {
				for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
					if err := conn.Write(t.Context(), kind, []byte(bad.frame)); err != nil {
						t.Fatal(err)
					}
					got := c.toldOf("refusal").refused
					if got.GetReason() != reasonNamed(bad.reason) || got.GetField() != bad.field || got.GetLimit() != bad.limit || got.GetMessage() == "" {
						t.Errorf("%.80q: refused with {%s}, want %s in %q with the limit %d", bad.frame, got, bad.reason, bad.field, bad.limit)
					}
				}
				c.sees(c.say("fine", `"and on it goes"`))
				others.areFine()
			}
		})
	}
}

func badCommands(t *testing.T, w typedSocket) []refusedFrame {
	t.Helper()
	spell := func(c *millracev1.Command) string {
		t.Helper()
		data, err := w.marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	bad := []refusedFrame{
		{"\xff\xff\xff\xff", "INVALID_REQUEST", "frame", 0},
		{"{", "INVALID_REQUEST", "frame", 0},
		{spell(&millracev1.Command{}), "INVALID_REQUEST", "command", 0},
		{spell(commandOf(0, &millracev1.PublishRequest{Channel: "a\x00b"})), "INVALID_CHANNEL", "channel", 0},
		{spell(commandOf(0, &millracev1.PublishRequest{Channel: "a\r\nb"})), "INVALID_CHANNEL", "channel", 0},
		{spell(commandOf(0, &millracev1.PublishRequest{Channel: strings.Repeat("x", 256)})), "INVALID_CHANNEL", "channel", 255},
		{spell(commandOf(0, &millracev1.PublishRequest{Channel: "c", Data: jsonData(`{"a":`)})), "INVALID_JSON", "payload.json", 0},
		{spell(commandOf(0, &millracev1.PublishRequest{Channel: "c", Data: jsonData(`"` + strings.Repeat("x", payloadLimit) + `"`)})), "TOO_LARGE", "payload", payloadLimit},
		{strings.Repeat("x", requestLimit+1), "TOO_LARGE", "frame", requestLimit},
	}
	if w.kind() == websocket.MessageText {
		return append(bad,
			refusedFrame{`{"publish":{"channel":"c"},"history":{"channel":"c"}}`, "INVALID_REQUEST", "frame", 0},
			refusedFrame{`{"id":-1,"ping":{}}`, "INVALID_REQUEST", "frame", 0},
			refusedFrame{`[]`, "INVALID_REQUEST", "frame", 0},
			refusedFrame{``, "INVALID_REQUEST", "frame", 0})
	}
	broken := spell(commandOf(0, &millracev1.PublishRequest{Channel: "not UTF-8: xx"}))
	return append(bad,
		refusedFrame{strings.Replace(broken, "xx", "\xff\xfe", 1), "INVALID_REQUEST", "frame", 0},
		refusedFrame{broken[:len(broken)-1], "INVALID_REQUEST", "frame", 0})
}

// A client of a newer version says things that this one does not know.
func TestUnknownFieldsArePassedOver(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	plain := connectOld(t, at, "/ws?channel=c")
	plain.sends(`{"channel":"c","data":1,"fromTheFuture":{"x":[1]},"type":""}`)
	plain.getsMessage("c", `1`)

	c := (&scene{T: t, at: at, wire: typedSocket{"millrace.v1.json"}}).join(subscribe("c"))
	conn := c.session.(*typedSession).conn //nolint:errcheck // it is what the wire opens
	frame := `{"id":0,"fromTheFuture":1,"publish":{"channel":"c","payload":{"json":"2","fromTheFuture":[]}}}`
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		t.Fatal(err)
	}
	if got := c.toldOf("message").message.GetPayload().GetJson(); got != `2` {
		t.Errorf("got %s, want 2", got)
	}
	plain.getsMessage("c", `2`)
}
