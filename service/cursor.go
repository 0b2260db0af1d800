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

// Cursor is where several channels are, as one opaque text. It is a resume
// point: whoever subscribes from it sees everything after it.
type Cursor struct {
	places    []cursorPlace  // in the order in which they came
	index     map[string]int // of places by name, once they are many
	truncated bool           // channels are missing: resuming them, and patterns, is a gap
}

// cursorPlace is where one channel or pattern is.
type cursorPlace struct {
	name string
	engine.Position
}

// fewPlaces are found without an index, which would be several times as large as
// they are: nearly all streams have no more.
const fewPlaces = 8

// Position is where a channel or pattern is.
func (c *Cursor) Position(name string) (p engine.Position, found bool) {
	if i := c.find(name); i >= 0 {
		return c.places[i].Position, true
	}
	return p, false
}

// Set moves a channel or pattern to a position.
func (c *Cursor) Set(name string, p engine.Position) {
	if i := c.find(name); i >= 0 {
		c.places[i].Position = p
		return
	}
	c.places = append(c.places, cursorPlace{name, p})
	switch n := len(c.places); {
	case c.index != nil:
		c.index[name] = n - 1
	case n > fewPlaces:
		c.reindex()
	}
}

// find returns the place of a channel or pattern, -1 if there is none.
func (c *Cursor) find(name string) int {
	if c.index == nil {
		return slices.IndexFunc(c.places, func(p cursorPlace) bool { return p.name == name })
	}
	if i, found := c.index[name]; found {
		return i
	}
	return -1
}

func (c *Cursor) reindex() {
	c.index = nil
	if len(c.places) > fewPlaces {
		c.index = make(map[string]int, len(c.places))
		for i, p := range c.places {
			c.index[p.name] = i
		}
	}
}

// Remove forgets a channel or pattern.
func (c *Cursor) Remove(name string) {
	c.removeFunc(func(other string) bool { return other == name })
}

func (c *Cursor) removeFunc(unwanted func(name string) bool) {
	c.places = slices.DeleteFunc(c.places, func(p cursorPlace) bool { return unwanted(p.name) })
	c.reindex()
}

// Settle moves a pattern to a position that covers what was seen of the channels
// that match it. It forgets them, but for those that another pattern needs or
// that keep is true for.
func (c *Cursor) Settle(pattern string, p engine.Position, keep func(name string) bool) {
	c.Set(pattern, p)
	c.forget(pattern, keep)
}

// RemovePattern forgets a pattern and the channels that only it has seen.
func (c *Cursor) RemovePattern(pattern string, keep func(name string) bool) {
	c.Remove(pattern)
	c.forget(pattern, keep)
}

func (c *Cursor) forget(pattern string, keep func(name string) bool) {
	var others []string // patterns that have seen what this one has
	for _, p := range c.places {
		if p.name != pattern && channel.IsPattern(p.name) {
			others = append(others, p.name)
		}
	}
	c.removeFunc(func(name string) bool {
		return !channel.IsPattern(name) && channel.Match(pattern, name) && !keep(name) && !isMatched(name, others)
	})
}

// isMatched reports whether one of some patterns matches a channel.
func isMatched(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return channel.Match(pattern, name) })
}

// Len is how many channels and patterns the cursor knows.
func (c *Cursor) Len() int { return len(c.places) }

// IsOnly reports whether a channel is the only one that the cursor knows.
func (c *Cursor) IsOnly(name string) bool { return len(c.places) == 1 && c.places[0].name == name }

// String is the opaque text: unpadded base64url of a millrace.v1.Cursor.
func (c *Cursor) String() string { return c.text(math.MaxInt) }

// Header is the text where it must fit into a header. What does not fit is a gap
// to who resumes from it.
func (c *Cursor) Header() string { return c.text(MaxHeaderCursor) }

func (c *Cursor) text(limit int) string {
	message := &millracev1.Cursor{Truncated: c.truncated}
	size, limit := 2, base64.RawURLEncoding.DecodedLen(limit)
	for _, p := range c.places {
		entry := &millracev1.CursorEntry{Channel: p.name, Epoch: p.Epoch, Offset: p.Offset}
		n := proto.Size(entry)
		if size += 1 + protowire.SizeBytes(n); size > limit {
			message.Truncated = true
			break
		}
		message.Entries = append(message.Entries, entry)
	}
	b, err := proto.Marshal(message)
	mustEncode(err)
	return base64.RawURLEncoding.EncodeToString(b)
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
	if err != nil {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_CURSOR, "cursor", "cursor: not one of this service")
	}
	c := &Cursor{truncated: message.GetTruncated()}
	for _, entry := range message.GetEntries() {
		if channel.CheckPattern(entry.GetChannel()) != nil {
			return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_CURSOR, "cursor", "cursor: not one of this service")
		}
		c.Set(entry.GetChannel(), engine.Position{Epoch: entry.GetEpoch(), Offset: entry.GetOffset()})
	}
	return c, nil
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
	if channel.IsPattern(name) {
		for _, seen := range c.places {
			if !channel.IsPattern(seen.name) && channel.Match(name, seen.name) {
				request.Seen = append(request.Seen, &millracev1.ChannelPosition{
					Channel: seen.name, Position: positionToProto(seen.Position),
				})
			}
		}
	}
	return request
}
