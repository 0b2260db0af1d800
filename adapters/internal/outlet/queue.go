package outlet

import "millrace.dev/adapters/ring"

// SendWith is [Outlet.Send] by means of a ring, which may be nil. Where the ring
// sends, it has not been sent when SendWith returns: taken is false, b must stay as
// it is until the ring was flushed, and then drained is called as soon as the client
// has taken it.
func (o *Outlet) SendWith(r *ring.Ring, b []byte) (taken bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sendQueued()
	if o.err == nil && !o.shut && o.fd != noDescriptor && len(o.rest) == 0 && r != nil && r.Add(o) {
		o.queued = b
		return false, nil
	}
	return o.send(b)
}

// sendQueued sends what a ring was to send, because something is to be sent behind
// it. Called under mu.
func (o *Outlet) sendQueued() {
	if b := o.queued; b != nil {
		o.queued = nil
		_, _ = o.send(b) // who comes behind it meets the same error
	}
}

// Begin implements [ring.Sender]. Until End nothing else is sent, nor is the
// connection closed.
func (o *Outlet) Begin() (fd int, b []byte) {
	o.mu.Lock()
	if o.queued != nil {
		return o.fd, o.queued
	}
	draining := o.draining
	o.mu.Unlock()
	if !draining {
		o.drained()
	}
	return noDescriptor, nil
}

// End implements [ring.Sender].
func (o *Outlet) End(n int, err error) {
	left := o.queued[n:]
	o.queued = nil
	taken := true
	if err != nil {
		o.err = err
	} else {
		taken = o.keep(left)
	}
	o.mu.Unlock()
	if taken {
		o.drained()
	}
}
