package main

import (
	"maps"
	"slices"
	"strings"

	"millrace.dev/channel"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// places is how far a command has come in each of its subscriptions, so that a
// new stream continues where the old one broke: nothing is lost and nothing is
// shown twice.
type places struct {
	// starts has, for each channel and pattern, where its stream begins.
	starts map[string]*millracev1.Position
	// shown has, for each subscription, which messages of a channel it has shown.
	shown map[way]stretch
	// fresh has, for each channel that is to begin with recent messages, where
	// it was when they were asked for. Until something says that they have all
	// been sent, a new stream asks for them again.
	fresh map[string]*millracev1.Position
}

// way is how the messages of a channel come: by a pattern, or with an empty one by
// the subscription to the channel.
type way struct{ pattern, channel string }

// stretch is what one way has shown of a channel: all messages from the first to the last.
type stretch struct {
	first uint64 // 0 for none yet
	last  *millracev1.Position
}

func (s stretch) has(p *millracev1.Position) bool {
	return s.first > 0 && s.last.GetEpoch() == p.GetEpoch() && s.first <= p.GetOffset() && p.GetOffset() <= s.last.GetOffset()
}

func newPlaces() *places {
	return &places{
		starts: map[string]*millracev1.Position{},
		shown:  map[way]stretch{},
		fresh:  map[string]*millracev1.Position{},
	}
}

// subscription asks for what comes after the place of a channel or pattern.
// Where nothing is known yet, it is the template.
func (p *places) subscription(name string, template *millracev1.Subscription) *millracev1.Subscription {
	request := &millracev1.Subscription{
		Channel:  name,
		Recent:   template.GetRecent(),
		Presence: template.GetPresence(),
		OnGap:    millracev1.OnGap_ON_GAP_OLDEST,
	}
	switch since := p.starts[name]; {
	case channel.IsPattern(name) && since != nil:
		request.Since, request.Seen = since, p.seen(name)
	case p.at("", name) != nil:
		request.Since, request.Recent = p.at("", name), 0
	case since != nil:
		request.Since, request.Recent = since, 0
	}
	return request
}

// at is where the messages of a channel are that come by a pattern, or with an
// empty one by the subscription to the channel.
func (p *places) at(pattern, name string) *millracev1.Position {
	return p.shown[way{pattern, name}].last
}

// seen lists where the channels of a pattern are.
func (p *places) seen(pattern string) []*millracev1.ChannelPosition {
	var seen []*millracev1.ChannelPosition
	for way, so := range p.shown {
		if way.pattern == pattern {
			seen = append(seen, &millracev1.ChannelPosition{Channel: way.channel, Position: so.last})
		}
	}
	slices.SortFunc(seen, func(a, b *millracev1.ChannelPosition) int { return strings.Compare(a.GetChannel(), b.GetChannel()) })
	return seen
}

// subscribed takes note of where a stream begins, if that was left to the
// server.
func (p *places) subscribed(notice *millracev1.Subscribed, recent bool) {
	switch name := notice.GetChannel(); {
	case p.starts[name] != nil || p.at("", name) != nil:
	case recent:
		p.fresh[name] = notice.GetPosition()
	default:
		p.starts[name] = notice.GetPosition()
	}
}

// caughtUp takes note that everything up to now was sent.
func (p *places) caughtUp() {
	maps.Copy(p.starts, p.fresh)
	clear(p.fresh)
}

// checkpoint moves on without a message. The place of a pattern stands for those
// of its channels, but for those that are further.
func (p *places) checkpoint(notice *millracev1.Checkpoint) {
	name := notice.GetChannel()
	if !channel.IsPattern(name) {
		p.move(way{notice.GetPattern(), name}, notice.GetPosition())
		return
	}
	further := map[way]stretch{}
	for _, seen := range notice.GetSeen() {
		at := way{name, seen.GetChannel()}
		further[at] = stretch{p.shown[at].first, seen.GetPosition()}
	}
	p.settle(name, notice.GetPosition())
	maps.Copy(p.shown, further)
}

// move goes on in a channel over what nobody is shown.
func (p *places) move(at way, to *millracev1.Position) { p.shown[at] = stretch{p.shown[at].first, to} }

// settle moves a pattern to a place that stands for all its channels.
func (p *places) settle(pattern string, to *millracev1.Position) {
	p.starts[pattern] = to
	maps.DeleteFunc(p.shown, func(at way, _ stretch) bool { return at.pattern == pattern })
}

// gap moves on to where the stream continues.
func (p *places) gap(gap *millracev1.Gap) {
	name := gap.GetChannel()
	if !channel.IsPattern(name) {
		p.shown[way{gap.GetPattern(), name}] = stretch{last: gap.GetPosition()} // another way may still show what is missing
		return
	}
	p.settle(name, gap.GetPosition())
}

// show takes note of a message, and reports whether it is a new one: where
// subscriptions overlap, a message comes once by each.
func (p *places) show(m *millracev1.Message) bool {
	is := m.GetPosition()
	if is == nil {
		return true // ephemeral
	}
	by := way{m.GetPattern(), m.GetChannel()}
	so := p.shown[by]
	if so.last.GetEpoch() == is.GetEpoch() && is.GetOffset() <= so.last.GetOffset() {
		return false
	}
	if so.first == 0 || so.last.GetEpoch() != is.GetEpoch() {
		so.first = is.GetOffset()
	}
	so.last = is
	isNew := !p.hasShown(m)
	p.shown[by] = so
	return isNew
}

// hasShown reports whether a message has come by some way.
func (p *places) hasShown(m *millracev1.Message) bool {
	for at, so := range p.shown {
		if at.channel == m.GetChannel() && so.has(m.GetPosition()) {
			return true
		}
	}
	return false
}
