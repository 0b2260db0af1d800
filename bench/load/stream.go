package load

import (
	"bytes"
	"slices"
	"time"
)

// stream is one subscriber's view: what it was sent, without framing.
type stream struct {
	client  *Client
	scanner scanner
	ready   bool
	early   []byte   // what came before it was ready
	next    []uint32 // by publisher: the number that is due
	found   func(marker)
}

func newStream(c *Client) *stream {
	s := &stream{client: c}
	s.found = s.deliver
	return s
}

// opened is called when the response's head is there.
func (s *stream) opened() {
	if s.client.target.Wire.Ready == "" {
		s.becomeReady()
	}
}

func (s *stream) becomeReady() {
	s.ready, s.early = true, nil
	s.next = slices.Repeat([]uint32{1}, publishers)
	for i, p := range s.client.publishers {
		s.next[i] = p.number + 1
	}
	s.client.live++
}

// take takes a piece of the stream.
func (s *stream) take(data []byte) {
	if s.ready {
		s.scanner.scan(data, s.found)
		return
	}
	s.early = append(s.early, data...)
	if bytes.Contains(s.early, []byte(s.client.target.Wire.Ready)) {
		s.becomeReady()
	}
}

func (s *stream) deliver(m marker) {
	r := s.client.result
	due := s.next[m.publisher]
	if m.number < due {
		r.Misordered++
		return
	}
	s.client.missed += uint64(m.number - due)
	s.next[m.publisher] = m.number + 1
	r.Delivered++
	r.Latency.add(time.Duration(s.client.now - m.sent))
}

// leave takes the stream out of what is awaited.
func (s *stream) leave() {
	if !s.ready {
		return
	}
	s.ready = false
	s.client.live--
	for i, p := range s.client.publishers {
		s.client.missed += uint64(p.number + 1 - s.next[i])
	}
}
