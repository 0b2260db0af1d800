package service_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// view is what a subscription has shown, held against what it must show: each
// message once and in order, and nothing passed over without a word.
type view struct {
	model   *model
	request *millracev1.Subscription
	session string // public id
	since   int    // messages that had been published when it began
	began   uint64 // sequence when it began
	begun   time.Time
	place   *millracev1.Position // of a pattern: nothing up to it is owed

	want    *millracev1.Subscribed // how it must begin
	gap     *millracev1.Gap        // what must follow at once
	spots   map[string]*spot       // by channel
	opened  bool
	removed bool // the client has asked for its end
}

// spot is a place in a channel that a view shows.
type spot struct {
	*modelChannel
	at      *millracev1.Position // of the last message that is accounted for
	unknown bool                 // of a pattern: the place of the pattern stands for it
	oldest  bool                 // of a pattern: it begins with the oldest that is kept
	whisper int                  // number of the last ephemeral message
	owed    map[string]uint64    // by key: messages passed over for a later one
}

// newView predicts how a subscription begins. It returns a refusal's reason.
func newView(m *model, session string, since int, request *millracev1.Subscription) (v *view, refusal string) {
	v = &view{model: m, session: session, since: since, began: m.sequence, begun: time.Now(), request: request, spots: map[string]*spot{}}
	for _, c := range m.matching(request.GetChannel()) {
		v.spots[c.name] = &spot{modelChannel: c, at: c.position(), unknown: v.isPattern(), whisper: -1, owed: map[string]uint64{}}
	}
	if v.isPattern() {
		v.beginPattern()
	} else {
		v.beginChannel(v.spots[request.GetChannel()])
	}
	if v.gap != nil && request.GetOnGap() == millracev1.OnGap_ON_GAP_CLOSE {
		return nil, "GAP"
	}
	return v, ""
}

func (v *view) isPattern() bool { return channel.IsPattern(v.request.GetChannel()) }

func (v *view) beginChannel(s *spot) {
	since := v.request.GetSince()
	v.want = &millracev1.Subscribed{Channel: s.name, Position: since, Head: s.position()}
	switch {
	case since == nil:
		if n := v.request.GetRecent(); n > 0 {
			s.at.Offset = s.beforeNewest(int(n))
		}
		v.want.Position = s.at
		return
	case s.resume(since) != "":
		v.gap = &millracev1.Gap{
			Channel: s.name, Reason: gapReason(s.resume(since)), Requested: since,
			Position: &millracev1.Position{Offset: s.afterGap(v.request.GetOnGap()), Epoch: s.epoch},
		}
	default:
		v.want.Resumed = true
	}
	s.at = since
}

func (v *view) beginPattern() {
	now := &millracev1.Position{Offset: v.model.sequence, Epoch: v.model.epoch}
	since := v.request.GetSince()
	v.place = now
	v.want = &millracev1.Subscribed{Channel: v.request.GetChannel(), Position: cmp.Or(since, now), Head: now}
	switch {
	case since == nil:
		return
	case since.GetEpoch() != now.GetEpoch() || since.GetOffset() > now.GetOffset():
		v.missedAll(since, now)
		return
	}
	v.want.Resumed, v.place = true, since
	for _, s := range v.spots {
		s.at.Offset = s.modelChannel.at(since.GetOffset())
	}
	for _, seen := range v.request.GetSeen() {
		if s := v.spots[seen.GetChannel()]; s != nil {
			s.at, s.unknown = seen.GetPosition(), false
		}
	}
}

// missedAll is how a pattern begins whose sequences are others.
func (v *view) missedAll(since, now *millracev1.Position) {
	if v.request.GetOnGap() == millracev1.OnGap_ON_GAP_OLDEST {
		v.place = &millracev1.Position{Epoch: now.GetEpoch()}
		for _, s := range v.spots {
			s.oldest, s.at.Offset = true, 0
		}
	}
	v.gap = &millracev1.Gap{Channel: v.request.GetChannel(), Reason: gapReason("EPOCH_CHANGED"), Requested: since, Position: v.place}
}

func gapReason(short string) millracev1.GapReason {
	return millracev1.GapReason(millracev1.GapReason_value["GAP_REASON_"+short])
}

// isConflated, isLatest and dropsOldest are the ways in which a subscription may
// pass over messages.
func (v *view) isConflated() bool { return v.request.GetLatestPerKey() }

func (v *view) isLatest(s *spot) bool {
	return s.keep.Messages == 0 && v.request.GetOnSlow() == millracev1.OnSlow_ON_SLOW_LATEST_PER_KEY
}

func (v *view) dropsOldest(s *spot) bool {
	return s.keep.Messages == 0 && v.request.GetOnSlow() == millracev1.OnSlow_ON_SLOW_DROP_OLDEST
}

// chooses reports whether a message is for the subscription at all.
func (v *view) chooses(m *modelMessage) bool {
	types := v.request.GetFilter().GetTypes()
	for name, value := range v.request.GetFilter().GetHeaders() {
		if m.request.GetHeaders()[name] != value {
			return false
		}
	}
	return (len(types) == 0 || slices.Contains(types, m.request.GetType())) && (m.exclude == "" || m.exclude != v.session)
}

// message checks a message that was shown. It returns what is wrong.
func (v *view) message(m *engine.Message, all []*modelMessage, at time.Time) string {
	s := v.spots[m.Channel]
	number, err := strconv.Atoi(string(m.Payload.Data))
	if s == nil || err != nil || number >= len(all) || all[number] == nil {
		return "a message that was not published"
	}
	published := all[number]
	switch {
	case m.Channel != s.name || m.Type != published.request.GetType() || m.Key != published.request.GetKey():
		return "another message than was published"
	case !v.chooses(published):
		return "a message that is not for the subscription"
	case m.Ephemeral:
		return v.ephemeral(s, published, number)
	case m.Position.Epoch != s.epoch || m.Position.Offset != published.offset:
		return "a message with another position"
	case s.at.GetEpoch() != s.epoch:
		return "a message of a new epoch without a gap"
	case m.Position.Offset <= s.at.GetOffset():
		return fmt.Sprintf("repeated or out of order, after %d", s.at.GetOffset())
	case number < v.since && s.isDead(published, v.begun):
		return "replayed though it has expired"
	}
	lost := v.pass(s, m.Position.Offset-1, at, false)
	s.move(&millracev1.Position{Offset: m.Position.Offset, Epoch: s.epoch})
	delete(s.owed, m.Key)
	return lost
}

// pass moves to a place, over messages that are not shown. Those that are for
// the subscription must be marked by a checkpoint and have expired, or be
// followed by a later one of their key.
func (v *view) pass(s *spot, to uint64, at time.Time, marked bool) string {
	for _, m := range s.messages[s.at.GetOffset():to] {
		key, isHidden := m.request.GetKey(), !v.chooses(m) || s.isDead(m, at)
		switch {
		case v.place != nil && m.sequence <= v.place.GetOffset():
		case v.isBefore(s, m):
		case isHidden && (marked || v.isLatest(s)):
		case v.isLatest(s), v.isConflated() && v.chooses(m) && key != "":
			s.owed[key] = m.offset
		case isHidden:
			return fmt.Sprintf("%d was passed over without a checkpoint", m.offset)
		default:
			return fmt.Sprintf("%d is lost", m.offset)
		}
	}
	return ""
}

// isBefore reports whether a message was published before the view began, and is
// no longer kept: a pattern that begins with the oldest need not show it.
func (v *view) isBefore(s *spot, m *modelMessage) bool {
	return s.oldest && m.sequence <= v.began && m.offset <= s.afterGap(millracev1.OnGap_ON_GAP_OLDEST)
}

// ephemeral checks an ephemeral message. In a pattern that catches up they may
// come after messages that were published later.
func (v *view) ephemeral(s *spot, m *modelMessage, number int) string {
	switch {
	case number < v.since:
		return "an ephemeral message from before the subscription"
	case number <= s.whisper:
		return "an ephemeral message repeated or out of order"
	case !v.isPattern() && s.at.GetOffset() > m.offset:
		return fmt.Sprintf("an ephemeral message of %d after %d", m.offset, s.at.GetOffset())
	}
	s.whisper = number
	if v.isPattern() || v.isLatest(s) || v.isConflated() {
		return ""
	}
	for _, missed := range s.messages[s.at.GetOffset():m.offset] {
		if v.chooses(missed) && !s.isDead(missed, time.Now()) {
			return fmt.Sprintf("an ephemeral message before %d, without a gap", missed.offset)
		}
	}
	return ""
}

// checkpoint checks a position that moved without a message.
func (v *view) checkpoint(c *millracev1.Checkpoint, at time.Time) string {
	s, to := v.spots[c.GetChannel()], c.GetPosition()
	switch {
	case s == nil || to.GetEpoch() != s.epoch || s.at.GetEpoch() != s.epoch || to.GetOffset() > s.head():
		return "a checkpoint that cannot be"
	case s.unknown && to.GetOffset() <= s.at.GetOffset():
		return "" // the server knows less of where the view began
	case to.GetOffset() <= s.at.GetOffset():
		return fmt.Sprintf("a checkpoint that moves nothing, after %d", s.at.GetOffset())
	}
	lost := v.pass(s, to.GetOffset(), at, true)
	s.move(to)
	return lost
}

// settled checks a place of the pattern itself, which stands for all that was
// shown before it.
func (v *view) settled(c *millracev1.Checkpoint, at time.Time) string {
	to := c.GetPosition()
	if to.GetEpoch() != v.model.epoch || to.GetOffset() <= v.place.GetOffset() || to.GetOffset() > v.model.sequence {
		return fmt.Sprintf("a checkpoint that cannot be, after %v", v.place)
	}
	for _, s := range v.spots {
		if s.at.GetEpoch() != s.epoch {
			return fmt.Sprintf("a checkpoint over %s, which has a new epoch, without a gap", s.name)
		}
		if covered := s.modelChannel.at(to.GetOffset()); covered > s.at.GetOffset() {
			if lost := v.pass(s, covered, at, true); lost != "" {
				return lost
			}
			s.at = &millracev1.Position{Offset: covered, Epoch: s.epoch}
		}
		s.unknown, s.oldest = true, false
	}
	v.place = to
	for _, seen := range c.GetSeen() {
		if fault := v.checkpoint(&millracev1.Checkpoint{Channel: seen.GetChannel(), Position: seen.GetPosition()}, at); fault != "" {
			return fault
		}
		s := v.spots[seen.GetChannel()]
		s.unknown = seen.GetPosition().GetOffset() < s.at.GetOffset()
	}
	return v.repeats()
}

// repeats is what whoever resumes from the places told would see again, empty for
// nothing.
func (v *view) repeats() string {
	for _, s := range v.spots {
		if s.unknown && s.at.GetEpoch() == s.epoch && s.at.GetOffset() > s.modelChannel.at(v.place.GetOffset()) {
			return fmt.Sprintf("%s has shown %d, and %v does not say so", s.name, s.at.GetOffset(), v.place)
		}
	}
	return ""
}

// move accounts for everything up to a place, which the client now knows.
func (s *spot) move(to *millracev1.Position) { s.at, s.unknown, s.oldest = to, false, false }

// missed checks a gap after the beginning. It may begin where a checkpoint would
// have moved the position to.
func (v *view) missed(g *millracev1.Gap, at time.Time) string {
	s, from := v.spots[g.GetChannel()], g.GetRequested()
	if s != nil && from.GetEpoch() == s.epoch && s.at.GetEpoch() == s.epoch && from.GetOffset() > s.at.GetOffset() && from.GetOffset() <= s.head() {
		if lost := v.pass(s, from.GetOffset(), at, true); lost != "" {
			return lost
		}
		s.at = from
	}
	switch {
	case s == nil || g.GetPosition().GetEpoch() != s.epoch || g.GetPosition().GetOffset() > s.head():
		return "a gap that cannot be"
	case from.GetOffset() > s.at.GetOffset() || from.GetOffset() < s.at.GetOffset() && !s.unknown:
		return fmt.Sprintf("a gap that begins elsewhere than at %v", s.at)
	case v.request.GetOnGap() == millracev1.OnGap_ON_GAP_CLOSE && !v.dropsOldest(s) && !v.isLatest(s):
		return "a gap, where the end was asked for"
	case !v.isJustified(s, g):
		return fmt.Sprintf("a gap for no reason: kept are %d to %d", s.low(), s.head())
	case v.request.GetOnGap() == millracev1.OnGap_ON_GAP_OLDEST && !v.dropsOldest(s) && !v.isLatest(s) && g.GetPosition().GetOffset() > s.afterGap(v.request.GetOnGap()):
		return "a gap that passes over kept messages"
	}
	s.move(g.GetPosition())
	for key, offset := range s.owed {
		if offset <= s.at.GetOffset() {
			delete(s.owed, key)
		}
	}
	return ""
}

// isJustified reports whether what a gap passes over cannot be had.
func (v *view) isJustified(s *spot, g *millracev1.Gap) bool {
	requested := g.GetRequested().GetOffset()
	isLossy := v.isLatest(s) || v.dropsOldest(s)
	switch g.GetReason() {
	case millracev1.GapReason_GAP_REASON_EPOCH_CHANGED:
		return g.GetRequested().GetEpoch() != s.epoch
	case millracev1.GapReason_GAP_REASON_DIVERGED:
		return requested > g.GetPosition().GetOffset()
	case millracev1.GapReason_GAP_REASON_NO_HISTORY:
		return s.keep.Messages == 0 && requested < g.GetPosition().GetOffset() && (isLossy || v.isPattern())
	case millracev1.GapReason_GAP_REASON_TRUNCATED:
		return s.keep.Messages > 0 && requested+1 < s.low()
	case millracev1.GapReason_GAP_REASON_TOO_FAR:
		return s.head()-requested > modelReplay
	case millracev1.GapReason_GAP_REASON_UNSPECIFIED:
	}
	return false
}

// rest is what the view has not shown once all is quiet, empty for nothing.
func (v *view) rest() string {
	for _, s := range v.spots {
		if v.place != nil && s.modelChannel.at(v.place.GetOffset()) == s.head() || s.head() > 0 && v.isBefore(s, s.messages[s.head()-1]) {
			continue
		}
		if s.at.GetEpoch() != s.epoch || s.at.GetOffset() != s.head() {
			return fmt.Sprintf("%s ends at %v, and the channel at %d", s.name, s.at, s.head())
		}
	}
	return v.debts()
}

// debts are messages that were passed over for a later one that never came.
func (v *view) debts() string {
	for _, s := range v.spots {
		for key, offset := range s.owed {
			return fmt.Sprintf("%s/%d was passed over, and no later message of key %q came", s.name, offset, key)
		}
	}
	return ""
}
