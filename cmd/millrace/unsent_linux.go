package main

import (
	"net"
	"syscall"
)

// unsentLimit is how much the kernel takes beyond what is under way to a client.
// The default lets each client that does not read pin megabytes.
const unsentLimit = 16 << 10

const tcpNotsentLowat = 25 // TCP_NOTSENT_LOWAT of linux/tcp.h, which package syscall does not name

// limitUnsent bounds what the kernel keeps for a client. A listener for multipath
// TCP does not pass the limit on, so each connection has its own.
func limitUnsent(conn net.Conn) {
	direct, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := direct.SyscallConn()
	if err != nil {
		return // it is closed already
	}
	// Older kernels do not know it, and work without.
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotsentLowat, unsentLimit)
	})
}
