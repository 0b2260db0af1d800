// Package engine is the vocabulary of channels and the contract of the place
// where they live.
//
// What an [Engine] guarantees, and package enginetest checks:
//
//   - Order. The messages of a channel have strictly rising offsets within an
//     epoch. The offset is assigned and the message delivered in one critical
//     section, so the deliveries of a channel come in the order of its offsets.
//   - Acknowledged means stored. When Append returns without an error, the
//     message is in the log (as far as the channel's retention keeps one) and
//     has been handed to the deliver function of this node.
//   - Once. An id that was appended within the deduplication window answers
//     the first receipt and is neither stored nor delivered again.
//   - Numbered producers. A message whose producer's number is the next one is
//     appended; an earlier one is a duplicate, a later one is refused. To an
//     engine that does not know the producer, any number is the first.
//   - Metadata outlives data. The epoch and the head of a channel are known
//     after its last message has expired.
//   - A changed epoch is the only answer to lost continuity.
package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Position is a place in a channel: the message at Offset and all before it.
// Offset 0 is the place before the first message.
type Position struct {
	Epoch  string // random identity of the log that Offset belongs to
	Offset uint64
}

// String returns the text form, such as "42@k3f9".
func (p Position) String() string {
	return strconv.FormatUint(p.Offset, 10) + "@" + p.Epoch
}

// IsZero reports whether p is no position at all.
func (p Position) IsZero() bool { return p == Position{} }

// ParsePosition is the inverse of [Position.String].
func ParsePosition(text string) (Position, error) {
	offset, epoch, found := strings.Cut(text, "@")
	n, err := strconv.ParseUint(offset, 10, 64)
	if !found || err != nil || epoch == "" && n > 0 {
		return Position{}, fmt.Errorf("position %q is not of the form offset@epoch", text)
	}
	return Position{Epoch: epoch, Offset: n}, nil
}

// PayloadKind is the form of a payload.
type PayloadKind uint8

// The forms of a payload.
const (
	Empty  PayloadKind = iota // no data: a signal
	JSON                      // a well-formed JSON text
	Binary                    // opaque bytes
	Text                      // UTF-8
)

// Payload is the application data of a message.
type Payload struct {
	Kind        PayloadKind
	Data        []byte // never modified once the message was appended
	ContentType string // media type of Binary
}

// Entity says which entity of the application a message is about.
type Entity struct {
	Name      string // kind of entity, such as "user"
	ID        string
	Timestamp string // in the publisher's notation
	QueryKeys string // JSON array, or empty
}

// Message is what was published to a channel. It is shared by everything that
// stores or delivers it and must not be modified once it was appended; an
// engine sets Position, Previous and Sequence when it appends it.
type Message struct {
	Channel  string
	Position Position // zero for ephemeral messages
	// Previous is the offset of the channel's message before this one.
	Previous uint64
	// Sequence rises strictly over all channels of the engine, in the order of
	// appending within each channel. It is what a pattern's position counts.
	Sequence uint64
	// PreviousSequence is that of the channel's message before this one, and 0
	// if there was none or the engine does not know.
	PreviousSequence uint64
	// Settled is a Sequence up to which all messages of all channels had been
	// delivered before this one was; 0 if the engine does not know. In a message
	// that was read from a log it means nothing.
	Settled   uint64
	ID        string // the publisher's, for deduplication; may be empty
	Type      string
	Payload   Payload
	Time      time.Time
	Publisher string // user
	Headers   map[string]string
	Key       string // what this is the latest value of
	TTL       time.Duration
	Ephemeral bool
	Entity    *Entity
	Producer  *Producer
	// Exclude is the public id of the session that does not receive the message.
	Exclude string
}

// Producer numbers the messages of one publisher to one channel.
type Producer struct {
	ID    string
	Epoch uint64 // raised by a publisher that starts anew
	Seq   uint64 // one more than the last one's, from 1 in each epoch
}

// Size is about how many bytes the message takes, in memory and on a wire.
func (m *Message) Size() int {
	size := 96 + len(m.Channel) + len(m.ID) + len(m.Type) + len(m.Payload.Data) + len(m.Publisher) + len(m.Key)
	for k, v := range m.Headers {
		size += len(k) + len(v) + 8
	}
	return size
}

// Retention says what a channel's log keeps. The zero value keeps nothing but
// the position.
type Retention struct {
	Messages int           // at most so many
	Age      time.Duration // none older; 0 means no limit by age
}

// AppendOptions modify one Append.
type AppendOptions struct {
	Retention Retention
	// Expect, if set, is the position the channel must be at. The zero
	// position stands for a channel without any message.
	Expect *Position
}

// Receipt says where an appended message is.
type Receipt struct {
	Position Position
	// Duplicate reports that the id, or the producer's number, had been appended
	// before; Position is then the first one's, or zero if no longer known.
	Duplicate bool
	// Expected is the number that ErrSequenceMismatch, or the epoch that
	// ErrProducerFenced, would have accepted.
	Expected uint64
}

// State is where a channel's log begins and ends.
type State struct {
	Epoch string
	Low   uint64 // offset of the oldest kept message; Head+1 when none is kept
	Head  uint64 // offset of the newest message, kept or not
	// Sequence is the newest message's, and 0 for a channel without any.
	Sequence uint64
}

// Position is the place of the head.
func (s State) Position() Position { return Position{Epoch: s.Epoch, Offset: s.Head} }

// ReadOptions say what to read of a log.
type ReadOptions struct {
	// After, in oldest-first order, skips the messages up to this offset.
	// Before, in newest-first order, skips the messages from this offset on;
	// 0 starts at the head.
	After, Before uint64
	NewestFirst   bool
	Limit         int // at most so many messages; must be positive
}

// Page is what was read of a log.
type Page struct {
	Messages []*Message
	State    State // of the same moment
	// More reports whether messages beyond the page were kept at that moment.
	More bool
}

// Errors that callers tell apart.
var (
	// ErrPositionMismatch answers an Append whose Expect was not the position.
	ErrPositionMismatch = errors.New("channel is not at the expected position")
	// ErrIDReused answers an Append whose id belongs to another content.
	ErrIDReused = errors.New("message id was used for another content")
	// ErrSequenceMismatch answers an Append whose producer skipped a number.
	ErrSequenceMismatch = errors.New("producer skipped a number")
	// ErrProducerFenced answers an Append of a producer that a newer epoch of
	// itself has replaced.
	ErrProducerFenced = errors.New("producer was replaced by a newer epoch")
	// ErrUnavailable answers a call while the place where channels live cannot be
	// reached. Whether a message was appended is then not known: only a retry with
	// its id, or its producer's number, tells.
	ErrUnavailable = errors.New("engine cannot reach its channels")
	// ErrOverloaded answers an Append to a channel that has too many waiting.
	// Nothing was appended.
	ErrOverloaded = errors.New("too many messages wait for the channel")
	// ErrClosed answers every call after Close.
	ErrClosed = errors.New("engine is closed")
)

// Engine is where channels live. Its methods are safe for concurrent use.
type Engine interface {
	// Append gives m its position, stores it as the retention says, and
	// delivers it. On ErrPositionMismatch the receipt has the actual position.
	Append(ctx context.Context, m *Message, options AppendOptions) (Receipt, error)
	// Broadcast delivers m on every node, without a position and stored nowhere.
	Broadcast(ctx context.Context, m *Message) error
	// State tells where a channel is. A channel that never had a message has an
	// epoch too.
	State(ctx context.Context, channel string) (State, error)
	// Read reads a page of a channel's log.
	Read(ctx context.Context, channel string, options ReadOptions) (Page, error)
	// Sequence is the position that a pattern starts from: messages appended
	// from now on have a greater Sequence.
	Sequence(ctx context.Context) (Position, error)
	// Channels names the channels for which match is true and whose newest
	// message has a Sequence greater than after.
	Channels(ctx context.Context, match func(channel string) bool, after uint64) ([]string, error)
	// Sync returns once this node has delivered, and its State and Read know, all
	// that was acknowledged on any node before the call. Without it a node may be a
	// moment behind what another one has told.
	Sync(ctx context.Context) error
	// Bus is how the nodes that share the engine's channels talk; nil for an engine
	// that has one node.
	Bus() Bus
	// Close ends all deliveries before it returns.
	Close() error
}

// Deliver receives the messages of all channels, those of one channel in
// order. It must not block, and must not call the engine.
type Deliver func(m *Message)

// Open starts an engine that delivers to deliver. There is no engine that is
// not running.
type Open func(ctx context.Context, deliver Deliver) (Engine, error)
