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
	selects selection

	// Owned by the session's reader.
	opening []*Frame
	start   engine.Position            // sequence that unseen channels count from
	seen    map[string]engine.Position // last message shown
	todo    []string                   // channels to read from the log before going on
}

func (s *Service) openPattern(ctx context.Context, sub *subscription, request *millracev1.Subscription) (*millracev1.Subscribed, error) {
	f := &patternFeed{
		service: s, sub: sub, pattern: request.GetChannel(), onGap: request.GetOnGap(),
		selects: newSelection(sub.session.id, request.GetFilter()),
		seen:    map[string]engine.Position{},
	}
	sub.feed = f
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
		if f.selects.includes(m) {
			b.add(frame)
		}
		return true
	}
	at, known := f.seen[m.Channel]
	switch {
	case known && at.Epoch == m.Position.Epoch && m.Position.Offset <= at.Offset, !known && m.Sequence <= f.start.Offset:
		return true
	case known && (at.Epoch != m.Position.Epoch || m.Previous != at.Offset):
		return false
	}
	f.show(frame, b)
	return true
}

func (f *patternFeed) show(frame *Frame, b *batch) {
	f.seen[frame.Message.Channel] = frame.Message.Position
	if f.selects.includes(frame.Message) {
		b.add(frame)
	}
}

// checkpoint implements [feed]: what a pattern hides is hidden again after a
// resume.
func (f *patternFeed) checkpoint() *Frame { return nil }

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
	from := f.from(name, page, at, known)
	if from.gap != nil && f.onGap == millracev1.OnGap_ON_GAP_CLOSE {
		f.sub.session.drop(f.sub, gapRefusal(from.gap).info)
		return true, nil
	}
	if from.gap != nil {
		b.add(gapNotice(from.gap))
	}
	if from.gap != nil || !known {
		f.seen[name] = from.position
		return false, nil
	}
	for _, m := range page.Messages {
		if b.full() {
			return false, nil
		}
		if m.Sequence > f.start.Offset {
			f.show(newMessageFrame(m), b)
		}
		f.seen[name] = m.Position
	}
	return !page.More, nil
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
