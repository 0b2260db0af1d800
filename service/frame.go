package service

import (
	"context"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// Format is a form in which a wire writes frames.
type Format uint8

// The formats. The service encodes the first two, adapters the others.
const (
	FormatProto          Format = iota // SubscribeResponse in protobuf
	FormatProtoJSON                    // for a message, its JSON; for a notice, SubscribeResponse's
	FormatWebSocket                    // a frame of the plain WebSocket wire
	FormatWebSocketProto               // a frame of the sub-protocol millrace.v1.proto
	FormatWebSocketJSON                // a frame of the sub-protocol millrace.v1.json
	FormatSSE                          // an event block of the SSE wire, without id
	FormatSSEID                        // the same with the id of a one-channel stream
	FormatEnvelope                     // an event block with the channel inside
	FormatEnvelopeID                   // the same with the id
	formats
)

// Frame is one message or one notice, ready to be sent to any number of
// sessions. It is encoded at most once in each format, when it is first needed.
type Frame struct {
	// Set once. Either Message or Notice is set.
	Message *engine.Message
	Pattern string // by whose subscription the message comes; empty for its channel's
	Notice  *millracev1.SubscribeResponse

	followed *followed // nil for nearly all

	mu      sync.Mutex // held while encoding
	encoded [formats]atomic.Pointer[[]byte]
}

func newMessageFrame(m *engine.Message) *Frame { return &Frame{Message: m} }

// newPatternFrame is that of a message as subscriptions to a pattern have it.
func newPatternFrame(m *engine.Message, pattern string) *Frame {
	return &Frame{Message: m, Pattern: pattern}
}

type commandIDKey struct{}

// WithCommandID has the notices that a call causes on the session's stream carry
// the id of a command, in JSON, so that a client can tell which command a notice
// confirms, and what the server has done by itself.
func WithCommandID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, commandIDKey{}, id)
}

func commandIDOf(ctx context.Context) string {
	id, _ := ctx.Value(commandIDKey{}).(string)
	return id
}

// from says which command caused the notice.
func (f *Frame) from(ctx context.Context) *Frame {
	f.Notice.CommandId = commandIDOf(ctx)
	return f
}

func newNotice(notice *millracev1.SubscribeResponse) *Frame { return &Frame{Notice: notice} }

// key is what the frame is the latest value of; empty for notices.
func (f *Frame) key() string {
	if f.Message == nil {
		return ""
	}
	return f.Message.Key
}

// size is about how many bytes the frame takes on a wire.
func (f *Frame) size() int {
	if f.Message != nil {
		return f.Message.Size()
	}
	return 64 + proto.Size(f.Notice)
}

// Bytes returns the frame in a format, from encode if nobody has asked before.
// encode must not ask for another format.
// The result is shared and must not be modified.
func (f *Frame) Bytes(format Format, encode func(*Frame) []byte) []byte {
	if b := f.encoded[format].Load(); b != nil {
		return *b
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.encoded[format].Load(); b != nil {
		return *b
	}
	b := encode(f)
	f.encoded[format].Store(&b)
	return b
}

// Response is the frame as the API's type. It is made anew at each call.
func (f *Frame) Response() *millracev1.SubscribeResponse {
	if f.Notice != nil {
		return f.Notice
	}
	return &millracev1.SubscribeResponse{Messages: []*millracev1.Message{f.message()}}
}

func (f *Frame) message() *millracev1.Message {
	message := toProto(f.Message)
	message.Pattern = f.Pattern
	return message
}

// Batch is what the Subscribe method passes to the stream's Send: a run of
// messages, or one notice.
type Batch struct {
	Frames []*Frame
}

// IsNotice reports whether the batch is one notice.
func (b *Batch) IsNotice() bool { return len(b.Frames) == 1 && b.Frames[0].Notice != nil }
