package service

import (
	"encoding/base64"

	"google.golang.org/protobuf/proto"

	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// maxCursorBytes bounds the text of a cursor: it must fit into a header.
const maxCursorBytes = 16 << 10

// Cursor is where several channels are, as one opaque text. It is a resume
// point: whoever subscribes from it sees everything after it.
type Cursor struct {
	names     []string // in the order in which they came
	positions map[string]engine.Position
}

// Position is where a channel or pattern is.
func (c *Cursor) Position(name string) (engine.Position, bool) {
	p, found := c.positions[name]
	return p, found
}

// Set moves a channel or pattern to a position.
func (c *Cursor) Set(name string, p engine.Position) {
	if c.positions == nil {
		c.positions = map[string]engine.Position{}
	}
	if _, found := c.positions[name]; !found {
		c.names = append(c.names, name)
	}
	c.positions[name] = p
}

// Remove forgets a channel or pattern.
func (c *Cursor) Remove(name string) {
	if _, found := c.positions[name]; !found {
		return
	}
	delete(c.positions, name)
	for i, n := range c.names {
		if n == name {
			c.names = append(c.names[:i], c.names[i+1:]...)
			return
		}
	}
}

// Len is how many channels and patterns the cursor knows.
func (c *Cursor) Len() int { return len(c.names) }

// String is the opaque text: unpadded base64url of a millrace.v1.Cursor.
func (c *Cursor) String() string {
	message := &millracev1.Cursor{}
	for _, name := range c.names {
		p := c.positions[name]
		message.Entries = append(message.Entries, &millracev1.CursorEntry{Channel: name, Epoch: p.Epoch, Offset: p.Offset})
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
	c := &Cursor{}
	for _, entry := range message.GetEntries() {
		if channel.CheckPattern(entry.GetChannel()) != nil {
			return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_CURSOR, "cursor", "cursor: not one of this service")
		}
		c.Set(entry.GetChannel(), engine.Position{Epoch: entry.GetEpoch(), Offset: entry.GetOffset()})
	}
	return c, nil
}

// resume adds to a subscription where the cursor says that it was. A start of
// the subscription's own comes first.
func (c *Cursor) resume(request *millracev1.Subscription) *millracev1.Subscription {
	name := request.GetChannel()
	position, found := c.Position(name)
	if !found || request.GetSince() != nil {
		return request
	}
	request = proto.CloneOf(request)
	request.Since = &millracev1.Position{Offset: position.Offset, Epoch: position.Epoch}
	request.Recent = 0
	if channel.IsPattern(name) {
		for _, seen := range c.names {
			if !channel.IsPattern(seen) && channel.Match(name, seen) {
				request.Seen = append(request.Seen, &millracev1.ChannelPosition{
					Channel: seen, Position: positionToProto(c.positions[seen]),
				})
			}
		}
	}
	return request
}
