package main

import (
	"context"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	natsclient "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/internal/natstest"
)

func TestADataDirectoryOutlivesTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, url := serve(t, "--data-dir", dir)
	if !strings.Contains(first.stderr.String(), "engine: in "+dir) {
		t.Errorf("it does not say where messages are: %s", first.stderr)
	}
	place := strings.Fields(mustCall(t, "", "publish", "kept", "1", "--server", url))
	first.stop(t)

	second, url := serve(t, "--data-dir", dir)
	again := strings.Fields(mustCall(t, "", "publish", "kept", "2", "--server", url))
	if got := payloads(mustCall(t, "", "history", "kept", "--server", url)); got != "1 2" {
		t.Errorf("the second server has %q: published at %v and %v", got, place, again)
	}
	r := call(t, "", "serve", "--listen", "127.0.0.1:0", "--data-dir", dir)
	if r.code != exitFailure || !strings.Contains(r.stderr, dir) || !strings.Contains(r.stderr, "another process uses the data directory") {
		t.Errorf("a third server on the directory: exit code %d: %s", r.code, r.stderr)
	}
	second.stop(t)
}

func TestTwoServersOnOneNATSShareChannels(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t)
	first, here := serve(t, "--nats-url", nats)
	if !strings.Contains(first.stderr.String(), "engine: NATS JetStream at "+nats+", stream millrace") {
		t.Errorf("it does not say where messages are: %s", first.stderr)
	}
	_, there := serve(t, "--nats-url", nats)
	follower := subscribe(t, there, "shared")
	mustCall(t, "", "publish", "shared", "1", "--server", here)
	follower.stdout.await(t, 1, "1")
	if got := payloads(mustCall(t, "", "history", "shared", "--server", there)); got != "1" {
		t.Errorf("the other server has %q", got)
	}
}

func TestWhatCannotWorkWithNATSIsSaidAtTheStart(t *testing.T) {
	t.Parallel()
	refuses := func(t *testing.T, want string, args ...string) {
		t.Helper()
		r := call(t, "", append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
		if r.code != exitFailure || !strings.Contains(r.stderr, want) {
			t.Errorf("exit code %d, want %q in %s", r.code, want, r.stderr)
		}
	}
	t.Run("another's stream", func(t *testing.T) {
		t.Parallel()
		url := natstest.Start(t)
		conn, err := natsclient.Connect(url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		js, err := jetstream.New(conn)
		if err == nil {
			_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "orders", Subjects: []string{"orders.>"}})
		}
		if err != nil {
			t.Fatal(err)
		}
		refuses(t, "stream orders: the stream does not fit: its subjects is [orders.>]", "--nats-url", url, "--nats-prefix", "orders")
	})
	t.Run("a server without JetStream", func(t *testing.T) {
		t.Parallel()
		refuses(t, "JetStream", "--nats-url", natstest.Start(t, func(o *natsserver.Options) { o.JetStream = false }))
	})
	t.Run("a server that asks for a password", func(t *testing.T) {
		t.Parallel()
		url := natstest.Start(t, func(o *natsserver.Options) { o.Username, o.Password = "millrace", "right" })
		refuses(t, "connect to NATS: nats: Authorization Violation", "--nats-url", strings.Replace(url, "//", "//millrace:wrong@", 1))
		p, _ := serve(t, "--nats-url", strings.Replace(url, "//", "//millrace:right@", 1))
		if strings.Contains(p.stderr.String(), "right") {
			t.Errorf("the password is in %s", p.stderr)
		}
	})
	t.Run("a server that takes small messages only", func(t *testing.T) {
		t.Parallel()
		refuses(t, "max_payload", "--nats-url", natstest.Start(t, func(o *natsserver.Options) { o.MaxPayload = 64 << 10 }))
	})
	t.Run("copies that a single server cannot have", func(t *testing.T) {
		t.Parallel()
		refuses(t, "replicas > 1 not supported", "--nats-url", natstest.Start(t), "--nats-replicas", "3")
	})
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		text := newTranscript()
		code := run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--nats-url", "nats://127.0.0.1:1"}, strings.NewReader(""), text, text)
		if code != exitFailure || !strings.Contains(text.String(), "cannot connect yet") {
			t.Errorf("exit code %d: %s", code, text)
		}
	})
}
