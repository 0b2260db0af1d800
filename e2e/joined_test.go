package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// joiner is a session that the server subscribes to a channel without being asked.
type joiner struct {
	channel string
	// ask has the session subscribe as well, and take what is said of it.
	ask func(since string) frameJSON
	// takes expects the next message.
	takes func(data string)
}

// onJoined plays where a path joins a channel by itself.
func onJoined(t *testing.T, play func(*testing.T, *server, *joiner)) {
	t.Helper()
	t.Parallel()
	t.Run("ws", func(t *testing.T) {
		t.Parallel()
		at := start(t, engines[0].open(t))
		c := connectOld(t, at, "/ws/dashboard")
		last := 0
		play(t, at, &joiner{
			channel: joinedChannels["/ws/dashboard"][0],
			ask: func(since string) (f frameJSON) {
				last++
				c.sends(fmt.Sprintf(`{"type":"subscribe","id":%d,"channel":"dashboard.metrics"%s}`, last, since))
				if err := json.Unmarshal([]byte(c.gets()), &f); err != nil || f.Type != "subscribed" {
					t.Fatalf("subscribing is answered with %+v", f)
				}
				return f
			},
			takes: func(data string) { c.getsMessage("dashboard.metrics", data) },
		})
	})
	t.Run("sse", func(t *testing.T) {
		t.Parallel()
		at := start(t, engines[0].open(t))
		stream := listen(t, at, "/events", nil)
		session := stream.ours("ready").SessionToken
		for range defaultChannels {
			stream.ours("subscribed")
		}
		play(t, at, &joiner{
			channel: defaultChannels[0],
			ask: func(since string) frameJSON {
				command := fmt.Sprintf(`[{"type":"subscribe","id":1,"channel":"update"%s}]`, since)
				header := http.Header{"Content-Type": {"application/json"}, "Millrace-Session": {session}}
				if got := exchange(t, at.h1, http.MethodPost, at.url+"/ws", header, command); got.status != http.StatusOK || strings.TrimSpace(string(got.body)) != "[]" {
					t.Fatalf("subscribing is answered with %v", got)
				}
				return stream.ours("subscribed")
			},
			takes: func(data string) { stream.gets("update", data) },
		})
	})
}

func TestD10WhatTheServerJoinsMakesWayForWhatIsAskedFor(t *testing.T) {
	onJoined(t, func(t *testing.T, at *server, c *joiner) {
		t.Helper()
		postTo(t, at, c.channel, "", "1")
		postTo(t, at, c.channel, "", "2")
		c.takes("1")
		c.takes("2")
		bare := c.ask("")
		if !bare.Already || bare.Offset != 2 || bare.Epoch == "" {
			t.Errorf("who asks for the channel alone is told %+v, want that he has it, and is at 2", bare)
		}
		since := fmt.Sprintf(`,"since":"0@%s"`, bare.Epoch)
		if f := c.ask(since); f.Already || !f.Resumed || f.Offset != 0 {
			t.Errorf("who asks from a position is told %+v, want that he begins there", f)
		}
		c.takes("1")
		c.takes("2")
		if f := c.ask(since); !f.Already || f.Offset != 2 {
			t.Errorf("who asks again is told %+v, want that he has it, and is at 2", f)
		}
		postTo(t, at, c.channel, "", "3")
		c.takes("3")
		if f := c.ask(""); f.Offset != 3 {
			t.Errorf("at the end he is told %+v, want 3", f)
		}
	})
}

// notices reads what a stream says of subscriptions, with the command that it
// answers, of a session with a channel that it has not asked for in a command.
type notices func(t *testing.T, at *server) (session string, next func() string)

func sseNotices(t *testing.T, at *server) (session string, next func() string) {
	t.Helper()
	s := listen(t, at, "/events?channel=joined", nil)
	return s.ours("ready").SessionToken, func() string {
		for {
			lines := s.block()
			for i, line := range lines {
				kind, found := strings.CutPrefix(line, "event: millrace.")
				if !found {
					continue
				}
				var f frameJSON
				if err := json.Unmarshal([]byte(strings.TrimPrefix(lines[i+1], "data: ")), &f); err != nil {
					t.Fatalf("%q: %v", lines, err)
				}
				return fmt.Sprintf("%s %s %s", f.ID, kind, f.For)
			}
		}
	}
}

func connectNotices(t *testing.T, at *server) (session string, next func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	stream, err := millracev1connect.NewRealtimeServiceClient(rpc{}.client(at)).Subscribe(ctx,
		&millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{{Channel: "joined"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = stream.Close() })
	receive := func() *millracev1.SubscribeResponse {
		item, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		return item
	}
	return receive().GetReady().GetSessionToken(), func() string {
		for {
			item := receive()
			switch n := item.GetNotice().(type) {
			case *millracev1.SubscribeResponse_Subscribed:
				return fmt.Sprintf("%s subscribed %s", item.GetCommandId(), n.Subscribed.GetChannel())
			case *millracev1.SubscribeResponse_Unsubscribed:
				return fmt.Sprintf("%s unsubscribed %s", item.GetCommandId(), n.Unsubscribed.GetChannel())
			}
		}
	}
}

func TestAStreamSaysWhichPostedCommandANoticeAnswers(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]notices{"sse": sseNotices, "connect": connectNotices} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := start(t, engines[0].open(t))
			session, next := open(t, at)
			header := http.Header{"Content-Type": {"application/json"}, "Millrace-Session": {session}}
			commands := `[
				{"type":"subscribe","id":7,"channel":"joined"},
				{"type":"subscribe","id":"eight","channel":"a"},
				{"type":"subscribe","channel":"b"},
				{"type":"unsubscribe","id":9,"channel":"a"},
				{"type":"unsubscribe","channel":"b"}]`
			if got := exchange(t, at.h1, http.MethodPost, at.url+"/ws", header, commands); got.status != http.StatusOK {
				t.Fatalf("commands are answered with %v", got)
			}
			for _, want := range []string{
				" subscribed joined", // by the session itself
				"7 subscribed joined", `"eight" subscribed a`, " subscribed b",
				"9 unsubscribed a", " unsubscribed b",
			} {
				if got := next(); got != want {
					t.Errorf("the stream says %q, want %q", got, want)
				}
			}
		})
	}
}
