package load

import (
	"bytes"
	"encoding/binary"
	"io"
)

const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
	final   = 0x80
	masked  = 0x80
)

// webSocket is RFC 6455, as a client.
type webSocket struct {
	conn   *conn
	shaken bool
}

func (w *webSocket) open() ([]byte, error) {
	wire := w.conn.client.target.Wire
	head := append([]Field{
		{"connection", "Upgrade"}, {"upgrade", "websocket"},
		{"sec-websocket-version", "13"}, {"sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="},
	}, wire.Header...)
	return requestHead("GET", wire.Path, w.conn.client.target.Address, head), nil
}

func (w *webSocket) feed(data []byte) (int, error) {
	used := 0
	if !w.shaken {
		n, err := w.handshake(data)
		if err != nil || n == 0 {
			return n, err
		}
		used = n
	}
	for {
		op, payload, size := nextFrame(data[used:])
		if size == 0 {
			return used, nil
		}
		if err := w.frame(op, payload); err != nil {
			return used, err
		}
		used += size
	}
}

// handshake takes the response's head, and then says the first frames.
func (w *webSocket) handshake(data []byte) (int, error) {
	head, size, err := responseHead(data, "101")
	if err != nil || head == "" {
		return 0, err
	}
	w.shaken = true
	var first []byte
	for _, text := range w.conn.client.target.Wire.Frames {
		first = appendFrame(first, opText, []byte(text))
	}
	w.conn.streams[0].opened()
	if first == nil {
		return size, nil
	}
	return size, w.conn.write(first)
}

func (w *webSocket) frame(op byte, payload []byte) error {
	switch op {
	case opClose:
		return io.EOF
	case opPing:
		return w.conn.write(appendFrame(nil, opPong, payload))
	case opPong:
		return nil
	}
	w.conn.streams[0].take(payload)
	ping := w.conn.client.target.Wire.Ping
	if ping != "" && hasLine(payload, ping) {
		return w.conn.write(appendFrame(nil, opText, []byte(ping)))
	}
	return nil
}

// hasLine also finds a ping that came in one frame with messages.
func hasLine(payload []byte, line string) bool {
	for len(payload) > 0 {
		first, rest, _ := bytes.Cut(payload, []byte("\n"))
		if string(first) == line {
			return true
		}
		payload = rest
	}
	return false
}

// nextFrame returns the frame at the head of data, with a size of 0 if it has
// not come as a whole.
func nextFrame(data []byte) (op byte, payload []byte, size int) {
	if len(data) < 2 {
		return 0, nil, 0
	}
	n, head := int(data[1]&^masked), 2
	switch {
	case n == 126 && len(data) >= 4:
		n, head = int(binary.BigEndian.Uint16(data[2:])), 4
	case n == 127 && len(data) >= 10:
		n, head = int(binary.BigEndian.Uint64(data[2:])), 10
	case n >= 126:
		return 0, nil, 0
	}
	if len(data) < head+n {
		return 0, nil, 0
	}
	return data[0] & 0x0f, data[head : head+n], head + n
}

// appendFrame masks with zeros, which leaves the payload as it is.
func appendFrame(b []byte, op byte, payload []byte) []byte {
	b = append(b, final|op)
	if len(payload) < 126 {
		b = append(b, masked|byte(len(payload)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, masked|126), uint16(len(payload)))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}
