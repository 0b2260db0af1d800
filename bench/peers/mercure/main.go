// Command mercure is Mercure's hub as a library: transport in memory, tokens
// checked, anonymous subscribers allowed, time-outs and heartbeat as shipped.
package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/dunglas/mercure"

	"millrace.dev/bench/peers/internal/peer"
)

func main() { peer.Main(run) }

func run() error {
	ctx := context.Background()
	hub, err := mercure.NewHub(ctx,
		mercure.WithLogger(slog.New(slog.DiscardHandler)),
		mercure.WithTransport(mercure.NewLocalTransport(mercure.NewSubscriberList(mercure.DefaultSubscriberListCacheSize))),
		mercure.WithAnonymous(),
		mercure.WithSubscriberJWT(peer.Secret(), "HS256"),
	)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/mercure", hub.SubscribeHandler)
	return peer.Serve(mux, func(data []byte) error {
		return hub.Publish(ctx, &mercure.Update{
			Topics: []string{peer.Channel},
			Event:  mercure.Event{Data: string(data)},
		})
	})
}
