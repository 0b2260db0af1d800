package service

import (
	"context"
	"sync/atomic"
	"time"

	"millrace.dev/engine"
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
	selects selection
	onlyOwn bool // of another's inbox: what the session's user published
	joined  bool // without having been asked for
	pace    pace

	group *group // in the topic; set once
	index int    // in the group; owned by the writer

	// cursor is the last node that was passed, nil when the topic's frames are
	// not kept for this subscription. The session's reader moves it on; all else
	// happens under topic.mu.
	cursor  atomic.Pointer[node]
	queued  atomic.Bool // in one of the session's lists, to be read
	removed atomic.Bool
	shown   atomic.Uint64 // offset that a channel's reader has come to, for who looks on
	// counted is how far into the topic, in bytes, its frames are part of the
	// session's pending ones. It only rises.
	counted atomic.Uint64

	passed uint64  // where it was when it last let go, in bytes; guarded by topic.mu
	kept   *latest // what waits in place of the topic's frames, nil for nothing; guarded by topic.mu

	// Owned by the session's reader.
	behind   bool
	unseen   bool      // in the session's list of those with checkpoints
	nextTurn time.Time // not read before
}

// pace is how much of its feed a subscription wants, and how often.
type pace struct {
	interval     time.Duration // at least between two batches
	latestPerKey bool          // of each batch, the latest message of each key
	onSlow       millracev1.OnSlow
}

// isLossy reports whether frames of the topic may be dropped.
func (p pace) isLossy() bool {
	return p.onSlow == millracev1.OnSlow_ON_SLOW_DROP_OLDEST || p.onSlow == millracev1.OnSlow_ON_SLOW_LATEST_PER_KEY
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
	// place is where the feed is: whoever resumes from there misses nothing.
	place() engine.Position
	// leave ends the subscription's place in the topic.
	leave()
	// checkpoints adds where the feed is, as far as it moved there unseen.
	checkpoints(b *batch)
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

// reset empties the batch, and lets go of its frames.
func (b *batch) reset() {
	clear(b.frames)
	b.frames, b.bytes = b.frames[:0], 0
}

func (b *batch) full() bool { return b.bytes >= maxBatchBytes }

// hide notes that the feed has moved without a message to say so.
func (sub *subscription) hide() {
	if !sub.unseen {
		sub.unseen = true
		sub.session.unseen = append(sub.session.unseen, sub)
	}
}

// goLive makes the topic's frames from now on wait for the subscription. It
// does nothing and returns false if caughtUp, called under topic.mu, does.
func (sub *subscription) goLive(caughtUp func(*topic) bool) bool {
	t := sub.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	if !caughtUp(t) {
		return false
	}
	n := t.tail.Load()
	if at := sub.cursor.Load(); at != nil {
		sub.passed = at.bytes
	}
	sub.count(n.bytes)
	sub.session.pending.Add(-int64(n.bytes - sub.passed))
	sub.cursor.Store(n)
	return true
}

// count makes the topic's frames up to a place, in bytes, part of the session's
// pending ones, and returns all that is pending.
func (sub *subscription) count(to uint64) int64 {
	for {
		from := sub.counted.Load()
		if from >= to {
			return sub.session.pending.Load()
		}
		if sub.counted.CompareAndSwap(from, to) {
			return sub.session.pending.Add(int64(to - from))
		}
	}
}

// notify says that the topic's newest node is n. Only the writer calls it.
func (sub *subscription) notify(n *node) {
	at := sub.cursor.Load()
	if at == nil || at == n {
		return // the reader is at work and will find n, or has passed it
	}
	s := sub.session
	pending := sub.count(n.bytes)
	if pending > s.budget {
		sub.overflow()
	}
	if sub.cursor.Load() == nil {
		sub.settle()
	}
	if !sub.queued.Swap(true) {
		s.put(sub)
		s.writer.visited(s)
	}
}

// overflow makes room when the session is over its budget and the topic's newest
// frame is not all that waits for it.
func (sub *subscription) overflow() {
	sub.topic.mu.Lock()
	defer sub.topic.mu.Unlock()
	n := sub.topic.tail.Load()
	if sub.count(n.bytes) <= max(sub.session.budget, int64(n.frame.size())) || sub.cursor.Load() == nil {
		return
	}
	switch sub.pace.onSlow {
	case millracev1.OnSlow_ON_SLOW_DROP_OLDEST:
		sub.dropOldest(n)
	case millracev1.OnSlow_ON_SLOW_LATEST_PER_KEY:
		sub.keepLatest(n)
	case millracev1.OnSlow_ON_SLOW_UNSPECIFIED, millracev1.OnSlow_ON_SLOW_DISCONNECT:
		sub.fallBack()
	}
}

// dropOldest lets go of the topic's oldest frames until half of the budget is
// free, but not of n, the tail.
func (sub *subscription) dropOldest(n *node) {
	at := sub.cursor.Load()
	excess := uint64(max(sub.session.pending.Load()-sub.session.budget/2, 0))
	to := at
	for next := to.next.Load(); next != nil && next != n && to.bytes-at.bytes < excess; next = to.next.Load() {
		to = next
		if m := to.frame.Message; !m.Ephemeral {
			sub.keep().lost = m.Position
		}
	}
	sub.cursor.Store(to)
	sub.session.pending.Add(-int64(to.bytes - at.bytes))
}

// keepLatest takes the topic's frames up to n, the tail, and keeps the latest of
// each key, in what is left of half of the budget.
func (sub *subscription) keepLatest(n *node) {
	s := sub.session
	at := sub.cursor.Swap(n)
	kept := sub.keep()
	before := kept.bytes
	s.pending.Add(-int64(n.bytes - at.bytes))
	limit := s.budget/2 - (s.pending.Load() - int64(before))
	for at != n {
		at = at.next.Load()
		m := at.frame.Message
		if m.Ephemeral {
			continue // they are the first to go
		}
		kept.passed = m.Position
		if sub.selects.includes(m) {
			kept.add(at.frame, int(limit))
		}
	}
	s.pending.Add(int64(kept.bytes - before))
}

// fallBack lets go of the topic's frames, as far as they were counted. Called under
// topic.mu.
func (sub *subscription) fallBack() {
	if at := sub.cursor.Swap(nil); at != nil {
		sub.passed = at.bytes
	}
	counted := sub.counted.Load()
	sub.session.pending.Add(-int64(counted - sub.passed))
	sub.passed = counted
}

// settle lets go of what was counted when the subscription had let go already:
// who counts, who reads and who ends it do not wait for each other.
func (sub *subscription) settle() {
	sub.topic.mu.Lock()
	defer sub.topic.mu.Unlock()
	if sub.cursor.Load() == nil {
		sub.fallBack()
	}
}

// letGo lets go of all that waits: the feed reads on from elsewhere, or ends.
func (sub *subscription) letGo() {
	sub.topic.mu.Lock()
	defer sub.topic.mu.Unlock()
	sub.fallBack()
	if sub.kept != nil {
		sub.session.pending.Add(-int64(sub.kept.bytes))
		sub.kept = nil
	}
}

// keep is what waits in place of the topic's frames. Called under topic.mu.
func (sub *subscription) keep() *latest {
	if sub.kept == nil {
		sub.kept = &latest{}
	}
	return sub.kept
}

// read adds what the subscription has to show. It returns true if there is
// more than the batch has room for.
func (sub *subscription) read(ctx context.Context, b *batch) (more bool, err error) {
	for !sub.removed.Load() {
		if sub.cursor.Load() == nil || sub.behind {
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
		if more, ok := sub.walk(b); ok {
			return more, nil
		}
	}
	return false, nil
}

// walk passes the nodes behind the cursor. It returns ok false if the
// subscription fell behind, by an overflow or because the feed misses something.
func (sub *subscription) walk(b *batch) (more, ok bool) {
	more, ok, missing := sub.pass(b)
	switch {
	case missing:
		sub.letGo()
	case !ok:
		sub.settle()
	}
	return more, ok
}

func (sub *subscription) pass(b *batch) (more, ok, missing bool) {
	if sub.pace.isLossy() {
		// The topic may take frames back at any time, so both hold its lock.
		sub.topic.mu.Lock()
		defer sub.topic.mu.Unlock()
		sub.takeKept(b)
	}
	at := sub.cursor.Load()
	if at == nil {
		return false, false, false
	}
	n := at
	for next := n.next.Load(); next != nil && !b.full(); next = n.next.Load() {
		if missing = !sub.feed.accept(next.frame, b); missing {
			break
		}
		n = next
	}
	sub.count(n.bytes)
	if !sub.cursor.CompareAndSwap(at, n) {
		return false, false, false
	}
	sub.session.pending.Add(-int64(n.bytes - at.bytes))
	return n.next.Load() != nil, !missing, missing
}

// report tells who looks on how far the reader has come.
func (sub *subscription) report() {
	if f, isChannel := sub.feed.(*channelFeed); isChannel {
		sub.shown.Store(f.position.Offset)
	}
}

// waiting is how many bytes wait, and whether the reader still reads them from
// elsewhere than the topic.
func (sub *subscription) waiting() (bytes uint64, behind bool) {
	t := sub.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	at := sub.cursor.Load()
	if at == nil {
		return 0, true
	}
	bytes = t.tail.Load().bytes - at.bytes
	if sub.kept != nil {
		bytes += uint64(sub.kept.bytes)
	}
	return bytes, false
}

// takeKept shows what was kept. Called under topic.mu.
func (sub *subscription) takeKept(b *batch) {
	if sub.kept == nil {
		return
	}
	sub.session.pending.Add(-int64(sub.kept.bytes))
	if f, isChannel := sub.feed.(*channelFeed); isChannel {
		f.acceptKept(sub.kept, b)
	}
	sub.kept = nil
}
