//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A subscriber is a client on one wire. All play the same scenario: they subscribe; at {"say":"hello"} they publish a
// message of their own; at {"say":"goodbye"} they go away.
type subscriber struct {
	*recording
	// hello is a further command that publishes in the name of a client that cannot do so itself.
	hello *exec.Cmd
	// mute is a client that publishes nothing.
	mute bool
	// leave waits until the client has gone away, or makes it go.
	leave func(*testing.T)
}

func TestEveryClientOnEveryWireSeesTheSameOrder(t *testing.T) {
	const channel, n = "orders.eu", 50
	srv := startServer(t, "127.0.0.1:0")
	b := startBrowser(t)
	subscribers := slices.Concat(ourClients(t, srv, channel), commandLines(t, srv, channel), examples(t, srv, channel), tabs(t, srv, b, channel))
	want := n
	for _, s := range subscribers {
		s.awaitSubscribed(t)
		if !s.mute {
			want++
		}
	}

	// All fifty come from Debian's Python over gRPC; the others say hello in between.
	publisher := start(t, "publisher", nothing, python(t, "examples/python/publish.py", srv.address, channel))
	sent := payloads(n)
	sent[5] = `{"from":"python","say":"hello"}`
	for _, payload := range sent[:n/2] {
		publisher.write(t, payload)
	}
	for _, s := range subscribers {
		if s.hello != nil {
			start(t, s.name+", hello", nothing, s.hello).finish(t)
		}
	}
	subscribers[0].awaitMessages(t, want-n/2)
	for _, payload := range sent[n/2:] {
		publisher.write(t, payload)
	}

	seen := subscribers[0].awaitMessages(t, want)
	checkPublisher(t, seen, sent)
	for _, s := range subscribers {
		checkSame(t, s.name, s.awaitMessages(t, want), seen)
	}
	if t.Failed() {
		return
	}
	t.Logf("%d clients saw the same %d messages in the same order", len(subscribers), want)
	b.screenshot(t, "example", ".tmp/e2e/clients.png")

	publisher.write(t, `{"say":"goodbye"}`)
	for _, s := range subscribers {
		if got := s.awaitMessages(t, want+1); len(got) != want+1 {
			t.Errorf("%s saw %d messages, want %d", s.name, len(got), want+1)
		}
		s.leave(t)
	}
	b.close(t)
	must(t, publisher.stdin.Close())
	publisher.finish(t)
	eventually(t, "end of the sessions", func() bool { return srv.sessions(t) == 0 })
}

// payloads are JSON texts that are easily damaged on the way.
func payloads(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf(`{"from":"python","n":%d,"text":"zwölf \"Gänse\"\n\u2028 🪿 <&>","rest":[{},null,0,-1.5,false,""]}`, i)
		texts[i] = strings.ReplaceAll(texts[i], `\u2028`, "\u2028") // raw: browsers write it so
	}
	return texts
}

// checkPublisher checks that the messages of one publisher are in its order, byte for byte.
func checkPublisher(t *testing.T, seen []event, sent []string) {
	t.Helper()
	var got []string
	for _, e := range seen {
		if strings.HasPrefix(e.Data, `{"from":"python",`) {
			got = append(got, e.Data)
		}
	}
	if !slices.Equal(got, sent) {
		t.Errorf("of the publisher's messages arrived\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(sent, "\n"))
	}
}

// checkSame checks that a client saw what another one saw.
func checkSame(t *testing.T, name string, got, want []event) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s saw %d messages, want %d", name, len(got), len(want))
		return
	}
	for i := range got {
		if got[i].Data != want[i].Data {
			t.Errorf("%s: message %d is\n%s\nwant\n%s", name, i, got[i].Data, want[i].Data)
			return
		}
		if offset := got[i].Offset; offset != 0 && offset != want[i].Offset {
			t.Errorf("%s: message %d has offset %d, want %d", name, i, offset, want[i].Offset)
			return
		}
	}
}

// ourClients are the programs of clients/: each is a library's idiom.
func ourClients(t *testing.T, srv *server, channel string) []subscriber {
	t.Helper()
	scripts := stage(t)
	commands := map[string]*exec.Cmd{
		"python grpcio": python(t, "e2e/clients/python_grpc.py", srv.address, "grpcio", channel),
		"ruby grpc":     ruby(t, "e2e/clients/ruby_grpc.rb", srv.address, "ruby", channel),
		"node grpc-js":  node(t, scripts, "e2e/clients/grpcjs.mjs", srv.address, "grpc-js", channel),
	}
	for _, protocol := range []string{"connect-json-h1", "connect-h2", "grpc", "grpc-web"} {
		commands["connect-node "+protocol] = node(t, scripts, "e2e/clients/connect_node.mjs", srv.address, protocol, protocol, channel)
	}
	var subscribers []subscriber
	for name, cmd := range commands {
		p := start(t, name, events, cmd)
		subscribers = append(subscribers, subscriber{recording: p.recording, leave: func(t *testing.T) {
			t.Helper()
			p.awaitOne(t, "word of its own publication", func(e event) bool { return e.Published > 0 })
			p.awaitOne(t, "cancellation", func(e event) bool { return e.Cancelled })
			p.finish(t)
		}})
	}
	return subscribers
}

// commandLines are tools that know nothing of Millrace but its URL: what they need they learn by reflection.
func commandLines(t *testing.T, srv *server, channel string) []subscriber {
	t.Helper()
	const (
		buf       = "tools/node_modules/.bin/buf"
		service   = "/millrace.v1.RealtimeService/"
		subscribe = service + "Subscribe"
		publish   = service + "Publish"
	)
	url := srv.url()
	request := fmt.Sprintf(`{"subscriptions":[{"channel":%q}]}`, channel)
	hello := func(from string) (payload, message string) {
		payload = fmt.Sprintf(`{"from":%q,"n":0}`, from)
		quoted, err := json.Marshal(payload)
		must(t, err)
		return payload, fmt.Sprintf(`{"channel":%q,"payload":{"json":%s}}`, channel, quoted)
	}
	interrupted := func(name string, decode decoder, cmd, publication *exec.Cmd) subscriber {
		p := start(t, name, decode, cmd)
		return subscriber{recording: p.recording, hello: publication, leave: p.interrupt}
	}

	var subscribers []subscriber
	for _, protocol := range []string{"connect", "grpc", "grpcweb"} {
		_, message := hello("buf " + protocol)
		curl := func(path, body string) *exec.Cmd {
			args := []string{"curl", "--protocol", protocol, "--data", body, url + path}
			if protocol == "grpc" {
				args = append(args, "--http2-prior-knowledge")
			}
			return command(t, buf, args...)
		}
		subscribers = append(subscribers, interrupted("buf curl "+protocol, responses, curl(subscribe, request), curl(publish, message)))
	}

	_, message := hello("grpcurl")
	grpcurl := func(path, body string) *exec.Cmd {
		return command(t, ".tmp/bin/grpcurl", "-plaintext", "-d", body, srv.address, strings.TrimPrefix(path, "/"))
	}
	subscribers = append(subscribers, interrupted("grpcurl", responses, grpcurl(subscribe, request), grpcurl(publish, message)))

	raw, _ := hello("curl")
	_, connect := hello("curl as Connect")
	events := []string{"--silent", "--no-buffer", url + "/events?channel=" + channel}
	return append(subscribers,
		interrupted("curl", serverSentEvents, command(t, "curl", events...),
			command(t, "curl", "--silent", "--fail-with-body", "-d", raw, url+"/publish/"+channel)),
		interrupted("curl again", serverSentEvents, command(t, "curl", events...),
			command(t, "curl", "--silent", "--fail-with-body", "--json", connect, url+publish)),
	)
}

// examples are the subscribers of examples/ that are programs.
func examples(t *testing.T, srv *server, channel string) []subscriber {
	t.Helper()
	buildGo(t)
	programs := []*program{
		start(t, "example node", numbered, node(t, stage(t), "examples/node/subscribe.mjs", srv.url(), channel)),
		start(t, "example go", numbered, command(t, ".tmp/bin/example-go", srv.url(), channel)),
	}
	var subscribers []subscriber
	for _, p := range programs {
		eventually(t, "subscription of "+p.name, func() bool { return strings.Contains(p.said.String(), "subscribed to") })
		p.add(event{Subscribed: channel})
		subscribers = append(subscribers, subscriber{recording: p.recording, mute: true, leave: p.interrupt})
	}
	return subscribers
}

func TestTheCurlExampleReceivesWhatItPublishes(t *testing.T) {
	srv := startServer(t, "127.0.0.1:0")
	p := start(t, "examples/curl/publish.sh", nothing, command(t, "examples/curl/publish.sh", srv.url(), "chat"))
	p.finish(t)
	for _, want := range []string{`data: {"text":"hello from curl"}`, `data: {"text":"hello again"}`} {
		if got := p.said.String(); !strings.Contains(got, want) {
			t.Errorf("it printed\n%s\nwant a line\n%s", got, want)
		}
	}
	eventually(t, "end of its session", func() bool { return srv.sessions(t) == 0 })
}

// The Node subscriber is to come back by itself, after a restart as well.
func TestTheNodeExampleOutlivesTheServer(t *testing.T) {
	srv := startServer(t, "127.0.0.1:0")
	p := start(t, "example node", numbered, node(t, stage(t), "examples/node/subscribe.mjs", srv.url(), "chat"))
	eventually(t, "subscription", func() bool { return strings.Contains(p.said.String(), "subscribed to chat at 0") })
	srv.publish(t, "chat", `{"n":1}`, `{"n":2}`)
	p.awaitMessages(t, 2)
	srv.kill(t)

	srv = startServer(t, srv.address)
	eventually(t, "word of the gap", func() bool { return strings.Contains(p.said.String(), "missed messages of chat") })
	srv.publish(t, "chat", `{"n":3}`)
	got := p.awaitMessages(t, 3)
	checkSame(t, p.name, got, []event{{Offset: 1, Data: `{"n":1}`}, {Offset: 2, Data: `{"n":2}`}, {Offset: 1, Data: `{"n":3}`}})
}

// What a user of the Node example installs is what was tried here.
func TestTheNodeExampleUsesTheVersionsThatAreTested(t *testing.T) {
	var example, tools struct {
		Dependencies    map[string]string `json:"dependencies"`
		DevDependencies map[string]string `json:"devDependencies"`
	}
	for file, into := range map[string]any{"examples/node/package.json": &example, "tools/package.json": &tools} {
		text, err := os.ReadFile(at(file))
		must(t, err)
		must(t, json.Unmarshal(text, into))
	}
	for name, version := range example.Dependencies {
		if tested := tools.DevDependencies[name]; version != tested {
			t.Errorf("examples/node/package.json has %s %s, tools/package.json %q", name, version, tested)
		}
	}
}
