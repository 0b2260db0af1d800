// Command centrifuge is a node of the centrifuge library as an application has
// it: broker in memory, JSON, tokens checked, pings on, no write delay.
package main

import (
	"context"
	"net/http"

	"github.com/centrifugal/centrifuge"

	"millrace.dev/bench/peers/internal/peer"
)

func main() { peer.Main(run) }

func run() error {
	node, err := newNode()
	if err == nil {
		err = node.Run()
	}
	if err != nil {
		return err
	}
	// Pings stay on. The load client answers them on a WebSocket; on the other
	// two that takes requests of their own, which nobody wants to measure here.
	unanswered := centrifuge.PingPongConfig{PongTimeout: -1}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	mux.Handle("/connection/sse", centrifuge.NewSSEHandler(node, centrifuge.SSEConfig{PingPongConfig: unanswered}))
	mux.Handle("/connection/http_stream", centrifuge.NewHTTPStreamHandler(node, centrifuge.HTTPStreamConfig{PingPongConfig: unanswered}))
	return peer.ServeChannels(mux, func(channel string, data []byte) error {
		_, err := node.Publish(channel, data)
		return err
	})
}

func newNode() (*centrifuge.Node, error) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return nil, err
	}
	node.OnConnecting(connecting)
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
	return node, nil
}

// connecting accepts whoever has a token. A WebSocket subscribes by itself;
// where the client cannot send a command on the stream, the server does.
func connecting(_ context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
	claims, err := peer.Verify(e.Token)
	if err != nil {
		return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
	}
	reply := centrifuge.ConnectReply{
		Credentials: &centrifuge.Credentials{UserID: claims.Subject, ExpireAt: claims.ExpiresAt.Unix()},
	}
	if e.Transport.Name() != "websocket" {
		reply.Subscriptions = map[string]centrifuge.SubscribeOptions{peer.Channel: {}}
	}
	return reply, nil
}
