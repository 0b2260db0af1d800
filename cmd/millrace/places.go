package main

import (
	"maps"
	"slices"

	"millrace.dev/channel"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// places is how far a command has come in each of its subscriptions, so that a
// new stream continues where the old one broke: nothing is lost and nothing is
// shown twice.
type places struct {
	// starts has, for each channel and pattern, where its stream begins.
	starts map[string]*millracev1.Position
	// shown has, for each channel, where the last message was that was shown.
	shown map[string]*millracev1.Position
	// fresh has, for each channel that is to begin with recent messages, where
	// it was when they were asked for. Until something says that they have all
	// been sent, a new stream asks for them again.
	fresh map[string]*millracev1.Position
}

func newPlaces() *places {
	return &places{
		starts: map[string]*millracev1.Position{},
		shown:  map[string]*millracev1.Position{},
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
	case p.shown[name] != nil:
		request.Since, request.Recent = p.shown[name], 0
	case since != nil:
		request.Since, request.Recent = since, 0
	}
	return request
}

// seen lists where the channels of a pattern are.
func (p *places) seen(pattern string) []*millracev1.ChannelPosition {
	var seen []*millracev1.ChannelPosition
	for _, name := range slices.Sorted(maps.Keys(p.shown)) {
		if channel.Match(pattern, name) {
			seen = append(seen, &millracev1.ChannelPosition{Channel: name, Position: p.shown[name]})
		}
	}
	return seen
}

// subscribed takes note of where a stream begins, if that was left to the
// server.
func (p *places) subscribed(notice *millracev1.Subscribed, recent bool) {
	switch name := notice.GetChannel(); {
	case p.starts[name] != nil || p.shown[name] != nil:
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
		p.shown[name] = notice.GetPosition()
		return
	}
	p.starts[name] = notice.GetPosition()
	maps.DeleteFunc(p.shown, func(shown string, _ *millracev1.Position) bool {
		return channel.Match(name, shown) && !p.isShownBesides(shown, name)
	})
	for _, seen := range notice.GetSeen() {
		p.shown[seen.GetChannel()] = seen.GetPosition()
	}
}

// isShownBesides reports whether something else than the pattern shows a channel.
func (p *places) isShownBesides(name, pattern string) bool {
	for other := range p.starts {
		if other != pattern && channel.Match(other, name) {
			return true
		}
	}
	return false
}

// gap moves on to where the stream continues.
func (p *places) gap(gap *millracev1.Gap) {
	name := gap.GetChannel()
	if !channel.IsPattern(name) {
		p.shown[name] = gap.GetPosition()
		return
	}
	p.starts[name] = gap.GetPosition()
	maps.DeleteFunc(p.shown, func(shown string, _ *millracev1.Position) bool { return channel.Match(name, shown) })
}

// show takes note of a message, and reports whether it is a new one: where
// patterns overlap, a message comes once for each.
func (p *places) show(m *millracev1.Message) bool {
	at, is := p.shown[m.GetChannel()], m.GetPosition()
	switch {
	case is == nil: // ephemeral
		return true
	case at.GetEpoch() == is.GetEpoch() && is.GetOffset() <= at.GetOffset():
		return false
	}
	p.shown[m.GetChannel()] = is
	return true
}
