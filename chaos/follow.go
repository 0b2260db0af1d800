package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/types/known/durationpb"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// quiet is how long a connection may be silent before the client gives it up. The
// servers say something every second.
const quiet = 4 * time.Second

// way is a way to follow a channel from where the reader was, until its connection ends.
type way func(ctx context.Context, url string, r *reader, alive func()) error

var wires = map[string]way{
	"connect": followCall(newClient),
	"grpc":    followCall(newGRPCClient),
	"ws":      followSocket,
	"sse":     followEvents,
}

// follow follows a channel until ctx ends, on one connection after the other.
func follow(ctx context.Context, url string, r *reader) {
	for ctx.Err() == nil {
		once, cancel := context.WithCancel(ctx)
		silence := time.AfterFunc(quiet, cancel)
		_ = wires[r.wire](once, url, r, func() { silence.Reset(quiet) }) // it comes back, whatever it was
		silence.Stop()
		cancel()
		pause(ctx, 50*time.Millisecond)
	}
}

// followCall follows by a client of the API.
func followCall(dial func(url string) (client millracev1connect.RealtimeServiceClient, hangUp func())) way {
	return func(ctx context.Context, url string, r *reader, alive func()) error {
		client, hangUp := dial(url)
		defer hangUp()
		subscription := &millracev1.Subscription{Channel: r.channel}
		if epoch, offset := r.resumes(); epoch != "" {
			subscription.Since = &millracev1.Position{Epoch: epoch, Offset: offset}
		} else {
			subscription.Recent = 1000
		}
		stream, err := client.Subscribe(ctx, &millracev1.SubscribeRequest{
			Subscriptions: []*millracev1.Subscription{subscription}, HeartbeatInterval: durationpb.New(time.Second),
		})
		if err != nil {
			return err
		}
		defer stream.Close()
		for {
			item, err := stream.Receive()
			if err != nil {
				return err
			}
			alive()
			if gap := item.GetGap(); gap != nil {
				r.gap(gap.String())
			}
			for _, m := range item.GetMessages() {
				r.sees(m.GetPosition().GetEpoch(), m.GetPosition().GetOffset(), m.GetId())
			}
		}
	}
}

// frame is what the JSON wires say.
type frame struct {
	Type      string `json:"type"`
	Channel   string `json:"channel"`
	Epoch     string `json:"epoch"`
	Offset    uint64 `json:"offset"`
	MessageID string `json:"messageId"`
}

func (r *reader) takes(text []byte) error {
	var f frame
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	switch {
	case f.Type == "gap":
		r.gap(string(text))
	case f.Type == "error":
		return errors.New(string(text))
	case f.Channel != "":
		r.sees(f.Epoch, f.Offset, f.MessageID)
	}
	return nil
}

func followSocket(ctx context.Context, url string, r *reader, alive func()) error {
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(url, "http")+"/ws", nil) //nolint:bodyclose // the library's
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	subscribe := map[string]any{"type": "subscribe", "channel": r.channel, "recent": 1000}
	if epoch, offset := r.resumes(); epoch != "" {
		subscribe = map[string]any{"type": "subscribe", "channel": r.channel, "since": map[string]any{"offset": offset, "epoch": epoch}}
	}
	text, err := json.Marshal(subscribe)
	if err != nil {
		return err
	}
	if err := conn.Write(ctx, websocket.MessageText, text); err != nil {
		return err
	}
	pings := time.NewTicker(time.Second)
	defer pings.Stop()
	ended := make(chan struct{})
	defer func() { <-ended }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(ended)
		for {
			select {
			case <-pings.C:
				if conn.Write(ctx, websocket.MessageText, []byte(`{"type":"ping"}`)) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		alive()
		if err := r.takes(text); err != nil {
			return err
		}
	}
}

// followEvents follows as an EventSource does: by the id of the last event.
func followEvents(ctx context.Context, at string, r *reader, alive func()) error {
	r.resumes()
	path := fmt.Sprintf("%s/events?format=envelope&recent=1000&channel=%s", at, url.QueryEscape(r.channel))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
	if err != nil {
		return err
	}
	if r.cursor != "" {
		request.Header.Set("Last-Event-ID", r.cursor)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	var event, data, id string
	for lines.Scan() {
		alive()
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			event = value
		case "data":
			data = value
		case "id":
			id = value
		case "":
			if id != "" {
				r.cursor = id
			}
			if data != "" {
				if err := r.takesEvent(event, data); err != nil {
					return err
				}
			}
			event, data, id = "", "", ""
		}
	}
	return lines.Err()
}

func (r *reader) takesEvent(event, data string) error {
	switch event {
	case "":
		return r.takes([]byte(data))
	case "millrace.gap":
		r.gap(data)
	case "millrace.error":
		return errors.New(data)
	}
	return nil
}
