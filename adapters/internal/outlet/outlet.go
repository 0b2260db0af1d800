// Package outlet writes to connections without blocking.
//
// What it guarantees:
//
//   - Send never waits for the client, and never keeps what it was given.
//   - Bytes arrive in the order of the calls, none cut or doubled.
//   - A goroutine exists only while the client does not take what was sent.
//   - The connection is closed only when nothing is sent any more: a send never
//     meets the descriptor of another connection.
//   - With TLS on a [carrier.Conn] all of this is true as well: what is sent is sealed
//     first, and its records go the same way.
package outlet

import (
	"errors"
	"net"
	"sync"

	"millrace.dev/adapters/carrier"
	"millrace.dev/adapters/ring"
)

// maxRest bounds what Write may add while the client takes nothing: answers to
// commands and control frames of a client that sends without reading.
const maxRest = 256 << 10

// ErrFull is returned by Write when the client takes nothing.
var ErrFull = errors.New("the client does not read")

// Outlet is a connection whose writes do not block. It is a [net.Conn] for
// libraries that want one: reads, deadlines and addresses are the connection's.
type Outlet struct {
	net.Conn         // set once
	fd       int     // noDescriptor where the system knows no direct way: then a goroutine writes
	drained  func()  // called without the lock when rest is empty again
	sealer   *sealer // nil without TLS, and where TLS has no carrier

	mu       sync.Mutex
	queued   []byte // what a ring sends next, before all else
	rest     []byte // what the client has not taken yet
	draining bool   // a goroutine writes rest
	shut     bool   // nothing is accepted any more
	closing  bool   // the connection is closed when rest is empty
	err      error  // why writing has failed
	drain    sync.WaitGroup
}

const noDescriptor = -1

// New makes an outlet of a connection. drained is called each time after Send
// has returned taken false, once everything was taken or writing has failed. It
// must not call the outlet.
func New(conn net.Conn, drained func()) *Outlet {
	o := &Outlet{Conn: conn, drained: drained, fd: noDescriptor}
	o.secure()
	if direct, ok := carrier.Unwrap(o.below()).(*net.TCPConn); ok && canSend {
		if raw, err := direct.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { o.fd = int(fd) }) // else it is closed already
		}
	}
	return o
}

// below is the connection that what is sent is written to, where it is not sent
// directly.
func (o *Outlet) below() net.Conn {
	if o.sealer != nil {
		return o.sealer.carrier.Conn
	}
	return o.Conn
}

// Send sends b, or as much as the client takes now, and keeps a copy of what is
// left to send it when the client takes more.
func (o *Outlet) Send(b []byte) (taken bool, err error) { return o.SendWith(nil, b) }

// SendWith is [Outlet.Send] by means of a ring, which may be nil. Where the ring
// sends, it has not been sent when SendWith returns: taken is false, b must stay as
// it is until the ring was flushed, and then drained is called as soon as the client
// has taken it.
func (o *Outlet) SendWith(r *ring.Ring, b []byte) (taken bool, err error) {
	if o.sealer != nil {
		return o.seal(r, b)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.over(); err != nil {
		return true, err
	}
	return o.pass(r, b)
}

// over is why nothing is accepted any more. Called under mu.
func (o *Outlet) over() error {
	if o.err == nil && o.shut {
		return net.ErrClosed
	}
	return o.err
}

// pass has the ring send, or sends. Called under mu.
func (o *Outlet) pass(r *ring.Ring, b []byte) (taken bool, err error) {
	o.sendQueued()
	if r != nil && o.fd != noDescriptor && len(o.rest) == 0 && r.Add(o) {
		o.queued = b
		return false, nil
	}
	return o.send(b)
}

// send sends what the client takes now, and keeps the rest. Called under mu.
func (o *Outlet) send(b []byte) (taken bool, err error) {
	if o.err != nil {
		return true, o.err
	}
	if len(o.rest) == 0 {
		n, err := o.try(b)
		if err != nil {
			o.err = err
			return true, err
		}
		b = b[n:]
	}
	return o.keep(b), nil
}

// keep has a goroutine send what the client has not taken, if that is anything.
// Called under mu.
func (o *Outlet) keep(left []byte) (nothing bool) {
	if len(left) == 0 && len(o.rest) == 0 {
		return true
	}
	o.rest = append(o.rest, left...)
	if !o.draining {
		o.draining = true
		o.drain.Go(o.drainRest)
	}
	return false
}

// Write implements [net.Conn]: it sends all of b or refuses it.
func (o *Outlet) Write(b []byte) (int, error) {
	o.mu.Lock()
	full := len(o.rest) > maxRest
	o.mu.Unlock()
	if full {
		return 0, ErrFull
	}
	if _, err := o.Send(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// try sends without waiting. Called under mu.
func (o *Outlet) try(b []byte) (n int, err error) {
	if o.fd == noDescriptor {
		return 0, nil
	}
	return send(uintptr(o.fd), b)
}

// drainRest writes what is left until there is no more, waiting for the client.
func (o *Outlet) drainRest() {
	for {
		o.mu.Lock()
		b := o.rest
		if len(b) == 0 || o.err != nil {
			o.rest, o.draining = nil, false
			last := o.closing
			if last {
				o.fail(net.ErrClosed)
			}
			o.mu.Unlock()
			if last {
				o.Conn.Close() //nolint:errcheck // there is nobody to tell
			}
			o.drained()
			return
		}
		o.mu.Unlock()
		n, err := o.below().Write(b)
		o.mu.Lock()
		o.rest = o.rest[n:]
		if err != nil {
			o.fail(err)
		}
		o.mu.Unlock()
	}
}

// fail has nothing sent from here on. Called under mu.
func (o *Outlet) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// Shut accepts nothing more. It sends b first, if anything can be sent at all.
func (o *Outlet) Shut(b []byte) {
	_, _ = o.Send(b) // the connection ends in any case
	o.mu.Lock()
	o.shut = true
	o.mu.Unlock()
}

// Finish closes the connection once everything was taken.
func (o *Outlet) Finish() {
	if o.sealer != nil {
		_ = o.sealer.conn.CloseWrite() // the client need not believe that it was cut
	}
	o.mu.Lock()
	o.sendQueued()
	o.shut, o.closing = true, true
	draining := o.draining
	if !draining {
		o.fail(net.ErrClosed)
	}
	o.mu.Unlock()
	if !draining {
		o.Conn.Close() //nolint:errcheck // there is nobody to tell
	}
}

// Close implements [net.Conn]. It ends a write that waits.
func (o *Outlet) Close() error {
	o.mu.Lock()
	o.shut = true
	o.sent()
	o.fail(net.ErrClosed)
	o.mu.Unlock()
	err := o.Conn.Close()
	o.drain.Wait()
	return err
}
