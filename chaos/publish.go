package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
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
	return newClientOn(&http.Transport{}, url)
}

// newSlimClient is a client with one connection, whatever it calls: there may be
// thousands in this process, and it may open only so many.
func newSlimClient(url string) (client millracev1connect.RealtimeServiceClient, hangUp func()) {
	return newClientOn(overHTTP2(), url)
}

func newGRPCClient(url string) (client millracev1connect.RealtimeServiceClient, hangUp func()) {
	return newClientOn(overHTTP2(), url, connecthttp.WithGRPC())
}

func overHTTP2() *http.Transport {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

func newClientOn(transport *http.Transport, url string, options ...connecthttp.Option) (client millracev1connect.RealtimeServiceClient, hangUp func()) {
	conn := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: transport}, url, options...))
	return millracev1connect.NewRealtimeServiceClient(conn), transport.CloseIdleConnections
}

// publish publishes numbered messages to a channel until ctx ends, each until it is
// acknowledged, however often that has to be tried.
func publish(ctx context.Context, p *proxy, channel string, every time.Duration, l *ledger) {
	client, hangUp := newClient(p.url())
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
		publishOne(context.WithoutCancel(ctx), client, p, channel, fmt.Sprint(channel, "-", n), l)
	}
}

func publishOne(ctx context.Context, client millracev1connect.RealtimeServiceClient, by *proxy, channel, id string, l *ledger) {
	p := &publication{channel: channel, id: id, began: time.Now(), during: l.now()}
	p.publish(ctx, client, by)
	l.published(p)
}

// publication is a message on its way to its acknowledgement.
type publication struct {
	channel, id string
	began       time.Time
	during      string // what was going on when it began
	took        time.Duration
	offset      uint64
	failed      []try
}

// try is one that failed.
type try struct {
	node  string
	took  time.Duration
	error error
}

func (p *publication) publish(ctx context.Context, client millracev1connect.RealtimeServiceClient, by *proxy) {
	request := &millracev1.PublishRequest{
		Channel: p.channel, Id: p.id,
		Data: &millracev1.PublishRequest_Payload{Payload: &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: `"` + p.id + `"`}}},
	}
	for {
		began, from := time.Now(), ""
		ctx, cancel := context.WithTimeout(ctx, tryFor)
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { from = c.Conn.LocalAddr().String() }})
		response, err := client.Publish(ctx, request)
		cancel()
		if err == nil {
			p.offset, p.took = response.GetPosition().GetOffset(), time.Since(p.began)
			return
		}
		p.failed = append(p.failed, try{by.nodeOf(from), time.Since(began), err})
		<-time.After(100 * time.Millisecond)
	}
}

// String tells all that happened to it.
func (p *publication) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s took %s from %s on, during %q", p.id, inTenths(p.took), p.began.Format(time.TimeOnly), p.during)
	for _, f := range p.failed {
		fmt.Fprintf(&b, "; %s: %s, %v", f.node, inTenths(f.took), f.error)
	}
	return b.String()
}
