package outlet

import (
	"crypto/tls"
	"sync"

	"millrace.dev/adapters/carrier"
	"millrace.dev/adapters/ring"
)

// sealer is TLS: what it makes of what is sent comes back to the outlet, as records
// for the connection below.
type sealer struct {
	conn    *tls.Conn     // set once
	carrier *carrier.Conn // set once

	// Guarded by the outlet's mu.
	records *[]byte // that were not passed on yet, nil for none
	queued  *[]byte // those that a ring sends next
	sealing int     // calls of seal that will pass records on
}

// maxRecords bounds the buffers that are used again.
const maxRecords = 64 << 10

// recordBuffers are for records on their way. A silent connection has none.
var recordBuffers = sync.Pool{New: func() any { return new([]byte) }}

// secure has what is sent sealed from here on, if there is TLS on a carrier.
func (o *Outlet) secure() {
	conn, ok := carrier.Unwrap(o.Conn).(*tls.Conn)
	if !ok {
		return
	}
	if below := carrier.Of(conn); below != nil {
		o.sealer = &sealer{conn: conn, carrier: below}
		below.Divert(o.take)
	}
}

// seal sends b as records, all of them together.
func (o *Outlet) seal(r *ring.Ring, b []byte) (taken bool, err error) {
	o.mu.Lock()
	err = o.over()
	if err == nil {
		o.sealer.sealing++
	}
	o.mu.Unlock()
	if err != nil {
		return true, err
	}
	_, err = o.sealer.conn.Write(b)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sealer.sealing--
	if err != nil {
		_, _ = o.passRecords(nil) // what TLS had to say meanwhile
		return true, err
	}
	return o.passRecords(r)
}

// take takes records from TLS, in their order: those of seal, and what TLS itself
// has to say.
func (o *Outlet) take(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.sealer
	if o.err != nil {
		return len(b), nil // it is the end, which TLS need not hear of
	}
	if s.records == nil {
		s.records = recordBuffers.Get().(*[]byte) //nolint:errcheck // it has no others
	}
	*s.records = append(*s.records, b...)
	if s.sealing > 0 {
		return len(b), nil
	}
	if _, err := o.passRecords(nil); err != nil {
		return 0, err
	}
	return len(b), nil
}

// passRecords passes on what there is. Called under mu.
func (o *Outlet) passRecords(r *ring.Ring) (taken bool, err error) {
	s := o.sealer
	records := s.records
	switch {
	case o.err != nil:
		return true, o.err
	case records == nil: // another call has passed on these as well
		return len(o.rest) == 0 && o.queued == nil, nil
	}
	s.records = nil
	taken, err = o.pass(r, *records)
	if o.queued != nil {
		s.queued = records
	} else {
		release(records)
	}
	return taken, err
}

// sent frees what a ring had to send. Called under mu.
func (o *Outlet) sent() {
	o.queued = nil
	if o.sealer != nil && o.sealer.queued != nil {
		release(o.sealer.queued)
		o.sealer.queued = nil
	}
}

func release(records *[]byte) {
	if cap(*records) <= maxRecords {
		*records = (*records)[:0]
		recordBuffers.Put(records)
	}
}
