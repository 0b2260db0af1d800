package nats

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	client "github.com/nats-io/nats.go"
)

// kept is who hears what is kept. What the stream has when he comes he is told from
// there, and what it takes later as this node follows it.
type kept struct {
	mu   sync.Mutex
	hear func([]byte)
	next uint64 // what is before it was heard
}

// Keep implements [engine.Keeper].
func (e *nats) Keep(ctx context.Context, key string, data []byte, ttl time.Duration) error {
	m := client.NewMsg(e.options.Prefix + keptSpace + encode(key))
	m.Data = data
	m.Header["Nats-TTL"] = []string{fmt.Sprintf("%ds", max(ttl, time.Second)/time.Second)}
	ctx, cancel := context.WithTimeout(ctx, e.options.AppendTimeout)
	defer cancel()
	var sequence uint64
	err := e.insist(ctx, func() (err error) {
		sequence, err = e.stream.send(ctx, m)
		return err
	})
	if err != nil {
		return err
	}
	return e.arrive(ctx, sequence)
}

// insist does something until it succeeds, or ctx ends.
func (e *nats) insist(ctx context.Context, do func() error) error {
	for wait := minBackoff; ; wait = min(2*wait, maxBackoff) {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// Kept implements [engine.Keeper].
func (e *nats) Kept(ctx context.Context, hear func(data []byte)) error {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	e.kept.mu.Lock() // what comes meanwhile is heard afterwards
	defer e.kept.mu.Unlock()
	e.kept.next = 1
	err := e.insist(ctx, func() (err error) {
		e.kept.next, err = e.readKept(ctx, e.kept.next, hear)
		return err
	})
	if err == nil {
		e.kept.hear = hear
	}
	return err
}

// readKept reads what the stream keeps from a sequence on, and returns where it has
// got to. What the leader says is the newest must be among it: another replica that
// answers may not have it yet.
func (e *nats) readKept(ctx context.Context, from uint64, hear func([]byte)) (next uint64, err error) {
	all := e.options.Prefix + keptSpace + ">"
	newest, err := e.stream.get(ctx, getRequest{LastOf: all})
	if err != nil || newest == nil {
		return from, err
	}
	for from <= newest.sequence {
		batch, _, err := e.stream.read(ctx, all, from)
		if err == nil && len(batch) == 0 {
			err = unavailable("read what is kept", fmt.Errorf("a replica has nothing after %d, and the leader has %d", from, newest.sequence))
		}
		if err != nil {
			return from, err
		}
		for _, one := range batch {
			hear(one.data)
			from = one.sequence + 1
		}
	}
	return from, nil
}

// hearKept tells what the stream has taken to be kept; false if that is something
// else.
func (e *nats) hearKept(one *stored) bool {
	if !strings.HasPrefix(one.subject, e.options.Prefix+keptSpace) {
		return false
	}
	e.kept.mu.Lock()
	defer e.kept.mu.Unlock()
	if e.kept.hear != nil && one.sequence >= e.kept.next {
		e.kept.hear(one.data)
	}
	return true
}
