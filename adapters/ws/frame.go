package ws

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/http"

	"github.com/coder/websocket"

	"millrace.dev/adapters/internal/browser"
	"millrace.dev/adapters/internal/outlet"
	"millrace.dev/adapters/internal/poll"
	"millrace.dev/service"
)

// Opcodes and the bit of a final frame (RFC 6455 section 5.2).
const (
	final     = 0x80
	opText    = 0x1
	opBinary  = 0x2
	opClose   = 0x8
	opPing    = 0x9
	len16     = 126 // a length of 16 bits follows
	len64     = 127 // a length of 64 bits follows
	maxReason = 123 // what a close frame has room for beside the code
)

var pingFrame = []byte{final | opPing, 0}

// appendFrame appends one unmasked frame. A server's frames are the same bytes
// for every client.
func appendFrame(b []byte, kind websocket.MessageType, data []byte) []byte {
	opcode := byte(opText)
	if kind == websocket.MessageBinary {
		opcode = opBinary
	}
	b = append(b, final|opcode)
	switch n := len(data); {
	case n < len16:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, len16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, len64), uint64(n))
	}
	return append(b, data...)
}

func closeFrame(code websocket.StatusCode, reason string) []byte {
	b := []byte{final | opClose, byte(2 + len(reason))}
	return append(binary.BigEndian.AppendUint16(b, uint16(code)), reason...)
}

// closeReason is the error as JSON, as far as a close frame has room.
func closeReason(err error) string {
	if err == nil || errors.Is(err, service.ErrLeft) {
		return ""
	}
	e := browser.FromError(err)
	reason := string(browser.Marshal(browser.Error{Code: e.Code, Reason: e.Reason, RetryAfter: e.RetryAfter}))
	if len(reason) > maxReason {
		return e.Reason
	}
	return reason
}

// Buffers for the library: it writes control frames of at most 125 bytes, each
// flushed as one Write to the outlet, and reads through a buffer that is hardly
// one where the connection has its own while it is not silent.
const (
	readBuffer  = 512
	tinyBuffer  = 16
	writeBuffer = 136
)

// hijacker gives the library an outlet in place of the connection.
type hijacker struct {
	http.ResponseWriter
	connection *connection
}

// Hijack implements [http.Hijacker].
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	hijacked, buffered, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, err := buffered.Peek(buffered.Reader.Buffered())
	if err != nil {
		return nil, nil, err
	}
	c := h.connection
	c.in = poll.New(&c.handler.waiting, hijacked, bytes.Clone(early))
	c.out = outlet.New(c.in, c.taken)
	size := readBuffer
	if c.in.IsWaitedFor() {
		size = tinyBuffer
	}
	c.buffered = bufio.NewReaderSize(c.out, size)
	return polite{c.out}, bufio.NewReadWriter(c.buffered, bufio.NewWriterSize(c.out, writeBuffer)), nil
}

// polite is the connection for the library, which closes it right behind its
// close frame: the client takes that first.
type polite struct{ *outlet.Outlet }

// Close implements [net.Conn].
func (p polite) Close() error {
	p.Finish()
	return nil
}
