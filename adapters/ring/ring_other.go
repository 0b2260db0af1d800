//go:build !linux

package ring

// Ring sends for one goroutine at a time. Here there is none.
type Ring struct{}

// New returns [ErrUnsupported].
func New() (*Ring, error) { return nil, ErrUnsupported }

// Add returns false.
func (*Ring) Add(Sender) bool { return false }

// Flush sends.
func (*Ring) Flush() {}

// Close frees the ring.
func (*Ring) Close() error { return nil }
