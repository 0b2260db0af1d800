package outlet

import "sync"

// Scratch is where something is put together before it is sent. An idle
// connection holds none.
type Scratch struct{ Bytes []byte }

const maxScratch = 256 << 10 // larger ones are left to the garbage collector

var scratches = sync.Pool{New: func() any { return &Scratch{Bytes: make([]byte, 0, 4<<10)} }}

// Take returns an empty scratch.
func Take() *Scratch {
	s, ok := scratches.Get().(*Scratch)
	if !ok {
		return &Scratch{}
	}
	s.Bytes = s.Bytes[:0]
	return s
}

// Put gives it back. Its bytes must not be used any more.
func (s *Scratch) Put() {
	if cap(s.Bytes) <= maxScratch {
		scratches.Put(s)
	}
}
