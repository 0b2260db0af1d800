package load

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// http1 is a response of HTTP/1.1 that does not end.
type http1 struct {
	conn    *conn
	opened  bool
	chunked bool
}

func (h *http1) open() ([]byte, error) {
	target := h.conn.client.target
	header := target.Wire.Header
	if target.Wire.Body != nil {
		header = append(slices.Clip(header), Field{"content-length", strconv.Itoa(len(target.Wire.Body))})
	}
	head := requestHead(target.Wire.method(), target.Wire.Path, target.Address, header)
	return append(head, target.Wire.Body...), nil
}

func (h *http1) feed(data []byte) (int, error) {
	used := 0
	if !h.opened {
		head, size, err := responseHead(data, "200")
		if err != nil || head == "" {
			return 0, err
		}
		h.opened, h.chunked = true, strings.Contains(head, "\r\ntransfer-encoding: chunked\r\n")
		h.conn.streams[0].opened()
		used = size
	}
	if !h.chunked {
		h.conn.streams[0].take(data[used:])
		return len(data), nil
	}
	for {
		chunk, size, err := nextChunk(data[used:])
		if err != nil || size == 0 {
			return used, err
		}
		h.conn.streams[0].take(chunk)
		used += size
	}
}

// nextChunk returns the chunk at the head of data, with a size of 0 if it has
// not come as a whole, and io.EOF if it is the last one.
func nextChunk(data []byte) (chunk []byte, size int, err error) {
	line := bytes.IndexByte(data, '\n')
	if line < 0 {
		return nil, 0, nil
	}
	n := 0
	for _, digit := range bytes.TrimSuffix(data[:line], []byte("\r")) {
		value := strings.IndexByte("0123456789abcdef", digit|0x20) // in either case
		if value < 0 {
			return nil, 0, fmt.Errorf("not a chunk: %q", data[:line])
		}
		n = n<<4 | value
	}
	if n == 0 {
		return nil, 0, io.EOF
	}
	end := line + 1 + n
	if len(data) < end+len("\r\n") {
		return nil, 0, nil
	}
	return data[line+1 : end], end + len("\r\n"), nil
}
