package outlet

// sendQueued sends what a ring was to send, because something is to be sent behind
// it. Called under mu.
func (o *Outlet) sendQueued() {
	if o.queued != nil {
		_, _ = o.send(o.queued) // who comes behind it meets the same error
		o.sent()
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
	taken := true
	if err != nil {
		o.err = err
	} else {
		taken = o.keep(o.queued[n:])
	}
	o.sent()
	o.mu.Unlock()
	if taken {
		o.drained()
	}
}
