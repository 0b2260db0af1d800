package memory

import "sync"

// sequence counts the messages of all channels, and knows up to where all have
// been delivered.
type sequence struct {
	mu      sync.Mutex
	newest  uint64
	settled uint64              // all up to here have been delivered
	early   map[uint64]struct{} // those delivered beyond it
}

func newSequence() *sequence { return &sequence{early: map[uint64]struct{}{}} }

// begin numbers a message that is about to be delivered.
func (s *sequence) begin() (number, settled uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newest++
	return s.newest, s.settled
}

// end notes that the message has been delivered.
func (s *sequence) end(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number != s.settled+1 {
		s.early[number] = struct{}{}
		return
	}
	s.settled = number
	for len(s.early) > 0 {
		if _, delivered := s.early[s.settled+1]; !delivered {
			return
		}
		s.settled++
		delete(s.early, s.settled)
	}
}

func (s *sequence) load() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}
