package service

import (
	"context"
	"slices"

	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// patternFeed shows the messages of all channels that match a pattern, those of
// one channel in order and once. It knows where each channel is that it has
// shown something of; the others are where they were at its start.
type patternFeed struct {
	// Set once.
	service *Service
	sub     *subscription
	pattern string
	onGap   millracev1.OnGap

	// Owned by the session's reader.
	start  engine.Position  // sequence that unseen channels count from
	began  uint64           // sequence when the subscription was made
	seen   map[string]place // last message shown, or hidden
	hidden map[string]bool  // channels whose last message was hidden
	todo   []string         // channels to read from the log before going on
	oldest bool             // channels without a place begin with the oldest that is kept
}

// place is where a pattern is in one of its channels.
type place struct {
	engine.Position
	sequence uint64 // at least that of the message there; 0 for one that a cursor had
}

func (s *Service) openPattern(ctx context.Context, sub *subscription, request *millracev1.Subscription) (*millracev1.Subscribed, *millracev1.Gap, error) {
	f := &patternFeed{
		service: s, sub: sub, pattern: request.GetChannel(), onGap: request.GetOnGap(),
		seen:   map[string]place{},
		hidden: map[string]bool{},
	}
	sub.feed = f
	sub.selects = newSelection(sub, request.GetFilter())
	sub.pace = newPace(request, engine.Retention{Messages: 1})
	s.hub.join(f.pattern, sub)
	now, err := f.sequence(ctx, request)
	if err != nil {
		f.leave()
		return nil, nil, err
	}
	f.start, f.began = now, now.Offset
	subscribed := &millracev1.Subscribed{Channel: f.pattern, Position: positionToProto(now), Head: positionToProto(now)}
	if request.GetSince() == nil {
		return subscribed, nil, nil
	}
	subscribed.Position = request.GetSince()
	gap := f.resume(now, request)
	if gap != nil && f.onGap == millracev1.OnGap_ON_GAP_CLOSE {
		f.leave()
		return nil, nil, gapRefusal(gap)
	}
	subscribed.Resumed = gap == nil
	return subscribed, gap, nil
}

// sequence is where the pattern is. What a session has seen may come from another
// node, which knew of more.
func (f *patternFeed) sequence(ctx context.Context, request *millracev1.Subscription) (engine.Position, error) {
	if request.GetSince() == nil {
		f.sub.goLive(always) // before the start is read, so that nothing falls between
	} else if err := f.service.engine.Sync(ctx); err != nil {
		return engine.Position{}, err
	}
	return f.service.engine.Sequence(ctx)
}

// resume takes over where a session left off, unless sequences have begun anew.
func (f *patternFeed) resume(now engine.Position, request *millracev1.Subscription) *millracev1.Gap {
	since := positionFromProto(request.GetSince())
	if since.Epoch == now.Epoch && since.Offset <= now.Offset {
		f.start = since
		for _, entry := range request.GetSeen() {
			if name := entry.GetChannel(); channel.Match(f.pattern, name) {
				f.seen[name] = place{Position: positionFromProto(entry.GetPosition())}
				f.todo = append(f.todo, name) // it may be a place that never was
			}
		}
		return nil
	}
	if f.onGap == millracev1.OnGap_ON_GAP_OLDEST {
		f.start.Offset, f.oldest = 0, true
	}
	return newGap(f.pattern, millracev1.GapReason_GAP_REASON_EPOCH_CHANGED, since, f.start)
}

// accept implements [feed].
func (f *patternFeed) accept(frame *Frame, b *batch) bool {
	m := frame.Message
	if m.Ephemeral {
		if f.sub.selects.includes(m) {
			b.add(frame)
		}
		return true
	}
	f.settle(m.Settled, b)
	at, known := f.seen[m.Channel]
	switch {
	case known && at.Epoch == m.Position.Epoch && m.Position.Offset <= at.Offset, !known && m.Sequence <= f.start.Offset:
		return true
	case known && at.Epoch != m.Position.Epoch && m.Previous == 0 && f.onGap != millracev1.OnGap_ON_GAP_CLOSE:
		f.renew(m, at.Position, b)
	case known && (at.Epoch != m.Position.Epoch || m.Previous != at.Offset):
		return false
	}
	f.show(frame, b)
	return true
}

// settle moves the pattern's own position to where everything up to a sequence
// was shown, once there are so many channels seen beyond it that a cursor grows:
// from then on it names only those that are further.
func (f *patternFeed) settle(settled uint64, b *batch) {
	if len(f.seen) <= f.service.limits().PatternChannels || settled <= f.start.Offset {
		return
	}
	f.start.Offset, f.oldest = settled, false
	clear(f.hidden)
	var further []*millracev1.ChannelPosition
	for name, at := range f.seen {
		if at.sequence <= settled {
			delete(f.seen, name)
			continue
		}
		further = append(further, &millracev1.ChannelPosition{Channel: name, Position: positionToProto(at.Position)})
	}
	b.add(checkpointNotice(&millracev1.Checkpoint{Channel: f.pattern, Position: positionToProto(f.start), Seen: further}))
}

// renew goes on in a new log of a channel, of which m is the first message.
func (f *patternFeed) renew(m *engine.Message, at engine.Position, b *batch) {
	begin := engine.Position{Epoch: m.Position.Epoch}
	gap := newGap(m.Channel, millracev1.GapReason_GAP_REASON_EPOCH_CHANGED, at, begin)
	f.begin(m.Channel, start{position: begin, gap: gap}, m.Sequence, b)
}

// show adds a message that follows on what was seen of its channel, and moves
// there.
func (f *patternFeed) show(frame *Frame, b *batch) {
	m := frame.Message
	if !f.sub.selects.includes(m) {
		f.passOver(m.Channel, place{m.Position, m.Sequence})
		return
	}
	f.checkpoint(m.Channel, b)
	f.seen[m.Channel] = place{m.Position, m.Sequence}
	b.add(frame)
}

// passOver moves on in a channel without a message to say so.
func (f *patternFeed) passOver(name string, to place) {
	if to.Offset > f.seen[name].Offset {
		f.seen[name] = to
		f.hidden[name] = true
		f.sub.hide()
	}
}

func (f *patternFeed) checkpoint(name string, b *batch) {
	if f.hidden[name] {
		delete(f.hidden, name)
		b.add(checkpointNotice(&millracev1.Checkpoint{Channel: name, Position: positionToProto(f.seen[name].Position), Pattern: f.pattern}))
	}
}

// checkpoints implements [feed].
func (f *patternFeed) checkpoints(b *batch) {
	for name := range f.hidden {
		f.checkpoint(name, b)
	}
}

// catchUp implements [feed]: it goes live first, then reads the log of every
// channel that has more than was shown. What comes twice is passed over.
func (f *patternFeed) catchUp(ctx context.Context, b *batch) (bool, error) {
	if f.sub.cursor.Load() == nil {
		f.sub.goLive(always)
		names, err := f.service.engine.Channels(ctx, func(name string) bool { return channel.Match(f.pattern, name) }, f.start.Offset)
		if err != nil {
			return false, err
		}
		f.todo = append(f.todo, names...)
		slices.Sort(f.todo)
		f.todo = slices.Compact(f.todo)
	}
	for len(f.todo) > 0 && !b.full() && !f.sub.removed.Load() {
		done, err := f.replay(ctx, f.todo[0], b)
		if err != nil {
			return false, err
		}
		if done {
			f.todo = f.todo[1:]
		}
	}
	return len(f.todo) == 0, nil
}

// replay reads on in one channel's log.
func (f *patternFeed) replay(ctx context.Context, name string, b *batch) (done bool, err error) {
	at, known := f.seen[name]
	page, err := f.service.engine.Read(ctx, name, engine.ReadOptions{After: at.Offset, Limit: readLimit})
	if err != nil {
		return false, err
	}
	if from := f.from(name, page, at, known); from.gap != nil || !known {
		f.begin(name, from, page.State.Sequence, b)
		return false, nil
	}
	for _, m := range page.Messages {
		if b.full() {
			return false, nil
		}
		f.replayOne(m, b)
	}
	if !page.More {
		f.arrive(name, place{page.State.Position(), page.State.Sequence})
	}
	return !page.More, nil
}

// arrive is at the end of a channel's log.
func (f *patternFeed) arrive(name string, head place) {
	if f.seen[name].Offset == head.Offset {
		f.seen[name] = head
		return
	}
	f.passOver(name, head)
}

// begin moves to where a channel's replay starts, in a log whose newest message
// has the sequence.
func (f *patternFeed) begin(name string, from start, newest uint64, b *batch) {
	switch {
	case from.gap != nil && f.onGap == millracev1.OnGap_ON_GAP_CLOSE:
		f.sub.session.drop(f.sub, gapRefusal(from.gap).info)
		return
	case from.gap != nil:
		from.gap.Pattern = f.pattern
		b.add(f.service.gapNotice(from.gap))
	}
	f.seen[name] = place{from.position, newest}
	delete(f.hidden, name)
}

// replayOne shows a message of the log, if it was published after the start.
// What has expired in between is passed over.
func (f *patternFeed) replayOne(m *engine.Message, b *batch) {
	if m.Sequence <= f.start.Offset {
		f.seen[m.Channel] = place{m.Position, m.Sequence}
		return
	}
	f.passOver(m.Channel, place{engine.Position{Epoch: m.Position.Epoch, Offset: m.Previous}, m.PreviousSequence})
	f.show(newPatternFrame(m, f.pattern), b)
}

// from decides where a channel's replay starts: where it was seen last, or
// before its first message after the start of the subscription.
func (f *patternFeed) from(name string, page engine.Page, at place, known bool) start {
	keep := f.service.rules.of(name).History
	limit := f.service.limits().ReplayMessages
	if known {
		return resume(name, at.Position, page.State, keep, limit, f.onGap)
	}
	before := engine.Position{Epoch: page.State.Epoch}
	if f.oldest {
		from := resume(name, before, page.State, keep, limit, f.onGap)
		if sequenceAt(from.position.Offset, page) <= f.began {
			from.gap = nil // the gap that the subscription began with says so
		}
		return from
	}
	for _, m := range page.Messages {
		if m.Sequence > f.start.Offset {
			break
		}
		before.Offset = m.Position.Offset
	}
	if before.Offset > 0 || page.State.Low <= 1 {
		return start{position: before}
	}
	// The oldest kept message is after the start, so some that are no longer kept
	// may be as well: unless it says that the one before it was not.
	if len(page.Messages) > 0 {
		first := page.Messages[0]
		if first.Position.Offset == page.State.Low && first.PreviousSequence > 0 && first.PreviousSequence <= f.start.Offset {
			return start{position: engine.Position{Epoch: page.State.Epoch, Offset: first.Previous}}
		}
	}
	return resume(name, before, page.State, keep, limit, f.onGap)
}

// sequenceAt is at least the sequence of the message at an offset of a log, of
// which the first page was read.
func sequenceAt(offset uint64, page engine.Page) uint64 {
	if offset == 0 {
		return 0
	}
	for _, m := range page.Messages {
		if m.Previous == offset && m.PreviousSequence > 0 {
			return m.PreviousSequence
		}
	}
	return page.State.Sequence
}

func always(*topic) bool { return true }

// place implements [feed]: where channels count from that nothing was seen of.
func (f *patternFeed) place() engine.Position { return f.start }

func (f *patternFeed) leave() { f.service.hub.leave(f.sub) }
