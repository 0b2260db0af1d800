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
}

func (y *yielder) yield() {
	if y.from == nil {
		y.open()
	}
	if y.waiter == nil || !y.wait() {
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
}

// wait sends a byte once it is sure to be waited for, and takes it.
func (y *yielder) wait() bool {
	var b [1]byte
	asked := false
	err := y.from.SetReadDeadline(time.Now().Add(maxTurn))
	if err != nil {
		return false
	}
	err = y.waiter.Read(func(uintptr) (done bool) {
		if asked {
			return true
		}
		asked = true
		_, err := y.to.Write(b[:])
		return err != nil
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = y.from.SetReadDeadline(time.Time{})
	}
	if err == nil {
		_, err = y.from.Read(b[:])
	}
	return err == nil
}

func (y *yielder) close() {
	if y.from != nil {
		y.from.Close() //nolint:errcheck // nothing is in it
		y.to.Close()   //nolint:errcheck // nothing is in it
	}
}
