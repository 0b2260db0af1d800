package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// frameJSON is a frame of the plain WebSocket wire, the data of an SSE event, or
// the body of an HTTP response: everything that a browser is sent.
type frameJSON struct {
	Type string          `json:"type"`
	ID   json.RawMessage `json:"id"` // of the command, or of the entity
	For  string          `json:"for"`

	// A message.
	Channel        *string           `json:"channel"`
	Data           json.RawMessage   `json:"data"`
	Encoding       string            `json:"encoding"`
	ContentType    string            `json:"contentType"`
	Entity         string            `json:"entity"`
	Timestamp      string            `json:"timestamp"`
	QueryKeys      json.RawMessage   `json:"queryKeys"`
	PreviousOffset uint64            `json:"previousOffset"`
	MessageID      string            `json:"messageId"`
	Publisher      string            `json:"publisher"`
	Key            string            `json:"key"`
	Headers        map[string]string `json:"headers"`
	Ephemeral      bool              `json:"ephemeral"`
	Pattern        string            `json:"pattern"` // also of gaps and checkpoints

	// Where something is.
	Offset    uint64        `json:"offset"`
	Epoch     string        `json:"epoch"`
	Resumed   bool          `json:"resumed"`
	Head      *positionJSON `json:"head"`
	Duplicate bool          `json:"duplicate"`
	Already   bool          `json:"already"`

	// A gap, or a refusal.
	Reason     string        `json:"reason"`
	Requested  *positionJSON `json:"requested"`
	Position   *positionJSON `json:"position"`
	Code       string        `json:"code"`
	Message    string        `json:"message"`
	Field      string        `json:"field"`
	Limit      uint64        `json:"limit"`
	RetryAfter *int64        `json:"retryAfter"`

	// Why a subscription has ended, or a request was refused.
	Error *frameJSON `json:"error"`

	// Presence, and pages of it and of history.
	Version  uint64            `json:"version"`
	Total    uint32            `json:"total"`
	Members  []memberJSON      `json:"members"`
	Changes  []changeJSON      `json:"changes"`
	Messages []json.RawMessage `json:"messages"`
	Next     string            `json:"next"`

	Positions map[string]*positionJSON `json:"positions"`
	Cursor    string                   `json:"cursor"`

	SessionToken string `json:"sessionToken"` // of the stream's first event
}

type positionJSON struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

func (p *positionJSON) proto() *millracev1.Position {
	if p == nil {
		return nil
	}
	return &millracev1.Position{Offset: p.Offset, Epoch: p.Epoch}
}

// place is the position that the frame itself has.
func (f *frameJSON) place() *millracev1.Position {
	if f.Epoch == "" {
		return nil
	}
	return &millracev1.Position{Offset: f.Offset, Epoch: f.Epoch}
}

// info is the frame as the API's ErrorInfo, nil for none.
func (f *frameJSON) info() *millracev1.ErrorInfo {
	if f == nil {
		return nil
	}
	info := &millracev1.ErrorInfo{
		Reason: reasonNamed(f.Reason), Channel: f.For, Field: f.Field, Limit: f.Limit, Message: f.Message,
		Position: f.Position.proto(),
	}
	info.RetryAfter = f.retry()
	return info
}

func (f *frameJSON) retry() *durationpb.Duration {
	if f.RetryAfter == nil {
		return nil
	}
	return durationpb.New(time.Duration(*f.RetryAfter) * time.Millisecond)
}

func (f *frameJSON) refusal() error { return &refusal{code: f.Code, info: f.info()} }

type memberJSON struct {
	User     string          `json:"user"`
	Data     json.RawMessage `json:"data"`
	Sessions uint32          `json:"sessions"`
}

func (m memberJSON) proto() *millracev1.Member {
	return &millracev1.Member{User: m.User, Sessions: m.Sessions, Data: payloadJSON(m.Data)}
}

type changeJSON struct {
	Action string `json:"action"`
	memberJSON
}

func payloadJSON(data json.RawMessage) *millracev1.Payload {
	if data == nil {
		return nil
	}
	return &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: string(data)}}
}

// payload is the data in the form that the frame says.
func (f *frameJSON) payload() (*millracev1.Payload, error) {
	if f.Encoding == "" {
		return payloadJSON(f.Data), nil
	}
	var text string
	if err := json.Unmarshal(f.Data, &text); err != nil {
		return nil, err
	}
	if f.Encoding == "text" {
		return &millracev1.Payload{Kind: &millracev1.Payload_Text{Text: text}}, nil
	}
	binary, err := base64.StdEncoding.DecodeString(text)
	return &millracev1.Payload{Kind: &millracev1.Payload_Binary{Binary: binary}, ContentType: f.ContentType}, err
}

// message is the frame as a message.
func (f *frameJSON) message() (*millracev1.Message, error) {
	payload, err := f.payload()
	m := &millracev1.Message{
		Channel: *f.Channel, Position: f.place(), PreviousOffset: f.PreviousOffset, Id: f.MessageID, Type: f.Type,
		Payload: payload, Publisher: f.Publisher, Headers: f.Headers, Key: f.Key, Ephemeral: f.Ephemeral, Pattern: f.Pattern,
	}
	if f.Entity != "" {
		var id string
		if f.ID != nil {
			if err := json.Unmarshal(f.ID, &id); err != nil {
				return nil, err
			}
		}
		m.Entity = &millracev1.Entity{Name: f.Entity, Id: id, Timestamp: f.Timestamp, QueryKeysJson: string(f.QueryKeys)}
	}
	return m, err
}

// showsInBrowsers is what of a message the JSON of browsers has: JSON is on one
// line, and no data is null.
func showsInBrowsers(m *millracev1.Message) *millracev1.Message {
	m = proto.CloneOf(m)
	if m.GetPayload().GetKind() == nil {
		m.Payload = payloadJSON(json.RawMessage("null"))
	} else if data, ok := m.GetPayload().GetKind().(*millracev1.Payload_Json); ok {
		data.Json = compact(data.Json)
	}
	if m.GetEntity() != nil {
		m.Entity.QueryKeysJson = compact(m.GetEntity().GetQueryKeysJson())
	}
	return m
}

func compact(text string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) != nil {
		return text
	}
	return b.String()
}
