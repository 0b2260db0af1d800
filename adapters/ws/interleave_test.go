package ws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"millrace.dev/adapters/ring"
	"millrace.dev/adapters/ws"
	"millrace.dev/engine"
	"millrace.dev/engine/memory"
	"millrace.dev/service"
)

// Frames that the service sends go around the library that reads and answers
// control frames. Whatever clients do, no frame lands inside another, and none is
// lost when reading stops between two: this test guards every upgrade of the
// library.
func TestFramesOfTheServiceAndOfTheLibraryNeverMix(t *testing.T) {
	t.Parallel()
	direct := func(l net.Listener) net.Listener { return l }
	t.Run("TCP", func(t *testing.T) { t.Parallel(); interleave(t, direct, nil) })
	t.Run("TCP with a ring", func(t *testing.T) { t.Parallel(); interleave(t, direct, ring.Outbox) })
	t.Run("as TLS", func(t *testing.T) {
		t.Parallel()
		interleave(t, func(l net.Listener) net.Listener { return opaque{l} }, ring.Outbox)
	})
}

// opaque is a listener whose connections do not say that they are TCP, like those
// of TLS.
type opaque struct{ net.Listener }

// Accept implements [net.Listener].
func (l opaque) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return struct{ net.Conn }{conn}, err
}

func interleave(t *testing.T, wrap func(net.Listener) net.Listener, outbox func() service.Outbox) {
	t.Helper()
	node, err := service.New(t.Context(), memory.Open(memory.Options{}), service.Config{
		// Enough for whoever falls behind to catch up.
		Rules:  []service.Rule{{Pattern: ">", History: engine.Retention{Messages: 1000}}},
		Outbox: outbox,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewUnstartedServer(ws.New(node, ws.Options{}))
	server.Listener = wrap(server.Listener)
	server.Start()
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const clients, messages = 10, 200
	ready := make(chan struct{}, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			if err := talk(ctx, "ws"+strings.TrimPrefix(server.URL, "http"), i, messages, ready); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	for range clients {
		<-ready
	}
	publisher := dial(ctx, t, "ws"+strings.TrimPrefix(server.URL, "http"))
	for n := range messages {
		frame := fmt.Appendf(nil, `{"channel":"all","data":{"n":%d,"filling":%q}}`, n, strings.Repeat("x", n*53%9000))
		if err := publisher.Write(ctx, websocket.MessageText, frame); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	if err := publisher.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

func dial(ctx context.Context, t *testing.T, url string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(ctx, url, nil) //nolint:bodyclose // the library closes it
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// talk receives all messages in order while it pings, and publishes to a channel
// of its own, and asks for answers.
func talk(ctx context.Context, url string, id, messages int, ready chan<- struct{}) error {
	conn, _, err := websocket.Dial(ctx, url+"?channel=all", nil) //nolint:bodyclose // the library closes it
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	ctx, cancel := context.WithCancel(ctx)
	var chatter sync.WaitGroup
	defer chatter.Wait()
	defer cancel()
	chatter.Go(func() { chat(ctx, conn, id) })
	ready <- struct{}{}
	for next := 0; next < messages; {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("after %d messages: %w", next, err)
		}
		var frame struct {
			Channel string `json:"channel"`
			Data    struct {
				N       int    `json:"n"`
				Filling string `json:"filling"`
			} `json:"data"`
		}
		if err := json.Unmarshal(data, &frame); err != nil {
			return fmt.Errorf("frame %.80q: %w", data, err)
		}
		if frame.Channel != "all" {
			continue
		}
		if frame.Data.N != next || len(frame.Data.Filling) != next*53%9000 {
			return fmt.Errorf("message %d came, want %d", frame.Data.N, next)
		}
		next++
	}
	return nil
}

// chat keeps the library busy: pings, commands with answers, frames of all sizes.
func chat(ctx context.Context, conn *websocket.Conn, id int) {
	for n := 0; ctx.Err() == nil; n++ {
		frame := fmt.Appendf(nil, `{"type":"publish","id":%d,"channel":"own.%d","data":%q}`, n, id, bytes.Repeat([]byte("y"), n*97%9000))
		if conn.Write(ctx, websocket.MessageText, frame) != nil || conn.Ping(ctx) != nil {
			return
		}
	}
}
