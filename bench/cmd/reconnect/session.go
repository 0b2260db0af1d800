package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// session is one client: its connection, and where it is in its channel.
type session struct {
	crowd   *crowd
	channel string
	conn    *websocket.Conn
	epoch   string
	offset  uint64

	resumed, complete time.Duration // since all came back
	cuts              int           // connections that ended before the session was complete
}

// frame is what a client needs of what it is sent.
type frame struct {
	Type    string `json:"type"`
	Channel string `json:"channel"`
	Reason  string `json:"reason"`
	Offset  uint64 `json:"offset"`
	Epoch   string `json:"epoch"`
	Resumed bool   `json:"resumed"`
}

// open connects and subscribes, from where the session was.
func (s *session) open(ctx context.Context) error {
	conn, _, err := websocket.Dial(ctx, "ws://"+s.crowd.address+"/ws", nil) //nolint:bodyclose // Dial has no body to close
	if err != nil {
		return err
	}
	s.conn = conn
	command := map[string]any{"type": "subscribe", "id": 1, "channel": s.channel}
	if s.epoch != "" {
		command["since"] = fmt.Sprintf("%d@%s", s.offset, s.epoch)
	}
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if err := conn.Write(ctx, websocket.MessageText, text); err != nil {
		return err
	}
	f, err := s.next(ctx)
	switch {
	case err != nil:
		return err
	case f.Type != "subscribed":
		return fmt.Errorf("%s: got %+v, want it subscribed", s.channel, f)
	case s.epoch != "" && (!f.Resumed || f.Epoch != s.epoch):
		return fmt.Errorf("%s: not resumed: %+v", s.channel, f)
	case s.epoch == "":
		s.epoch, s.offset = f.Epoch, f.Offset
	}
	return nil
}

func (s *session) next(ctx context.Context) (frame, error) {
	_, text, err := s.conn.Read(ctx)
	if err != nil {
		return frame{}, err
	}
	var f frame
	err = json.Unmarshal(text, &f)
	return f, err
}

// readUpTo reads to an offset, and fails where a message does not follow on the
// one before it.
func (s *session) readUpTo(ctx context.Context, offset int) error {
	for s.offset < uint64(offset) {
		f, err := s.next(ctx)
		if err != nil {
			return fmt.Errorf("%s after %d: %w", s.channel, s.offset, err)
		}
		if f.Channel != s.channel || f.Offset != s.offset+1 {
			return fmt.Errorf("%s after %d: got %+v", s.channel, s.offset, f)
		}
		s.offset = f.Offset
	}
	return nil
}

// comeBack opens the session again and reads all that there is. As any client does,
// it does so once more when its connection ends: this process may be so busy that
// it has taken nothing for longer than the server waits.
func (s *session) comeBack(ctx context.Context, since time.Time) error {
	for ; ; s.cuts++ {
		err := s.open(ctx)
		if err == nil && s.resumed == 0 {
			s.resumed = time.Since(since)
		}
		if err == nil {
			err = s.readUpTo(ctx, 3*s.crowd.each)
		}
		if err == nil {
			s.complete = time.Since(since)
			return s.conn.CloseNow()
		}
		if !errors.Is(err, io.EOF) || ctx.Err() != nil {
			return err
		}
	}
}

const publishers = 8

// publishing keeps its connections.
var publishing = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: publishers}}

// publish sends messages to every channel.
func (c *crowd) publish(ctx context.Context) error {
	failed := make([]error, publishers)
	var running sync.WaitGroup
	for p := range publishers {
		running.Go(func() {
			for i := p; i < c.channels && failed[p] == nil; i += publishers {
				failed[p] = c.publishTo(ctx, fmt.Sprint(c.name, ".", i))
			}
		})
	}
	running.Wait()
	return firstOf(failed...)
}

func (c *crowd) publishTo(ctx context.Context, channel string) error {
	for n := range c.each {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.address+"/publish/"+channel, strings.NewReader(fmt.Sprintf(`{"n":%d}`, n)))
		if err != nil {
			return err
		}
		response, err := publishing.Do(request)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		answer, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("publish to %s: %s %s", channel, response.Status, answer)
		}
	}
	return nil
}
