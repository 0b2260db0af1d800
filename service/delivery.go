package service

import "slices"

// Outbox is where the sinks of one writer put what they send, to be sent together.
// Only the writer's goroutine uses it.
type Outbox interface {
	// Flush sends it.
	Flush()
	Close() error
}

// Delivery is what a session is sent next. It is the writer's: bytes that it makes
// stay as they are until the outbox was flushed.
type Delivery struct {
	Frames []*Frame
	Outbox Outbox // nil where none is configured
	blocks *blocks
}

// blocks are the bytes that a writer's deliveries are made of, one after the other.
type blocks struct {
	bytes  []byte
	frames []*Frame // that the shared ones are made of
	shared [formats][]byte
}

const maxBlockBytes = 1 << 20 // what a writer keeps at most

// Shared returns what fill appends, made once for all sessions in a row that are
// sent the same frames in the same format: subscribers of one channel mostly are.
func (d Delivery) Shared(format Format, fill func([]byte) []byte) []byte {
	b := d.blocks
	if !slices.Equal(b.frames, d.Frames) {
		b.frames = append(b.frames[:0], d.Frames...)
		clear(b.shared[:])
	}
	if b.shared[format] == nil {
		b.shared[format] = d.Own(fill)
	}
	return b.shared[format]
}

// Own returns what fill appends for this session alone.
func (d Delivery) Own(fill func([]byte) []byte) []byte {
	b := d.blocks
	from := len(b.bytes)
	b.bytes = fill(b.bytes)
	return b.bytes[from:len(b.bytes):len(b.bytes)]
}

// reset lets go of all blocks.
func (b *blocks) reset() {
	clear(b.frames)
	clear(b.shared[:])
	b.frames, b.bytes = b.frames[:0], b.bytes[:0]
	if cap(b.bytes) > maxBlockBytes {
		b.bytes = nil
	}
}
