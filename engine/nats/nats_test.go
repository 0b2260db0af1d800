package nats

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/engine"
	"millrace.dev/engine/enginetest"
	"millrace.dev/internal/natstest"
)

var prefixes atomic.Int64

// newPrefix sets a test apart from all others on the same servers.
func newPrefix() string { return "t" + strconv.FormatInt(prefixes.Add(1), 10) }

const ids, window, age = 100, 5 * time.Second, 400 * time.Millisecond

func keepContract(t *testing.T, servers string, replicas int) {
	t.Helper()
	enginetest.Run(t, func(t *testing.T) engine.Open {
		t.Helper()
		prefix := newPrefix()
		t.Cleanup(func() { natstest.DeleteStream(t, servers, prefix) })
		return Open(Options{URL: servers, Prefix: prefix, Replicas: replicas, DedupIDs: ids, DedupWindow: window})
	}, enginetest.Options{Durable: true, Age: age, DedupIDs: ids, DedupWindow: window})
}

func TestTheEngineKeepsTheContract(t *testing.T) {
	t.Run("on one server", func(t *testing.T) { keepContract(t, natstest.Start(t), 1) })
	t.Run("on a cluster of three", func(t *testing.T) { keepContract(t, natstest.Cluster(t, 3), 3) })
}
