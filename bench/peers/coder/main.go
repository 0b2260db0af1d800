// Command coder is a WebSocket server as most are written: coder/websocket, a
// goroutine and a channel for each connection, and a time-out for each write.
package main

import (
	"context"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"millrace.dev/bench/peers/internal/peer"
)

const writeTimeout = 5 * time.Second

func main() { peer.Main(run) }

func run() error {
	var hub peer.Hub[[]byte]
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		if _, err := peer.Authorize(r.Header.Get("Authorization")); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // Accept has answered
		}
		defer conn.CloseNow()
		_ = serve(conn.CloseRead(r.Context()), conn, &hub) // the client is gone
	})
	return peer.Serve(mux, func(data []byte) error {
		hub.Publish(data)
		return nil
	})
}

func serve(ctx context.Context, conn *websocket.Conn, hub *peer.Hub[[]byte]) error {
	messages := hub.Subscribe()
	defer hub.Unsubscribe(messages)
	if err := write(ctx, conn, []byte(`{"type":"subscribed"}`)); err != nil {
		return err
	}
	for {
		select {
		case data, ok := <-messages:
			if !ok {
				return conn.Close(websocket.StatusPolicyViolation, "too slow")
			}
			if err := write(ctx, conn, *data); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func write(ctx context.Context, conn *websocket.Conn, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, data)
}
