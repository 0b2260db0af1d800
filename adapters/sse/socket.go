package sse

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"millrace.dev/adapters/internal/outlet"
	"millrace.dev/adapters/internal/poll"
	"millrace.dev/adapters/ring"
	"millrace.dev/service"
)

// socket is a stream on a connection taken from HTTP/1.1: the session's writer
// sends, in chunks (RFC 9112 section 7.1), and no goroutine waits for it. It
// implements [service.Sink].
type socket struct {
	*stream
	session service.Attachment
	in      *poll.Conn
	out     *outlet.Outlet

	live atomic.Pointer[outlet.Outlet] // out, for cut
}

// Attach implements [service.Sink].
func (s *socket) Attach(session service.Attachment) error {
	s.session = session
	s.setHeaders()
	head := s.head()
	conn, _, err := s.control.Hijack()
	if err != nil {
		return err
	}
	s.in = poll.New(&s.handler.waiting, conn, nil)
	s.out = outlet.New(s.in, session.Resume)
	s.live.Store(s.out)
	if _, err := s.out.Write(head); err != nil {
		return err
	}
	s.started = true
	if _, err := s.out.Write(s.appendChunk(nil, s.greet)); err != nil {
		return err
	}
	s.in.Start(session.Go, s.turn)
	return nil
}

// head is the response's head, with what the handlers before have set.
func (s *socket) head() []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n")
	header := s.w.Header()
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_ = header.Write(&b) // a buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}

// turn reads what the client has to say, which is nothing. It returns false when
// the client has gone.
func (s *socket) turn() bool {
	for {
		s.in.Pause()
		var nothing [64]byte
		switch _, err := s.in.Read(nothing[:]); {
		case errors.Is(err, poll.ErrSilent):
			return true
		case err != nil:
			s.session.Leave(err)
			return false
		}
	}
}

// A chunk begins with its length, for which room is left: eight digits, most of
// them zeros, which every HTTP client reads.
const chunkHead = "00000000\r\n"

// appendChunk appends one chunk of what fill puts into the stream's buffer. An
// empty chunk would end the stream.
func (s *socket) appendChunk(b []byte, fill func()) []byte {
	from := len(b)
	b = append(b, chunkHead...)
	s.buffer = b
	fill()
	chunk := s.buffer
	s.buffer = nil
	n := len(chunk) - from - len(chunkHead)
	if n == 0 {
		return chunk[:from]
	}
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(n))
	hex.Encode(chunk[from:], length[:])
	return append(chunk, "\r\n"...)
}

// Deliver implements [service.Sink].
func (s *socket) Deliver(delivery service.Delivery) (bool, error) {
	fill := func(b []byte) []byte { return s.appendChunk(b, func() { s.append(delivery.Frames) }) }
	var block []byte
	if s.isAlike(delivery.Frames) {
		block = delivery.Shared(s.format(true), fill)
		s.pass(delivery.Frames)
	} else {
		block = delivery.Own(fill)
	}
	if len(block) == 0 {
		return true, nil
	}
	return s.out.SendWith(ring.Of(delivery.Outbox), block)
}

// isAlike reports whether frames look alike on every stream: they are messages of
// the only channel that the cursor has.
func (s *stream) isAlike(frames []*service.Frame) bool {
	for _, f := range frames {
		if f.Message == nil || !s.cursor.IsOnly(f.Message.Channel) {
			return false
		}
	}
	return true
}

// pass moves the cursor behind messages of its only channel.
func (s *stream) pass(frames []*service.Frame) {
	for _, f := range slices.Backward(frames) {
		if !f.Message.Ephemeral {
			s.cursor.Set(f.Message.Channel, f.Message.Position)
			s.sent = ""
			return
		}
	}
}

const lastChunk = "0\r\n\r\n"

// Idle implements [service.Sink]. The heartbeat was the comment that a silent
// stream is sent.
func (s *socket) Idle() {}

// End implements [service.Sink].
func (s *socket) End(reason error) {
	s.out.Shut(append(s.appendChunk(nil, func() { s.error(reason) }), lastChunk...))
	s.out.Finish()
}

// cut ends the connection.
func (s *socket) cut() {
	if out := s.live.Load(); out != nil {
		out.Close() //nolint:errcheck // it is closed either way
	}
}
