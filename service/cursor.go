package service

import (
	"encoding/base64"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

const (
	maxCursorBytes = 256 << 10 // of text that is taken
	// MaxHeaderCursor is how many bytes of text a cursor that comes back in a
	// header may have.
	MaxHeaderCursor = 16 << 10
)

// Cursor is where several subscriptions are, as one opaque text. It is a resume
// point: whoever subscribes from it sees everything after it. A channel is in it
// once for its own subscription, and once for each pattern that has seen it:
// one of them may be further than another.
type Cursor struct {
	places    placeList
	truncated bool // subscriptions are missing: resuming them, and patterns, is a gap
}

// placeList is where some channels and patterns are, in the order in which they came.
type placeList struct {
	all   []cursorPlace
	index map[string]int // of all by name, once they are many
}

// cursorPlace is where the subscription to a channel or pattern is.
type cursorPlace struct {
	name string
	engine.Position
	seen *placeList // of a pattern: where it is in channels that it has seen; nil for none
}

// fewPlaces are found without an index, which would be several times as large as
// they are: nearly all streams have no more.
const fewPlaces = 8

// at returns the place of a channel or pattern, which it makes if there is none.
func (p *placeList) at(name string) *cursorPlace {
	if i := p.find(name); i >= 0 {
		return &p.all[i]
	}
	p.all = append(p.all, cursorPlace{name: name})
	switch n := len(p.all); {
	case p.index != nil:
		p.index[name] = n - 1
	case n > fewPlaces:
		p.reindex()
	}
	return &p.all[len(p.all)-1]
}

// find returns where a channel or pattern is in all, -1 if it is not there.
func (p *placeList) find(name string) int {
	if p.index == nil {
		return slices.IndexFunc(p.all, func(place cursorPlace) bool { return place.name == name })
	}
	if i, found := p.index[name]; found {
		return i
	}
	return -1
}

func (p *placeList) reindex() {
	p.index = nil
	if len(p.all) > fewPlaces {
		p.index = make(map[string]int, len(p.all))
		for i, place := range p.all {
			p.index[place.name] = i
		}
	}
}

// Position is where the subscription to a channel or pattern is.
func (c *Cursor) Position(name string) (p engine.Position, found bool) {
	if i := c.places.find(name); i >= 0 {
		return c.places.all[i].Position, true
	}
	return p, false
}

// Set moves the subscription to a channel or pattern.
func (c *Cursor) Set(name string, p engine.Position) { c.places.at(name).Position = p }

// Move moves the subscription to a pattern in one of its channels, or with an
// empty pattern the subscription to the channel.
func (c *Cursor) Move(pattern, name string, p engine.Position) {
	if pattern == "" {
		c.Set(name, p)
		return
	}
	place := c.places.at(pattern)
	if place.seen == nil {
		place.seen = &placeList{}
	}
	place.seen.at(name).Position = p
}

// Settle moves the subscription to a channel or pattern to a position that covers
// whatever it has seen.
func (c *Cursor) Settle(name string, p engine.Position) {
	place := c.places.at(name)
	place.Position, place.seen = p, nil
}

// Remove forgets the subscription to a channel or pattern.
func (c *Cursor) Remove(name string) {
	c.places.all = slices.DeleteFunc(c.places.all, func(p cursorPlace) bool { return p.name == name })
	c.places.reindex()
}

// Len is how many subscriptions the cursor knows.
func (c *Cursor) Len() int { return len(c.places.all) }

// IsOnly reports whether the subscription to a channel is all that the cursor knows.
func (c *Cursor) IsOnly(name string) bool { return c.Len() == 1 && c.places.all[0].name == name }

// String is the opaque text: unpadded base64url of a millrace.v1.Cursor.
func (c *Cursor) String() string { return c.text(math.MaxInt) }

// Header is the text where it must fit into a header. What does not fit is a gap
// to who resumes from it.
func (c *Cursor) Header() string { return c.text(MaxHeaderCursor) }

func (c *Cursor) text(limit int) string {
	message := &millracev1.Cursor{Truncated: c.truncated}
	size, limit := 2, base64.RawURLEncoding.DecodedLen(limit)
	for _, p := range c.places.all {
		entry := p.toProto()
		n := 1 + protowire.SizeBytes(proto.Size(entry))
		if size+n > limit {
			message.Truncated = true
			continue
		}
		size += n
		message.Entries = append(message.Entries, entry)
	}
	b, err := proto.Marshal(message)
	mustEncode(err)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (p cursorPlace) toProto() *millracev1.CursorEntry {
	entry := &millracev1.CursorEntry{Channel: p.name, Epoch: p.Epoch, Offset: p.Offset}
	if p.seen != nil {
		for _, seen := range p.seen.all {
			entry.Seen = append(entry.Seen, seen.toProto())
		}
	}
	return entry
}

// ParseCursor is the inverse of String. The empty text is the empty cursor.
func ParseCursor(text string) (*Cursor, error) {
	if len(text) > maxCursorBytes {
		return nil, over(millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, "cursor", len(text), maxCursorBytes, "bytes")
	}
	var message millracev1.Cursor
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = proto.Unmarshal(b, &message)
	}
	c := &Cursor{truncated: message.GetTruncated()}
	if err != nil || !c.take(message.GetEntries()) {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_CURSOR, "cursor", "cursor: not one of this service")
	}
	return c, nil
}

// take adds the places of entries. It returns false if there can be no such.
func (c *Cursor) take(entries []*millracev1.CursorEntry) bool {
	for _, entry := range entries {
		name := entry.GetChannel()
		if channel.CheckPattern(name) != nil {
			return false
		}
		c.Set(name, entryPosition(entry))
		for _, seen := range entry.GetSeen() {
			if channel.IsPattern(seen.GetChannel()) || !channel.Match(name, seen.GetChannel()) || len(seen.GetSeen()) > 0 {
				return false
			}
			c.Move(name, seen.GetChannel(), entryPosition(seen))
		}
	}
	return true
}

func entryPosition(entry *millracev1.CursorEntry) engine.Position {
	return engine.Position{Epoch: entry.GetEpoch(), Offset: entry.GetOffset()}
}

// unknownEpoch is that of no log: a resume from there is a gap.
const unknownEpoch = "?"

// Unknown is the position of a subscriber that lost its own.
func Unknown() *millracev1.Position { return &millracev1.Position{Epoch: unknownEpoch} }

// resume adds to a subscription where the cursor says that it was. A start of
// the subscription's own comes first.
func (c *Cursor) resume(request *millracev1.Subscription) *millracev1.Subscription {
	name := request.GetChannel()
	position, found := c.Position(name)
	if c.truncated && (!found || channel.IsPattern(name)) {
		position, found = engine.Position{Epoch: unknownEpoch}, true
	}
	if !found || request.GetSince() != nil {
		return request
	}
	request = proto.CloneOf(request)
	request.Since = &millracev1.Position{Offset: position.Offset, Epoch: position.Epoch}
	request.Recent = 0
	request.Seen = c.seen(name)
	return request
}

// seen is where a pattern is in the channels that it has seen.
func (c *Cursor) seen(pattern string) []*millracev1.ChannelPosition {
	i := c.places.find(pattern)
	if i < 0 || c.places.all[i].seen == nil {
		return nil
	}
	var seen []*millracev1.ChannelPosition
	for _, p := range c.places.all[i].seen.all {
		seen = append(seen, &millracev1.ChannelPosition{Channel: p.name, Position: positionToProto(p.Position)})
	}
	return seen
}
