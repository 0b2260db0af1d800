package load

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// publishers is how many connections publish. Each waits for its answer before
// its next message, so that its own messages have one order on every server.
const publishers = 32

const (
	payloadHead = `{"m":"`
	payloadFill = `","p":"`
	payloadTail = `"}`
	// MinSize is that of a message without filling.
	MinSize = len(payloadHead) + markerSize + len(payloadFill) + len(payloadTail)
)

// publisher is one connection of HTTP/1.1 that publishes.
type publisher struct {
	client  *Client
	index   uint8
	number  uint32 // of its last message
	socket  socket
	request []byte
	mark    int  // place of the marker in request
	waiting bool // for an answer
	answer  []byte
}

// openPublishers opens those that are missing: who only subscribes has none.
func (c *Client) openPublishers() error {
	for i := len(c.publishers); i < publishers; i++ {
		p, err := c.newPublisher(i)
		if err != nil {
			return err
		}
		c.publishers = append(c.publishers, p)
		c.idle = append(c.idle, p)
	}
	return nil
}

func (c *Client) newPublisher(index int) (*publisher, error) {
	p := &publisher{client: c, index: uint8(index)}
	if err := p.dial(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *publisher) dial() error {
	var err error
	if p.socket, err = dial(p.client.target.publishAddress()); err != nil {
		return err
	}
	return p.client.poll.add(int(p.socket), p.readable)
}

// redial replaces a connection that the server did not keep idle any longer.
func (p *publisher) redial() error {
	return errors.Join(p.client.poll.remove(int(p.socket)), p.socket.close(), p.dial())
}

// resize makes the request for messages of a size.
func (p *publisher) resize(size int) {
	target := p.client.target
	header := append([]Field{
		{"content-type", "application/json"}, {"content-length", strconv.Itoa(size)},
	}, target.PublishHeader...)
	p.request = requestHead("POST", target.PublishPath, target.publishAddress(), header)
	p.mark = len(p.request) + len(payloadHead)
	p.request = append(p.request, payloadHead...)
	p.request = append(p.request, make([]byte, markerSize)...)
	p.request = append(p.request, payloadFill...)
	p.request = append(p.request, strings.Repeat("p", size-MinSize)...)
	p.request = append(p.request, payloadTail...)
}

func (p *publisher) publish() error {
	p.number++
	p.waiting = true
	marker{p.index, p.number, time.Now().UnixNano()}.put(p.request[p.mark:])
	return p.socket.write(p.request)
}

// readable reads the answer, and is idle again when all of it is there.
func (p *publisher) readable() error {
	n, err := p.socket.read(p.client.buffer)
	switch {
	case errors.Is(err, io.EOF) && !p.waiting:
		return p.redial()
	case errors.Is(err, io.EOF):
		err = errors.New("the server closed the connection")
	}
	p.answer = append(p.answer, p.client.buffer[:n]...)
	if err == nil {
		err = p.parse()
	}
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

func (p *publisher) parse() error {
	head, size, err := responseHead(p.answer, "20")
	if err != nil || head == "" {
		return err
	}
	length := 0
	if _, after, found := strings.Cut(head, "\r\ncontent-length: "); found {
		value, _, _ := strings.Cut(after, "\r\n")
		if length, err = strconv.Atoi(value); err != nil {
			return fmt.Errorf("content length: %w", err)
		}
	}
	if len(p.answer) >= size+length {
		p.answer, p.waiting = p.answer[:0], false
		p.client.idle = append(p.client.idle, p)
	}
	return nil
}
