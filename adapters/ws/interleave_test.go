package ws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"millrace.dev/adapters/carrier/carriertest"
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
	t.Run("TCP", func(t *testing.T) { t.Parallel(); interleave(t, (*httptest.Server).Start, nil) })
	t.Run("TCP with a ring", func(t *testing.T) { t.Parallel(); interleave(t, (*httptest.Server).Start, ring.Outbox) })
	t.Run("TLS", func(t *testing.T) { t.Parallel(); interleave(t, startCarried, nil) })
	t.Run("TLS with a ring", func(t *testing.T) { t.Parallel(); interleave(t, startCarried, ring.Outbox) })
	t.Run("TLS of another server", func(t *testing.T) { t.Parallel(); interleave(t, (*httptest.Server).StartTLS, ring.Outbox) })
}

// startCarried starts a server with TLS as the command does.
func startCarried(s *httptest.Server) {
	s.Listener = carriertest.Listener{Listener: s.Listener}
	s.StartTLS()
}

func interleave(t *testing.T, start func(*httptest.Server), outbox func() service.Outbox) {
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
	start(server)
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const clients, messages = 10, 200
	ready := make(chan struct{}, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			if err := talk(ctx, server, i, messages, ready); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	for range clients {
		<-ready
	}
	publisher, err := connect(ctx, server, "")
	if err != nil {
		t.Fatal(err)
	}
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

func connect(ctx context.Context, server *httptest.Server, query string) (*websocket.Conn, error) {
	options := &websocket.DialOptions{HTTPClient: server.Client()}
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(server.URL, "http")+query, options) //nolint:bodyclose // the library closes it
	return conn, err
}

// talk receives all messages in order while it pings, and publishes to a channel
// of its own, and asks for answers.
func talk(ctx context.Context, server *httptest.Server, id, messages int, ready chan<- struct{}) error {
	conn, err := connect(ctx, server, "?channel=all")
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
