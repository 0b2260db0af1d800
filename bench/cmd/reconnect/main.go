// Command reconnect cuts the connections of many sessions, has all come back at
// once while publishing goes on, and checks that each misses and repeats nothing.
// It prints what it took as JSON, and fails where a message is lost, repeated or
// out of order. The server must be Millrace and let it do everything:
//
//	millrace serve --listen 127.0.0.1:8080 &
//	go run ./cmd/reconnect -address 127.0.0.1:8080 -sessions 10000
//
// Each of the two processes needs a file descriptor for every session.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "reconnect:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var c crowd
	var sessions int
	var limit time.Duration
	flag.StringVar(&c.address, "address", "127.0.0.1:8080", "`host:port` of the server")
	flag.IntVar(&sessions, "sessions", 10_000, "sessions")
	flag.IntVar(&c.channels, "channels", 100, "channels that they are subscribed to, one each")
	flag.IntVar(&c.each, "each", 20, "messages to each channel before, between and after")
	flag.DurationVar(&limit, "limit", 2*time.Minute, "when to give up")
	flag.Parse()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c.name = fmt.Sprint("room", time.Now().UnixNano())
	for i := range sessions {
		c.sessions = append(c.sessions, &session{crowd: &c, channel: fmt.Sprint(c.name, ".", i%c.channels)})
	}
	report, err := c.play(ctx)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

// crowd is all sessions, and what they are subscribed to.
type crowd struct {
	address, name  string
	channels, each int
	sessions       []*session
}

// play opens all, cuts all, and has all come back.
func (c *crowd) play(ctx context.Context) (report map[string]any, err error) {
	begin := time.Now()
	if err := c.all(100, func(s *session) error { return s.open(ctx) }); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	opened := time.Since(begin)
	if err := c.publish(ctx); err != nil {
		return nil, err
	}
	if err := c.all(len(c.sessions), func(s *session) error { return s.readUpTo(ctx, c.each) }); err != nil {
		return nil, fmt.Errorf("before: %w", err)
	}
	for _, s := range c.sessions {
		_ = s.conn.CloseNow() // as one that is lost
	}
	if err := c.publish(ctx); err != nil {
		return nil, err
	}
	back := time.Now()
	var publishing sync.WaitGroup
	var failed error
	publishing.Go(func() { failed = c.publish(ctx) })
	err = c.all(len(c.sessions), func(s *session) error { return s.comeBack(ctx, back) })
	publishing.Wait()
	if err = firstOf(err, failed); err != nil {
		return nil, fmt.Errorf("come back: %w", err)
	}
	resumed, complete := c.times(func(s *session) time.Duration { return s.resumed }), c.times(func(s *session) time.Duration { return s.complete })
	cuts := 0
	for _, s := range c.sessions {
		cuts += s.cuts
	}
	return map[string]any{
		"sessions": len(c.sessions), "messagesEach": 3 * c.each, "deliveries": 3 * c.each * len(c.sessions),
		"lost": 0, "repeated": 0, // or there was an error
		"openedAfter": opened.String(), "cuts": cuts,
		"resumed": resumed, "complete": complete,
	}, nil
}

// all does something for every session, so many at a time.
func (c *crowd) all(atOnce int, do func(*session) error) error {
	var running sync.WaitGroup
	failed := make([]error, len(c.sessions))
	turns := make(chan struct{}, atOnce)
	for i, s := range c.sessions {
		turns <- struct{}{}
		running.Go(func() {
			failed[i] = do(s)
			<-turns
		})
	}
	running.Wait()
	return firstOf(failed...)
}

// firstOf is the first error, with the number of all.
func firstOf(errs ...error) error {
	found := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%d times: %w", len(found), found[0])
}

// times are what half, 99 in a hundred and all of the sessions took.
func (c *crowd) times(of func(*session) time.Duration) map[string]string {
	var all []time.Duration
	for _, s := range c.sessions {
		all = append(all, of(s).Round(time.Millisecond))
	}
	slices.Sort(all)
	return map[string]string{"p50": all[len(all)/2].String(), "p99": all[len(all)*99/100].String(), "all": all[len(all)-1].String()}
}
