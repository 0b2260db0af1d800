// Command go prints the messages of a channel until it is interrupted.
//
//	go run ./examples/go http://127.0.0.1:8080 chat
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go run ./examples/go SERVER CHANNEL")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := subscribe(ctx, os.Args[1], os.Args[2])
	interrupted := ctx.Err() != nil
	stop()
	if err != nil && !interrupted {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func subscribe(ctx context.Context, server, channel string) error {
	client := millracev1connect.NewRealtimeServiceClient(
		connect.NewClient(connecthttp.NewTransport(&http.Client{}, server)))
	stream, err := client.Subscribe(ctx, &millracev1.SubscribeRequest{
		// Recent: 1 begins with the latest message that the channel keeps.
		Subscriptions: []*millracev1.Subscription{{Channel: channel, Recent: 1}},
	})
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", channel, err)
	}
	for {
		response, err := stream.Receive()
		if err != nil {
			return fmt.Errorf("receive from %s: %w", channel, err)
		}
		if response.GetSubscribed() != nil {
			fmt.Fprintln(os.Stderr, "subscribed to", channel)
		}
		for _, message := range response.GetMessages() {
			fmt.Println(message.GetPosition().GetOffset(), message.GetPayload().GetJson())
		}
	}
}
