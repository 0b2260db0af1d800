package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/time/rate"
)

// attack is something that hostile clients do, all at the same time.
type attack struct {
	name    string
	flags   []string
	sockets int
	full    int           // sockets, with SCALE=full
	pace    rate.Limit    // acts a second, of all together
	memory  int           // most bytes that the server has for each socket
	cost    time.Duration // most that an act takes of its processors
	abuse   abuse
}

// abuse is what one hostile connection does, until the server or next has had
// enough. Next waits for the turn of one more act.
type abuse func(ctx context.Context, conn net.Conn, next func(context.Context) bool)

const (
	silent  = 48 << 10 // bytes of a connection that says nothing, with what it began
	talking = 4 << 20  // of one that has a request of the largest size under way
	light   = 2 * time.Millisecond
	heavy   = 100 * time.Millisecond // of an act that is as large as a request may be
)

var attacks = []attack{
	{"no attack, on a machine that others keep busy", nil, 2, 2, 1, silent, light, keepsBusy},
	{"half of each handshake, and then a byte now and then", nil, 180, 900, 1000, silent, light, trickle()},
	{"no first frame", nil, 200, 900, 1000, silent, light, says(getSocket("?auth=frame", ""))},
	{"idle connections from one address, of which it may have 1,000", nil, 2000, 10_000, 2000, silent, light, says("")},
	{"idle connections from one address", manyConnections, 500, 10_000, 2000, silent, light, says("")},
	{"idle WebSockets from one address", manyConnections, 500, 10_000, 2000, silent, light, says(getSocket("?channel=idle", ""))},
	{"idle event streams from one address", manyConnections, 500, 10_000, 2000, silent, light, says("GET /events?channel=idle HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")},
	{"clients that never read", nil, 100, 500, 500, 1 << 20, 20 * time.Millisecond, neverReads},
	{"rapid reset", nil, 4, 8, 20_000, talking, light, abusesHTTP2(rapidReset)},
	{"connections that come and go", nil, 8, 8, 20_000, silent, light, comesAndGoes},
	{"frames faster than anybody may", nil, 4, 8, 50_000, talking, light, frames(clientFrame(`{"type":"history","channel":"a"}`))},
	{"tokens that are none", nil, 4, 8, 20_000, talking, light, repeats("GET /history/a HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + forged + "\r\n\r\n")},
	{"heads without an end", nil, 4, 8, 20_000, talking, light, abusesHTTP2(endlessHead)},
	{"heads that are too large", nil, 4, 8, 100, talking, heavy, abusesHTTP2(largeHead())},
	{"heads that unpack to much", nil, 4, 8, 1000, talking, heavy, abusesHTTP2(headBomb)},
	{"bodies that unpack to much", nil, 4, 8, 20, 8 * talking, heavy, bodyBomb()},
	{"10,000 subscriptions in a frame", nil, 4, 8, 20, 4 * talking, heavy, subscribesToMuch()},
	{"10,000 commands in a request", nil, 4, 8, 20, 4 * talking, heavy, postsMuch()},
}

// manyConnections lets one address have as many connections and streams as there are.
var manyConnections = []string{"--limits-address-connections", "20000", "--limits-address-sessions", "20000", "--limits-call-rate", "20000"}

// keepsBusy does nothing to the server. It is what the others are compared with:
// attackers on the machine of the server cost something by being there.
func keepsBusy(ctx context.Context, _ net.Conn, _ func(context.Context) bool) {
	for ctx.Err() == nil {
	}
}

// says has connections that say something once, and then only listen.
func says(what string) abuse {
	return func(_ context.Context, conn net.Conn, _ func(context.Context) bool) {
		if _, err := io.WriteString(conn, what); err == nil {
			_, _ = io.Copy(io.Discard, conn) // until the server has had enough
		}
	}
}

// trickle has connections that begin each handshake there is, and go on as slowly
// as they can.
func trickle() abuse {
	beginnings := make(chan string, len(unfinished))
	for _, begins := range unfinished {
		beginnings <- begins
	}
	return func(ctx context.Context, conn net.Conn, next func(context.Context) bool) {
		begins := <-beginnings
		beginnings <- begins
		_, err := io.WriteString(conn, begins)
		for err == nil && next(ctx) {
			_, err = io.WriteString(conn, "x")
		}
	}
}

// neverReads asks for much of a channel, publishes to it, and takes nothing.
func neverReads(ctx context.Context, conn net.Conn, next func(context.Context) bool) {
	_, err := io.WriteString(conn, getSocket("?channel=flood", ""))
	frame := clientFrame(`{"channel":"flood","data":` + strconv.Quote(strings.Repeat("x", 10_000)) + `}`)
	for err == nil && next(ctx) {
		_, err = conn.Write(frame)
	}
}

// clientFrame is a text frame of a client, masked with nothing.
func clientFrame(text string) []byte {
	const final, masked, length64 = 0x81, 0x80, 127
	frame := []byte{final, masked | length64, 0, 0, 0, 0, byte(len(text) >> 24), byte(len(text) >> 16), byte(len(text) >> 8), byte(len(text)), 0, 0, 0, 0} //nolint:gosec // that is the form of a length
	return append(frame, text...)
}

// getSocket asks for a WebSocket.
func getSocket(query, head string) string {
	return "GET /ws" + query + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + webSocketHead + "\r\n"
}

// forged looks like a token.
const forged = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDB9.c2lnbmVkIGJ5IG5vYm9keSB3aG8gaGFzIHRoZSBrZXk"

// comesAndGoes has connections that end as soon as they are there.
func comesAndGoes(context.Context, net.Conn, func(context.Context) bool) {}

// subscribesToMuch sends frames that are full of subscriptions.
func subscribesToMuch() abuse {
	return frames(clientFrame(`{"updateSubscription":{"add":[`+join(10_000, `{"channel":"c%d"}`)+`]}}`), "Sec-WebSocket-Protocol: millrace.v1.json\r\n")
}

// frames sends the same frame again and again.
func frames(frame []byte, head ...string) abuse {
	return func(ctx context.Context, conn net.Conn, next func(context.Context) bool) {
		_, err := io.WriteString(conn, getSocket("", strings.Join(head, "")))
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		for err == nil && next(ctx) {
			_, err = conn.Write(frame)
		}
		_ = conn.Close() // it ends the reading
		reading.Wait()
	}
}

// postsMuch sends requests that are full of commands.
func postsMuch() abuse {
	body := "[" + join(10_000, `{"type":"subscribe","channel":"c%d"}`) + "]"
	return repeats(fmt.Sprintf("POST /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
}

// bodyBomb sends bodies that are small on the wire.
func bodyBomb() abuse {
	body := gzipOfNothing(16 << 20)
	return repeats(fmt.Sprintf("POST /millrace.v1.RealtimeService/Publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/proto\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
}

// repeats sends the same again and again.
func repeats(request string) abuse {
	return func(ctx context.Context, conn net.Conn, next func(context.Context) bool) {
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		for err := error(nil); err == nil && next(ctx); {
			_, err = io.WriteString(conn, request)
		}
		_ = conn.Close() // it ends the reading
		reading.Wait()
	}
}

func join(n int, format string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(all, ",")
}

// gzipOfNothing is so many zeros, in gzip.
func gzipOfNothing(n int) []byte {
	var packed bytes.Buffer
	packer := gzip.NewWriter(&packed)
	for zeros := make([]byte, 1<<20); n > 0; n -= len(zeros) {
		_, _ = packer.Write(zeros) // a buffer takes everything
	}
	_ = packer.Close() // the same
	return packed.Bytes()
}

// abusesHTTP2 has connections whose clients keep no rules of HTTP/2. An act gets
// the number of a new stream.
func abusesHTTP2(act func(f *http2.Framer, stream uint32) error) abuse {
	return func(ctx context.Context, conn net.Conn, next func(context.Context) bool) {
		framer := http2.NewFramer(conn, nil)
		_, err := io.WriteString(conn, http2.ClientPreface)
		err = errors.Join(err, framer.WriteSettings())
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		for stream := uint32(1); err == nil && next(ctx); stream += 2 {
			err = act(framer, stream)
		}
		_ = conn.Close() // it ends the reading
		reading.Wait()
	}
}

func rapidReset(f *http2.Framer, stream uint32) error {
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: requestHead("/events?channel=a"), EndStream: true, EndHeaders: true})
	return errors.Join(err, f.WriteRSTStream(stream, http2.ErrCodeCancel))
}

func endlessHead(f *http2.Framer, stream uint32) error {
	if stream == 1 {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: requestHead("/events?channel=a")})
	}
	return f.WriteContinuation(1, false, nil)
}

func largeHead() func(f *http2.Framer, stream uint32) error {
	head := requestHead("/", hpack.HeaderField{Name: "x-large", Value: strings.Repeat("x", 1<<20)})
	return func(f *http2.Framer, stream uint32) error { return writeHead(f, stream, head) }
}

// headBomb names a value of the dynamic table as often as there is place for.
func headBomb(f *http2.Framer, stream uint32) error {
	const first = 0x80 | 62 // of the dynamic table
	head := requestHead("/", hpack.HeaderField{Name: "x-large", Value: strings.Repeat("x", 4000)})
	return writeHead(f, stream, append(head, bytes.Repeat([]byte{first}, 100_000)...))
}

// writeHead writes a head in as many frames as it takes.
func writeHead(f *http2.Framer, stream uint32, head []byte) error {
	const most = 16_000
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head[:min(len(head), most)], EndStream: true, EndHeaders: len(head) <= most})
	for rest := head[min(len(head), most):]; err == nil && len(rest) > 0; rest = rest[min(len(rest), most):] {
		err = f.WriteContinuation(stream, len(rest) <= most, rest[:min(len(rest), most)])
	}
	return err
}

// requestHead is a request in HPACK.
func requestHead(path string, more ...hpack.HeaderField) []byte {
	var b bytes.Buffer
	encoder := hpack.NewEncoder(&b)
	for _, f := range append([]hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "127.0.0.1"}, {Name: ":path", Value: path},
	}, more...) {
		_ = encoder.WriteField(f) // a buffer takes everything
	}
	return b.Bytes()
}
