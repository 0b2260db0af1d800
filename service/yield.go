package service

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"
)

// yielder lets the rest of the process have a turn: what can run, and what the
// network has something for.
//
// [runtime.Gosched] is not enough. While anything can run, the runtime asks the
// network only every 10 ms; here the goroutine itself waits for the network, for a
// byte of its own, and goes on together with whoever else has something to read.
// Where others can always run, it goes on after [maxTurn]: they have had as much time.
// The zero value works.
type yielder struct {
	from, to *os.File        // a pipe, nil until the first yield
	waiter   syscall.RawConn // of from; nil where a pipe cannot be waited for

	// Of the wait that is under way, for whose sake nothing is allocated.
	ask     func(uintptr) (done bool)
	asked   bool
	sent    int
	sendErr error
	b       [1]byte
}

func (y *yielder) yield() {
	if y.from == nil {
		y.open()
	}
	if y.waiter == nil || !y.wait(time.Now().Add(maxTurn)) {
		y.waiter = nil
		runtime.Gosched()
	}
}

func (y *yielder) open() {
	var err error
	if y.from, y.to, err = os.Pipe(); err != nil {
		return
	}
	if waiter, err := y.from.SyscallConn(); err == nil {
		y.waiter = waiter
	}
	y.ask = func(uintptr) (done bool) {
		if y.asked {
			return true
		}
		y.asked = true
		y.sent, y.sendErr = y.to.Write(y.b[:])
		return y.sendErr != nil
	}
}

// wait sends a byte once it is sure to be waited for, and takes it. A deadline that
// is over before that, on a machine with much else to do, has it send none.
func (y *yielder) wait(deadline time.Time) bool {
	y.asked, y.sent, y.sendErr = false, 0, nil
	err := y.from.SetReadDeadline(deadline)
	if err != nil {
		return false
	}
	err = y.waiter.Read(y.ask)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		err = y.from.SetReadDeadline(time.Time{}) // it may be over by now, and the byte is there
	}
	if err == nil && y.sent > 0 {
		_, err = y.from.Read(y.b[:])
	}
	return err == nil && y.sendErr == nil
}

func (y *yielder) close() {
	if y.from != nil {
		y.from.Close() //nolint:errcheck // nothing is in it
		y.to.Close()   //nolint:errcheck // nothing is in it
	}
}
