package poll_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"millrace.dev/adapters/carrier/carriertest"
	"millrace.dev/adapters/internal/poll"
)

func eachWay(t *testing.T, run func(*testing.T, carriertest.Pair)) {
	t.Helper()
	for name, pair := range map[string]carriertest.Pair{"waited for together": carriertest.TCP, "a goroutine each": carriertest.Opaque, "TLS": carriertest.TLS} {
		t.Run(name, func(t *testing.T) { t.Parallel(); run(t, pair) })
	}
}

// record is ten bytes that are read together.
type record [10]byte

// recorder reads records in turns.
type recorder struct {
	conn    *poll.Conn
	records chan record
	ended   chan error
	busy    sync.Mutex
	running sync.WaitGroup
}

func newRecorder(set *poll.Set, conn net.Conn, early []byte) *recorder {
	return &recorder{conn: poll.New(set, conn, early), records: make(chan record, 10_000), ended: make(chan error, 1)}
}

func (r *recorder) start() { r.conn.Start(r.running.Go, r.turn) }

func (r *recorder) turn() bool {
	if !r.busy.TryLock() {
		panic("two turns at once")
	}
	defer r.busy.Unlock()
	for {
		var next record
		r.conn.Pause()
		switch _, err := io.ReadFull(r.conn, next[:]); {
		case errors.Is(err, poll.ErrSilent):
			return true
		case err != nil:
			r.ended <- err
			return false
		}
		r.records <- next
	}
}

func TestEverythingIsReadInOrderHoweverItComes(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, pair carriertest.Pair) {
		t.Helper()
		var set poll.Set
		var sent []byte
		for i := range 1000 {
			sent = append(sent, bytes.Repeat([]byte{byte(i)}, len(record{}))...)
		}
		server, client := pair(t)
		r := newRecorder(&set, server, sent[:3])
		r.start()
		for from, size := 3, 1; from < len(sent); from, size = from+size, size*5%97+1 { // cut anywhere
			size = min(size, len(sent)-from)
			if _, err := client.Write(sent[from : from+size]); err != nil {
				t.Fatal(err)
			}
			if size%3 == 0 {
				runtime.Gosched() // the reader is often between two pieces
			}
		}
		for i := range 1000 {
			if got := <-r.records; got[0] != byte(i) || got[9] != byte(i) {
				t.Fatalf("record %d is %v", i, got)
			}
		}
		_ = client.Close() // its data was read
		if err := <-r.ended; !errors.Is(err, io.EOF) {
			t.Errorf("the end is %v", err)
		}
		_ = server.Close()
		r.running.Wait()
	})
}

func TestCloseEndsAConnectionThatIsSilent(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, pair carriertest.Pair) {
		t.Helper()
		var set poll.Set
		for _, closeFirst := range []bool{false, true} {
			server, _ := pair(t)
			r := newRecorder(&set, server, nil)
			if closeFirst {
				_ = r.conn.Close()
			}
			r.start()
			_ = r.conn.Close()
			if err := <-r.ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("the end is %v", err)
			}
			r.running.Wait()
		}
	})
}

func TestASilentConnectionHasNoGoroutine(t *testing.T) {
	t.Run("TCP", func(t *testing.T) { silent(t, carriertest.TCP) })
	t.Run("TLS", func(t *testing.T) { silent(t, carriertest.TLS) })
}

func silent(t *testing.T, pair carriertest.Pair) {
	t.Helper()
	if !poll.New(new(poll.Set), func() net.Conn { c, _ := pair(t); return c }(), nil).IsWaitedFor() {
		t.Skip("this system cannot wait for many connections")
	}
	var set poll.Set
	before := runtime.NumGoroutine()
	const many = 50
	var all []*recorder
	var clients []net.Conn
	for range many {
		server, client := pair(t)
		r := newRecorder(&set, server, nil)
		r.start()
		all, clients = append(all, r), append(clients, client)
	}
	for round := range 2 {
		for i, r := range all {
			if _, err := clients[i].Write(make([]byte, len(record{}))); err != nil {
				t.Fatal(err)
			}
			<-r.records
		}
		eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 })
		t.Logf("round %d: %d goroutines for %d connections", round, runtime.NumGoroutine()-before, many)
	}
	for _, r := range all {
		_ = r.conn.Close()
	}
	for _, r := range all {
		r.running.Wait()
	}
	eventually(t, func() bool { return runtime.NumGoroutine() <= before })
}

// eventually waits for goroutines to be gone that have nothing left to do.
func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("there are %d goroutines", runtime.NumGoroutine())
		}
	}
}

// The number of a closed connection goes to the next one at once.
func TestAConnectionMayHaveTheNumberOfOneThatHasJustClosed(t *testing.T) {
	t.Parallel()
	var set poll.Set
	keeper, _ := carriertest.TCP(t) // the set is never empty
	k := newRecorder(&set, keeper, nil)
	k.start()
	for range 200 {
		server, client := carriertest.TCP(t)
		r := newRecorder(&set, server, nil)
		r.start()
		if _, err := client.Write(make([]byte, len(record{}))); err != nil {
			t.Fatal(err)
		}
		<-r.records
		_ = r.conn.Close()
		r.running.Wait()
	}
	_ = k.conn.Close()
	if err := <-k.ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the end is %v", err)
	}
}
