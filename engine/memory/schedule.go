package memory

import (
	"container/heap"
	"sync"
	"time"
)

// schedule says when each log of a shard has something to be freed. A sweep looks
// at those whose time has come and at no others, so a channel in which nothing
// happens costs nothing, however many of them there are.
type schedule struct {
	mu    sync.Mutex
	plans plans
}

// plan is when a log is to be looked at.
type plan struct {
	log  *log
	at   time.Time
	next int // index in plans, -1 for none
}

// by has the log looked at no later than at.
func (s *schedule) by(p *plan, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case p.next < 0:
		p.at = at
		heap.Push(&s.plans, p)
	case at.Before(p.at):
		p.at = at
		heap.Fix(&s.plans, p.next)
	}
}

// takeDue takes the logs whose time has come.
func (s *schedule) takeDue(now time.Time) []*log {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []*log
	for len(s.plans) > 0 && !s.plans[0].at.After(now) {
		due = append(due, heap.Pop(&s.plans).(*plan).log) //nolint:errcheck // plans hold nothing else
	}
	return due
}

// plans is a heap of those that are to come, the next one first.
type plans []*plan

// Len implements [heap.Interface].
func (p *plans) Len() int { return len(*p) }

// Less implements [heap.Interface].
func (p *plans) Less(i, j int) bool { return (*p)[i].at.Before((*p)[j].at) }

// Swap implements [heap.Interface].
func (p *plans) Swap(i, j int) {
	(*p)[i], (*p)[j] = (*p)[j], (*p)[i]
	(*p)[i].next, (*p)[j].next = i, j
}

// Push implements [heap.Interface].
func (p *plans) Push(x any) {
	added := x.(*plan) //nolint:errcheck // by pushes nothing else
	added.next = len(*p)
	*p = append(*p, added)
}

// Pop implements [heap.Interface].
func (p *plans) Pop() any {
	last := len(*p) - 1
	taken := (*p)[last]
	taken.next = -1
	(*p)[last] = nil
	*p = (*p)[:last]
	return taken
}
