package load

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	bufferSize  = 1 << 20
	opening     = 64          // connections that are being subscribed at once
	openTimeout = time.Minute // for all of them
	longestWait = 20 * time.Millisecond
)

// Client has subscribers on a server, and publishes to them. Only one goroutine
// may use it.
type Client struct {
	// Set once.
	target     Target
	poll       *poller
	conns      []*conn
	publishers []*publisher
	buffer     []byte // of every read

	idle   []*publisher // that may publish
	live   int          // subscribers that are ready
	now    int64        // when the bytes in buffer were read
	result *Result      // of the run
	missed uint64       // deliveries of the run that will not come
}

// Open subscribes, and returns when every subscription is confirmed.
func Open(ctx context.Context, target Target, subscribers int) (*Client, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	c := &Client{target: target, poll: poll, buffer: make([]byte, bufferSize), result: &Result{}}
	ctx, cancel := context.WithTimeoutCause(ctx, openTimeout, errors.New("the server took too long"))
	defer cancel()
	if err := c.open(ctx, subscribers); err != nil {
		return nil, errors.Join(fmt.Errorf("open %d of %d subscribers: %w", c.live, subscribers, err), c.Close())
	}
	return c, nil
}

func (c *Client) open(ctx context.Context, subscribers int) error {
	streams := c.target.Wire.streams()
	for asked := 0; c.live < subscribers; {
		for asked < subscribers && asked-c.live < max(opening, streams) {
			n := min(streams, subscribers-asked)
			if err := c.newConn(n).dial(); err != nil {
				return err
			}
			asked += n
		}
		if err := c.step(ctx, longestWait); err != nil {
			return err
		}
	}
	return nil
}

// step serves what is readable.
func (c *Client) step(ctx context.Context, wait time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return c.poll.wait(wait)
}

// read notes that something was read.
func (c *Client) read() {
	c.now = time.Now().UnixNano()
	c.result.Reads++
}

// Idle keeps the connections alive for a while.
func (c *Client) Idle(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := c.step(ctx, min(longestWait, time.Until(end))); err != nil {
			return err
		}
	}
	return nil
}

// Stall has the last subscribers, or a few more that share a connection with
// them, read nothing any more. They are not awaited.
func (c *Client) Stall(subscribers int) (stalled int, err error) {
	for i := len(c.conns) - 1; i >= 0 && stalled < subscribers; i-- {
		stalled += len(c.conns[i].streams)
		if err := c.conns[i].stall(); err != nil {
			return stalled, err
		}
	}
	return stalled, nil
}

// Close ends all connections.
func (c *Client) Close() error {
	err := c.poll.close()
	for _, cn := range c.conns {
		err = errors.Join(err, cn.close())
	}
	for _, p := range c.publishers {
		err = errors.Join(err, p.socket.close())
	}
	return err
}
