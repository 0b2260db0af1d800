package nats

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"millrace.dev/engine"
	"millrace.dev/engine/enginetest"
)

var prefixes atomic.Int64

// newPrefix sets a test apart from all others on the same servers.
func newPrefix() string { return "t" + strconv.FormatInt(prefixes.Add(1), 10) }

// startServer starts a NATS server on loopback.
func startServer(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: t.TempDir(), DisableJetStreamBanner: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	return s.ClientURL()
}

func TestTheEngineKeepsTheContract(t *testing.T) {
	url := startServer(t)
	const ids, window, age = 100, 2 * time.Second, 400 * time.Millisecond
	enginetest.Run(t, func(*testing.T) engine.Open {
		return Open(Options{URL: url, Prefix: newPrefix(), DedupIDs: ids, DedupWindow: window})
	}, enginetest.Options{Durable: true, Age: age, DedupIDs: ids, DedupWindow: window})
}
