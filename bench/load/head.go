package load

import (
	"bytes"
	"fmt"
	"strings"
)

// requestHead is the head of an HTTP/1.1 request.
func requestHead(method, path, host string, header []Field) []byte {
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nhost: %s\r\n", method, path, host)
	for _, f := range header {
		b = fmt.Appendf(b, "%s: %s\r\n", f.Name, f.Value)
	}
	return append(b, "\r\n"...)
}

// responseHead returns the head at the beginning of data in lower case and its
// size, or nothing if it has not come as a whole.
func responseHead(data []byte, status string) (head string, size int, err error) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return "", 0, nil
	}
	if !bytes.HasPrefix(data, []byte("HTTP/1.1 "+status)) {
		return "", 0, fmt.Errorf("not status %s but %q", status, data)
	}
	return strings.ToLower(string(data[:end+2])), end + 4, nil
}
