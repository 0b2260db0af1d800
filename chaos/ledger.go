package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// ledger knows what was published and what each reader has seen, and finds what
// breaks a rule of docs/PROTOCOL.md.
type ledger struct {
	mu      sync.Mutex
	acked   map[string]map[uint64]ack // by channel and offset
	heads   map[string]uint64         // newest acknowledged offset of a channel
	placed  map[string]map[uint64]string
	readers []*reader
	faults  []string
	numbers
}

// ack is a message that was acknowledged.
type ack struct {
	id string
	at time.Time
}

// numbers are what a run adds up to.
type numbers struct {
	Acked, Delivered, Resumes, Retries, Leaves int
	LongestPublish, LongestDelay               time.Duration
}

func newLedger() *ledger {
	return &ledger{acked: map[string]map[uint64]ack{}, heads: map[string]uint64{}, placed: map[string]map[uint64]string{}}
}

func (l *ledger) faultf(rule, format string, args ...any) {
	l.faults = append(l.faults, time.Now().Format(time.TimeOnly)+" "+rule+": "+fmt.Sprintf(format, args...))
}

// notef is faultf for who does not hold mu.
func (l *ledger) notef(rule, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faultf(rule, format, args...)
}

// verdict shows the first rules that were broken, and is an error if some were.
func (l *ledger) verdict() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults[:min(len(l.faults), 20)] {
		fmt.Fprintln(os.Stderr, " ", f)
	}
	if len(l.faults) > 0 {
		return fmt.Errorf("%d rules were broken", len(l.faults))
	}
	return nil
}

// await waits until nothing is wrong, and notes as a breach of a rule what still is
// when it may not be any more.
func (l *ledger) await(ctx context.Context, rule, what string, within time.Duration, wrong func() string) {
	began := time.Now()
	for {
		text := wrong()
		if text == "" {
			fmt.Fprintf(os.Stderr, "%s after %s\n", what, time.Since(began).Round(time.Millisecond))
			return
		}
		if time.Since(began) > within || ctx.Err() != nil {
			l.notef(rule, "not so after %s: %s: %s", within, what, text)
			return
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// published notes an acknowledgement, and how long it took.
func (l *ledger) published(channel, id string, offset uint64, took time.Duration, tries int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked[channel] == nil {
		l.acked[channel] = map[uint64]ack{}
	}
	if other, taken := l.acked[channel][offset]; taken {
		l.faultf("B-1", "%s: %s and %s were both acknowledged at %d", channel, other.id, id, offset)
	}
	if offset <= l.heads[channel] {
		l.faultf("D-2", "%s: %s was acknowledged at %d, after %d", channel, id, offset, l.heads[channel])
	}
	l.acked[channel][offset] = ack{id, time.Now()}
	l.heads[channel] = offset
	l.Acked++
	l.Retries += tries - 1
	l.LongestPublish = max(l.LongestPublish, took)
}

// reader is one subscriber, over all its connections.
type reader struct {
	ledger        *ledger
	wire, channel string
	epoch         string
	offset        uint64 // of the last message
	seen          map[string]bool
	cursor        string // of the last event; owned by the goroutine that follows
}

func (l *ledger) reader(wire, channel string) *reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &reader{ledger: l, wire: wire, channel: channel, seen: map[string]bool{}}
	l.readers = append(l.readers, r)
	return r
}

func (r *reader) String() string { return r.channel + " on " + r.wire }

// sees takes a message.
func (r *reader) sees(epoch string, offset uint64, id string) {
	l := r.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Delivered++
	switch {
	case r.epoch != "" && epoch != r.epoch:
		l.faultf("D-5", "%s: the epoch changes from %s to %s without a gap", r, r.epoch, epoch)
	case offset <= r.offset:
		l.faultf("D-4", "%s: %d comes after %d", r, offset, r.offset)
	case r.offset > 0 && offset != r.offset+1:
		l.faultf("D-4", "%s: %d follows %d without a gap", r, offset, r.offset)
	case r.seen[id]:
		l.faultf("B-1", "%s: %s comes twice", r, id)
	}
	if l.placed[r.channel] == nil {
		l.placed[r.channel] = map[uint64]string{}
	}
	if other, known := l.placed[r.channel][offset]; known && other != id {
		l.faultf("D-1", "%s: %s is at %d, where another reader has %s", r, id, offset, other)
	}
	l.placed[r.channel][offset] = id
	r.epoch, r.offset, r.seen[id] = epoch, offset, true
	if a, known := l.acked[r.channel][offset]; known {
		l.LongestDelay = max(l.LongestDelay, time.Since(a.at))
	}
}

// gap takes a gap: nothing here is ever forgotten, so there must be none.
func (r *reader) gap(what string) {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	r.ledger.faultf("D-4", "%s: a gap, though all is kept: %s", r, what)
}

func (r *reader) resumes() (epoch string, offset uint64) {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	r.ledger.Resumes++
	return r.epoch, r.offset
}

// behind names a reader that has not seen all that was acknowledged.
func (l *ledger) behind() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.readers {
		if r.offset < l.heads[r.channel] {
			return fmt.Sprintf("%s is at %d of %d", r, r.offset, l.heads[r.channel])
		}
	}
	return ""
}

// check finds what was acknowledged and not seen.
func (l *ledger) check() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.readers {
		for offset, a := range l.acked[r.channel] {
			if !r.seen[a.id] {
				l.faultf("D-3", "%s: %s was acknowledged at %d and never came", r, a.id, offset)
			}
		}
	}
	for channel, acked := range l.acked {
		for offset, a := range acked {
			if id := l.placed[channel][offset]; id != a.id {
				l.faultf("D-3", "%s: %s was acknowledged at %d, where readers have %q", channel, a.id, offset, id)
			}
		}
	}
}
