package service

import (
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// toProto and its siblings translate between the engine's vocabulary and the
// API's.

func toProto(m *engine.Message) *millracev1.Message {
	message := &millracev1.Message{
		Channel:     m.Channel,
		Position:    positionToProto(m.Position),
		Id:          m.ID,
		Type:        m.Type,
		Payload:     payloadToProto(m.Payload),
		PublishTime: timestamppb.New(m.Time),
		Publisher:   m.Publisher,
		Headers:     m.Headers,
		Key:         m.Key,
		Ephemeral:   m.Ephemeral,
	}
	if m.Previous+1 != m.Position.Offset {
		message.PreviousOffset = m.Previous
	}
	if m.TTL > 0 {
		message.Ttl = durationpb.New(m.TTL)
	}
	if e := m.Entity; e != nil {
		message.Entity = &millracev1.Entity{Name: e.Name, Id: e.ID, Timestamp: e.Timestamp, QueryKeysJson: e.QueryKeys}
	}
	return message
}

func toProtos(messages []*engine.Message) []*millracev1.Message {
	protos := make([]*millracev1.Message, len(messages))
	for i, m := range messages {
		protos[i] = toProto(m)
	}
	return protos
}

func payloadToProto(p engine.Payload) *millracev1.Payload {
	switch p.Kind {
	case engine.JSON:
		return &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: string(p.Data)}}
	case engine.Binary:
		return &millracev1.Payload{Kind: &millracev1.Payload_Binary{Binary: p.Data}, ContentType: p.ContentType}
	case engine.Text:
		return &millracev1.Payload{Kind: &millracev1.Payload_Text{Text: string(p.Data)}}
	case engine.Empty:
	}
	return nil
}

// PayloadFromProto translates a payload of the API.
func PayloadFromProto(p *millracev1.Payload) engine.Payload {
	switch kind := p.GetKind().(type) {
	case *millracev1.Payload_Json:
		return engine.Payload{Kind: engine.JSON, Data: []byte(kind.Json)}
	case *millracev1.Payload_Binary:
		return engine.Payload{Kind: engine.Binary, Data: kind.Binary, ContentType: p.GetContentType()}
	case *millracev1.Payload_Text:
		return engine.Payload{Kind: engine.Text, Data: []byte(kind.Text)}
	}
	return engine.Payload{}
}

func positionToProto(p engine.Position) *millracev1.Position {
	if p.IsZero() {
		return nil
	}
	return &millracev1.Position{Offset: p.Offset, Epoch: p.Epoch}
}

func positionFromProto(p *millracev1.Position) engine.Position {
	return engine.Position{Offset: p.GetOffset(), Epoch: p.GetEpoch()}
}

// MessageFromProto translates a message of the API, for wires that spell it
// differently.
func MessageFromProto(m *millracev1.Message) *engine.Message {
	message := &engine.Message{
		Channel:   m.GetChannel(),
		Position:  positionFromProto(m.GetPosition()),
		Previous:  m.GetPreviousOffset(),
		ID:        m.GetId(),
		Type:      m.GetType(),
		Payload:   PayloadFromProto(m.GetPayload()),
		Time:      m.GetPublishTime().AsTime(),
		Publisher: m.GetPublisher(),
		Headers:   m.GetHeaders(),
		Key:       m.GetKey(),
		TTL:       m.GetTtl().AsDuration(),
		Ephemeral: m.GetEphemeral(),
	}
	if m.GetPreviousOffset() == 0 && message.Position.Offset > 0 {
		message.Previous = message.Position.Offset - 1
	}
	if e := m.GetEntity(); e != nil {
		message.Entity = &engine.Entity{Name: e.GetName(), ID: e.GetId(), Timestamp: e.GetTimestamp(), QueryKeys: e.GetQueryKeysJson()}
	}
	return message
}
