package machine

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWorkIsCounted(t *testing.T) {
	before, err := CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	usage, err := ReadUsage()
	if err != nil {
		t.Fatal(err)
	}
	var took time.Duration
	for end := time.Now().Add(5 * time.Second); took < 50*time.Millisecond; {
		if time.Now().After(end) {
			t.Fatalf("5 s of work count as %v", took)
		}
		after, err := CPUTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		took = after - before
	}
	later, err := ReadUsage()
	if err != nil {
		t.Fatal(err)
	}
	if busy := later.Busy - usage.Busy; busy < 20*time.Millisecond || busy > later.Total-usage.Total {
		t.Errorf("the machine was busy for %v of %v", busy, later.Total-usage.Total)
	}
}

func TestMemoryIsCounted(t *testing.T) {
	before, err := Resident(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 32 << 20
	block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < size; i += os.Getpagesize() {
		block[i] = 1
	}
	after, err := Resident(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; grown < size/2 || grown > 2*size {
		t.Errorf("%d bytes count as %d", len(block), grown)
	}
	if err := unix.Munmap(block); err != nil {
		t.Error(err)
	}
}

func TestWhatWaitsInASocketIsCounted(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address, err := netip.ParseAddrPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client, err := new(net.Dialer).DialContext(t.Context(), "tcp4", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write(make([]byte, 64<<20)); err == nil {
		t.Fatal("a client that does not read took 64 MB")
	}
	sockets, err := SendMemory(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	if len(sockets) != 1 || sockets[0] < 64<<10 || sockets[0] > 16<<20 {
		t.Errorf("sockets with %d bytes", sockets)
	}
}
