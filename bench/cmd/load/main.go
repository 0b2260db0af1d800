// Command load puts a server under load: it subscribes many times over one
// wire, publishes, and prints what was delivered as JSON. The server must let
// it publish with POST /publish/bench.
//
//	load -address 127.0.0.1:8080 -wire websocket -path /ws -frame '{"type":"subscribe","id":1,"channel":"bench"}' -ready subscribed
//	load -address 127.0.0.1:8080 -wire http1 -path '/events?channel=bench' -ready millrace.subscribed -rate 0
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"millrace.dev/bench/load"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

var protocols = map[string]load.Protocol{"websocket": load.WebSocket, "http1": load.HTTP1, "http2": load.HTTP2}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	target := load.Target{PublishPath: "/publish/bench"}
	var plan load.Plan
	var wire, body string
	var subscribers int
	flag.StringVar(&target.Address, "address", "127.0.0.1:8080", "`host:port` of the server")
	flag.StringVar(&target.PublishAddress, "publish-address", "", "`host:port` that publishes (default -address)")
	flag.StringVar(&wire, "wire", "websocket", "websocket, http1 or http2")
	flag.StringVar(&target.Wire.Method, "method", "GET", "`method` of the request that subscribes")
	flag.StringVar(&target.Wire.Path, "path", "/ws", "`path` of the request that subscribes")
	flag.StringVar(&body, "body", "", "`body` of the request that subscribes; Go's escapes count, such as \\x00")
	flag.Func("header", "`name: value` of a field of that request; may be repeated", addField(&target.Wire.Header))
	flag.Func("publish-header", "`name: value` of a field of publishing requests; may be repeated", addField(&target.PublishHeader))
	flag.Func("frame", "text `frame` to send on a WebSocket; may be repeated", func(text string) error {
		target.Wire.Frames = append(target.Wire.Frames, text)
		return nil
	})
	flag.StringVar(&target.Wire.Ready, "ready", "", "`text` that confirms the subscription (default: the response's head)")
	flag.StringVar(&target.Wire.Ping, "ping", "", "`line` that is answered with itself, as {} of centrifuge")
	flag.IntVar(&target.Wire.Streams, "streams", 1, "streams on one connection of http2")
	flag.IntVar(&subscribers, "subscribers", 500, "subscribers")
	flag.Float64Var(&plan.Rate, "rate", 100, "messages per second; 0 for as many as are delivered")
	flag.IntVar(&plan.Burst, "burst", 1, "messages at once")
	flag.IntVar(&plan.Window, "window", 256, "messages on their way, without a rate")
	flag.IntVar(&plan.Size, "size", 128, "bytes of a message")
	flag.DurationVar(&plan.Duration, "duration", 3*time.Second, "for how long to publish")
	flag.Parse()
	protocol, found := protocols[wire]
	if !found {
		return fmt.Errorf("there is no wire %q", wire)
	}
	target.Wire.Protocol = protocol
	if body != "" {
		text, err := unescape(body)
		if err != nil {
			return err
		}
		target.Wire.Body = text
	}
	return measure(ctx, target, subscribers, plan)
}

func addField(fields *[]load.Field) func(string) error {
	return func(text string) error {
		name, value, found := strings.Cut(text, ":")
		if !found {
			return errors.New("not of the form name: value")
		}
		*fields = append(*fields, load.Field{Name: strings.ToLower(name), Value: strings.TrimSpace(value)})
		return nil
	}
}

func measure(ctx context.Context, target load.Target, subscribers int, plan load.Plan) error {
	start := time.Now()
	client, err := load.Open(ctx, target, subscribers)
	if err != nil {
		return err
	}
	opened := time.Since(start)
	result, err := client.Run(ctx, plan)
	if err := errors.Join(err, client.Close()); err != nil {
		return err
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{
		"opened":     opened.String(),
		"elapsed":    result.Elapsed.String(),
		"published":  result.Published,
		"delivered":  result.Delivered,
		"perSecond":  int(float64(result.Delivered) / result.Elapsed.Seconds()),
		"lost":       result.Lost,
		"misordered": result.Misordered,
		"closed":     result.Closed,
		"perRead":    float64(result.Delivered) / float64(max(1, result.Reads)),
		"p50":        result.Latency.Quantile(0.5).String(),
		"p99":        result.Latency.Quantile(0.99).String(),
		"p999":       result.Latency.Quantile(0.999).String(),
	})
}
