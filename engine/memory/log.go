package memory

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"millrace.dev/engine"
)

// log is one channel: a ring of the kept messages, whose offsets are dense.
type log struct {
	// newest is the sequence of the newest message, read without the lock.
	newest atomic.Uint64

	mu        sync.Mutex
	epoch     string
	head      uint64 // offset of the newest message
	low       uint64 // offset of ring[first]; head+1 when none is kept
	ring      []*engine.Message
	first     int // index in ring of the message at low
	keep      engine.Retention
	ttls      int // how many kept messages have a ttl of their own
	ids       map[string]appended
	order     []string // ids, oldest first
	producers map[string]producer
	used      time.Time // last time anybody asked
	dropped   bool      // no longer in the shard; look it up again
}

// digest tells the contents of messages apart.
type digest [sha256.Size]byte

// appended is what is remembered of an id.
type appended struct {
	offset  uint64
	content digest
	time    time.Time
}

// use locks the log. It returns false, without the lock, if the log was dropped.
func (l *log) use() bool {
	l.mu.Lock()
	if l.dropped {
		l.mu.Unlock()
		return false
	}
	l.used = time.Now()
	return true
}

func (l *log) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped = true
}

// isUnused reports whether nothing is lost with the log. One that never had a
// message has nothing that the next one would not have.
func (l *log) isUnused(now time.Time, options Options) bool {
	idle := now.Sub(l.used)
	if l.head == 0 {
		return idle >= sweepInterval
	}
	return l.kept() == 0 && len(l.ids) == 0 && len(l.producers) == 0 && idle >= options.StateTTL
}

func (l *log) kept() int { return int(l.head + 1 - l.low) }

func (l *log) at(offset uint64) *engine.Message {
	return l.ring[(l.first+int(offset-l.low))%len(l.ring)]
}

func (l *log) state() engine.State {
	return engine.State{Epoch: l.epoch, Low: l.low, Head: l.head, Sequence: l.newest.Load()}
}

func (l *log) isAt(p engine.Position) bool {
	if p.Offset == 0 && p.Epoch == "" {
		return l.head == 0
	}
	return p.Offset == l.head && p.Epoch == l.epoch
}

// push makes m the head.
func (l *log) push(m *engine.Message, keep engine.Retention) {
	m.Previous = l.head
	l.head++
	m.Position = engine.Position{Epoch: l.epoch, Offset: l.head}
	l.newest.Store(m.Sequence)
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
func (l *log) resize(limit int) {
	ring := make([]*engine.Message, min(max(2*l.kept(), 4), limit))
	for i := range l.kept() - 1 {
		ring[i] = l.at(l.low + uint64(i))
	}
	l.ring, l.first = ring, 0
}

// shift drops the oldest message.
func (l *log) shift() {
	if l.ring[l.first].TTL > 0 {
		l.ttls--
	}
	l.ring[l.first] = nil
	l.first = (l.first + 1) % len(l.ring)
	l.low++
}

func (l *log) clear() {
	l.ring, l.first, l.low, l.ttls = nil, 0, l.head+1, 0
}

// expire drops what is too old at the oldest end. Messages with a ttl of their
// own may be dead in the middle; they are passed over when read.
func (l *log) expire(now time.Time) {
	for l.low <= l.head && l.dead(l.ring[l.first], now) {
		l.shift()
	}
	if l.low > l.head && l.ring != nil {
		l.clear()
	}
}

func (l *log) dead(m *engine.Message, now time.Time) bool {
	age := now.Sub(m.Time)
	return l.keep.Age > 0 && age >= l.keep.Age || m.TTL > 0 && age >= m.TTL
}

func (l *log) read(options engine.ReadOptions, now time.Time) engine.Page {
	page := engine.Page{State: l.state()}
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
func (l *log) lookUp(id string, content digest) (engine.Receipt, bool, error) {
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
func (l *log) remember(m *engine.Message, content digest, now time.Time, options Options) {
	if m.ID == "" {
		return
	}
	if l.ids == nil {
		l.ids = map[string]appended{}
	}
	l.ids[m.ID] = appended{offset: l.head, content: content, time: now}
	l.order = append(l.order, m.ID)
	l.forget(now, options)
}

// forget drops the ids that are out of the deduplication window.
func (l *log) forget(now time.Time, options Options) {
	drop := 0
	for _, id := range l.order {
		if len(l.order)-drop <= options.DedupIDs && now.Sub(l.ids[id].time) < options.DedupWindow {
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

// fingerprint is a digest of what the publisher said: a retry has the same one.
func fingerprint(m *engine.Message) (sum digest) {
	if m.ID == "" {
		return sum
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q%q%q%d;", m.Type, m.Key, m.Payload.ContentType, m.Payload.Kind)
	h.Write(m.Payload.Data)
	h.Sum(sum[:0])
	return sum
}
