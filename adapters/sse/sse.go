// Package sse serves Server-Sent Events, as a transport of the service's Connect
// server: a stream is a call of Subscribe.
//
// A message is an event named by its channel, whose data is the payload as JSON
// on one line; with ?format=envelope it is an unnamed event that has the channel
// inside. Each has as its `id` an opaque cursor for all channels of the stream,
// which the browser sends back when it reconnects. What is not a message has a
// name that no channel can have.
//
// An EventSource gives up for ever on any answer but 200, so a reconnect is
// always answered so, and errors come as events.
package sse

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/adapters/internal/browser"
	"millrace.dev/adapters/internal/call"
	"millrace.dev/adapters/internal/poll"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// Options configure the handler. The zero value works.
type Options struct {
	// Channels are what a request without ?channel= is subscribed to.
	Channels []string
}

// Browsers come back after a time in this range, each after its own.
const (
	minRetry = time.Second
	maxRetry = 5 * time.Second
)

// New returns the handler.
func New(s *service.Service, options Options) http.Handler {
	return &handler{service: s, options: options}
}

type handler struct {
	service *service.Service
	options Options
	waiting poll.Set // connections that are silent
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := &stream{handler: h, w: w, r: r, control: http.NewResponseController(w), cursor: &service.Cursor{}}
	var stream connect.ServerStream = s
	cut, attached := service.CutResponse(w), (*socket)(nil)
	if r.ProtoMajor == 1 && r.ProtoAtLeast(1, 1) {
		attached = &socket{stream: s}
		stream, cut = attached, attached.cut
	}
	err := s.parse()
	if err == nil {
		ctx := service.WithJoined(service.WithCut(r.Context(), cut), s.joined)
		err = h.service.Server().Call(ctx, millracev1connect.RealtimeServiceSubscribeProcedure, call.From(r, "sse", "json").Info(), stream)
	}
	if err != nil && r.Context().Err() == nil && (attached == nil || attached.out == nil) {
		s.end(err)
	}
	s.w, s.r, s.control = nil, nil, nil // a stream that goes on has none of them
}

// stream is one response. It implements [connect.ServerStream], for HTTP/2 and
// HTTP/1.0, where only the goroutine of the handler uses it; socket (socket.go)
// takes it away from there.
type stream struct {
	handler *handler
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController

	request  *millracev1.SubscribeRequest // nil once received
	joined   []string                     // of its subscriptions, those that were not asked for
	resuming bool                         // the browser has been here before
	envelope bool
	started  bool // headers are sent

	cursor *service.Cursor // where the stream is
	sent   string          // text of the cursor that the client has
	buffer []byte          // reused for each batch
}

// parse makes the request of the URL and the header that browsers add when they
// come back.
func (s *stream) parse() error {
	query := s.r.URL.Query()
	request := &millracev1.SubscribeRequest{Client: s.r.Header.Get(service.HeaderClient), SessionToken: query.Get("session")}
	s.request = request
	switch query.Get("format") {
	case "", "named":
	case "envelope":
		s.envelope = true
	default:
		return service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "format", "format: must be named or envelope")
	}
	recent, err := parseNumber(query, "recent")
	if err != nil {
		return err
	}
	heartbeat, err := parseNumber(query, "heartbeat")
	if err != nil {
		return err
	}
	if heartbeat > 0 {
		request.HeartbeatInterval = durationpb.New(time.Duration(heartbeat) * time.Millisecond)
	}
	names := query["channel"]
	if len(names) == 0 {
		s.joined = s.handler.options.Channels
		names = s.joined
	}
	for _, name := range names {
		request.Subscriptions = append(request.Subscriptions, &millracev1.Subscription{Channel: name, Recent: recent})
	}
	last := s.r.Header.Get("Last-Event-ID")
	s.resuming = last != ""
	return s.resume(cmp.Or(last, query.Get("cursor")))
}

func parseNumber(query url.Values, name string) (uint32, error) {
	text := query.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, name, "%s: not a number", name)
	}
	return uint32(n), nil
}

// resume continues where a cursor says. To a browser that comes back with one
// that cannot be read, every channel has a gap: the stream must go on.
func (s *stream) resume(text string) error {
	if text == "" {
		return nil
	}
	cursor, err := service.ParseCursor(text)
	switch {
	case err == nil:
		s.cursor, s.request.Cursor = cursor, text
	case !s.resuming:
		return err
	default:
		for _, subscription := range s.request.GetSubscriptions() {
			subscription.Recent = 0
			subscription.Since = service.Unknown()
		}
	}
	return nil
}

// Receive implements [connect.ServerStream].
func (s *stream) Receive(message any) error {
	request, ok := message.(*millracev1.SubscribeRequest)
	if s.request == nil || !ok {
		return io.EOF
	}
	proto.Merge(request, s.request)
	s.request = nil
	return nil
}

// SendHeaders implements [connect.ServerStream].
func (s *stream) SendHeaders() error {
	s.start()
	return s.control.Flush()
}

func (s *stream) start() {
	if s.started {
		return
	}
	s.started = true
	s.setHeaders()
	s.w.WriteHeader(http.StatusOK)
	s.greet()
}

func (s *stream) setHeaders() {
	header := s.w.Header()
	header.Set("Content-Type", "text/event-stream; charset=utf-8")
	header.Set("Cache-Control", "no-cache, no-store, no-transform")
	header.Set("X-Accel-Buffering", "no") // nginx
}

// greet is what a stream begins with.
func (s *stream) greet() {
	s.buffer = fmt.Appendf(s.buffer, ": millrace\nretry: %d\n\n", retry().Milliseconds())
}

// retry is when a browser comes back: spread, so that not all come at once.
func retry() time.Duration { return minRetry + mathrand.N(maxRetry-minRetry) }

// Send implements [connect.ServerStream].
func (s *stream) Send(message any) error {
	batch, ok := message.(*service.Batch)
	if !ok {
		return errors.New("a stream of the service sends batches")
	}
	s.start()
	s.append(batch.Frames)
	return s.flush()
}

// append puts frames into the buffer.
func (s *stream) append(frames []*service.Frame) {
	for _, f := range frames {
		if f.Message != nil {
			s.message(f)
		} else {
			s.notice(f.Notice)
		}
	}
}

// flush writes what is in the buffer at once.
func (s *stream) flush() error {
	defer func() { s.buffer = s.buffer[:0] }()
	if _, err := s.w.Write(s.buffer); err != nil {
		return err
	}
	return s.control.Flush()
}

// message appends an event. Where the stream has one channel, the cursor is the
// message's own place, and even the id is the same bytes for all.
func (s *stream) message(f *service.Frame) {
	m := f.Message
	if m.Ephemeral {
		s.buffer = append(s.buffer, f.Bytes(s.format(false), encoder(s.envelope, false))...)
		return
	}
	s.cursor.Move(f.Pattern, m.Channel, m.Position)
	if s.cursor.IsOnly(m.Channel) {
		s.sent = ""
		s.buffer = append(s.buffer, f.Bytes(s.format(true), encoder(s.envelope, true))...)
		return
	}
	s.sent = s.cursor.Header()
	s.buffer = appendLine(s.buffer, "id", s.sent)
	s.buffer = append(s.buffer, f.Bytes(s.format(false), encoder(s.envelope, false))...)
}

func (s *stream) format(id bool) service.Format {
	switch {
	case s.envelope && id:
		return service.FormatEnvelopeID
	case s.envelope:
		return service.FormatEnvelope
	case id:
		return service.FormatSSEID
	}
	return service.FormatSSE
}

func encoder(envelope, id bool) func(*service.Frame) []byte {
	return func(f *service.Frame) []byte {
		var b []byte
		if id {
			var cursor service.Cursor
			cursor.Set(f.Message.Channel, f.Message.Position)
			b = appendLine(b, "id", cursor.String())
		}
		if envelope {
			b = browser.AppendMessage(append(b, "data: "...), f.Message, f.Pattern)
			return append(b, "\n\n"...)
		}
		b = appendLine(b, "event", f.Message.Channel)
		b = browser.AppendData(append(b, "data: "...), f.Message.Payload)
		return append(b, "\n\n"...)
	}
}

func appendLine(b []byte, field, value string) []byte {
	b = append(append(b, field...), ": "...)
	return append(append(b, value...), '\n')
}

// notice appends an event of the stream itself, or moves the cursor.
func (s *stream) notice(notice *millracev1.SubscribeResponse) {
	switch n := notice.GetNotice().(type) {
	case *millracev1.SubscribeResponse_Ready:
		s.ready(n.Ready)
	case *millracev1.SubscribeResponse_Subscribed:
		s.subscribed(n.Subscribed, notice.GetCommandId())
	case *millracev1.SubscribeResponse_Unsubscribed:
		s.unsubscribed(n.Unsubscribed, notice.GetCommandId())
	case *millracev1.SubscribeResponse_Gap:
		s.gap(n.Gap)
	case *millracev1.SubscribeResponse_Checkpoint:
		s.checkpoint(n.Checkpoint)
		if s.envelope {
			// Who asks for it keeps the positions of channels, and not ids.
			s.event("millrace.checkpoint", browser.FromCheckpoint(n.Checkpoint))
			return
		}
		// A block of an id alone: browsers keep it and dispatch nothing.
		s.sent = s.cursor.Header()
		s.buffer = append(appendLine(s.buffer, "id", s.sent), '\n')
	case *millracev1.SubscribeResponse_Draining:
		s.event("millrace.draining", browser.FromDraining(n.Draining))
	case *millracev1.SubscribeResponse_PresenceSnapshot:
		s.event("millrace.presence", browser.FromSnapshot(n.PresenceSnapshot))
	case *millracev1.SubscribeResponse_PresenceChanges:
		s.event("millrace.presence", browser.FromChanges(n.PresenceChanges))
	case *millracev1.SubscribeResponse_Heartbeat:
		s.buffer = append(s.buffer, ": heartbeat\n\n"...)
	}
}

func (s *stream) ready(n *millracev1.Ready) {
	s.event("millrace.ready", map[string]any{
		"session": n.GetSession(), "sessionToken": n.GetSessionToken(), "user": n.GetUser(),
		"expires":   browser.FromExpireTime(n.GetExpireTime()).Expires,
		"heartbeat": n.GetHeartbeatInterval().AsDuration().Milliseconds(),
	})
}

func (s *stream) subscribed(n *millracev1.Subscribed, commandID string) {
	if n.GetResumed() || n.GetAlready() {
		s.cursor.Set(n.GetChannel(), position(n.GetPosition()))
	} else {
		s.cursor.Settle(n.GetChannel(), position(n.GetPosition()))
	}
	s.event("millrace.subscribed", struct {
		ID json.RawMessage `json:"id,omitempty"` // of the command that it answers
		browser.Subscribed
	}{json.RawMessage(commandID), browser.FromSubscribed(n)})
}

// gap moves the cursor of one channel, or of all that a pattern has seen.
func (s *stream) gap(n *millracev1.Gap) {
	if n.GetPattern() != "" {
		s.cursor.Move(n.GetPattern(), n.GetChannel(), position(n.GetPosition()))
	} else {
		s.cursor.Settle(n.GetChannel(), position(n.GetPosition()))
	}
	s.event("millrace.gap", browser.FromGap(n))
}

// checkpoint moves the cursor. A pattern's position stands for all channels that
// match it, but for those that are further.
func (s *stream) checkpoint(n *millracev1.Checkpoint) {
	if n.GetPattern() != "" {
		s.cursor.Move(n.GetPattern(), n.GetChannel(), position(n.GetPosition()))
		return
	}
	s.cursor.Settle(n.GetChannel(), position(n.GetPosition()))
	for _, seen := range n.GetSeen() {
		s.cursor.Move(n.GetChannel(), seen.GetChannel(), position(seen.GetPosition()))
	}
}

func (s *stream) unsubscribed(n *millracev1.Unsubscribed, commandID string) {
	s.cursor.Remove(n.GetChannel())
	body := map[string]any{"for": n.GetChannel()}
	if commandID != "" {
		body["id"] = json.RawMessage(commandID)
	}
	if n.GetError() != nil {
		body["error"] = browser.FromErrorInfo(n.GetError())
	}
	s.event("millrace.unsubscribed", body)
}

func position(p *millracev1.Position) engine.Position {
	return engine.Position{Epoch: p.GetEpoch(), Offset: p.GetOffset()}
}

// event appends an event of the stream itself, with the cursor if it has moved:
// a checkpoint, so that even a client that has seen no message resumes.
func (s *stream) event(name string, body any) {
	if text := s.cursor.Header(); s.cursor.Len() > 0 && text != s.sent {
		s.sent = text
		s.buffer = appendLine(s.buffer, "id", text)
	}
	s.buffer = appendLine(s.buffer, "event", name)
	s.buffer = append(append(s.buffer, "data: "...), browser.Marshal(body)...)
	s.buffer = append(s.buffer, "\n\n"...)
}

// end tells why the stream ends: as a status if nothing was sent and the client
// is new, else as an event, with the time to come back after.
func (s *stream) end(err error) {
	if !s.started && !s.resuming {
		browser.WriteError(s.w, err)
		return
	}
	s.start()
	s.error(err)
	_ = s.flush() // the client is gone if this fails
}

// error appends why the stream ends.
func (s *stream) error(err error) {
	e := browser.FromError(err)
	if e.RetryAfter != nil {
		s.buffer = fmt.Appendf(s.buffer, "retry: %d\n", max(*e.RetryAfter, 1))
	}
	s.event("millrace.error", e)
}
