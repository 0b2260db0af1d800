package load

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// eventsAtOnce bounds the reads between two looks at the clock, so that
// publishing stays on time while many connections are readable.
const eventsAtOnce = 32

// poller calls the owner of each readable file descriptor.
type poller struct {
	epoll   int
	readers []func() error // by file descriptor
	events  [eventsAtOnce]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &poller{epoll: fd}, nil
}

func (p *poller) add(fd int, readable func() error) error {
	if fd >= len(p.readers) {
		p.readers = append(p.readers, make([]func() error, fd+1-len(p.readers))...)
	}
	p.readers[fd] = readable
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &event)
}

func (p *poller) remove(fd int) error {
	p.readers[fd] = nil
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil)
}

// wait serves what is readable, and waits for it at most d.
func (p *poller) wait(d time.Duration) error {
	ms := int((max(d, 0) + time.Millisecond - 1) / time.Millisecond)
	n, err := unix.EpollWait(p.epoll, p.events[:], ms)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("epoll: %w", err)
	}
	for _, event := range p.events[:max(n, 0)] {
		read := p.readers[event.Fd]
		if read == nil {
			continue // removed by one before it
		}
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

func (p *poller) close() error { return unix.Close(p.epoll) }
