// Command floor is what nobody can do better with: two loops over shared bytes
// without any bookkeeping.
//
//   - GET /ws: a WebSocket, hijacked. To publish is one send(2) a connection, or with
//     -ring one of io_uring.
//   - GET /stream: Server-Sent Events with net/http, over HTTP/1.1 and HTTP/2.
//     To deliver is one Write and one Flush, by the goroutine of the handler.
package main

import (
	"flag"
	"net/http"

	"millrace.dev/adapters/ring"
	"millrace.dev/bench/peers/internal/peer"
)

func main() { peer.Main(run) }

func run() error {
	withRing := flag.Bool("ring", false, "send to WebSockets with io_uring")
	flag.Parse()
	var raw sockets
	if *withRing {
		var err error
		if raw.ring, err = ring.New(); err != nil {
			return err
		}
	}
	var streams peer.Hub[[]byte]
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", raw.accept)
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) { serve(w, r, &streams) })
	return peer.Serve(mux, func(data []byte) error {
		raw.send(data)
		streams.Publish(append(append([]byte("data: "), data...), "\n\n"...))
		return nil
	})
}

func serve(w http.ResponseWriter, r *http.Request, hub *peer.Hub[[]byte]) {
	messages := hub.Subscribe()
	defer hub.Unsubscribe(messages)
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if control.Flush() != nil {
		return
	}
	for {
		select {
		case data, ok := <-messages:
			if !ok {
				return
			}
			if _, err := w.Write(*data); err != nil || control.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
