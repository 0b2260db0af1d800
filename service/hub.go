package service

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"millrace.dev/channel"
	"millrace.dev/engine"
)

const hubShards = 64

// hub hands each message to the topics that want it: its channel's, and those of
// the patterns that match. Topics exist while somebody is subscribed to them.
type hub struct {
	seed     maphash.Seed
	shards   [hubShards]hubShard
	patterns patternIndex
	// follow, where it is set, says which messages somebody looks at.
	follow func(*engine.Message) *followed
}

type hubShard struct {
	mu     sync.RWMutex
	topics map[string]*topic
}

func newHub() *hub {
	h := &hub{seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].topics = map[string]*topic{}
	}
	return h
}

func (h *hub) shard(name string) *hubShard {
	return &h.shards[maphash.String(h.seed, name)%hubShards]
}

// deliver implements [engine.Deliver]. The engine calls it in order for each
// channel, so a topic has the frames of one channel in order.
func (h *hub) deliver(m *engine.Message) {
	t := h.find(m.Channel)
	var patterns []*topic
	if !strings.HasPrefix(m.Channel, reserved) { // the server's own channels are nobody's to see
		patterns = h.patterns.match(m.Channel)
	}
	if t == nil && patterns == nil {
		return
	}
	f := newMessageFrame(m)
	if h.follow != nil {
		f.followed = h.follow(m)
	}
	if t != nil {
		t.publish(f)
	}
	for _, p := range patterns {
		p.publish(f)
	}
}

// join adds a subscription to the topic of its name. From then on the topic
// sees every message that the engine delivers.
func (h *hub) join(name string, sub *subscription) {
	s := h.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[name]
	if t == nil {
		t = newTopic(name)
		s.topics[name] = t
		if channel.IsPattern(name) {
			h.patterns.add(t)
		}
	}
	t.add(sub)
}

// leave removes a subscription from its topic, and the topic with the last one.
func (h *hub) leave(sub *subscription) {
	t := sub.topic
	s := h.shard(t.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.remove(sub) > 0 {
		return
	}
	delete(s.topics, t.name)
	if channel.IsPattern(t.name) {
		h.patterns.remove(t)
	}
}

// find returns the topic of a name, nil if nobody is subscribed to it.
func (h *hub) find(name string) *topic {
	s := h.shard(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.topics[name]
}

// each calls fn with every topic.
func (h *hub) each(fn func(*topic)) {
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.RLock()
		for _, t := range s.topics {
			fn(t)
		}
		s.mu.RUnlock()
	}
}

// size is how many topics there are.
func (h *hub) size() int {
	n := 0
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.RLock()
		n += len(s.topics)
		s.mu.RUnlock()
	}
	return n
}

// topic is the stream of what happened in one channel, or in the channels of
// one pattern, since somebody subscribed: a list that the hub appends to and
// every subscription walks at its own pace, without a lock. Nodes that all have
// passed are garbage; no session has a queue of its own.
type topic struct {
	name string // set once

	mu    sync.Mutex
	tail  *node // the newest node; never nil
	known engine.Position
	meter meter
	subs  []*subscription
}

// node is one place in a topic's list.
type node struct {
	frame *Frame // nil in the node that a topic starts with
	bytes uint64 // of all frames of the topic up to this one
	next  atomic.Pointer[node]
}

func newTopic(name string) *topic { return &topic{name: name, tail: &node{}} }

// publish appends a frame and wakes the subscriptions.
func (t *topic) publish(f *Frame) {
	size := f.size()
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.tail
	n := &node{frame: f, bytes: last.bytes + uint64(size)}
	last.next.Store(n)
	t.tail = n
	if m := f.Message; m != nil {
		t.meter.add(m.Time.UnixNano(), size)
		if !m.Ephemeral {
			t.known = m.Position
		}
	}
	for _, sub := range t.subs {
		sub.notify(n, size)
	}
}

func (t *topic) add(sub *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sub.topic, sub.index = t, len(t.subs)
	t.subs = append(t.subs, sub)
}

func (t *topic) remove(sub *subscription) (left int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.subs) - 1
	t.subs[sub.index] = t.subs[last]
	t.subs[sub.index].index = sub.index
	t.subs[last] = nil
	t.subs = t.subs[:last]
	return last
}

func (t *topic) subscribers() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.subs)
}
