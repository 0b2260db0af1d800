package main

import (
	"log/slog"
	"net"
	"syscall"
	"testing"
)

func TestTheKernelKeepsLittleForAClient(t *testing.T) {
	t.Parallel()
	tcp, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := newTurnstile(tcp, 1, nil, slog.New(slog.DiscardHandler), false)
	defer listener.Close()
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	raw, err := accepted.(*countedConn).Conn.(*net.TCPConn).SyscallConn() //nolint:errcheck // the turnstile's, of a TCP listener
	if err != nil {
		t.Fatal(err)
	}
	limit := 0
	if ctlErr := raw.Control(func(fd uintptr) {
		limit, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotsentLowat)
	}); ctlErr != nil || err != nil || limit != unsentLimit {
		t.Errorf("the limit is %d, want %d; %v, %v", limit, unsentLimit, err, ctlErr)
	}
}
