package ws

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/adapters/internal/browser"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// plainCommand is a frame from the client. Which fields count depends on the
// type.
type plainCommand struct {
	Type    string    `json:"type"`
	ID      commandID `json:"id"`
	Channel string    `json:"channel"`
	Token   string    `json:"token"` // auth

	// subscribe
	Since    *browser.Position `json:"since"` // history as well
	Recent   uint32            `json:"recent"`
	OnGap    string            `json:"onGap"`
	Presence bool              `json:"presence"`
	Cursor   string            `json:"cursor"`
	Seen     json.RawMessage   `json:"seen"` // positions by channel
	Filter   *struct {
		Types   json.RawMessage `json:"types"` // a list of texts
		Headers headers         `json:"headers"`
	} `json:"filter"`
	MinInterval  uint32 `json:"minInterval"` // ms
	LatestPerKey bool   `json:"latestPerKey"`
	OnSlow       string `json:"onSlow"`

	// publish, enter, update
	Data        json.RawMessage   `json:"data"`
	Encoding    string            `json:"encoding"` // "text" or "base64"
	ContentType string            `json:"contentType"`
	MessageID   string            `json:"messageId"`
	MessageType string            `json:"messageType"`
	Key         string            `json:"key"`
	Headers     headers           `json:"headers"`
	Ephemeral   bool              `json:"ephemeral"`
	TTL         uint64            `json:"ttl"` // ms
	Expect      *browser.Position `json:"expect"`
	ExcludeSelf bool              `json:"excludeSelf"`
	Producer    *struct {
		ID    string `json:"id"`
		Epoch uint64 `json:"epoch"`
		Seq   uint64 `json:"seq"`
	} `json:"producer"`

	// an entity event, with `id` for the entity's
	Entity    *string         `json:"entity"`
	EntityID  string          `json:"entityId"` // with the type publish
	Timestamp string          `json:"timestamp"`
	QueryKeys json.RawMessage `json:"queryKeys"`

	// history, presence, positions
	Limit    uint32          `json:"limit"`
	Page     string          `json:"page"`
	Newest   bool            `json:"newest"`
	Channels json.RawMessage `json:"channels"` // a list of names
}

// decodePlain reads a frame. What it returns with an error has the command's id
// and channel, if these could be read.
func decodePlain(data []byte) (*plainCommand, error) {
	c := &plainCommand{}
	if !utf8.Valid(data) {
		return c, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "frame", "frame: not valid UTF-8")
	}
	err := json.Unmarshal(data, c)
	if err != nil {
		c, err = identify(data), unreadable(err)
	}
	switch {
	case string(c.ID) == "null":
		c.ID = nil
	case !isScalar(c.ID):
		c.ID = nil
		if err == nil {
			err = service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "id", "id: must be a number or a text of at most 64 bytes")
		}
	}
	return c, err
}

// identify reads of a command what its answer needs, if the rest cannot be read.
func identify(data []byte) *plainCommand {
	var partial struct {
		ID      commandID `json:"id"`
		Type    any       `json:"type"`
		Channel any       `json:"channel"`
		Entity  any       `json:"entity"`
	}
	c := &plainCommand{}
	if json.Unmarshal(data, &partial) != nil {
		return c
	}
	c.ID = partial.ID
	c.Type, _ = partial.Type.(string)
	c.Channel, _ = partial.Channel.(string)
	if partial.Entity != nil {
		c.Entity = new(string)
	}
	return c
}

// unreadable says which field JSON decoding failed at.
func unreadable(err error) error {
	if errors.Is(err, errTooLong) {
		return service.TooMany("headers", service.MaxHeaders, "entries")
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
		return service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, e.Field, "%s: a %s is not what this field takes", e.Field, e.Value)
	}
	return service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "frame", "frame: not a command, which is a JSON object with a type")
}

// maxCommandID bounds what is sent back as it came.
const maxCommandID = 64 + len(`""`)

// isScalar reports whether an id can be sent back: it is absent, or a number or
// text of a decent size.
func isScalar(id commandID) bool {
	return id == nil || len(id) <= maxCommandID && id[0] != '{' && id[0] != '[' && id[0] != 't' && id[0] != 'f'
}

// headers are read no further than there may be of them.
type headers map[string]string

// UnmarshalJSON implements [json.Unmarshaler].
func (h *headers) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	read, err := readMap[string](bytes.NewReader(b), service.MaxHeaders)
	if err != nil && !errors.Is(err, errTooLong) {
		return json.Unmarshal(b, (*map[string]string)(h)) // in whose error the decoder says which field it is
	}
	*h = read
	return err
}

// channels are those that a command names.
func (c *plainCommand) channels(most int) ([]string, error) {
	return readField(c.Channels, readList[string], "channels", most, "channels")
}

// readField reads a field that has many entries, if there is one, and no more of
// it than it may have.
func readField[All any](field json.RawMessage, read func(io.Reader, int) (All, error), name string, most int, unit string) (all All, err error) {
	if len(field) == 0 || string(field) == "null" {
		return all, nil
	}
	all, err = read(bytes.NewReader(field), most)
	switch {
	case errors.Is(err, errTooLong):
		return all, service.TooMany(name, most, unit)
	case err != nil:
		return all, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, name, "%s: not in the form that this field has: %s", name, err)
	}
	return all, nil
}

// isEntityEvent reports whether the frame publishes a change of an entity: its
// type and id are then the entity event's, not the command's.
func (c *plainCommand) isEntityEvent() bool {
	switch c.Type {
	case "create", "update", "patch", "delete", "invalidate":
		return c.Entity != nil
	}
	return false
}

var onGaps = map[string]millracev1.OnGap{
	"":       millracev1.OnGap_ON_GAP_UNSPECIFIED,
	"latest": millracev1.OnGap_ON_GAP_LATEST,
	"oldest": millracev1.OnGap_ON_GAP_OLDEST,
	"close":  millracev1.OnGap_ON_GAP_CLOSE,
}

var onSlows = map[string]millracev1.OnSlow{
	"":             millracev1.OnSlow_ON_SLOW_UNSPECIFIED,
	"disconnect":   millracev1.OnSlow_ON_SLOW_DISCONNECT,
	"dropOldest":   millracev1.OnSlow_ON_SLOW_DROP_OLDEST,
	"latestPerKey": millracev1.OnSlow_ON_SLOW_LATEST_PER_KEY,
}

// subscription is the command as the API's request, within the limits.
func (c *plainCommand) subscription(limits service.Limits) (*millracev1.Subscription, error) {
	onGap, known := onGaps[c.OnGap]
	if !known {
		return nil, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "onGap", "onGap: must be latest, oldest or close")
	}
	onSlow, known := onSlows[c.OnSlow]
	if !known {
		return nil, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "onSlow", "onSlow: must be disconnect, dropOldest or latestPerKey")
	}
	request := &millracev1.Subscription{
		Channel: c.Channel, Since: c.Since.Proto(), Recent: c.Recent, OnGap: onGap, Presence: c.Presence,
		LatestPerKey: c.LatestPerKey, OnSlow: onSlow,
	}
	if c.Filter != nil {
		types, err := readField(c.Filter.Types, readList[string], "filter.types", service.MaxFilterTypes, "types")
		if err != nil {
			return nil, err
		}
		request.Filter = &millracev1.Filter{Types: types, Headers: c.Filter.Headers}
	}
	if c.MinInterval > 0 {
		request.MinInterval = durationpb.New(time.Duration(c.MinInterval) * time.Millisecond)
	}
	seen, err := readField(c.Seen, readMap[browser.Position], "seen", limits.Seen(), "channels")
	if err != nil {
		return nil, err
	}
	for name, position := range seen {
		request.Seen = append(request.Seen, &millracev1.ChannelPosition{Channel: name, Position: position.Proto()})
	}
	return request, nil
}

// publication is the command as the API's request.
func (c *plainCommand) publication() (*millracev1.PublishRequest, error) {
	if c.Data == nil && c.Type == "" {
		return nil, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "type", "type: missing, and there is no data to publish")
	}
	payload, err := c.payload()
	if err != nil {
		return nil, err
	}
	request := &millracev1.PublishRequest{
		Channel: c.Channel, Id: c.MessageID, Type: c.MessageType, Headers: c.Headers, Key: c.Key,
		Ephemeral: c.Ephemeral, ExpectedPosition: c.Expect.Proto(), ExcludeSelf: c.ExcludeSelf,
	}
	if p := c.Producer; p != nil {
		request.Producer = &millracev1.Producer{Id: p.ID, Epoch: p.Epoch, Seq: p.Seq}
	}
	if payload != nil {
		request.Data = &millracev1.PublishRequest_Payload{Payload: payload}
	}
	if c.TTL > 0 {
		request.Ttl = durationpb.New(time.Duration(min(c.TTL, maxMilliseconds)) * time.Millisecond)
	}
	if c.Entity != nil {
		request.Entity = &millracev1.Entity{
			Name: *c.Entity, Id: c.EntityID, Timestamp: c.Timestamp, QueryKeysJson: string(c.QueryKeys),
		}
	}
	if c.isEntityEvent() {
		request.Type, request.Entity.Id = c.Type, textOf(c.ID)
	}
	return request, nil
}

// maxMilliseconds is a hundred years: more would overflow.
const maxMilliseconds = 100 * 365 * 24 * 60 * 60 * 1000

// textOf is the entity's id, which may have come as a number.
func textOf(id commandID) string {
	var text string
	if json.Unmarshal(id, &text) == nil {
		return text
	}
	return string(id)
}

// payload is the data in the encoding that the frame says.
func (c *plainCommand) payload() (*millracev1.Payload, error) {
	var text string
	switch {
	case c.Data == nil:
		return nil, nil //nolint:nilnil // no data is a valid payload
	case c.Encoding == "":
		return &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: string(c.Data)}}, nil
	case json.Unmarshal(c.Data, &text) != nil:
		return nil, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "data", "data: must be a text, because encoding is given")
	case c.Encoding == "text":
		return &millracev1.Payload{Kind: &millracev1.Payload_Text{Text: text}}, nil
	case c.Encoding == "base64":
		data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return nil, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "data", "data: not base64")
		}
		return &millracev1.Payload{Kind: &millracev1.Payload_Binary{Binary: data}, ContentType: c.ContentType}, nil
	}
	return nil, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "encoding", "encoding: must be text or base64")
}
