// Package carrier is the connection below TLS.
//
// crypto/tls writes records to a connection and reads them from one, and waits for
// both. An adapter that has taken over a connection waits for neither: with this one
// below TLS it gets the records themselves, and sends and reads them as on a connection
// without TLS. Where a server has put no carrier below TLS, everything works, with
// goroutines that wait.
package carrier

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// Conn carries records. It is the [net.Conn] that it was made of, until somebody
// takes its place.
type Conn struct {
	net.Conn // set once

	write atomic.Pointer[func([]byte) (int, error)]
	read  func([]byte) (int, error) // owned by who reads
}

// New makes a carrier of a connection, for [tls.Server].
func New(conn net.Conn) *Conn { return &Conn{Conn: conn} }

// Of returns what carries a connection with TLS: nil for one without, and where
// there is no carrier.
func Of(conn net.Conn) *Conn {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return nil
	}
	c, _ := Unwrap(secure.NetConn()).(*Conn)
	return c
}

// Unwrap is the connection that others have wrapped, to count it or to be told when
// it is closed.
func Unwrap(conn net.Conn) net.Conn {
	for {
		wrapped, ok := conn.(interface{ Unwrapped() net.Conn })
		if !ok {
			return conn
		}
		conn = wrapped.Unwrapped()
	}
}

// Divert gives what TLS writes to another writer from here on, which must not wait:
// deadlines of writing mean nothing any more.
func (c *Conn) Divert(write func([]byte) (int, error)) { c.write.Store(&write) }

// ReadBy has read, and all that TLS reads within it, read records by receive, which
// may fail with a [net.Error] that is temporary: TLS goes on behind it.
func (c *Conn) ReadBy(receive, read func([]byte) (int, error), b []byte) (int, error) {
	c.read = receive
	defer func() { c.read = nil }()
	return read(b)
}

// Write implements [net.Conn].
func (c *Conn) Write(b []byte) (int, error) {
	if write := c.write.Load(); write != nil {
		return (*write)(b)
	}
	return c.Conn.Write(b)
}

// Read implements [net.Conn].
func (c *Conn) Read(b []byte) (int, error) {
	if c.read != nil {
		return c.read(b)
	}
	return c.Conn.Read(b)
}

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.write.Load() != nil {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}
