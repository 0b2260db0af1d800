package load

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	frameHead = 9
	// The server may send this much before it must hear that it was read; the
	// client says so each time it has read a refill, long before.
	window = 1 << 30
	refill = 1 << 24
)

// http2Conn is a connection of HTTP/2 with a stream for each subscriber.
type http2Conn struct {
	conn   *conn
	in     bytes.Reader // one frame
	out    bytes.Buffer // frames to write
	framer *http2.Framer
	unsaid []int // read by stream, and last of all streams, since the last refill
}

func newHTTP2(cn *conn) *http2Conn {
	h := &http2Conn{conn: cn, unsaid: make([]int, len(cn.streams)+1)}
	h.framer = http2.NewFramer(&h.out, &h.in)
	h.framer.SetReuseFrames()
	h.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return h
}

// streamID is that of the i-th subscriber, and index the way back.
func streamID(i int) uint32     { return uint32(2*i + 1) }
func streamIndex(id uint32) int { return int(id-1) / 2 }

// open asks for every stream before the server has said its limits, which are
// all above what a load has on one connection.
func (h *http2Conn) open() ([]byte, error) {
	h.out.WriteString(http2.ClientPreface)
	err := h.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: window},
	)
	if err == nil {
		err = h.framer.WriteWindowUpdate(0, window)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(h.conn.streams) && err == nil; i++ {
		block.Reset()
		err = h.request(encoder, &block, streamID(i))
	}
	return h.flush(), err
}

func (h *http2Conn) request(encoder *hpack.Encoder, block *bytes.Buffer, id uint32) error {
	target := h.conn.client.target
	fields := append([]Field{
		{":method", target.Wire.method()}, {":scheme", "http"}, {":path", target.Wire.Path}, {":authority", target.Address},
	}, target.Wire.Header...)
	for _, f := range fields {
		if err := encoder.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value}); err != nil {
			return err
		}
	}
	body := target.Wire.Body
	err := h.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: body == nil,
	})
	if err == nil && body != nil {
		err = h.framer.WriteData(id, true, body)
	}
	return err
}

// flush returns the frames written, and forgets them at the next write.
func (h *http2Conn) flush() []byte {
	defer h.out.Reset()
	return h.out.Bytes()
}

func (h *http2Conn) feed(data []byte) (int, error) {
	used := 0
	for {
		rest := data[used:]
		if len(rest) < frameHead {
			break
		}
		size := frameHead + int(rest[0])<<16 + int(rest[1])<<8 + int(rest[2])
		if len(rest) < size {
			break
		}
		h.in.Reset(rest[:size])
		frame, err := h.framer.ReadFrame()
		if err == nil {
			err = h.frame(frame)
		}
		if err != nil {
			return used, err
		}
		used += size
	}
	if h.out.Len() == 0 {
		return used, nil
	}
	return used, h.conn.write(h.flush())
}

func (h *http2Conn) frame(frame http2.Frame) error {
	switch f := frame.(type) {
	case *http2.DataFrame:
		return h.data(f)
	case *http2.MetaHeadersFrame:
		return h.headers(f)
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return h.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return h.framer.WritePing(true, f.Data)
		}
	case *http2.RSTStreamFrame:
		return fmt.Errorf("stream %d was reset: %v", f.StreamID, f.ErrCode)
	case *http2.GoAwayFrame:
		return io.EOF
	}
	return nil
}

func (h *http2Conn) data(f *http2.DataFrame) error {
	i := streamIndex(f.StreamID)
	h.conn.streams[i].take(f.Data())
	if f.StreamEnded() {
		return io.EOF
	}
	if err := h.count(i, f.StreamID, len(f.Data())); err != nil {
		return err
	}
	return h.count(len(h.conn.streams), 0, len(f.Data()))
}

// count opens the window of a stream, or with id 0 of the connection, again.
func (h *http2Conn) count(i int, id uint32, n int) error {
	h.unsaid[i] += n
	if h.unsaid[i] < refill {
		return nil
	}
	n, h.unsaid[i] = h.unsaid[i], 0
	return h.framer.WriteWindowUpdate(id, uint32(n))
}

func (h *http2Conn) headers(f *http2.MetaHeadersFrame) error {
	s := h.conn.streams[streamIndex(f.StreamID)]
	status := f.PseudoValue("status")
	switch {
	case s.ready && f.StreamEnded():
		return io.EOF
	case f.StreamEnded() || status != strconv.Itoa(200):
		return fmt.Errorf("stream %d was refused: %v", f.StreamID, f.Fields)
	}
	s.opened()
	return nil
}
