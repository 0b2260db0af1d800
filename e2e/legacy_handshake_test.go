package e2e_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

func TestChannelsAreJoinedWithoutAFrame(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	byURL := connectOld(t, at, "/ws?channel=a&channel=b&channel=a")
	byPath := connectOld(t, at, "/ws/dashboard")
	both := connectOld(t, at, "/ws/dashboard?channel=a")
	publisher := connectOld(t, at, "/ws")
	for name, joined := range map[string][]*oldClient{"a": {byURL, both}, "b": {byURL}, "dashboard.metrics": {byPath, both}} {
		publisher.sends(`{"channel":"` + name + `","data":1}`)
		for _, c := range joined {
			c.getsMessage(name, `1`)
		}
	}
	for _, c := range []*oldClient{byURL, byPath, both} {
		c.getsNothing()
	}
}

func TestARefusalIsTheAnswerToTheHandshake(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	for _, handshake := range []struct {
		path, header, value string
		status              int
		reason              millracev1.ErrorReason
	}{
		{"/ws?channel=not%20fine", "", "", http.StatusBadRequest, millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL},
		{"/ws?cursor=!", "", "", http.StatusBadRequest, millracev1.ErrorReason_ERROR_REASON_INVALID_CURSOR},
		{"/ws/dashboard", "Cookie", "millrace_token=forged", http.StatusUnauthorized, millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED},
		{"/ws", "Authorization", "Bearer forged", http.StatusUnauthorized, millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED},
		{"/ws", "Origin", "https://evil.example", http.StatusForbidden, 0},
		{"/ws", "Origin", "http://localhost:3000", http.StatusSwitchingProtocols, 0},
		{"/ws", "Sec-WebSocket-Protocol", "graphql-ws, whatever", http.StatusSwitchingProtocols, 0},
		{"/ws", "Upgrade", "h2c", http.StatusUpgradeRequired, 0},
		{"/ws", "Sec-WebSocket-Version", "12", http.StatusBadRequest, 0},
	} {
		header := upgrade.Clone()
		if handshake.header != "" {
			header.Set(handshake.header, handshake.value)
		}
		got := exchange(t, at.h1, http.MethodGet, at.url+handshake.path, header, "")
		if got.status != handshake.status || infoOf(got.refusal()).GetReason() != handshake.reason {
			t.Errorf("%s with %s %q: status %d, %v; want %d, %s", handshake.path, handshake.header, handshake.value,
				got.status, got.refusal(), handshake.status, handshake.reason)
		}
	}
}

// Existing clients leave sockets open that never say anything.
func TestSilenceIsNoReasonToClose(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t), func(c *service.Config) { c.Limits.Heartbeat = 5 * time.Millisecond })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pings := make(chan struct{}, 100)
	conn, err := dialWith(ctx, at, "/ws?channel=chat", &websocket.DialOptions{
		OnPingReceived: func(context.Context, []byte) bool {
			select {
			case pings <- struct{}{}:
			default:
			}
			return true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &oldClient{T: t, conn: conn}
	t.Cleanup(func() { _ = conn.CloseNow() })
	read := make(chan string)
	go func() { read <- c.gets() }()
	for range 5 {
		select {
		case <-pings:
		case got := <-read:
			t.Fatalf("a silent connection got %q, want pings only", got)
		}
	}
	publisher := connectOld(t, at, "/ws")
	publisher.sends(`{"channel":"chat","data":"still there"}`)
	if got := <-read; got[:31] != `{"channel":"chat","data":"still` {
		t.Errorf("got %s, want the message", got)
	}
}
