package main

import (
	"encoding/binary"
	"os"
	"time"
)

// setClock makes the wall clock of a server run ahead, or behind, from now on. Servers
// that were built for it read the file (see chaos/clock).
func (p *process) setClock(ahead time.Duration) error {
	var number [8]byte
	binary.NativeEndian.PutUint64(number[:], uint64(ahead)) //nolint:gosec // its bits
	f, err := os.OpenFile(p.clock, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(number[:], 0)
	return err
}
