package service_test

import (
	"slices"
	"time"

	"millrace.dev/service"
)

// sink is a client whose stream never blocks, as those of browser wires: what it
// does not take at once it keeps, and says when that is gone.
type sink struct{ *client }

// Attach implements [service.Sink].
func (s sink) Attach(a service.Attachment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attachment = &a
	return nil
}

// Deliver implements [service.Sink].
func (s sink) Deliver(delivery service.Delivery) (taken bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != nil {
		return true, s.gone
	}
	if s.gate != nil {
		s.left = slices.Clone(delivery.Frames)
		return false, nil
	}
	s.keep(delivery.Frames)
	return true, nil
}

// Idle implements [service.Sink].
func (s sink) Idle() {}

// End implements [service.Sink].
func (s sink) End(reason error) {
	s.mu.Lock()
	s.err = reason
	s.mu.Unlock()
	close(s.over)
}

// drain takes what is left, or lets it go where the connection is gone, and says
// so. Called after the gate was opened.
func (c *client) drain(taken bool) {
	c.mu.Lock()
	left := c.left
	c.left = nil
	if taken {
		c.keep(left)
	}
	c.mu.Unlock()
	if left != nil {
		c.attachment.Resume()
	}
}

// keep adds frames that were sent together. Called under mu.
func (c *client) keep(frames []*service.Frame) {
	number := 0
	if len(c.items) == 0 {
		close(c.begun)
	} else {
		number = c.items[len(c.items)-1].batch + 1
	}
	for _, frame := range frames {
		c.items = append(c.items, item{frame, number, time.Now()})
	}
}
