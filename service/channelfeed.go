package service

import (
	"context"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// readLimit is how many messages one read of the log asks for.
const readLimit = 256

// channelFeed shows the messages of one channel after a position, each once and
// in order, whether they come from the topic or from the engine's log.
type channelFeed struct {
	// Set once.
	service *Service
	sub     *subscription
	name    string
	onGap   millracev1.OnGap

	// Owned by the session's reader.
	position engine.Position // of the last message shown
	target   uint64          // head of the log when the subscription began
	unseen   bool            // position has moved without a message
}

// openChannel makes the feed and has the topic's frames wait for it from here on,
// so that what the log says next misses nothing, and a session that has just come
// needs no history.
func (s *Service) openChannel(ctx context.Context, sub *subscription, request *millracev1.Subscription) (*millracev1.Subscribed, *millracev1.Gap, error) {
	f := &channelFeed{
		service: s, sub: sub, name: request.GetChannel(), onGap: request.GetOnGap(),
	}
	sub.feed = f
	sub.selects = newSelection(sub, request.GetFilter())
	sub.pace = newPace(request, s.rules.of(f.name).History)
	s.hub.join(f.name, sub)
	sub.goLive(always)
	log, err := s.stateFor(ctx, request)
	if err != nil {
		sub.close()
		return nil, nil, err
	}
	subscribed, gap, err := f.begin(ctx, log, request)
	if err != nil {
		sub.close()
		return nil, nil, err
	}
	if gap != nil && f.onGap == millracev1.OnGap_ON_GAP_CLOSE {
		sub.close()
		return nil, nil, gapRefusal(gap)
	}
	if f.position.Offset < f.target {
		sub.letGo() // the log comes first
	}
	sub.report()
	return subscribed, gap, nil
}

// stateFor is where the channel of a request is. A position that is further in
// the same log may come from another node, which knew of more.
func (s *Service) stateFor(ctx context.Context, request *millracev1.Subscription) (engine.State, error) {
	log, err := s.engine.State(ctx, request.GetChannel())
	since := request.GetSince()
	if err != nil || since.GetEpoch() != log.Epoch || since.GetOffset() <= log.Head {
		return log, err
	}
	if err := s.engine.Sync(ctx); err != nil {
		return engine.State{}, err
	}
	return s.engine.State(ctx, request.GetChannel())
}

// begin decides where the feed starts.
func (f *channelFeed) begin(ctx context.Context, log engine.State, request *millracev1.Subscription) (*millracev1.Subscribed, *millracev1.Gap, error) {
	from := start{position: log.Position()}
	var err error
	limits := f.service.limits()
	switch {
	case request.GetSince() != nil:
		keep := f.service.rules.of(f.name).History
		from = resume(f.name, positionFromProto(request.GetSince()), log, keep, limits.ReplayMessages, f.onGap)
	case request.GetRecent() > 0:
		recent := min(int(request.GetRecent()), limits.ReplayMessages)
		from.position.Offset, err = f.beforeNewest(ctx, log, recent)
	}
	f.position, f.target = from.position, log.Head
	subscribed := &millracev1.Subscribed{
		Channel:  f.name,
		Position: positionToProto(from.position),
		Resumed:  request.GetSince() != nil && from.gap == nil,
		Head:     positionToProto(log.Position()),
	}
	if from.gap != nil {
		subscribed.Position = request.GetSince() // until the gap was told
	}
	return subscribed, from.gap, err
}

// beforeNewest is the offset before the n newest messages that are kept; some in
// between may have expired.
func (f *channelFeed) beforeNewest(ctx context.Context, log engine.State, n int) (offset uint64, err error) {
	offset = log.Head
	for before := log.Head + 1; n > 0; {
		page, err := f.service.engine.Read(ctx, f.name, engine.ReadOptions{NewestFirst: true, Before: before, Limit: min(n, readLimit)})
		if err != nil || page.State.Epoch != log.Epoch || len(page.Messages) == 0 {
			return offset, err
		}
		last := page.Messages[len(page.Messages)-1]
		offset, before = last.Previous, last.Position.Offset
		n -= len(page.Messages)
	}
	return offset, nil
}

// accept implements [feed]: one comparison proves that nothing is missing.
func (f *channelFeed) accept(frame *Frame, b *batch) bool {
	m := frame.Message
	switch {
	case m.Ephemeral:
		f.showEphemeral(frame, b)
		return true
	case m.Position.Epoch != f.position.Epoch && !f.renew(m, b):
		return false
	case m.Position.Offset <= f.position.Offset:
		return true // came from the log already
	case m.Previous != f.position.Offset:
		return false
	}
	f.show(frame, b)
	return true
}

// renew goes on in a new log, of which m is the first message: the engine forgot
// where the channel was while nothing happened in it.
func (f *channelFeed) renew(m *engine.Message, b *batch) bool {
	if m.Previous != 0 || f.onGap == millracev1.OnGap_ON_GAP_CLOSE {
		return false
	}
	f.leap(engine.Position{Epoch: m.Position.Epoch}, millracev1.GapReason_GAP_REASON_EPOCH_CHANGED, b)
	return true
}

// acceptKept takes what was kept of the topic's frames when the session was too
// slow for all of them.
func (f *channelFeed) acceptKept(kept *latest, b *batch) {
	if f.isBehind(kept.lost) {
		f.leap(kept.lost, millracev1.GapReason_GAP_REASON_NO_HISTORY, b)
	}
	for frame := range kept.all() {
		f.checkpoints(b)
		f.position = frame.Message.Position
		b.add(frame)
	}
	if f.isBehind(kept.passed) {
		f.position = kept.passed
		f.hide()
	}
}

func (f *channelFeed) isBehind(p engine.Position) bool {
	return !p.IsZero() && (p.Epoch != f.position.Epoch || p.Offset > f.position.Offset)
}

// leap says that what is missing up to a place is a gap.
func (f *channelFeed) leap(to engine.Position, reason millracev1.GapReason, b *batch) {
	b.add(f.service.gapNotice(newGap(f.name, reason, f.position, to)))
	f.position, f.unseen = to, false
}

// show adds a message that follows on the position, and moves there.
func (f *channelFeed) show(frame *Frame, b *batch) {
	m := frame.Message
	if !f.sub.selects.includes(m) {
		f.position = m.Position
		f.hide()
		return
	}
	f.checkpoints(b)
	f.position = m.Position
	b.add(frame)
}

// showEphemeral adds a message that has no place. They are the first to go when
// the session is slow.
func (f *channelFeed) showEphemeral(frame *Frame, b *batch) {
	s := f.sub.session
	isLate := s.pending.Load() > s.budget/2 && f.sub.pace.onSlow != millracev1.OnSlow_ON_SLOW_LATEST_PER_KEY
	if !isLate && f.sub.selects.includes(frame.Message) {
		b.add(frame)
	}
}

// hide notes that the position has moved without a message to say so.
func (f *channelFeed) hide() {
	f.unseen = true
	f.sub.hide()
}

// checkpoints implements [feed].
func (f *channelFeed) checkpoints(b *batch) {
	if f.unseen {
		f.unseen = false
		b.add(checkpointNotice(&millracev1.Checkpoint{Channel: f.name, Position: positionToProto(f.position)}))
	}
}

// catchUp implements [feed].
func (f *channelFeed) catchUp(ctx context.Context, b *batch) (bool, error) {
	for !b.full() && !f.sub.removed.Load() {
		if f.sub.cursor.Load() != nil || f.sub.goLive(f.meets) {
			return true, nil
		}
		page, err := f.service.engine.Read(ctx, f.name, engine.ReadOptions{After: f.position.Offset, Limit: readLimit})
		if err != nil {
			return false, err
		}
		if missed := f.missed(page.State); missed != nil {
			if err := f.skip(missed, b); err != nil {
				return false, err
			}
			continue
		}
		f.take(page, b)
	}
	return false, nil
}

// meets reports whether every later message is still to come from the topic:
// the log was read to where it ended at the start, and as far as the topic got.
func (f *channelFeed) meets(t *topic) bool {
	return f.position.Offset >= f.target &&
		(t.known.IsZero() || t.known.Epoch == f.position.Epoch && t.known.Offset <= f.position.Offset)
}

// take adds the messages of a page as far as there is room. What has expired in
// between is passed over.
func (f *channelFeed) take(page engine.Page, b *batch) {
	for _, m := range page.Messages {
		if b.full() {
			return
		}
		f.passOver(m.Previous)
		f.show(newMessageFrame(m), b)
	}
	if !page.More {
		f.passOver(page.State.Head)
	}
}

func (f *channelFeed) passOver(offset uint64) {
	if offset > f.position.Offset {
		f.position.Offset = offset
		f.hide()
	}
}

// missed says what lies between the position and the log, nil for nothing.
func (f *channelFeed) missed(log engine.State) *start {
	if f.position.Epoch == log.Epoch && f.position.Offset+1 >= log.Low && f.position.Offset <= log.Head {
		return nil
	}
	keep := f.service.rules.of(f.name).History
	from := resume(f.name, f.position, log, keep, f.service.limits().ReplayMessages, f.onGap)
	return &from
}

// skip moves on over what is missed, in the way that the subscriber chose.
func (f *channelFeed) skip(missed *start, b *batch) error {
	reason := missed.gap.GetReason()
	switch {
	case reason == millracev1.GapReason_GAP_REASON_NO_HISTORY:
		return refuse(millracev1.ErrorReason_ERROR_REASON_SLOW_CONSUMER, "",
			"the session reads too slowly, and the channel keeps no history to catch up from").on(f.name).retryAfter(0)
	case f.onGap == millracev1.OnGap_ON_GAP_CLOSE:
		f.sub.session.drop(f.sub, gapRefusal(missed.gap).info)
		return nil
	}
	b.add(f.service.gapNotice(missed.gap))
	f.position, f.target, f.unseen = missed.position, 0, false
	return nil
}

// place implements [feed].
func (f *channelFeed) place() engine.Position { return f.position }

func (f *channelFeed) leave() { f.service.hub.leave(f.sub) }
