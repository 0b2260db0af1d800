package ws

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/coder/websocket"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// firstCommand is what a connection with `?auth=frame` begins with: credentials
// of a page that can set no header, and has no cookie here.
type firstCommand struct {
	id    commandID
	token string
}

// maxFirstFrame is more than the longest token, with what is around it.
const maxFirstFrame = 16 << 10

// awaitCredentials upgrades the connection and waits for the first frame. There is
// no session yet: what a stranger can hold is a connection, and not for long. It
// returns false if the connection has ended.
func (c *connection) awaitCredentials() bool {
	c.answered = true
	if err := c.accept(); err != nil {
		return false // the library has answered
	}
	first, err := c.readFirst()
	if err != nil {
		c.dismiss(err)
		return false
	}
	c.first = &first
	c.peer = c.peer.WithToken(first.token)
	return true
}

func (c *connection) readFirst() (firstCommand, error) {
	limit := c.handler.service.Limits().Handshake
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, reader, err := c.conn.Reader(ctx)
	var data []byte
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(reader, maxFirstFrame+1))
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return firstCommand{}, service.TimedOut("limits.handshake", limit)
	case err != nil:
		return firstCommand{}, err
	case len(data) > maxFirstFrame:
		return firstCommand{}, service.TooLarge("frame", len(data), maxFirstFrame)
	}
	first, err := c.wire.credentials(data)
	if err == nil && first.token == "" {
		err = service.Refuse(millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED, "", "the first frame has no token")
	}
	return first, err
}

// dismiss ends a connection that has no session: it says why, and gives the
// client a moment to close.
func (c *connection) dismiss(err error) {
	c.out.Shut(closeFrame(websocket.StatusCode(service.CloseCode(err)), closeReason(err)))
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for err = nil; err == nil; {
		var reader io.Reader
		if _, reader, err = c.conn.Reader(ctx); err == nil {
			_, err = io.Copy(io.Discard, io.LimitReader(reader, maxFirstFrame))
		}
	}
	c.out.Finish()
}
