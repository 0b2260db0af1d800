package load

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
)

// A marker is text that every encoding leaves as it is: markerStart, then in
// hex the publisher, the number of the message and its send time.
const (
	markerStart = "$mk"
	markerSize  = len(markerStart) + 2*(1+4+8)
)

type marker struct {
	publisher uint8
	number    uint32 // from 1, per publisher
	sent      int64  // ns
}

// put writes the marker over the first markerSize bytes of b.
func (m marker) put(b []byte) {
	var raw [1 + 4 + 8]byte
	raw[0] = m.publisher
	binary.BigEndian.PutUint32(raw[1:], m.number)
	binary.BigEndian.PutUint64(raw[5:], uint64(m.sent))
	copy(b, markerStart)
	hex.Encode(b[len(markerStart):], raw[:])
}

// parseMarker reads the marker that b begins with.
func parseMarker(b []byte) (marker, bool) {
	var raw [1 + 4 + 8]byte
	if _, err := hex.Decode(raw[:], b[len(markerStart):markerSize]); err != nil {
		return marker{}, false
	}
	return marker{
		publisher: raw[0],
		number:    binary.BigEndian.Uint32(raw[1:]),
		sent:      int64(binary.BigEndian.Uint64(raw[5:])),
	}, true
}

// scanner finds markers in a stream of bytes that comes in pieces. Nothing in a
// marker but its first byte is a '$', so what a piece ends with can only be the
// beginning of one marker.
type scanner struct {
	carry [markerSize]byte
	n     int // bytes of carry in use
}

func (s *scanner) scan(data []byte, found func(marker)) {
	if s.n > 0 {
		data = s.join(data, found)
	}
	for {
		i := bytes.Index(data, []byte(markerStart))
		if i < 0 || len(data)-i < markerSize {
			break
		}
		if m, ok := parseMarker(data[i:]); ok {
			found(m)
			data = data[i+markerSize:]
		} else {
			data = data[i+len(markerStart):]
		}
	}
	tail := data[max(0, len(data)-markerSize+1):]
	if i := bytes.LastIndexByte(tail, markerStart[0]); i >= 0 {
		s.n = copy(s.carry[:], tail[i:])
	}
}

// join completes the marker that the last piece ended with, and returns what
// follows it. It keeps the carry if even this piece is too short.
func (s *scanner) join(data []byte, found func(marker)) []byte {
	took := copy(s.carry[s.n:], data)
	have := s.carry[:s.n+took]
	start := have[:min(len(have), len(markerStart))]
	switch {
	case !bytes.HasPrefix([]byte(markerStart), start), bytes.IndexByte(have[1:], markerStart[0]) >= 0:
		s.n = 0
		return data // it was another '$'
	case len(have) < markerSize:
		s.n = len(have)
		return nil
	}
	s.n = 0
	if m, ok := parseMarker(have); ok {
		found(m)
	}
	return data[took:]
}
