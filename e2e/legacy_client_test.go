package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// oldClient is a WebSocket as an existing client uses it.
type oldClient struct {
	*testing.T
	conn *websocket.Conn
}

// connectOld opens a WebSocket, which ends with the test if not before.
func connectOld(t *testing.T, at *server, path string) *oldClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := dial(ctx, at, path, "")
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &oldClient{T: t, conn: conn}
}

// sends sends text frames.
func (c *oldClient) sends(frames ...string) {
	c.Helper()
	for _, frame := range frames {
		ctx, cancel := context.WithTimeout(c.Context(), patience)
		err := c.conn.Write(ctx, websocket.MessageText, []byte(frame))
		cancel()
		if err != nil {
			c.Fatalf("send %.100s: %v", frame, err)
		}
	}
}

// gets is the next frame.
func (c *oldClient) gets() string {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	kind, data, err := c.conn.Read(ctx)
	if err != nil {
		c.Fatalf("next frame: %v", err)
	}
	if kind != websocket.MessageText || !json.Valid(data) || compact(string(data)) != string(data) {
		c.Errorf("got a %s frame, want text with one JSON value in its shortest form: %.200s", kind, data)
	}
	return string(data)
}

// getsMessage expects a delivery that begins with the fields that existing
// clients read, and returns it.
func (c *oldClient) getsMessage(channel, data string) string {
	c.Helper()
	got := c.gets()
	want := fmt.Sprintf(`{"channel":%q,"data":%s,`, channel, data)
	if !strings.HasPrefix(got, want) {
		c.Fatalf("got %.300s, want %.300s", got, want)
	}
	return got
}

// getsNothing expects that nothing comes before the answer to a ping.
func (c *oldClient) getsNothing() {
	c.Helper()
	c.sends(`{"type":"ping"}`)
	if got := c.gets(); got != `{"type":"pong"}` {
		c.Fatalf("got %.300s, want only the answer to the ping", got)
	}
}

// getsError expects an error frame of a reason.
func (c *oldClient) getsError(reason string) string {
	c.Helper()
	got := c.gets()
	var f frameJSON
	if err := json.Unmarshal([]byte(got), &f); err != nil || f.Type != "error" || f.Channel != nil || f.Reason != reason || f.Code == "" || f.Message == "" {
		c.Fatalf("got %.300s, want an error with the reason %s and without a channel", got, reason)
	}
	return got
}
