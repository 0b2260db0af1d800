package ws

import (
	"context"
	"errors"
	"io"

	"github.com/coder/websocket"

	"millrace.dev/adapters/internal/poll"
	"millrace.dev/service"
)

// turn does what the client asks, one command after the other, until it asks for
// nothing. It returns false when the connection has ended.
//
// The connection is between two frames when the library asks for the first byte
// of one: there the library is usable after an error, which the tests hold for
// every upgrade of it.
func (c *connection) turn() bool {
	for {
		c.betweenFrames()
		data, err := c.readFrame()
		if err == nil {
			c.heard.Store(true)
			err = c.serve(data)
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, poll.ErrSilent):
			return true
		case websocket.CloseStatus(err) == websocket.StatusNormalClosure:
			err = service.ErrLeft
		}
		c.read.Store(true)
		c.session.Leave(err)
		c.finish()
		return false
	}
}

// betweenFrames lets the connection be silent, unless part of a frame has come.
func (c *connection) betweenFrames() {
	if c.buffered.Buffered() == 0 {
		c.in.Pause()
	}
}

// serve does what one frame asks.
func (c *connection) serve(data []byte) error {
	if limit := c.handler.service.RequestBytes(); len(data) > limit {
		return c.wire.refuse(service.TooLarge("frame", len(data), limit))
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	return c.wire.command(service.WithHangUp(ctx, c.hangUp), data)
}

// readFrame reads one frame, and at most one byte more of it than the limit.
func (c *connection) readFrame() ([]byte, error) {
	_, reader, err := c.conn.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(reader, int64(c.handler.service.RequestBytes())+1))
	if err != nil {
		return nil, err
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(reader, discardBytes))
	if err == nil && rest == discardBytes {
		err = errors.New("frame is larger than anything")
		c.out.Shut(closeFrame(websocket.StatusMessageTooBig, "the frame is too large"))
	}
	return data, err
}

// answer sends one frame. A client that does not read its answers is not read
// from any more.
func (c *connection) answer(data []byte) error {
	_, err := c.out.Write(appendFrame(nil, c.wire.messageType(), data))
	return err
}
