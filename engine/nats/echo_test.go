package nats

import (
	"testing"

	client "github.com/nats-io/nats.go"

	"millrace.dev/engine"
	"millrace.dev/internal/natstest"
)

// A node whose connection moves to another server may get there what it sent by the
// last one. Here another connection sends it again, as that server does.
func TestANodeDoesNotHearItselfByAnotherServer(t *testing.T) {
	servers := natstest.Start(t)
	type node struct {
		engine.Engine
		heard     chan string
		delivered chan string
	}
	start := func(name string) node {
		n := node{heard: make(chan string, 10), delivered: make(chan string, 10)}
		e, err := Open(Options{URL: servers})(t.Context(), func(m *engine.Message) { n.delivered <- string(m.Payload.Data) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		if err := e.Bus().Join(name, func(data []byte) { n.heard <- string(data) }); err != nil {
			t.Fatal(err)
		}
		n.Engine = e
		return n
	}
	say := func(n node, text string) {
		if err := n.Bus().Tell("", []byte(text)); err != nil {
			t.Fatal(err)
		}
		m := &engine.Message{Channel: "c", Ephemeral: true, Payload: engine.Payload{Kind: engine.Text, Data: []byte(text)}}
		if err := n.Broadcast(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	takes := func(from chan string, want ...string) {
		t.Helper()
		for _, w := range want {
			if got := <-from; got != w {
				t.Errorf("heard %q, want %q", got, w)
			}
		}
	}
	here, there := start("here"), start("there")
	server, err := client.Connect(servers)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	passing, err := server.SubscribeSync("millrace.*.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Flush(); err != nil {
		t.Fatal(err)
	}
	say(here, "one")
	for range 2 {
		m, err := passing.NextMsgWithContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := server.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Flush(); err != nil {
		t.Fatal(err)
	}
	takes(there.heard, "one", "one") // now it has passed the server
	takes(there.delivered, "one", "one")
	say(there, "two")
	takes(here.heard, "two")
	takes(here.delivered, "one", "two")
}
