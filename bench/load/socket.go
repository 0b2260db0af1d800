package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"

	"golang.org/x/sys/unix"
)

// socket is a TCP connection without a goroutine: it never blocks after dial.
type socket int

// dial connects, and waits for it: on loopback the kernel answers by itself.
func dial(address string) (socket, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0, fmt.Errorf("address: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		// Closing resets: no port is left waiting after thousands of connections.
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}),
		unix.SetNonblock(fd, true),
	)
	if err != nil {
		return 0, errors.Join(fmt.Errorf("connect to %s: %w", address, err), unix.Close(fd))
	}
	return socket(fd), nil
}

// read returns 0 bytes where there is nothing to read, and io.EOF at the end,
// however it came.
func (s socket) read(b []byte) (int, error) {
	n, err := unix.Read(int(s), b)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return 0, nil
	case errors.Is(err, unix.ECONNRESET), err == nil && n == 0:
		return 0, io.EOF
	}
	return n, err
}

// write writes all of b: what a load client sends is small, and a server that
// does not take it is broken.
func (s socket) write(b []byte) error {
	n, err := unix.Write(int(s), b)
	switch {
	case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		return nil // the next read says so
	case err != nil:
		return fmt.Errorf("write: %w", err)
	case n < len(b):
		return fmt.Errorf("write: the server took %d of %d bytes", n, len(b))
	}
	return nil
}

func (s socket) close() error { return unix.Close(int(s)) }
