// Package ring sends to many connections with one system call, where the system
// can (io_uring of Linux). What a system call costs is most of what a small message
// costs; here up to [Size] of them share one.
//
// What it guarantees:
//
//   - Nothing waits for a client: a send that would is not made.
//   - When Flush returns, every send has its result, and nothing is kept.
package ring

import (
	"errors"

	"millrace.dev/service"
)

// Size is how many sends go together. It bounds for how long Flush holds what its
// senders lock.
const Size = 32

// ErrUnsupported says that the system has no rings, or does not let this process
// have one.
var ErrUnsupported = errors.New("the system has no io_uring for this process")

// Sender is a connection that is sent to.
type Sender interface {
	// Begin returns what is to be sent, and where; nothing if that is done already.
	// The bytes stay as they are until End.
	Begin() (fd int, b []byte)
	// End says how much was sent. It is called in Flush, if Begin had something.
	End(n int, err error)
}

// Outbox is a ring for one writer of a service, nil where the system has none.
func Outbox() service.Outbox {
	r, err := New()
	if err != nil {
		return nil
	}
	return r
}

// Of is the outbox of a writer as a ring, nil if it is none.
func Of(outbox service.Outbox) *Ring {
	r, _ := outbox.(*Ring)
	return r
}
