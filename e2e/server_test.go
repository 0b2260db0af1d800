package e2e_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"millrace.dev/adapters/cors"
	"millrace.dev/adapters/httpapi"
	"millrace.dev/adapters/ring"
	"millrace.dev/adapters/sse"
	"millrace.dev/adapters/ws"
	"millrace.dev/auth"
	"millrace.dev/engine"
	"millrace.dev/engine/memory"
	"millrace.dev/engine/nats"
	"millrace.dev/engine/nats/embedded"
	"millrace.dev/internal/natstest"
	"millrace.dev/service"
)

// engines are the places where channels can live, in this process.
var engines = []struct {
	name string
	open func(*testing.T) engine.Open
}{
	{"memory", func(*testing.T) engine.Open { return memory.Open(memory.Options{}) }},
	{"embedded", func(t *testing.T) engine.Open {
		t.Helper()
		return embedded.Open(embedded.Options{Dir: t.TempDir()}, nats.Options{})
	}},
}

// column is an engine that scenarios play on, with so many nodes: clients come to
// one after the other.
type column struct {
	name  string
	open  func(*testing.T) engine.Open
	nodes int
	wires []string // on which scenarios are played; nil for all
}

// slowWires are those on which scenarios are played where each takes its time,
// unless MILLRACE_E2E_ALL is set: one of each kind.
var slowWires = []string{"grpc", "ws", "sse"}

// columns are all engines. The servers that some need end with the test.
func columns(t *testing.T) []column {
	t.Helper()
	wires := slowWires
	if os.Getenv("MILLRACE_E2E_ALL") != "" {
		wires = nil
	}
	servers := natstest.Cluster(t, 3)
	return []column{
		{engines[0].name, engines[0].open, 1, nil},
		{engines[1].name, engines[1].open, 1, wires},
		{"cluster", func(t *testing.T) engine.Open {
			t.Helper()
			prefix := "e2e" + strings.ToLower(rand.Text())
			t.Cleanup(func() { natstest.DeleteStream(t, servers, prefix) })
			return nats.Open(nats.Options{URL: servers, Prefix: prefix})
		}, 2, wires},
	}
}

// Channels of these names have the rules that scenarios need; the others have
// the default.
const (
	small     = "small"     // keeps 5 messages
	nothing   = "nothing"   // keeps no messages
	unwatched = "unwatched" // has no presence
	single    = "single"    // has no patterns
	long      = "long"      // keeps all messages of a test
)

// payloadLimit is the largest payload, by default.
const payloadLimit = 512 << 10

func configuration() service.Config {
	tenMinutes := 10 * time.Minute
	return service.Config{
		Authenticator: keys,
		Rules: []service.Rule{
			{Pattern: small + ".>", History: engine.Retention{Messages: 5, Age: tenMinutes}},
			{Pattern: nothing + ".>"},
			{Pattern: unwatched + ".>", NoPresence: true},
			{Pattern: single + ".>", NoPatterns: true},
			{Pattern: long + ".>", History: engine.Retention{Messages: 100_000, Age: tenMinutes}},
			{Pattern: "presence:*", Announce: true},
		},
		Limits: service.Limits{Linger: 50 * time.Millisecond},
		Outbox: ring.Outbox,
	}
}

// keys let callers be somebody: a token is of the user who signed it. Who has
// none may do everything as well, as nobody.
var keys = auth.Keys{Secret: []byte(strings.Repeat("s", 32)), Anonymous: []auth.Grant{auth.Everything}}

// tokenOf is the token of a user, empty for nobody.
func tokenOf(t *testing.T, user string) string {
	t.Helper()
	if user == "" {
		return ""
	}
	token, err := keys.Sign(user, []auth.Grant{auth.Everything}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// What GET /events and /ws/dashboard are subscribed to without asking.
var (
	defaultChannels = []string{"update", "notification"}
	joinedChannels  = map[string][]string{"/ws/dashboard": {"dashboard.metrics"}}
)

// server is one node on a loopback address.
type server struct {
	url  string
	node *service.Service
	// Clients of HTTP/1.1, and of HTTP/2 without TLS.
	h1, h2 *http.Client
	// firstFrame is the token that WebSockets bring in their first frame, where
	// that is how somebody reaches it.
	firstFrame string
}

// start starts a server that ends with the test. Few tests need it otherwise
// than others.
func start(t *testing.T, open engine.Open, otherwise ...func(*service.Config)) *server {
	t.Helper()
	config := configuration()
	for _, change := range otherwise {
		change(&config)
	}
	node, err := service.New(t.Context(), open, config)
	if err != nil {
		t.Fatal(err)
	}
	listening := httptest.NewUnstartedServer(routes(node))
	listening.Config.Protocols = protocols(true, true)
	listening.Config.ReadHeaderTimeout = patience
	listening.Config.MaxHeaderBytes = 32 << 10
	listening.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1000}
	listening.Start()
	s := &server{
		url: listening.URL, node: node,
		h1: &http.Client{Transport: &http.Transport{Protocols: protocols(true, false)}},
		h2: &http.Client{Transport: &http.Transport{Protocols: protocols(false, true)}},
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := node.Drain(ctx, 0); err != nil {
			t.Errorf("drain: %v", err)
		}
		s.h1.CloseIdleConnections()
		s.h2.CloseIdleConnections()
		listening.Close()
		if err := node.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// routes puts the wires together as the command does.
func routes(node *service.Service) http.Handler {
	mux := http.NewServeMux()
	node.Mount(mux)
	sockets := ws.New(node, ws.Options{Join: joinedChannels})
	mux.Handle("/ws", sockets)
	mux.Handle("/ws/{scope...}", sockets)
	mux.Handle("/events", sse.New(node, sse.Options{Channels: defaultChannels}))
	mux.Handle("/", httpapi.New(node))
	return cors.Policy{Loopback: true}.Handler(mux)
}

func protocols(one, two bool) *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(one)
	p.SetUnencryptedHTTP2(two)
	return &p
}

// connect is a client of the API: what a backend would use.
func (s *server) connect(options ...connecthttp.Option) *connect.Client {
	return connect.NewClient(connecthttp.NewTransport(s.h2, s.url, options...))
}
