package service

import "time"

// tickInterval is how exactly silence and expiry of attached sessions are
// noticed.
const tickInterval = 500 * time.Millisecond

// wheelSlots is how many ticks ahead a session is put; one that is due later is
// put again.
const wheelSlots = 64

// noSlot is where a session is that is not in the wheel.
const noSlot = -1

// wheel has every session of a writer in the slot of the tick at which it may be
// due. What a session is sent makes it due later, which the wheel notices when it
// comes to its slot: a session costs it a look now and then.
type wheel struct {
	slots [wheelSlots][]*Session
	now   int
}

// put adds a session that is due after some time.
func (w *wheel) put(s *Session, after time.Duration) {
	ticks := min(max(int((after+tickInterval-1)/tickInterval), 1), wheelSlots-1)
	slot := (w.now + ticks) % wheelSlots
	s.slot, s.place = slot, len(w.slots[slot])
	w.slots[slot] = append(w.slots[slot], s)
}

// remove takes a session out. The last of its slot takes its place.
func (w *wheel) remove(s *Session) {
	slot := w.slots[s.slot]
	last := len(slot) - 1
	slot[s.place] = slot[last]
	slot[s.place].place = s.place
	slot[last] = nil
	w.slots[s.slot] = slot[:last]
	s.slot = noSlot
}

// turn goes on by one tick, and returns those that may be due. They are out of
// the wheel.
func (w *wheel) turn() []*Session {
	w.now = (w.now + 1) % wheelSlots
	due := w.slots[w.now]
	w.slots[w.now] = nil
	for _, s := range due {
		s.slot = noSlot
	}
	return due
}
