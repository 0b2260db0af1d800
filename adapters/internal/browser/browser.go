// Package browser is the JSON that the plain browser wires share: messages,
// positions and errors, as WebSocket frames, SSE events and HTTP bodies have
// them.
package browser

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// AppendMessage appends a message as one JSON object, with the pattern that it
// comes by, if it does. The fields `channel` and `data` come first; those about
// an entity are where existing clients look for them, and everything else they
// pass over.
func AppendMessage(b []byte, m *engine.Message, pattern string) []byte {
	b = appendField(append(b, '{'), "channel", m.Channel)
	b = append(b, `"data":`...)
	b = AppendData(b, m.Payload)
	b = append(b, ',')
	b = appendEncoding(b, m.Payload)
	b = appendField(b, "type", m.Type)
	if e := m.Entity; e != nil {
		b = appendField(b, "entity", e.Name)
		b = appendField(b, "id", e.ID)
		b = appendField(b, "timestamp", e.Timestamp)
		if e.QueryKeys != "" {
			b = append(b, `"queryKeys":`...)
			b = append(appendCompact(b, []byte(e.QueryKeys)), ',')
		}
	}
	if m.Ephemeral {
		b = append(b, `"ephemeral":true,`...)
	} else {
		b = appendNumber(b, "offset", m.Position.Offset)
		b = appendField(b, "epoch", m.Position.Epoch)
	}
	if !m.Ephemeral && m.Previous+1 != m.Position.Offset {
		b = appendNumber(b, "previousOffset", m.Previous)
	}
	b = appendField(b, "messageId", m.ID)
	b = appendField(b, "publisher", m.Publisher)
	b = appendField(b, "key", m.Key)
	b = appendHeaders(b, m.Headers)
	b = appendField(b, "pattern", pattern)
	b = append(b, `"time":`...)
	b = strconv.AppendInt(b, m.Time.UnixMilli(), 10)
	return append(b, '}')
}

// AppendData appends a payload as one JSON value on one line: JSON as it is, text
// as a string, binary as base64, nothing as null.
func AppendData(b []byte, p engine.Payload) []byte {
	switch p.Kind {
	case engine.JSON:
		return appendCompact(b, p.Data)
	case engine.Text:
		return AppendString(b, string(p.Data))
	case engine.Binary:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, p.Data)
		return append(b, '"')
	case engine.Empty:
	}
	return append(b, "null"...)
}

func appendEncoding(b []byte, p engine.Payload) []byte {
	switch p.Kind {
	case engine.Text:
		return append(b, `"encoding":"text",`...)
	case engine.Binary:
		return appendField(append(b, `"encoding":"base64",`...), "contentType", p.ContentType)
	case engine.JSON, engine.Empty:
	}
	return b
}

// appendCompact appends well-formed JSON without insignificant white space.
func appendCompact(b, text []byte) []byte {
	compact := bytes.NewBuffer(b)
	if json.Compact(compact, text) != nil {
		return append(b, "null"...)
	}
	return compact.Bytes()
}

// appendField appends a field and a comma, or nothing for an empty value.
func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, '"'), name...), `":`...)
	return append(AppendString(b, value), ',')
}

func appendNumber(b []byte, name string, value uint64) []byte {
	b = append(append(append(b, '"'), name...), `":`...)
	return append(strconv.AppendUint(b, value, 10), ',')
}

func appendHeaders(b []byte, headers map[string]string) []byte {
	if len(headers) == 0 {
		return b
	}
	b = append(b, `"headers":{`...)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		b = append(AppendString(b, name), ':')
		b = append(AppendString(b, headers[name]), ',')
	}
	b[len(b)-1] = '}'
	return append(b, ',')
}

// AppendString appends a JSON string.
func AppendString(b []byte, text string) []byte {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == 0xFFFD }) {
		return append(b, Marshal(text)...)
	}
	return append(append(append(b, '"'), text...), '"')
}

// Marshal encodes a value that this repository defines; it cannot fail.
func Marshal(value any) []byte {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic("encode JSON: " + err.Error())
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}

// Position is a place in a channel.
type Position struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

// FromPosition makes the JSON form, nil for none.
func FromPosition(p *millracev1.Position) *Position {
	if p == nil {
		return nil
	}
	return &Position{Offset: p.GetOffset(), Epoch: p.GetEpoch()}
}

// Proto makes the API's form, nil for none.
func (p *Position) Proto() *millracev1.Position {
	if p == nil {
		return nil
	}
	return &millracev1.Position{Offset: p.Offset, Epoch: p.Epoch}
}

// UnmarshalJSON accepts an object, and the text form "42@epoch".
func (p *Position) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
		parsed, err := engine.ParsePosition(text)
		if err != nil {
			// Of this type, for the decoder to add the name of the field.
			return &json.UnmarshalTypeError{Value: "string", Type: reflect.TypeFor[Position]()}
		}
		*p = Position{Offset: parsed.Offset, Epoch: parsed.Epoch}
		return nil
	}
	type plain Position
	return json.Unmarshal(b, (*plain)(p))
}

// Error is why something was refused.
type Error struct {
	Code       string    `json:"code"`   // Connect code
	Reason     string    `json:"reason"` // ErrorReason without its prefix
	Message    string    `json:"message"`
	For        string    `json:"for,omitempty"` // channel
	Field      string    `json:"field,omitempty"`
	Limit      uint64    `json:"limit,omitempty"`
	RetryAfter *int64    `json:"retryAfter,omitempty"` // ms
	Position   *Position `json:"position,omitempty"`
}

// FromError says why a call failed.
func FromError(err error) Error { return FromErrorInfo(service.ErrorInfo(err)) }

// FromErrorOn says it of a call about a channel, where the error does not say
// which.
func FromErrorOn(name string, err error) Error {
	e := FromError(err)
	if e.For == "" && len(name) <= channel.MaxBytes {
		e.For = name
	}
	return e
}

// A Spelling is how a wire names fields of the API.
type Spelling map[string]string

// Spelled names the field, in the message as well, as a wire does.
func (e Error) Spelled(by Spelling) Error {
	spelled, found := by[e.Field]
	if !found {
		return e
	}
	if rest, found := strings.CutPrefix(e.Message, e.Field+":"); found {
		e.Message = spelled + ":" + rest
	}
	e.Field = spelled
	return e
}

// FromErrorInfo says the same of an ErrorInfo.
func FromErrorInfo(info *millracev1.ErrorInfo) Error {
	e := Error{
		Code:     service.Code(info.GetReason()).String(),
		Reason:   strings.TrimPrefix(info.GetReason().String(), "ERROR_REASON_"),
		Message:  info.GetMessage(),
		For:      info.GetChannel(),
		Field:    info.GetField(),
		Limit:    info.GetLimit(),
		Position: FromPosition(info.GetPosition()),
	}
	if after := info.GetRetryAfter(); after != nil {
		ms := after.AsDuration().Milliseconds()
		e.RetryAfter = &ms
	}
	return e
}

// Expires is when credentials expire.
type Expires struct {
	Expires int64 `json:"expires,omitempty"` // ms since 1970; none for never
}

// FromExpireTime makes the JSON form.
func FromExpireTime(t *timestamppb.Timestamp) Expires {
	if t == nil {
		return Expires{}
	}
	return Expires{Expires: t.AsTime().UnixMilli()}
}

// Draining says when to open a session elsewhere.
type Draining struct {
	RetryAfter int64 `json:"retryAfter"` // ms
}

// FromDraining makes the JSON form.
func FromDraining(d *millracev1.Draining) Draining {
	return Draining{RetryAfter: d.GetRetryAfter().AsDuration().Milliseconds()}
}

// Gap says what of a channel was missed.
type Gap struct {
	For       string    `json:"for"`
	Reason    string    `json:"reason"` // GapReason without its prefix
	Requested *Position `json:"requested"`
	Position  *Position `json:"position"`
	Pattern   string    `json:"pattern,omitempty"` // whose subscription missed it
}

// FromGap makes the JSON form.
func FromGap(gap *millracev1.Gap) Gap {
	return Gap{
		For:       gap.GetChannel(),
		Reason:    strings.TrimPrefix(gap.GetReason().String(), "GAP_REASON_"),
		Requested: FromPosition(gap.GetRequested()),
		Position:  FromPosition(gap.GetPosition()),
		Pattern:   gap.GetPattern(),
	}
}

// Subscribed says that a channel was added.
type Subscribed struct {
	For     string `json:"for"`
	Offset  uint64 `json:"offset"`
	Epoch   string `json:"epoch,omitempty"`
	Resumed bool   `json:"resumed"`
	// Already is set where the subscription was there, and is as it was.
	Already bool `json:"already,omitempty"`
	// Head is where live messages begin.
	Head *Position `json:"head,omitempty"`
}

// FromSubscribed makes the JSON form.
func FromSubscribed(s *millracev1.Subscribed) Subscribed {
	return Subscribed{
		For: s.GetChannel(), Offset: s.GetPosition().GetOffset(), Epoch: s.GetPosition().GetEpoch(), Resumed: s.GetResumed(), Already: s.GetAlready(),
		Head: FromPosition(s.GetHead()),
	}
}

// Checkpoint says where a channel is without a message to carry it.
type Checkpoint struct {
	For    string `json:"for"`
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
	// Seen are the channels of a pattern that are further.
	Seen    map[string]*Position `json:"seen,omitempty"`
	Pattern string               `json:"pattern,omitempty"` // whose subscription is there
}

// FromCheckpoint makes the JSON form.
func FromCheckpoint(c *millracev1.Checkpoint) Checkpoint {
	checkpoint := Checkpoint{For: c.GetChannel(), Offset: c.GetPosition().GetOffset(), Epoch: c.GetPosition().GetEpoch(), Pattern: c.GetPattern()}
	if seen := c.GetSeen(); len(seen) > 0 {
		checkpoint.Seen = map[string]*Position{}
		for _, entry := range seen {
			checkpoint.Seen[entry.GetChannel()] = FromPosition(entry.GetPosition())
		}
	}
	return checkpoint
}

// Member is one user who is present.
type Member struct {
	User     string          `json:"user"`
	Data     json.RawMessage `json:"data,omitempty"`
	Since    int64           `json:"since"` // ms since 1970
	Sessions uint32          `json:"sessions"`
}

// FromMembers makes the JSON form.
func FromMembers(members []*millracev1.Member) []Member {
	list := make([]Member, len(members))
	for i, m := range members {
		list[i] = FromMember(m)
	}
	return list
}

// FromMember makes the JSON form.
func FromMember(m *millracev1.Member) Member {
	member := Member{User: m.GetUser(), Since: m.GetEnterTime().AsTime().UnixMilli(), Sessions: m.GetSessions()}
	if m.GetData().GetKind() != nil {
		member.Data = AppendData(nil, service.PayloadFromProto(m.GetData()))
	}
	return member
}

// Presence is who is present, or what changed.
type Presence struct {
	For     string   `json:"for"`
	Version uint64   `json:"version"`
	Epoch   string   `json:"epoch,omitempty"`
	Total   uint32   `json:"total"`
	Members []Member `json:"members,omitempty"`
	Changes []Change `json:"changes,omitempty"`
	Next    string   `json:"next,omitempty"` // page token
}

// Change is one change of a member.
type Change struct {
	Action string `json:"action"` // "enter", "update" or "leave"
	Member
}

// FromSnapshot makes the JSON form.
func FromSnapshot(s *millracev1.PresenceSnapshot) Presence {
	return Presence{
		For: s.GetChannel(), Version: s.GetVersion().GetNumber(), Epoch: s.GetVersion().GetEpoch(),
		Total: s.GetTotal(), Members: FromMembers(s.GetMembers()),
	}
}

// FromChanges makes the JSON form.
func FromChanges(c *millracev1.PresenceChanges) Presence {
	p := Presence{For: c.GetChannel(), Version: c.GetVersion().GetNumber(), Epoch: c.GetVersion().GetEpoch(), Total: c.GetTotal()}
	for _, change := range c.GetChanges() {
		action := strings.ToLower(strings.TrimPrefix(change.GetAction().String(), "PRESENCE_ACTION_"))
		p.Changes = append(p.Changes, Change{Action: action, Member: FromMember(change.GetMember())})
	}
	return p
}

// FromPage makes the JSON form of a page of members.
func FromPage(name string, r *millracev1.PresenceResponse) Presence {
	return Presence{
		For: name, Version: r.GetVersion().GetNumber(), Epoch: r.GetVersion().GetEpoch(),
		Total: r.GetTotal(), Members: FromMembers(r.GetMembers()), Next: r.GetNextPageToken(),
	}
}

// History is a page of messages.
type History struct {
	For      string            `json:"for"`
	Messages []json.RawMessage `json:"messages"`
	Offset   uint64            `json:"offset"` // where the channel is now
	Epoch    string            `json:"epoch,omitempty"`
	Next     string            `json:"next,omitempty"` // page token
}

// FromHistory makes the JSON form.
func FromHistory(name string, r *millracev1.HistoryResponse) History {
	h := History{
		For: name, Messages: []json.RawMessage{}, Next: r.GetNextPageToken(),
		Offset: r.GetPosition().GetOffset(), Epoch: r.GetPosition().GetEpoch(),
	}
	for _, m := range r.GetMessages() {
		h.Messages = append(h.Messages, AppendMessage(nil, service.MessageFromProto(m), ""))
	}
	return h
}

// Published says where a message went.
type Published struct {
	For       string `json:"for"`
	Offset    uint64 `json:"offset,omitempty"`
	Epoch     string `json:"epoch,omitempty"`
	Duplicate bool   `json:"duplicate,omitempty"`
}

// FromPublished makes the JSON form.
func FromPublished(name string, r *millracev1.PublishResponse) Published {
	return Published{
		For: name, Offset: r.GetPosition().GetOffset(), Epoch: r.GetPosition().GetEpoch(), Duplicate: r.GetDuplicate(),
	}
}
