package outlet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"millrace.dev/adapters/carrier/carriertest"
	"millrace.dev/adapters/internal/outlet"
)

func eachBackend(t *testing.T, run func(*testing.T, carriertest.Pair)) {
	t.Helper()
	for name, pair := range map[string]carriertest.Pair{"direct": carriertest.TCP, "portable": carriertest.Opaque, "TLS": carriertest.TLS} {
		t.Run(name, func(t *testing.T) { t.Parallel(); run(t, pair) })
	}
}

func TestBytesArriveInOrderWhoeverSendsAndHoweverSlowlyTheClientReads(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, pair carriertest.Pair) {
		t.Helper()
		server, client := pair(t)
		out := outlet.New(server, func() {})
		const senders, each = 8, 400
		var all sync.WaitGroup
		for sender := range senders {
			all.Go(func() { sendAll(t, out, sender, each) })
		}
		readAll(t, client, senders, each)
		all.Wait()
	})
}

// sendAll sends the records of a sender.
func sendAll(t *testing.T, out *outlet.Outlet, sender, each int) {
	t.Helper()
	for i := range each {
		if _, err := out.Send(record(sender, i)); err != nil {
			t.Error(err)
		}
	}
}

// readAll reads the records of each sender, which come in order.
func readAll(t *testing.T, from io.Reader, senders, each int) {
	t.Helper()
	next := make([]int, senders)
	for range senders * each {
		sender, i := readRecord(t, from)
		if i != next[sender] {
			t.Fatalf("sender %d: record %d came, want %d", sender, i, next[sender])
		}
		next[sender]++
	}
}

// record is a length, a sender, a number and a filling that tells of any cut.
func record(sender, i int) []byte {
	size := 16 + i*37%9000
	b := bytes.Repeat([]byte{byte(i)}, size)
	binary.BigEndian.PutUint32(b, uint32(size))
	binary.BigEndian.PutUint32(b[4:], uint32(sender))
	binary.BigEndian.PutUint32(b[8:], uint32(i))
	return b
}

func readRecord(t *testing.T, from io.Reader) (sender, i int) {
	t.Helper()
	head := make([]byte, 12)
	if _, err := io.ReadFull(from, head); err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, binary.BigEndian.Uint32(head)-12)
	if _, err := io.ReadFull(from, rest); err != nil {
		t.Fatal(err)
	}
	i = int(binary.BigEndian.Uint32(head[8:]))
	if len(bytes.Trim(rest, string([]byte{byte(i)}))) > 0 {
		t.Fatalf("record %d is mixed with another", i)
	}
	return int(binary.BigEndian.Uint32(head[4:])), i
}

func TestSendNeverWaitsAndSaysWhenTheClientHasTakenAll(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, pair carriertest.Pair) {
		t.Helper()
		server, client := pair(t)
		drained := make(chan struct{}, 64)
		out := outlet.New(server, func() { drained <- struct{}{} })
		const total = 32 << 20 // more than any kernel buffer
		taken, err := out.Send(make([]byte, total))
		if taken || err != nil {
			t.Fatalf("Send = %v, %v of a client that does not read", taken, err)
		}
		if _, err := out.Write([]byte("answer")); !errors.Is(err, outlet.ErrFull) {
			t.Fatalf("Write = %v, want ErrFull", err)
		}
		if n, err := io.CopyN(io.Discard, client, total); err != nil {
			t.Fatalf("read %d: %v", n, err)
		}
		<-drained
		if _, err := out.Write([]byte("answer")); err != nil {
			t.Fatalf("Write after the client has read = %v", err)
		}
	})
}

func TestCloseFreesAWriteThatWaits(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, pair carriertest.Pair) {
		t.Helper()
		server, _ := pair(t)
		drained := make(chan struct{}, 1)
		out := outlet.New(server, func() { drained <- struct{}{} })
		if taken, _ := out.Send(make([]byte, 32<<20)); taken {
			t.Fatal("the kernel took everything")
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		<-drained
		if _, err := out.Send([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("Send after Close = %v", err)
		}
	})
}

func TestFinishClosesOnlyWhenEverythingWasTaken(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, pair carriertest.Pair) {
		t.Helper()
		server, client := pair(t)
		out := outlet.New(server, func() {})
		const total = 8 << 20
		_, _ = out.Send(make([]byte, total))
		out.Shut([]byte("end"))
		out.Finish()
		if err := client.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(client)
		if err != nil || len(got) != total+3 || !bytes.HasSuffix(got, []byte("end")) {
			t.Fatalf("read %d bytes, %v; want %d", len(got), err, total+3)
		}
	})
}

func TestSendAllocatesNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a goroutine sends a copy")
	}
	server, client := carriertest.TCP(t)
	out := outlet.New(server, func() {})
	defer out.Close()
	go io.Copy(io.Discard, client) //nolint:errcheck // it ends with the test
	message := []byte("a message")
	allocated := testing.AllocsPerRun(1000, func() {
		if taken, err := out.Send(message); !taken || err != nil {
			t.Errorf("taken %v: %v", taken, err)
		}
	})
	if allocated > 0 {
		t.Errorf("a send allocates %v times", allocated)
	}
}
