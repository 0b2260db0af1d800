package service

import (
	"context"
	"sync/atomic"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// maxBatchBytes is about how much one batch holds: enough to make its write
// worth while, little enough to keep sessions fair to each other.
const maxBatchBytes = 64 << 10

// subscription is a session's view of a topic. It is either live, walking the
// topic's list behind its cursor, or behind, while its feed reads from
// elsewhere until it can walk the list again.
type subscription struct {
	// Set once.
	key     subKey
	session *Session
	feed    feed
	topic   *topic
	pace    pace

	index int // in topic.subs; guarded by topic.mu

	// cursor is the last node that was passed, nil when the topic's frames are
	// not kept for this subscription. The session's reader moves it on; all else
	// happens under topic.mu.
	cursor  atomic.Pointer[node]
	queued  atomic.Bool // in one of the session's lists, to be read
	removed atomic.Bool

	kept latest // what waits in place of the topic's frames; guarded by topic.mu

	// Owned by the session's reader.
	behind   bool
	nextTurn time.Time // not read before
}

// pace is how much of its feed a subscription wants, and how often.
type pace struct {
	interval     time.Duration // at least between two batches
	latestPerKey bool          // of each batch, the latest message of each key
	onSlow       millracev1.OnSlow
}

// subKey tells the subscriptions of a session apart.
type subKey struct {
	name     string // channel or pattern
	presence bool   // who is present, rather than the messages
}

// feed is what a subscription shows of its topic. Only the session's reader
// calls it.
type feed interface {
	// accept takes the next frame of the topic. It returns false, having taken
	// nothing, if something is missing before it.
	accept(f *Frame, b *batch) bool
	// catchUp adds what comes before the topic's frames, and makes the
	// subscription live, from the place where the two meet. It returns false to
	// be called again, with room in the batch.
	catchUp(ctx context.Context, b *batch) (live bool, err error)
	// leave ends the subscription's place in the topic.
	leave()
	// checkpoint says where the feed is, if it moved there unseen; else nil.
	checkpoint() *Frame
}

// batch is what a session sends next.
type batch struct {
	frames []*Frame
	bytes  int
}

func (b *batch) add(frames ...*Frame) {
	for _, f := range frames {
		b.frames = append(b.frames, f)
		b.bytes += f.size()
	}
}

func (b *batch) full() bool { return b.bytes >= maxBatchBytes }

// goLive makes the topic's frames from now on wait for the subscription. It
// does nothing and returns false if caughtUp, called under topic.mu, does.
func (sub *subscription) goLive(caughtUp func(*topic) bool) bool {
	t := sub.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	if !caughtUp(t) {
		return false
	}
	sub.cursor.Store(t.tail)
	return true
}

// notify says that n was appended after last. The topic calls it under its lock.
func (sub *subscription) notify(last, n *node, size int) {
	at := sub.cursor.Load()
	if at == nil {
		return // the reader is at work and will find n
	}
	s := sub.session
	pending := s.pending.Add(int64(size))
	if pending > s.budget && n.bytes-at.bytes > uint64(size) {
		sub.overflow(at, last, n)
	}
	if !sub.queued.Swap(true) {
		s.enqueue(sub)
	}
}

// overflow makes room when the session is over its budget. Called under topic.mu.
func (sub *subscription) overflow(at, last, n *node) {
	switch sub.pace.onSlow {
	case millracev1.OnSlow_ON_SLOW_DROP_OLDEST:
		sub.skip(at, last)
	case millracev1.OnSlow_ON_SLOW_LATEST_PER_KEY:
		sub.keepLatest(n)
	case millracev1.OnSlow_ON_SLOW_UNSPECIFIED, millracev1.OnSlow_ON_SLOW_DISCONNECT:
		sub.fallBack(n)
	}
}

// skip lets go of the frames after at up to n, unless the reader has moved on
// meanwhile, and so is not too slow.
func (sub *subscription) skip(at, n *node) {
	if sub.cursor.CompareAndSwap(at, n) {
		sub.session.pending.Add(-int64(n.bytes - at.bytes))
	}
}

// keepLatest takes the topic's frames up to n, the tail, and keeps the latest of
// each key.
func (sub *subscription) keepLatest(n *node) {
	at := sub.cursor.Swap(n)
	before := sub.kept.bytes
	for at != n {
		at = at.next.Load()
		sub.session.pending.Add(-int64(at.frame.size()))
		sub.kept.add(at.frame, int(sub.session.budget/2))
	}
	sub.session.pending.Add(int64(sub.kept.bytes - before))
}

// fallBack lets go of the topic's frames up to n, the tail. Called under
// topic.mu.
func (sub *subscription) fallBack(n *node) {
	if at := sub.cursor.Swap(nil); at != nil {
		sub.session.pending.Add(-int64(n.bytes - at.bytes))
	}
}

// letGo lets go of all that waits: the feed reads on from elsewhere, or ends.
func (sub *subscription) letGo() {
	sub.topic.mu.Lock()
	defer sub.topic.mu.Unlock()
	sub.fallBack(sub.topic.tail)
	sub.session.pending.Add(-int64(sub.kept.bytes))
	sub.kept = latest{}
}

// read adds what the subscription has to show. It returns true if there is
// more than the batch has room for.
func (sub *subscription) read(ctx context.Context, b *batch) (more bool, err error) {
	for !sub.removed.Load() {
		at := sub.cursor.Load()
		if at == nil || sub.behind {
			sub.behind = true
			live, err := sub.feed.catchUp(ctx, b)
			if sub.removed.Load() {
				break // what it missed since then, nobody asks for
			}
			if err != nil || !live {
				return err == nil, err
			}
			sub.behind = false
			continue
		}
		if more, ok := sub.walk(at, b); ok {
			return more, nil
		}
	}
	return false, nil
}

// walk passes the nodes behind at. It returns ok false if the subscription fell
// behind, by an overflow or because the feed misses something.
func (sub *subscription) walk(at *node, b *batch) (more, ok bool) {
	more, ok, complete := sub.pass(at, b)
	if !complete {
		sub.letGo()
	}
	return more, ok
}

func (sub *subscription) pass(at *node, b *batch) (more, ok, complete bool) {
	if sub.pace.onSlow == millracev1.OnSlow_ON_SLOW_LATEST_PER_KEY {
		// The topic may take the frames back at any time, so both hold its lock.
		sub.topic.mu.Lock()
		defer sub.topic.mu.Unlock()
		sub.takeKept(b)
		if at = sub.cursor.Load(); at == nil {
			return false, false, true
		}
	}
	n, complete := at, true
	for next := n.next.Load(); next != nil && !b.full(); next = n.next.Load() {
		if complete = sub.feed.accept(next.frame, b); !complete {
			break
		}
		n = next
	}
	if !sub.cursor.CompareAndSwap(at, n) {
		return false, false, true
	}
	sub.session.pending.Add(-int64(n.bytes - at.bytes))
	return n.next.Load() != nil, complete, complete
}

// takeKept shows what was kept. Called under topic.mu.
func (sub *subscription) takeKept(b *batch) {
	sub.session.pending.Add(-int64(sub.kept.bytes))
	for f := range sub.kept.all() {
		sub.feed.accept(f, b)
	}
	sub.kept = latest{}
}
