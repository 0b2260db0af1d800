// Package poll reads from connections that are silent most of the time.
//
// What it guarantees:
//
//   - A silent connection has no goroutine and no buffer, where the system can
//     wait for many connections at once: one of TCP, or of TLS on a [carrier.Conn].
//     For others, a goroutine waits for each.
//   - The turns of one connection come one after the other, and each sees what
//     those before it did.
//   - A read ends with [ErrSilent] only where the reader has said that it may
//     pause; in the middle of something it waits for the rest.
package poll

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"millrace.dev/adapters/carrier"
)

// ErrSilent is returned by a read at a place where the reader may pause, when
// there is nothing to read.
var ErrSilent error = silence{}

// silence is an error behind which TLS goes on reading.
type silence struct{}

func (silence) Error() string   { return "nothing to read" }
func (silence) Timeout() bool   { return true }
func (silence) Temporary() bool { return true }

// restTimeout is how long the rest of what has begun to come may take to go on.
const restTimeout = 30 * time.Second

// Conn is a connection that is read in turns.
type Conn struct {
	net.Conn // set once
	set      *Set

	// Set by Start, before the first turn.
	run  func(func())
	turn func() bool

	state      atomic.Int32
	descriptor int  // in the set; guarded by its mutex
	isMember   bool // guarded by the set's mutex

	// Owned by the reader: who has the turn.
	raw      syscall.RawConn // nil where a goroutine has to wait
	carrier  *carrier.Conn   // below TLS; nil without
	started  bool
	mayPause bool
	buffer   *buffer
	rest     []byte // of buffer, or of what came before New
}

// The states of a connection.
const (
	turning int32 = iota // a turn is under way, or there will be none any more
	called               // the same, and there is reason for another
	silent               // the set waits for something to read
)

// buffer is what silent connections do not have.
type buffer [4 << 10]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// New makes a connection of the set from another one, of which some bytes were
// read already.
func New(set *Set, conn net.Conn, early []byte) *Conn {
	c := &Conn{Conn: conn, set: set, rest: early, carrier: carrier.Of(carrier.Unwrap(conn))}
	if c.carrier != nil {
		conn = c.carrier.Conn
	}
	if direct, ok := carrier.Unwrap(conn).(*net.TCPConn); ok && canWait {
		if raw, err := direct.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	return c
}

// Unwrapped is the connection itself, for who sends past this one.
func (c *Conn) Unwrapped() net.Conn { return c.Conn }

// IsWaitedFor reports whether the connection needs no goroutine while it is
// silent.
func (c *Conn) IsWaitedFor() bool { return c.raw != nil }

// Start has turn called whenever there is something to read, until it returns
// false. A turn reads until ErrSilent. run runs goroutines.
func (c *Conn) Start(run func(func()), turn func() (again bool)) {
	c.run, c.turn, c.started = run, turn, true
	hasRest := len(c.rest) > 0 || c.carrier != nil // which has read ahead, perhaps
	c.state.Store(silent)
	if c.raw == nil || hasRest || c.set.add(c) != nil {
		c.Call()
	}
}

// Call has the connection take a turn, whether there is something to read or not.
func (c *Conn) Call() {
	if c.state.Swap(called) == silent {
		c.run(c.takeTurns)
	}
}

func (c *Conn) takeTurns() {
	for {
		c.state.Store(turning)
		if !c.turn() {
			c.set.remove(c)
			return
		}
		if c.isAwaited() && c.state.CompareAndSwap(turning, silent) {
			return
		}
	}
}

// isAwaited has the set wait for the connection. Where it cannot, reads wait from
// here on.
func (c *Conn) isAwaited() bool {
	if c.raw != nil && c.set.add(c) != nil {
		c.raw = nil
	}
	return c.raw != nil
}

// Pause says that the reader has nothing half: the next read may end with
// ErrSilent. It has no effect before Start.
func (c *Conn) Pause() { c.mayPause = c.started && c.raw != nil }

// Read implements [net.Conn].
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 && c.raw == nil {
		return c.Conn.Read(p)
	}
	if len(c.rest) == 0 {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	c.mayPause = false
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	if len(c.rest) == 0 {
		c.release()
	}
	return n, nil
}

// fill reads what there is.
func (c *Conn) fill() error {
	b, ok := buffers.Get().(*buffer)
	if !ok {
		b = new(buffer)
	}
	c.buffer = b
	n, err := c.tryRead(b[:])
	if errors.Is(err, ErrSilent) && !c.mayPause {
		n, err = c.waitAndRead(b[:])
	}
	if err != nil {
		c.release()
		return err
	}
	c.rest = b[:n]
	return nil
}

// tryRead reads what there is, or returns ErrSilent.
func (c *Conn) tryRead(b []byte) (int, error) {
	if c.carrier != nil {
		return c.carrier.ReadBy(c.receive, c.Conn.Read, b)
	}
	return c.receive(b)
}

func (c *Conn) release() {
	c.rest = nil
	if c.buffer != nil {
		buffers.Put(c.buffer)
		c.buffer = nil
	}
}

// waitAndRead waits for the rest of what has begun.
func (c *Conn) waitAndRead(b []byte) (int, error) {
	if !c.started {
		return c.Conn.Read(b) // who reads before Start has deadlines of his own
	}
	if err := c.SetReadDeadline(time.Now().Add(restTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	return n, err
}

// Close implements [net.Conn]. The next turn finds it closed.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.Call()
	return err
}
