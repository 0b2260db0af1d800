package service

import (
	"strings"
	"sync"
	"sync/atomic"
)

// patternIndex finds the topics of the patterns that match a channel, by
// walking a tree of their tokens. Its zero value is empty.
type patternIndex struct {
	count atomic.Int64 // read without the lock: most servers have no patterns
	mu    sync.RWMutex
	root  patternNode
}

type patternNode struct {
	topic    *topic // of the pattern that ends here
	rest     *topic // of the pattern that ends here with ">"
	children map[string]*patternNode
}

func (x *patternIndex) add(t *topic) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.count.Add(1)
	n := &x.root
	for token := range strings.SplitSeq(t.name, ".") {
		if token == ">" {
			n.rest = t
			return
		}
		if n.children == nil {
			n.children = map[string]*patternNode{}
		}
		child := n.children[token]
		if child == nil {
			child = &patternNode{}
			n.children[strings.Clone(token)] = child
		}
		n = child
	}
	n.topic = t
}

func (x *patternIndex) remove(t *topic) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.count.Add(-1)
	x.root.remove(t.name)
}

// remove takes out a pattern and the nodes that it alone needed.
func (n *patternNode) remove(pattern string) (empty bool) {
	token, rest, more := strings.Cut(pattern, ".")
	switch child := n.children[token]; {
	case token == ">":
		n.rest = nil
	case !more:
		child.topic = nil
		if child.isEmpty() {
			delete(n.children, token)
		}
	case child.remove(rest):
		delete(n.children, token)
	}
	return n.isEmpty()
}

func (n *patternNode) isEmpty() bool {
	return n.topic == nil && n.rest == nil && len(n.children) == 0
}

// match returns the topics of the patterns that match, nil for none.
func (x *patternIndex) match(name string) []*topic {
	if x.count.Load() == 0 {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.root.match(name, nil)
}

func (n *patternNode) match(name string, found []*topic) []*topic {
	if n.rest != nil {
		found = append(found, n.rest)
	}
	token, rest, more := strings.Cut(name, ".")
	for _, child := range [2]*patternNode{n.children[token], n.children["*"]} {
		switch {
		case child == nil:
		case more:
			found = child.match(rest, found)
		case child.topic != nil:
			found = append(found, child.topic)
		}
	}
	return found
}
