package load

import (
	"errors"
	"fmt"
	"io"
)

// protocol takes the framing off what a connection reads.
type protocol interface {
	// open returns what the client says first.
	open() ([]byte, error)
	// feed takes whole units from the head of data and returns how many bytes
	// they had. It returns io.EOF when the server has ended the connection.
	feed(data []byte) (int, error)
}

// conn is one connection with its subscribers.
type conn struct {
	client   *Client
	socket   socket
	secure   *secure // nil without TLS
	protocol protocol
	streams  []*stream
	rest     []byte // the beginning of a unit whose end has not come
	closed   bool
}

func (c *Client) newConn(streams int) *conn {
	cn := &conn{client: c}
	for range streams {
		cn.streams = append(cn.streams, newStream(c))
	}
	switch c.target.Wire.Protocol {
	case WebSocket:
		cn.protocol = &webSocket{conn: cn}
	case HTTP1:
		cn.protocol = &http1{conn: cn}
	case HTTP2:
		cn.protocol = newHTTP2(cn)
	}
	return cn
}

func (cn *conn) dial() error {
	first, err := cn.protocol.open()
	if err != nil {
		return err
	}
	if cn.socket, err = dial(cn.client.target.Address); err != nil {
		return err
	}
	if cn.client.target.Wire.TLS {
		if cn.secure, err = secured(cn.socket); err != nil {
			return errors.Join(err, cn.socket.close())
		}
	}
	if err := cn.write(first); err != nil {
		return errors.Join(err, cn.socket.close())
	}
	cn.client.conns = append(cn.client.conns, cn)
	return cn.client.poll.add(int(cn.socket), cn.readable)
}

// write writes all of b.
func (cn *conn) write(b []byte) error {
	if cn.secure != nil {
		return cn.secure.write(b)
	}
	return cn.socket.write(b)
}

// readable reads once: what is left makes the connection readable again. What TLS
// leaves does not, so there it reads until there is nothing.
func (cn *conn) readable() error {
	if cn.secure == nil {
		_, err := cn.readOnce(cn.socket.read)
		return err
	}
	for {
		n, err := cn.readOnce(cn.secure.read)
		if n == 0 || err != nil || cn.closed {
			return err
		}
	}
}

func (cn *conn) readOnce(read func([]byte) (int, error)) (int, error) {
	buffer := cn.client.buffer
	kept := copy(buffer, cn.rest)
	n, err := read(buffer[kept:])
	if n == 0 && err == nil {
		return 0, nil
	}
	cn.client.read()
	data := buffer[:kept+n]
	var used int
	if err == nil {
		used, err = cn.protocol.feed(data)
	}
	if errors.Is(err, io.EOF) {
		return n, cn.lose()
	}
	if err == nil && used == 0 && len(data) == len(buffer) {
		err = errors.New("a frame is larger than the buffer")
	}
	cn.rest = append(cn.rest[:0], data[used:]...)
	return n, err
}

// lose is what happens when the server ends a connection: it counts, unless it
// never served.
func (cn *conn) lose() error {
	if !cn.streams[0].ready {
		return fmt.Errorf("the server closed a connection before it was subscribed, after %q", cn.streams[0].early)
	}
	for _, s := range cn.streams {
		s.leave()
	}
	cn.client.result.Closed++
	return errors.Join(cn.client.poll.remove(int(cn.socket)), cn.close())
}

func (cn *conn) close() error {
	if cn.closed {
		return nil
	}
	cn.closed = true
	return cn.socket.close()
}

// stall stops reading.
func (cn *conn) stall() error {
	for _, s := range cn.streams {
		if s.ready {
			s.client.live--
			s.ready = false
		}
	}
	return cn.client.poll.remove(int(cn.socket))
}
