package outlet

import (
	"errors"
	"net"
	"syscall"
	"unsafe"
)

const canSend = true

// unsentLimit is how much the kernel takes beyond what is under way to the
// client. The default lets a client that does not read pin megabytes.
const unsentLimit = 16 << 10

const tcpNotsentLowat = 25 // TCP_NOTSENT_LOWAT of linux/tcp.h, which package syscall does not name

func tune(conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	// Older kernels do not know it and work without.
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotsentLowat, unsentLimit)
	})
}

// send is send(2) that takes what it can. One system call does without the
// preparations of the poller: a client that takes everything costs nothing more.
func send(fd uintptr, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := syscall.Syscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		switch {
		case errno == 0:
			return int(n), nil
		case errors.Is(errno, syscall.EAGAIN):
			return 0, nil
		case !errors.Is(errno, syscall.EINTR):
			return 0, errno
		}
	}
}
