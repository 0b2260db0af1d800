//go:build !linux

package poll

// Without a way to wait for many connections, a goroutine waits for each.
const canWait = false

// Set is the connections that are waited for together: here, none.
type Set struct{}

func (*Set) add(*Conn) error { return ErrSilent }
func (*Set) remove(*Conn)    {}

func (*Conn) receive([]byte) (int, error) { return 0, ErrSilent }
