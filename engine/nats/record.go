package nats

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/engine"
)

// record is what the stream keeps: some messages that follow one another in one
// channel, appended together.
//
// On the wire it is a protobuf message with the fields of the constants below, so
// that nodes of different versions can read each other's.
type record struct {
	// What the stream says.
	channel  string
	sequence uint64    // of the stream
	time     time.Time // when the stream took it

	// What the writer says.
	token    string // of the attempt to append that this is
	previous uint64 // sequence of the channel's record before this one; 0 for the first
	epoch    uint64 // number of the channel's epoch
	head     uint64 // offset of the channel's message before these
	newest   uint64 // Sequence of that message
	keep     engine.Retention
	messages []*engine.Message // without positions until place
}

// clone is a record with messages of its own, which may be placed while others read
// those that were delivered.
func (r *record) clone() *record {
	other := *r
	other.messages = make([]*engine.Message, len(r.messages))
	for i, m := range r.messages {
		one := *m
		other.messages[i] = &one
	}
	return &other
}

// A message's Sequence is its record's, and its place in the record.
const (
	sequenceBits = 10
	maxBatch     = 256 // messages of a record; at most 1<<sequenceBits
	maxBytes     = 256 << 10
)

// lastSequence is the greatest that a message of a record, or before, can have.
func lastSequence(recordSequence uint64) uint64 {
	return recordSequence<<sequenceBits | (1<<sequenceBits - 1)
}

const (
	fieldToken protowire.Number = iota + 1
	fieldPrevious
	fieldEpoch
	fieldHead
	fieldNewest
	fieldKeepMessages
	fieldKeepAge
	fieldMessage
)

const (
	fieldID protowire.Number = iota + 1
	fieldType
	fieldKind
	fieldData
	fieldContentType
	fieldTime
	fieldPublisher
	fieldHeaderName
	fieldHeaderValue
	fieldKey
	fieldTTL
	fieldEphemeral
	fieldEntityName
	fieldEntityID
	fieldEntityTimestamp
	fieldEntityQueryKeys
	fieldProducerID
	fieldProducerEpoch
	fieldProducerSeq
	fieldExclude
	fieldHasEntity
	fieldHasProducer
)

// encode writes what the stream does not say itself.
func (r *record) encode() []byte {
	b := make([]byte, 0, 128+r.size())
	b = appendText(b, fieldToken, r.token)
	b = appendNumber(b, fieldPrevious, r.previous)
	b = appendNumber(b, fieldEpoch, r.epoch)
	b = appendNumber(b, fieldHead, r.head)
	b = appendNumber(b, fieldNewest, r.newest)
	b = appendNumber(b, fieldKeepMessages, uint64(r.keep.Messages))
	b = appendNumber(b, fieldKeepAge, uint64(r.keep.Age))
	for _, m := range r.messages {
		b = protowire.AppendTag(b, fieldMessage, protowire.BytesType)
		b = protowire.AppendBytes(b, encodeMessage(m))
	}
	return b
}

func (r *record) size() (n int) {
	for _, m := range r.messages {
		n += m.Size()
	}
	return n
}

// decodeRecord reads what encode wrote. Fields of later versions are passed over.
func decodeRecord(b []byte) (*record, error) {
	r := &record{}
	err := eachField(b, func(field protowire.Number, number uint64, data []byte) error {
		switch field {
		case fieldToken:
			r.token = string(data)
		case fieldPrevious:
			r.previous = number
		case fieldEpoch:
			r.epoch = number
		case fieldHead:
			r.head = number
		case fieldNewest:
			r.newest = number
		case fieldKeepMessages:
			r.keep.Messages = int(number)
		case fieldKeepAge:
			r.keep.Age = time.Duration(number)
		case fieldMessage:
			m, err := decodeMessage(data)
			r.messages = append(r.messages, m)
			return err
		default: // of a later version
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(r.messages) == 0 || len(r.messages) > 1<<sequenceBits:
		return nil, fmt.Errorf("a record of %d messages", len(r.messages))
	}
	return r, nil
}

// place gives the messages their places: in the channel, whose epochs begin with
// the stream's, and among all messages.
func (r *record) place(epochs string) {
	position := engine.Position{Epoch: channelEpoch(epochs, r.epoch), Offset: r.head}
	previous := r.newest
	for i, m := range r.messages {
		m.Channel = r.channel
		m.Previous, m.PreviousSequence = position.Offset, previous
		position.Offset++
		m.Position = position
		m.Sequence = r.sequence<<sequenceBits | uint64(i)
		previous = m.Sequence
	}
}

// isRemembered reports whether later appends need the record for what it says
// of ids and producers.
func (r *record) isRemembered() bool {
	return slices.ContainsFunc(r.messages, func(m *engine.Message) bool { return m.ID != "" || m.Producer != nil })
}

func encodeMessage(m *engine.Message) []byte {
	b := make([]byte, 0, 64+m.Size())
	b = appendText(b, fieldID, m.ID)
	b = appendText(b, fieldType, m.Type)
	b = appendNumber(b, fieldKind, uint64(m.Payload.Kind))
	b = appendText(b, fieldData, m.Payload.Data)
	b = appendText(b, fieldContentType, m.Payload.ContentType)
	b = appendNumber(b, fieldTime, uint64(m.Time.UnixNano()))
	b = appendText(b, fieldPublisher, m.Publisher)
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		b = protowire.AppendString(protowire.AppendTag(b, fieldHeaderName, protowire.BytesType), name)
		b = protowire.AppendString(protowire.AppendTag(b, fieldHeaderValue, protowire.BytesType), m.Headers[name])
	}
	b = appendText(b, fieldKey, m.Key)
	b = appendNumber(b, fieldTTL, uint64(m.TTL))
	b = appendNumber(b, fieldEphemeral, toNumber(m.Ephemeral))
	if m.Entity != nil {
		b = appendNumber(b, fieldHasEntity, 1)
		b = appendText(b, fieldEntityName, m.Entity.Name)
		b = appendText(b, fieldEntityID, m.Entity.ID)
		b = appendText(b, fieldEntityTimestamp, m.Entity.Timestamp)
		b = appendText(b, fieldEntityQueryKeys, m.Entity.QueryKeys)
	}
	if m.Producer != nil {
		b = appendNumber(b, fieldHasProducer, 1)
		b = appendText(b, fieldProducerID, m.Producer.ID)
		b = appendNumber(b, fieldProducerEpoch, m.Producer.Epoch)
		b = appendNumber(b, fieldProducerSeq, m.Producer.Seq)
	}
	return appendText(b, fieldExclude, m.Exclude)
}

func decodeMessage(b []byte) (*engine.Message, error) {
	m := &engine.Message{}
	var entity engine.Entity
	var producer engine.Producer
	var header string
	err := eachField(b, func(field protowire.Number, number uint64, data []byte) error {
		switch field {
		case fieldID:
			m.ID = string(data)
		case fieldType:
			m.Type = string(data)
		case fieldKind:
			m.Payload.Kind = engine.PayloadKind(number)
		case fieldData:
			m.Payload.Data = slices.Clone(data)
		case fieldContentType:
			m.Payload.ContentType = string(data)
		case fieldTime:
			m.Time = time.Unix(0, int64(number)).UTC()
		case fieldPublisher:
			m.Publisher = string(data)
		case fieldHeaderName:
			header = string(data)
		case fieldHeaderValue:
			if m.Headers == nil {
				m.Headers = map[string]string{}
			}
			m.Headers[header] = string(data)
		case fieldKey:
			m.Key = string(data)
		case fieldTTL:
			m.TTL = time.Duration(number)
		case fieldEphemeral:
			m.Ephemeral = number > 0
		case fieldHasEntity:
			m.Entity = &entity
		case fieldEntityName:
			entity.Name = string(data)
		case fieldEntityID:
			entity.ID = string(data)
		case fieldEntityTimestamp:
			entity.Timestamp = string(data)
		case fieldEntityQueryKeys:
			entity.QueryKeys = string(data)
		case fieldHasProducer:
			m.Producer = &producer
		case fieldProducerID:
			producer.ID = string(data)
		case fieldProducerEpoch:
			producer.Epoch = number
		case fieldProducerSeq:
			producer.Seq = number
		case fieldExclude:
			m.Exclude = string(data)
		default: // of a later version
		}
		return nil
	})
	return m, err
}

// eachField calls fn with the fields of a protobuf message, those of the types
// that are in use.
func eachField(b []byte, fn func(field protowire.Number, number uint64, data []byte) error) error {
	for len(b) > 0 {
		field, wireType, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var number uint64
		var data []byte
		switch wireType {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(field, wireType, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if wireType != protowire.VarintType && wireType != protowire.BytesType {
			continue
		}
		if err := fn(field, number, data); err != nil {
			return err
		}
	}
	return nil
}

func appendText[T string | []byte](b []byte, field protowire.Number, text T) []byte {
	if len(text) == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(text)))
	return append(b, text...)
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func toNumber(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
