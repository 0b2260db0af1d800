package load

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// secure is TLS on a socket. It waits for the handshake, and never after it.
type secure struct {
	*tls.Conn
	below *below
}

// secured makes the handshake. The certificate is the server's own: what it costs
// is measured, not whom it is for.
func secured(s socket) (*secure, error) {
	b := &below{socket: s, waits: true}
	conn := tls.Client(b, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
	if err := conn.Handshake(); err != nil {
		return nil, err
	}
	b.waits = false
	return &secure{Conn: conn, below: b}, nil
}

// read is that of socket. What it leaves in memory does not make the connection
// readable: the caller reads until there is nothing.
func (s *secure) read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if errors.Is(err, errNothing) {
		err = nil
	}
	return n, err
}

func (s *secure) write(b []byte) error {
	_, err := s.Conn.Write(b)
	return err
}

// errNothing says that there is nothing to read now. TLS goes on after such an
// error, which is one of a timeout.
var errNothing error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing to read" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// below is the socket as TLS has it.
type below struct {
	tlsless
	socket socket
	waits  bool
}

// Read implements [net.Conn].
func (b *below) Read(p []byte) (int, error) {
	for {
		n, err := b.socket.read(p)
		if n > 0 || err != nil {
			return n, err
		}
		if !b.waits {
			return 0, errNothing
		}
		if err := b.await(); err != nil {
			return 0, err
		}
	}
}

func (b *below) await() error {
	polled := []unix.PollFd{{Fd: int32(b.socket), Events: unix.POLLIN}}
	n, err := unix.Poll(polled, int(openTimeout/time.Millisecond))
	if n == 0 && err == nil {
		return os.ErrDeadlineExceeded
	}
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

// Write implements [net.Conn].
func (b *below) Write(p []byte) (int, error) { return len(p), b.socket.write(p) }

// Close implements [net.Conn].
func (b *below) Close() error { return nil }

// tlsless is what TLS does not ask a connection for here.
type tlsless struct{ net.Conn }
