package service

import (
	"hash/maphash"
	"slices"
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
	follow func(m *engine.Message, t *topic, patterns []*topic) *followed
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
	var looks *followed
	if h.follow != nil {
		looks = h.follow(m, t, patterns)
	}
	if t != nil {
		t.publish(newMessageFrame(m).lookedAt(looks))
	}
	for _, p := range patterns {
		p.publish(newPatternFrame(m, p.name).lookedAt(looks))
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
	name string               // set once
	tail atomic.Pointer[node] // the newest node, never nil; changed under mu

	mu     sync.Mutex
	known  engine.Position
	meter  meter
	groups []*group // the subscriptions, by their writers
	size   int      // how many they are
}

// node is one place in a topic's list.
type node struct {
	frame *Frame // nil in the node that a topic starts with
	bytes uint64 // of all frames of the topic up to this one
	next  atomic.Pointer[node]
}

func newTopic(name string) *topic {
	t := &topic{name: name}
	t.tail.Store(&node{})
	return t
}

// publish appends a frame and has the writers tell the subscriptions.
func (t *topic) publish(f *Frame) {
	size := f.size()
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.tail.Load()
	n := &node{frame: f, bytes: last.bytes + uint64(size)}
	last.next.Store(n)
	t.tail.Store(n)
	if m := f.Message; m != nil {
		t.meter.add(m.Time.UnixNano(), size)
		if !m.Ephemeral {
			t.known = m.Position
		}
	}
	for _, g := range t.groups {
		g.mark()
	}
}

func (t *topic) add(sub *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.group(sub.session.writer)
	g.size++
	t.size++
	sub.topic, sub.group = t, g
	g.change(change{sub: sub})
}

// group is that of a writer. Called under mu.
func (t *topic) group(w *writer) *group {
	for _, g := range t.groups {
		if g.writer == w {
			return g
		}
	}
	g := &group{topic: t, writer: w}
	t.groups = append(t.groups, g)
	return g
}

func (t *topic) remove(sub *subscription) (left int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := sub.group
	g.change(change{sub: sub, gone: true})
	g.mark() // so that it is let go of
	t.size--
	g.size--
	if g.size == 0 {
		t.groups = slices.DeleteFunc(t.groups, func(other *group) bool { return other == g })
	}
	return t.size
}

func (t *topic) subscribers() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.size
}
