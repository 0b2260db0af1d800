package service

import (
	"iter"

	"millrace.dev/engine"
)

// latest is the latest frame of each key, in the order in which those came.
// Frames without a key count as of one key. The zero value is empty.
type latest struct {
	bytes  int
	frames []*Frame // nil where a later one took its place
	places map[string]int
	lost   engine.Position // of the last message that had to go, before all that stay
	passed engine.Position // of the last message that was looked at
}

// add makes f the latest of its key. When there is more than limit bytes, the
// oldest go.
func (l *latest) add(f *Frame, limit int) {
	if l.places == nil {
		l.places = map[string]int{}
	}
	l.drop(f.key())
	l.places[f.key()] = len(l.frames)
	l.frames = append(l.frames, f)
	l.bytes += f.size()
	for i := 0; l.bytes > limit && i < len(l.frames)-1; i++ {
		if l.frames[i] != nil {
			l.lost = l.frames[i].Message.Position
			l.drop(l.frames[i].key())
		}
	}
	l.pack()
}

func (l *latest) drop(key string) {
	if i, found := l.places[key]; found {
		l.bytes -= l.frames[i].size()
		l.frames[i] = nil
		delete(l.places, key)
	}
}

// pack closes the holes once they are half of the places.
func (l *latest) pack() {
	if len(l.frames) < 2*len(l.places)+8 {
		return
	}
	packed := make([]*Frame, 0, len(l.places))
	for f := range l.all() {
		l.places[f.key()] = len(packed)
		packed = append(packed, f)
	}
	l.frames = packed
}

func (l *latest) all() iter.Seq[*Frame] {
	return func(yield func(*Frame) bool) {
		for _, f := range l.frames {
			if f != nil && !yield(f) {
				return
			}
		}
	}
}

// value is what a message is the latest one of. Keys of two channels are two, and
// what is kept is not replaced by what is not.
type value struct {
	channel, key string
	ephemeral    bool
}

func valueOf(f *Frame) value {
	return value{channel: f.Message.Channel, key: f.key(), ephemeral: f.Message.Ephemeral}
}

// conflate keeps, of the messages from the given place on, the latest of each
// key. Messages without a key and notices stay.
func (b *batch) conflate(from int) {
	last := map[value]int{}
	for i, f := range b.frames[from:] {
		if f.key() != "" {
			last[valueOf(f)] = from + i
		}
	}
	kept := b.frames[:from]
	for i, f := range b.frames[from:] {
		if f.key() == "" || last[valueOf(f)] == from+i {
			kept = append(kept, f)
		} else {
			b.bytes -= f.size()
		}
	}
	clear(b.frames[len(kept):])
	b.frames = kept
}
