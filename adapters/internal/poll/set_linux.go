package poll

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
)

const canWait = true

// Set is the connections that are waited for together: an epoll(7) set, for which
// Go's own poller waits. It has a goroutine while it has a connection. The zero
// value is empty.
type Set struct {
	mu      sync.Mutex
	file    *os.File // nil while the set is empty
	waiter  syscall.RawConn
	conns   []*Conn // by descriptor
	members int
}

// edges is what a connection is waited for, each time it comes anew: a reader
// takes all that there is, so nothing has to be armed again.
const edges = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31 // EPOLLET, which package syscall has with a sign

// add waits for a connection. It does nothing for one that is waited for.
func (s *Set) add(c *Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.isMember {
		return nil
	}
	if s.members == 0 {
		if err := s.open(c.run); err != nil {
			return err
		}
	}
	var err error
	ctlErr := c.raw.Control(func(fd uintptr) { err = s.enter(c, int(fd)) })
	if err = errors.Join(err, ctlErr); err != nil && s.members == 0 {
		s.close()
	}
	return err
}

// enter adds a connection by its descriptor. The place may be that of one that
// was closed and has not had its last turn. Called under mu.
func (s *Set) enter(c *Conn, fd int) error {
	event := syscall.EpollEvent{Events: edges, Fd: int32(fd)}
	var err error
	ctlErr := s.waiter.Control(func(set uintptr) {
		err = syscall.EpollCtl(int(set), syscall.EPOLL_CTL_ADD, fd, &event)
	})
	if err := errors.Join(err, ctlErr); err != nil {
		return err
	}
	if fd >= len(s.conns) {
		s.conns = append(s.conns, make([]*Conn, fd+1-len(s.conns))...)
	}
	s.conns[fd] = c
	c.descriptor, c.isMember = fd, true
	s.members++
	return nil
}

// remove waits for a connection no more. The system forgets it when it is closed.
func (s *Set) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.isMember {
		return
	}
	c.isMember = false
	if s.conns[c.descriptor] == c {
		s.conns[c.descriptor] = nil
	}
	s.members--
	if s.members == 0 {
		s.close()
	}
}

// open makes the set and starts its goroutine. Called under mu.
func (s *Set) open(run func(func())) error {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // so that Go's poller takes it
		return errors.Join(err, syscall.Close(fd))
	}
	file := os.NewFile(uintptr(fd), "epoll")
	waiter, err := file.SyscallConn()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	s.file, s.waiter = file, waiter
	run(func() { s.wait(waiter) })
	return nil
}

// close ends the goroutine. Called under mu.
func (s *Set) close() {
	s.file.Close() //nolint:errcheck // it has no data to lose
	s.file, s.waiter, s.conns = nil, nil, nil
}

// wait calls the connections that have something to read, until the set is
// closed.
func (s *Set) wait(waiter syscall.RawConn) {
	events := make([]syscall.EpollEvent, 128)
	for {
		n := 0
		err := waiter.Read(func(fd uintptr) bool {
			n = ready(int(fd), events)
			return n > 0
		})
		if err != nil {
			return
		}
		for _, event := range events[:n] {
			if c := s.at(int(event.Fd)); c != nil {
				c.Call()
			}
		}
	}
}

// ready takes the events that there are.
func ready(fd int, events []syscall.EpollEvent) int {
	for {
		n, err := syscall.EpollWait(fd, events, 0)
		if !errors.Is(err, syscall.EINTR) {
			return n
		}
	}
}

func (s *Set) at(fd int) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fd >= len(s.conns) {
		return nil
	}
	return s.conns[fd]
}

// receive reads what has come, or returns ErrSilent.
func (c *Conn) receive(b []byte) (n int, err error) {
	ctlErr := c.raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), b)
		for errors.Is(err, syscall.EINTR) {
			n, err = syscall.Read(int(fd), b)
		}
		return true
	})
	switch {
	case ctlErr != nil:
		return 0, ctlErr
	case errors.Is(err, syscall.EAGAIN):
		return 0, ErrSilent
	case n == 0 && err == nil:
		return 0, io.EOF
	}
	return max(n, 0), err
}
