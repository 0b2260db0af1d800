package sse

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"millrace.dev/adapters/internal/outlet"
	"millrace.dev/adapters/internal/poll"
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
	s.chunk(s.greet, "", func(b []byte) { _, err = s.out.Write(b) })
	if err != nil {
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

// chunk makes one chunk of what fill puts into the stream's buffer, and the tail
// behind it, and hands it to send. An empty chunk would end the stream.
func (s *socket) chunk(fill func(), tail string, send func([]byte)) {
	scratch := outlet.Take()
	defer scratch.Put()
	s.buffer = scratch.Bytes
	s.buffer = append(s.buffer, chunkHead...)
	fill()
	n := len(s.buffer) - len(chunkHead)
	copy(s.buffer, fmt.Appendf(nil, "%08x", n))
	s.buffer = append(s.buffer, "\r\n"+tail...)
	scratch.Bytes, s.buffer = s.buffer, nil
	if n > 0 {
		send(scratch.Bytes)
	}
}

// Deliver implements [service.Sink].
func (s *socket) Deliver(frames []*service.Frame) (taken bool, err error) {
	taken = true
	s.chunk(func() { s.append(frames) }, "", func(b []byte) { taken, err = s.out.Send(b) })
	return taken, err
}

const lastChunk = "0\r\n\r\n"

// Idle implements [service.Sink]. The heartbeat was the comment that a silent
// stream is sent.
func (s *socket) Idle() {}

// End implements [service.Sink].
func (s *socket) End(reason error) {
	s.chunk(func() { s.error(reason) }, lastChunk, s.out.Shut)
	s.out.Finish()
}

// cut ends the connection.
func (s *socket) cut() {
	if out := s.live.Load(); out != nil {
		out.Close() //nolint:errcheck // it is closed either way
	}
}
