package outlet_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"millrace.dev/adapters/carrier/carriertest"
	"millrace.dev/adapters/internal/outlet"
	"millrace.dev/adapters/ring"
)

// eachQueue runs a test of what a ring sends.
func eachQueue(t *testing.T, run func(*testing.T, *ring.Ring, carriertest.Pair)) {
	t.Helper()
	for name, pair := range map[string]carriertest.Pair{"direct": carriertest.TCP, "TLS": carriertest.TLS} {
		t.Run(name, func(t *testing.T) { t.Parallel(); run(t, newRing(t), pair) })
	}
}

func newRing(t *testing.T) *ring.Ring {
	t.Helper()
	r, err := ring.New()
	if errors.Is(err, ring.ErrUnsupported) {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestARingAndOthersSendInOrderHoweverSlowlyTheClientReads(t *testing.T) {
	t.Parallel()
	eachQueue(t, func(t *testing.T, r *ring.Ring, pair carriertest.Pair) {
		t.Helper()
		server, client := pair(t)
		drained := make(chan struct{}, 10_000)
		out := outlet.New(server, func() { drained <- struct{}{} })
		const senders, each = 4, 400 // the first is the writer, with the ring
		var all sync.WaitGroup
		all.Go(func() {
			for i := range each {
				taken, err := out.SendWith(r, record(0, i))
				if err != nil {
					t.Error(err)
				}
				r.Flush()
				if !taken {
					<-drained
				}
			}
		})
		for sender := 1; sender < senders; sender++ {
			all.Go(func() { sendAll(t, out, sender, each) })
		}
		readAll(t, client, senders, each)
		all.Wait()
	})
}

// What happens between queueing and flushing.
func TestWhatIsQueuedGoesBeforeAllThatComesBehindIt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		then func(*testing.T, *outlet.Outlet)
		want string
	}{
		{"nothing", func(*testing.T, *outlet.Outlet) {}, "queued"},
		{"an answer", func(t *testing.T, out *outlet.Outlet) {
			t.Helper()
			if _, err := out.Write([]byte(", answer")); err != nil {
				t.Error(err)
			}
		}, "queued, answer"},
		{"the end", func(_ *testing.T, out *outlet.Outlet) {
			out.Shut([]byte(", end"))
			out.Finish()
		}, "queued, end"},
		{"the end without a word", func(_ *testing.T, out *outlet.Outlet) { out.Finish() }, "queued"},
		{"a cut", func(_ *testing.T, out *outlet.Outlet) { _ = out.Close() }, ""}, // it tells nothing
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			eachQueue(t, func(t *testing.T, r *ring.Ring, pair carriertest.Pair) {
				t.Helper()
				server, client := pair(t)
				drained := make(chan struct{}, 4)
				out := outlet.New(server, func() { drained <- struct{}{} })
				if taken, err := out.SendWith(r, []byte("queued")); taken || err != nil {
					t.Fatalf("SendWith = %v, %v before the flush", taken, err)
				}
				test.then(t, out)
				r.Flush()
				<-drained
				out.Finish()
				got, err := io.ReadAll(client)
				if err != nil || string(got) != test.want {
					t.Errorf("the client reads %q, %v; want %q", got, err, test.want)
				}
			})
		})
	}
}

func TestARingLeavesWhatAClientDoesNotTake(t *testing.T) {
	t.Parallel()
	eachQueue(t, func(t *testing.T, r *ring.Ring, pair carriertest.Pair) {
		t.Helper()
		server, client := pair(t)
		drained := make(chan struct{}, 1)
		out := outlet.New(server, func() { drained <- struct{}{} })
		block := bytes.Repeat([]byte("0123456789abcdef"), 2<<20) // more than any kernel buffer
		if taken, err := out.SendWith(r, block); taken || err != nil {
			t.Fatalf("SendWith = %v, %v", taken, err)
		}
		r.Flush()
		want := bytes.Clone(block)
		clear(block) // it is the writer's again
		got := make([]byte, len(want))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("the client has something else: %v", err)
		}
		<-drained
	})
}

func TestARingTellsOfAConnectionThatIsGone(t *testing.T) {
	t.Parallel()
	r := newRing(t)
	server, _ := carriertest.TCP(t)
	drained := make(chan struct{}, 1)
	out := outlet.New(server, func() { drained <- struct{}{} })
	if err := server.(*net.TCPConn).CloseWrite(); err != nil { //nolint:errcheck // it is one
		t.Fatal(err)
	}
	if _, err := out.SendWith(r, []byte("x")); err != nil {
		t.Fatal(err)
	}
	r.Flush()
	<-drained
	if taken, err := out.SendWith(r, []byte("x")); err == nil || !taken {
		t.Errorf("the next send = %v, %v", taken, err)
	}
}
