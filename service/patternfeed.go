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
	opening []*Frame
	start   engine.Position            // sequence that unseen channels count from
	seen    map[string]engine.Position // last message shown, or hidden
	hidden  map[string]bool            // channels whose last message was hidden
	todo    []string                   // channels to read from the log before going on
}

func (s *Service) openPattern(ctx context.Context, sub *subscription, request *millracev1.Subscription) (*millracev1.Subscribed, error) {
	f := &patternFeed{
		service: s, sub: sub, pattern: request.GetChannel(), onGap: request.GetOnGap(),
		seen:   map[string]engine.Position{},
		hidden: map[string]bool{},
	}
	sub.feed = f
	sub.selects = newSelection(sub.session.id, request.GetFilter())
	sub.pace = newPace(request, engine.Retention{Messages: 1})
	s.hub.join(f.pattern, sub)
	if request.GetSince() == nil {
		f.sub.goLive(always) // before the start is read, so that nothing falls between
	}
	now, err := s.engine.Sequence(ctx)
	if err != nil {
		f.leave()
		return nil, err
	}
	subscribed := &millracev1.Subscribed{Channel: f.pattern, Position: positionToProto(now)}
	f.opening = []*Frame{newNotice(&millracev1.SubscribeResponse{Notice: &millracev1.SubscribeResponse_Subscribed{Subscribed: subscribed}})}
	f.start = now
	if request.GetSince() == nil {
		f.sub.behind = true // for the opening
		return subscribed, nil
	}
	if gap := f.resume(now, request); gap != nil {
		if f.onGap == millracev1.OnGap_ON_GAP_CLOSE {
			f.leave()
			return nil, gapRefusal(gap)
		}
		f.opening = append(f.opening, gapNotice(gap))
		return subscribed, nil
	}
	subscribed.Resumed = true
	return subscribed, nil
}

// resume takes over where a session left off, unless sequences have begun anew.
func (f *patternFeed) resume(now engine.Position, request *millracev1.Subscription) *millracev1.Gap {
	since := positionFromProto(request.GetSince())
	if since.Epoch != now.Epoch || since.Offset > now.Offset {
		return &millracev1.Gap{
			Channel:   f.pattern,
			Reason:    millracev1.GapReason_GAP_REASON_EPOCH_CHANGED,
			Requested: request.GetSince(),
			Position:  positionToProto(now),
		}
	}
	f.start = since
	for _, entry := range request.GetSeen() {
		f.seen[entry.GetChannel()] = positionFromProto(entry.GetPosition())
	}
	return nil
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
	at, known := f.seen[m.Channel]
	switch {
	case known && at.Epoch == m.Position.Epoch && m.Position.Offset <= at.Offset, !known && m.Sequence <= f.start.Offset:
		return true
	case known && at.Epoch != m.Position.Epoch && m.Previous == 0 && f.onGap != millracev1.OnGap_ON_GAP_CLOSE:
		f.renew(m, at, b)
	case known && (at.Epoch != m.Position.Epoch || m.Previous != at.Offset):
		return false
	}
	f.show(frame, b)
	return true
}

// renew goes on in a new log of a channel, of which m is the first message.
func (f *patternFeed) renew(m *engine.Message, at engine.Position, b *batch) {
	begin := engine.Position{Epoch: m.Position.Epoch}
	gap := newGap(m.Channel, millracev1.GapReason_GAP_REASON_EPOCH_CHANGED, at, begin)
	f.begin(m.Channel, start{position: begin, gap: gap}, b)
}

// show adds a message that follows on what was seen of its channel, and moves
// there.
func (f *patternFeed) show(frame *Frame, b *batch) {
	m := frame.Message
	if !f.sub.selects.includes(m) {
		f.passOver(m.Channel, m.Position)
		return
	}
	f.checkpoint(m.Channel, b)
	f.seen[m.Channel] = m.Position
	b.add(frame)
}

// passOver moves on in a channel without a message to say so.
func (f *patternFeed) passOver(name string, to engine.Position) {
	if to.Offset > f.seen[name].Offset {
		f.seen[name] = to
		f.hidden[name] = true
		f.sub.hide()
	}
}

func (f *patternFeed) checkpoint(name string, b *batch) {
	if f.hidden[name] {
		delete(f.hidden, name)
		b.add(checkpointNotice(name, f.seen[name]))
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
	b.add(f.opening...)
	f.opening = nil
	if f.sub.cursor.Load() == nil {
		f.sub.goLive(always)
		names, err := f.service.engine.Channels(ctx, func(name string) bool { return channel.Match(f.pattern, name) }, f.start.Offset)
		if err != nil {
			return false, err
		}
		slices.Sort(names)
		f.todo = names
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
		f.begin(name, from, b)
		return false, nil
	}
	for _, m := range page.Messages {
		if b.full() {
			return false, nil
		}
		f.replayOne(m, b)
	}
	if !page.More {
		f.passOver(name, page.State.Position())
	}
	return !page.More, nil
}

// begin moves to where a channel's replay starts.
func (f *patternFeed) begin(name string, from start, b *batch) {
	switch {
	case from.gap != nil && f.onGap == millracev1.OnGap_ON_GAP_CLOSE:
		f.sub.session.drop(f.sub, gapRefusal(from.gap).info)
		return
	case from.gap != nil:
		b.add(gapNotice(from.gap))
	}
	f.seen[name] = from.position
	delete(f.hidden, name)
}

// replayOne shows a message of the log, if it was published after the start.
// What has expired in between is passed over.
func (f *patternFeed) replayOne(m *engine.Message, b *batch) {
	if m.Sequence <= f.start.Offset {
		f.seen[m.Channel] = m.Position
		return
	}
	f.passOver(m.Channel, engine.Position{Epoch: m.Position.Epoch, Offset: m.Previous})
	f.show(newMessageFrame(m), b)
}

// from decides where a channel's replay starts: where it was seen last, or
// before its first message after the start of the subscription.
func (f *patternFeed) from(name string, page engine.Page, at engine.Position, known bool) start {
	keep := f.service.rules.of(name).History
	limit := f.service.config.Limits.ReplayMessages
	if known {
		return resume(name, at, page.State, keep, limit, f.onGap)
	}
	before := engine.Position{Epoch: page.State.Epoch}
	for _, m := range page.Messages {
		if m.Sequence > f.start.Offset {
			break
		}
		before.Offset = m.Position.Offset
	}
	if before.Offset == 0 && page.State.Low > 1 {
		// The oldest kept message is after the start, so some that are no longer
		// kept may be as well.
		return resume(name, before, page.State, keep, limit, f.onGap)
	}
	return start{position: before}
}

func always(*topic) bool { return true }

func (f *patternFeed) leave() { f.service.hub.leave(f.sub) }
