package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ledger knows what was published and what each reader has seen, and finds what
// breaks a rule of docs/PROTOCOL.md.
type ledger struct {
	mu      sync.Mutex
	acked   map[string]map[uint64]ack // by channel and offset
	begun   map[string]time.Time      // when the newest of a channel that was acknowledged was begun
	heads   map[string]uint64         // newest acknowledged offset of a channel
	placed  map[string]map[uint64]string
	readers []*reader
	broken  map[string]int // how often each rule was
	slow    []*publication // that took longest, the longest first
	latest  string         // delivery after its acknowledgement
	going   string         // what is going on
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
	LongestPublish, LongestTry, LongestDelay   time.Duration
}

func newLedger() *ledger {
	return &ledger{acked: map[string]map[uint64]ack{}, begun: map[string]time.Time{}, heads: map[string]uint64{}, placed: map[string]map[uint64]string{}}
}

// faultf tells of a breach of a rule, and counts it.
func (l *ledger) faultf(rule, format string, args ...any) {
	if l.broken == nil {
		l.broken = map[string]int{}
	}
	l.broken[rule]++
	sayf("%s broken: %s: %s (during %q)", time.Now().Format(time.TimeOnly), rule, fmt.Sprintf(format, args...), l.going)
}

// notef is faultf for who does not hold mu.
func (l *ledger) notef(rule, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faultf(rule, format, args...)
}

// verdict is an error if a rule was broken.
func (l *ledger) verdict() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.broken) > 0 {
		return fmt.Errorf("rules were broken: %v", l.broken)
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
			if what != "" {
				sayf("%s after %s", what, time.Since(began).Round(time.Millisecond))
			}
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
func (l *ledger) published(p *publication) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked[p.channel] == nil {
		l.acked[p.channel] = map[uint64]ack{}
	}
	if other, taken := l.acked[p.channel][p.offset]; taken {
		l.faultf("B-1", "%s: %s and %s were both acknowledged at %d", p.channel, other.id, p.id, p.offset)
	}
	if p.offset <= l.heads[p.channel] {
		l.faultf("D-2", "%s: %s was acknowledged at %d, after %d", p.channel, p.id, p.offset, l.heads[p.channel])
	}
	l.acked[p.channel][p.offset] = ack{p.id, time.Now()}
	l.heads[p.channel], l.begun[p.channel] = p.offset, p.began
	l.Acked++
	l.Retries += len(p.failed)
	l.LongestPublish = max(l.LongestPublish, p.took)
	for _, f := range p.failed {
		l.LongestTry = max(l.LongestTry, f.took)
	}
	l.slow = append(l.slow, p)
	slices.SortFunc(l.slow, func(a, b *publication) int { return cmp.Compare(b.took, a.took) })
	l.slow = l.slow[:min(len(l.slow), slowest)]
}

// slowest is how many of the publications that took longest are told in full.
const slowest = 5

// begins notes what is going on from now on.
func (l *ledger) begins(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.going = what
}

// now is what is going on.
func (l *ledger) now() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.going
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
		if late := time.Since(a.at); late > l.LongestDelay {
			l.LongestDelay, l.latest = late, fmt.Sprintf("%s to %s at %s, during %q", id, r, time.Now().Format(time.TimeOnly), l.going)
		}
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

// stuck names a reader who does not have what was begun to be published since a time,
// or a channel of which nothing was acknowledged.
func (l *ledger) stuck(since time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.readers {
		if l.begun[r.channel].Before(since) {
			return r.channel + " takes nothing"
		}
		if a, ok := l.acked[r.channel][r.offset]; r.offset < l.heads[r.channel] && (!ok || a.at.Before(since)) {
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
