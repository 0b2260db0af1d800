// Package natstest runs NATS servers on loopback for tests: real ones, in this
// process, that end with the test.
package natstest

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
)

// patience is how long servers may take to be ready.
const patience = time.Minute

// Start starts a server with JetStream, and returns its URL.
func Start(tb testing.TB, change ...func(*server.Options)) string {
	tb.Helper()
	return run(tb, options(tb.TempDir()), change...).ClientURL()
}

// Cluster starts servers that replicate streams among them, and returns their
// URLs, separated by commas.
func Cluster(tb testing.TB, size int) string {
	tb.Helper()
	var routes []*url.URL
	for range size {
		routes = append(routes, &url.URL{Scheme: "nats", Host: freeAddress(tb)})
	}
	dir := tb.TempDir()
	servers := make([]*server.Server, size)
	var urls []string
	for i, own := range routes {
		o := options(filepath.Join(dir, fmt.Sprint(i)))
		o.ServerName = fmt.Sprint("n", i)
		o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: portOf(own)}
		o.Routes = routes
		servers[i] = run(tb, o)
		urls = append(urls, servers[i].ClientURL())
	}
	deadline := time.Now().Add(patience)
	for !hasLeader(servers) {
		if time.Now().After(deadline) {
			tb.Fatal("the NATS servers have no leader")
		}
		<-time.After(20 * time.Millisecond)
	}
	return strings.Join(urls, ",")
}

// hasLeader reports whether the servers agree on who leads all of them.
func hasLeader(servers []*server.Server) bool {
	for _, s := range servers {
		if s.JetStreamIsLeader() {
			return s.JetStreamIsCurrent() && s.NumRoutes() > 0 && len(s.JetStreamClusterPeers()) == len(servers)
		}
	}
	return false
}

func options(dir string) *server.Options {
	return &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: dir, DisableJetStreamBanner: true,
	}
}

func run(tb testing.TB, o *server.Options, change ...func(*server.Options)) *server.Server {
	tb.Helper()
	for _, fn := range change {
		fn(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	tb.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		tb.Fatal("the NATS server does not start")
	}
	return s
}

// freeAddress is one that nobody listens on now.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func portOf(u *url.URL) int {
	port := 0
	_, err := fmt.Sscan(u.Port(), &port)
	if err != nil {
		return 0
	}
	return port
}

// DeleteStream deletes a stream, so that servers of many tests do not fill up.
func DeleteStream(tb testing.TB, servers, name string) {
	tb.Helper()
	conn, err := client.Connect(servers)
	if err != nil {
		tb.Error(err)
		return
	}
	defer conn.Close()
	if _, err := conn.Request("$JS.API.STREAM.DELETE."+name, nil, patience); err != nil {
		tb.Error(err)
	}
}
