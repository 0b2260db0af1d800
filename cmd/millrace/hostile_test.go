package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// dial opens a raw connection that does not outlive the test.
func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() }) //nolint:errcheck // the server may have closed it
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// isClosed waits for the server to end a connection.
func isClosed(t *testing.T, conn net.Conn) bool {
	t.Helper()
	_, err := io.Copy(io.Discard, conn)
	return err == nil || !errors.Is(err, os.ErrDeadlineExceeded)
}

const webSocketHead = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// unfinished is the beginning of each handshake there is.
var unfinished = map[string]string{
	"nothing at all":                 "",
	"half a request":                 "GET /events?channel=a HTTP/1.1\r\nHost: 127.0.0.1\r\nX-",
	"half a WebSocket's handshake":   "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n" + webSocketHead,
	"half a body":                    "POST /publish/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{",
	"half the preface of HTTP/2":     http2.ClientPreface[:10],
	"a preface of HTTP/2, no more":   http2.ClientPreface,
	"a WebSocket without its frame":  "GET /ws?auth=frame HTTP/1.1\r\nHost: 127.0.0.1\r\n" + webSocketHead + "\r\n",
	"a WebSocket with half a frame":  "GET /ws?auth=frame HTTP/1.1\r\nHost: 127.0.0.1\r\n" + webSocketHead + "\r\n\x81\xfe\x10\x00",
	"a request of the Connect proto": "POST /millrace.v1.RealtimeService/Publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
}

// Whoever begins something and does not go on is cut after limits.handshake, on
// each handshake there is.
func TestWhoDoesNotFinishAHandshakeIsCut(t *testing.T) {
	t.Parallel()
	_, url := serve(t, "--limits-handshake", "300ms", "--limits-heartbeat", "300ms")
	for name, begins := range unfinished {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, url)
			if _, err := io.WriteString(conn, begins); err != nil {
				t.Fatal(err)
			}
			if !isClosed(t, conn) {
				t.Errorf("still open after %v", patience)
			}
		})
	}
}

// What is small on the wire and large when it is unpacked is refused by its size
// when unpacked.
func TestADecompressionBombIsRefused(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	bomb := gzipOfNothing(16 << 20)
	for _, contentType := range []string{"application/json", "application/proto"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/millrace.v1.RealtimeService/Publish", bytes.NewReader(bomb))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", contentType)
		request.Header.Set("Content-Encoding", "gzip")
		if _, got := do(t, &http.Transport{}, request); got != http.StatusTooManyRequests && got != http.StatusBadRequest && got != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: status %d", contentType, got)
		}
	}
}

// Line breaks in what a stranger chooses end neither a header nor an event.
func TestLineBreaksBreakOutOfNothing(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	for name, path := range map[string]string{
		"a channel":              "/events?channel=a%0d%0aevent:%20evil",
		"a channel of a publish": "/publish/a%0aid:%201",
		"a cursor":               "/events?channel=a&cursor=a%0d%0aX-Evil:%201",
		"a type":                 "/publish/a?type=x%0d%0aevent:%20evil",
		"an id":                  "/publish/a?id=x%0aid:%20evil",
		"a key":                  "/publish/a?key=x%0d",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			method := http.MethodGet
			if strings.HasPrefix(path, "/publish") {
				method = http.MethodPost
			}
			request, err := http.NewRequestWithContext(t.Context(), method, url+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			response, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode/100 != 4 || response.Header.Get("X-Evil") != "" {
				t.Errorf("status %d, header %v", response.StatusCode, response.Header)
			}
		})
	}
	conn := dial(t, url)
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\rX-Evil: 1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 400 ") {
		t.Errorf("a bare line break in a header: %q, %v", line, err)
	}
}

// One address has no more connections than the limit, and others still have
// theirs.
func TestAnAddressHasItsShareOfConnections(t *testing.T) {
	t.Parallel()
	server, main, admin := operate(t, "--limits-address-connections", "20", "--trusted-proxies", "192.0.2.1")
	statuses := map[int]int{}
	for range 200 {
		conn := dial(t, main)
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // the connection is what is closed
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		statuses[response.StatusCode]++
		if response.StatusCode == http.StatusTooManyRequests {
			if !strings.Contains(string(body), `"field":"limits.address_connections"`) || !strings.Contains(string(body), `"limit":20,`) || response.Header.Get("Retry-After") != "10" {
				t.Fatalf("refused with %v %s", response.Header, body)
			}
			conn.Close() //nolint:errcheck // the server may have closed it
		}
	}
	if statuses[http.StatusOK] != 20 || statuses[http.StatusTooManyRequests] != 180 {
		t.Errorf("200 connections of one address: %v", statuses)
	}
	if text := server.stderr.String(); !strings.Contains(text, "connections are refused") || !strings.Contains(text, "setting=limits.address_connections limit=20 address=127.0.0.1") {
		t.Errorf("the log does not name the limit: %s", text)
	}
	if text := get(t, admin+"/metrics", ""); !strings.Contains(text, `millrace_connections_refused_total{server_address="127.0.0.1:0"} 180`) {
		t.Error("the refused connections are not in the metrics")
	}
}

// Ten thousand subscriptions in one frame are one refusal, which names the limit,
// and the connection goes on.
func TestAFrameFullOfSubscriptionsIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url+"/ws", &websocket.DialOptions{Subprotocols: []string{"millrace.v1.json"}}) //nolint:bodyclose // the library does
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprintf(`{"channel":"c%d"}`, i))
	}
	for _, frame := range []string{
		`{"id":"1","updateSubscription":{"add":[` + strings.Join(many, ",") + `]}}`,
		`{"id":"2","updateSubscription":{"add":[` + many[0] + `]}}`,
	} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	var seen strings.Builder
	for !strings.Contains(seen.String(), `"channel":"c0"`) {
		_, data, err := conn.Read(ctx)
		if err != nil {
			t.Fatalf("%v after %s", err, seen.String())
		}
		seen.WriteString(strings.ReplaceAll(string(data), " ", ""))
	}
	if text := seen.String(); !strings.Contains(text, `"reason":"ERROR_REASON_TOO_MANY"`) || !strings.Contains(text, `"limit":"512"`) {
		t.Errorf("answered with %s", text)
	}
}

// A client that never reads is cut, however much is published meanwhile, and
// others miss nothing.
func TestAClientThatNeverReadsIsCut(t *testing.T) {
	t.Parallel()
	server, url := serve(t, "--limits-write-timeout", "500ms", "--log-level", "debug")
	conn := dial(t, url)
	if _, err := io.WriteString(conn, "GET /events?channel=a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	server.stderr.await(t, 1, `msg="session began"`)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	v := visitor{base: url, client: &http.Client{Transport: &http.Transport{}}}
	defer v.client.CloseIdleConnections()
	next, err := openRPC()(ctx, v, "a")
	if err != nil {
		t.Fatal(err)
	}
	payload := strconv.Quote(strings.Repeat("x", 100_000))
	for !strings.Contains(server.stderr.String(), `msg="session ended"`) {
		data := &millracev1.PublishRequest_Payload{Payload: jsonPayload(payload)}
		if _, err := v.rpc().Publish(ctx, &millracev1.PublishRequest{Channel: "a", Data: data}); err != nil {
			if errorInfo(err).GetRetryAfter() != nil { // faster than one user may
				continue
			}
			t.Fatal(err)
		}
		if got, err := next(); err != nil || got != payload {
			t.Fatalf("who reads has %d bytes, %v", len(got), err)
		}
	}
}

// Who floods a WebSocket is hung up on, and that counts where connections come in:
// an address that goes on is refused, whoever calls, long before it has had its share
// of connections.
func TestWhoFloodsWebSocketsIsKeptOut(t *testing.T) {
	t.Parallel()
	_, url := serve(t, "--limits-call-rate", "1", "--trusted-proxies", "192.0.2.1", "--secret", testSecret)
	for i := range 50 {
		token := strings.TrimSpace(mustCall(t, "", "token", "--secret", testSecret, "--user", fmt.Sprint("u", i), "--grant", ">=history"))
		conn := dial(t, url)
		if _, err := io.WriteString(conn, getSocket("", "Authorization: Bearer "+token+"\r\n")); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // the connection is what is closed
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode == http.StatusTooManyRequests {
			body, err := io.ReadAll(response.Body)
			if err != nil || !strings.Contains(string(body), `"field":"limits.address_connections"`) {
				t.Errorf("refused with %s, %v", body, err)
			}
			return
		}
		for err = nil; err == nil; {
			_, err = conn.Write(clientFrame(`{"type":"history","channel":"a"}`))
		}
	}
	t.Error("50 users of one address flooded the server, each as soon as the one before was cut")
}
