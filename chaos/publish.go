package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// tryFor is how long one attempt to publish may take before it is made again, with
// the same id.
const tryFor = 5 * time.Second

// newClient is a client with connections of its own.
func newClient(url string) (client millracev1connect.RealtimeServiceClient, hangUp func()) {
	transport := &http.Transport{IdleConnTimeout: time.Second} // there may be thousands
	conn := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: transport}, url))
	return millracev1connect.NewRealtimeServiceClient(conn), transport.CloseIdleConnections
}

// publish publishes numbered messages to a channel until ctx ends, each until it is
// acknowledged, however often that has to be tried.
func publish(ctx context.Context, url, channel string, every time.Duration, l *ledger) {
	client, hangUp := newClient(url)
	defer hangUp()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		// What was begun is brought to its end.
		publishOne(context.WithoutCancel(ctx), client, channel, fmt.Sprint(channel, "-", n), l)
	}
}

func publishOne(ctx context.Context, client millracev1connect.RealtimeServiceClient, channel, id string, l *ledger) {
	request := &millracev1.PublishRequest{
		Channel: channel, Id: id,
		Data: &millracev1.PublishRequest_Payload{Payload: &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: `"` + id + `"`}}},
	}
	began := time.Now()
	for tries := 1; ; tries++ {
		ctx, cancel := context.WithTimeout(ctx, tryFor)
		response, err := client.Publish(ctx, request)
		cancel()
		if err == nil {
			l.published(channel, id, response.GetPosition().GetOffset(), time.Since(began), tries)
			return
		}
		<-time.After(100 * time.Millisecond)
	}
}
