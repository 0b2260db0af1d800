// Package channellog is the log of one channel as engines keep it in memory:
// a ring of the kept messages, and what is remembered of ids and producers.
//
//   - A log is a state machine. What becomes of it depends on the appends and
//     their times alone, so two logs that were given the same are the same.
//   - It has no lock. Its owner serves one caller at a time.
package channellog

import (
	"crypto/sha256"
	"fmt"
	"time"

	"millrace.dev/engine"
)

// Limits bound what is remembered besides messages.
type Limits struct {
	DedupWindow time.Duration // how long an id is remembered
	DedupIDs    int           // how many ids, and how many producers, at most
	StateTTL    time.Duration // how long a silent producer is remembered
}

// Log is one channel, whose offsets are dense.
type Log struct {
	limits    Limits // set once
	epoch     string // set once
	head      uint64 // offset of the newest message
	sequence  uint64 // of the newest message
	low       uint64 // offset of ring[first]; head+1 when none is kept
	ring      []*engine.Message
	first     int // index in ring of the message at low
	keep      engine.Retention
	ttls      int // how many kept messages have a ttl of their own
	ids       map[string]appended
	order     []string // ids, oldest first
	producers map[string]producer
	silent    time.Time // no producer has been silent for longer
}

// New returns the log of a channel that is at the head, and of whose messages up
// to there none is kept. The zero head is that of a channel without any message.
func New(epoch string, head, sequence uint64, limits Limits) *Log {
	return &Log{limits: limits, epoch: epoch, head: head, low: head + 1, sequence: sequence}
}

// Check decides whether m is to be appended now. It is not if done is true: the
// receipt or the error is then the answer.
func (l *Log) Check(m *engine.Message, content Digest, expect *engine.Position, now time.Time) (receipt engine.Receipt, done bool, err error) {
	l.Expire(now)
	l.forget(now)
	if receipt, done, err = l.lookUp(m.ID, content); done {
		return receipt, true, err
	}
	if receipt, done, err = l.checkProducer(m); done {
		return receipt, true, err
	}
	if expect != nil && !l.isAt(*expect) {
		return engine.Receipt{Position: l.State().Position()}, true, engine.ErrPositionMismatch
	}
	return engine.Receipt{}, false, nil
}

// Append makes m, which has its Sequence, the head.
func (l *Log) Append(m *engine.Message, content Digest, keep engine.Retention, now time.Time) {
	l.Expire(now)
	l.push(m, keep)
	l.remember(m, content, now)
	l.rememberProducer(m, now)
}

// Expire forgets the messages that are too old at the oldest end. Those with a
// ttl of their own may be dead in the middle; they are passed over when read.
func (l *Log) Expire(now time.Time) {
	for l.low <= l.head && l.dead(l.ring[l.first], now) {
		l.shift()
	}
	if l.low > l.head && l.ring != nil {
		l.clear()
	}
}

// Sweep forgets everything that is too old.
func (l *Log) Sweep(now time.Time) {
	l.Expire(now)
	l.forget(now)
	l.forgetProducers(now)
}

// Due is when Sweep has something to forget. It is not ok if it never will.
func (l *Log) Due() (at time.Time, ok bool) {
	sooner := func(other time.Time) {
		if !ok || other.Before(at) {
			at, ok = other, true
		}
	}
	if l.kept() > 0 {
		m := l.ring[l.first]
		if l.keep.Age > 0 {
			sooner(m.Time.Add(l.keep.Age))
		}
		if m.TTL > 0 {
			sooner(m.Time.Add(m.TTL))
		}
	}
	if len(l.order) > 0 {
		sooner(l.ids[l.order[0]].time.Add(l.limits.DedupWindow))
	}
	if len(l.producers) > 0 {
		sooner(l.silent.Add(l.limits.StateTTL))
	}
	return at, ok
}

// IsBare reports whether nothing but the position is left.
func (l *Log) IsBare() bool {
	return l.kept() == 0 && len(l.ids) == 0 && len(l.producers) == 0
}

// State tells where the log is.
func (l *Log) State() engine.State {
	return engine.State{Epoch: l.epoch, Low: l.low, Head: l.head, Sequence: l.sequence}
}

// Digest tells the contents of messages apart.
type Digest [sha256.Size]byte

// appended is what is remembered of an id.
type appended struct {
	offset  uint64
	content Digest
	time    time.Time
}

func (l *Log) kept() int { return int(l.head + 1 - l.low) }

func (l *Log) at(offset uint64) *engine.Message {
	return l.ring[(l.first+int(offset-l.low))%len(l.ring)]
}

func (l *Log) isAt(p engine.Position) bool {
	if p.Offset == 0 && p.Epoch == "" {
		return l.head == 0
	}
	return p.Offset == l.head && p.Epoch == l.epoch
}

// push makes m the head.
func (l *Log) push(m *engine.Message, keep engine.Retention) {
	m.Previous, m.PreviousSequence = l.head, l.sequence
	l.head++
	m.Position = engine.Position{Epoch: l.epoch, Offset: l.head}
	l.sequence = m.Sequence
	l.keep = keep
	if keep.Messages == 0 {
		l.clear()
		return
	}
	for l.kept()-1 >= keep.Messages {
		l.shift()
	}
	if l.kept() > len(l.ring) || len(l.ring) > keep.Messages {
		l.resize(keep.Messages)
	}
	l.ring[(l.first+l.kept()-1)%len(l.ring)] = m
	if m.TTL > 0 {
		l.ttls++
	}
}

// resize makes the ring twice as large as it must be, up to what is ever kept.
// It is called while the new head is counted but not yet stored.
func (l *Log) resize(limit int) {
	ring := make([]*engine.Message, min(max(2*l.kept(), 4), limit))
	for i := range l.kept() - 1 {
		ring[i] = l.at(l.low + uint64(i))
	}
	l.ring, l.first = ring, 0
}

// shift drops the oldest message.
func (l *Log) shift() {
	if l.ring[l.first].TTL > 0 {
		l.ttls--
	}
	l.ring[l.first] = nil
	l.first = (l.first + 1) % len(l.ring)
	l.low++
}

func (l *Log) clear() {
	l.ring, l.first, l.low, l.ttls = nil, 0, l.head+1, 0
}

func (l *Log) dead(m *engine.Message, now time.Time) bool {
	age := now.Sub(m.Time)
	return l.keep.Age > 0 && age >= l.keep.Age || m.TTL > 0 && age >= m.TTL
}

// Read reads a page.
func (l *Log) Read(options engine.ReadOptions, now time.Time) engine.Page {
	page := engine.Page{State: l.State()}
	offset, step := l.low, uint64(1)
	if options.NewestFirst {
		offset, step = l.head, ^uint64(0) // minus one
	}
	switch {
	case options.NewestFirst && options.Before > 0:
		offset = min(offset, options.Before-1)
	case !options.NewestFirst && options.After >= l.low:
		offset = min(options.After, l.head) + 1
	}
	for ; offset >= l.low && offset <= l.head; offset += step {
		m := l.at(offset)
		if l.ttls > 0 && l.dead(m, now) {
			continue
		}
		if len(page.Messages) == options.Limit {
			page.More = true
			break
		}
		page.Messages = append(page.Messages, m)
	}
	return page
}

// lookUp finds the receipt of a message that was appended before.
func (l *Log) lookUp(id string, content Digest) (engine.Receipt, bool, error) {
	was, found := l.ids[id]
	if !found {
		return engine.Receipt{}, false, nil
	}
	receipt := engine.Receipt{Position: engine.Position{Epoch: l.epoch, Offset: was.offset}, Duplicate: true}
	if was.content != content {
		return receipt, true, engine.ErrIDReused
	}
	return receipt, true, nil
}

// remember keeps the id of the message just appended.
func (l *Log) remember(m *engine.Message, content Digest, now time.Time) {
	if m.ID == "" {
		return
	}
	if l.ids == nil {
		l.ids = map[string]appended{}
	}
	if _, known := l.ids[m.ID]; !known { // a clock that lags may not have forgotten it
		l.order = append(l.order, m.ID)
	}
	l.ids[m.ID] = appended{offset: l.head, content: content, time: now}
	l.forget(now)
}

// forget drops the ids that are out of the deduplication window.
func (l *Log) forget(now time.Time) {
	drop := 0
	for _, id := range l.order {
		if len(l.order)-drop <= l.limits.DedupIDs && now.Sub(l.ids[id].time) < l.limits.DedupWindow {
			break
		}
		delete(l.ids, id)
		drop++
	}
	l.order = l.order[drop:]
	if len(l.order) == 0 {
		l.ids, l.order = nil, nil // neither shrinks by itself
	}
}

// Fingerprint is a digest of what the publisher said: a retry has the same one.
func Fingerprint(m *engine.Message) (sum Digest) {
	if m.ID == "" {
		return sum
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q%q%q%d;", m.Type, m.Key, m.Payload.ContentType, m.Payload.Kind)
	h.Write(m.Payload.Data)
	h.Sum(sum[:0])
	return sum
}
