package main

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"sync"

	"golang.org/x/sys/unix"

	"millrace.dev/adapters/ring"
)

// sockets are connections that are only written to. They are kept open until
// the process ends, so that no descriptor is used again.
type sockets struct {
	mu    sync.Mutex
	fds   []int
	conns []net.Conn
	ring  *ring.Ring // nil for send(2)
	sends []one      // of the ring
}

// one is one send of the ring.
type one struct {
	fd    int
	frame []byte
}

// Begin implements [ring.Sender].
func (o *one) Begin() (fd int, b []byte) { return o.fd, o.frame }

// End implements [ring.Sender]. A client that is gone or does not read misses it.
func (o *one) End(int, error) {}

func (s *sockets) accept(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.mu.Lock() // what is published next comes behind the confirmation
	defer s.mu.Unlock()
	digest := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
		base64.StdEncoding.EncodeToString(digest[:]), frame([]byte(`{"type":"subscribed"}`)))
	s.add(conn)
}

// add keeps a connection, after which it gets all that is published. Called under mu.
func (s *sockets) add(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { s.fds = append(s.fds, int(fd)) })
	s.conns = append(s.conns, conn)
}

func (s *sockets) send(data []byte) {
	shared := frame(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ring != nil {
		s.sendTogether(shared)
		return
	}
	for _, fd := range s.fds {
		// A client that is gone or does not read misses it.
		_ = unix.Send(fd, shared, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}
}

func (s *sockets) sendTogether(shared []byte) {
	s.sends = s.sends[:0]
	for _, fd := range s.fds {
		s.sends = append(s.sends, one{fd, shared})
	}
	for i := range s.sends {
		s.ring.Add(&s.sends[i])
	}
	s.ring.Flush()
}

// frame is a text frame of a WebSocket.
func frame(data []byte) []byte {
	b := []byte{0x81, byte(len(data))}
	if len(data) > 125 {
		b = binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(len(data)))
	}
	return append(b, data...)
}
