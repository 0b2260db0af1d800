package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// eventStream is Server-Sent Events, with plain HTTP beside it, or with the
// commands of the plain WebSocket in POSTs.
type eventStream struct{ envelope, posted bool }

// streamSession is one response.
type streamSession struct {
	*inbox
	at           *server
	wire         eventStream
	token        string
	sessionToken string

	body   io.ReadCloser
	blocks *bufio.Reader
	cancel context.CancelFunc
	done   chan struct{}
}

// block is an event as the server writes it.
type block struct{ id, name, data string }

func (w eventStream) open(ctx context.Context, at *server, token string, request *millracev1.SubscribeRequest) (session, error) {
	inURL, later := w.divide(request)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.url+"/events?"+inURL.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if request.GetCursor() != "" {
		r.Header.Set("Last-Event-ID", request.GetCursor())
	}
	s := &streamSession{inbox: newInbox(), at: at, wire: w, token: token, done: make(chan struct{})}
	if err := s.connect(ctx, r); err != nil {
		return nil, err
	}
	go s.read()
	if err := addAll(ctx, s, later); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// divide sorts out what the URL has a place for. Where the others are, the
// server's default channels must not be.
func (w eventStream) divide(request *millracev1.SubscribeRequest) (inURL url.Values, later *millracev1.SubscribeRequest) {
	inURL, later = url.Values{}, &millracev1.SubscribeRequest{}
	var since service.Cursor
	for _, s := range request.GetSubscriptions() {
		switch {
		case s.GetOnGap() != millracev1.OnGap_ON_GAP_UNSPECIFIED || s.GetPresence() || s.GetRecent() > 0 || s.GetFilter() != nil || s.GetMinInterval() != nil:
			later.Subscriptions = append(later.Subscriptions, s)
			continue
		case s.GetSince() != nil:
			since.Set(s.GetChannel(), positionOf(s.GetSince()))
		}
		for _, seen := range s.GetSeen() {
			since.Move(s.GetChannel(), seen.GetChannel(), positionOf(seen.GetPosition()))
		}
		inURL.Add("channel", s.GetChannel())
	}
	if len(inURL["channel"]) == 0 {
		inURL.Add("channel", "none.of.these")
	}
	if since.Len() > 0 {
		inURL.Set("cursor", since.String())
	}
	if w.envelope {
		inURL.Set("format", "envelope")
	}
	if token := request.GetSessionToken(); token != "" {
		inURL.Set("session", token)
	}
	return inURL, later
}

// connect sends the request and reads up to the first event, which names the
// session.
func (s *streamSession) connect(ctx context.Context, r *http.Request) error {
	streaming, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	stop := context.AfterFunc(ctx, cancel) // as long as the caller says
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	response, err := s.at.h1.Do(r.WithContext(streaming))
	if err == nil && response.StatusCode != http.StatusOK {
		body, readErr := io.ReadAll(response.Body)
		err = errors.Join(refusalIn(response.StatusCode, body), readErr, response.Body.Close())
	}
	if err != nil {
		cancel()
		return err
	}
	s.body, s.blocks = response.Body, bufio.NewReader(response.Body)
	first, err := readBlock(s.blocks)
	var ready frameJSON
	if err == nil {
		err = json.Unmarshal([]byte(first.data), &ready)
	}
	if s.sessionToken = ready.SessionToken; err == nil && s.sessionToken == "" {
		err = fmt.Errorf("the first event is not ready: %v", first)
	}
	if !stop() {
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		cancel()
		return errors.Join(err, s.body.Close())
	}
	return nil
}

// readBlock reads an event. Comments and other fields are passed over.
func readBlock(r *bufio.Reader) (block, error) {
	var b block
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return b, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			b.id = value
		case "event":
			b.name = value
		case "data":
			b.data = value
		}
		if line == "\n" && b != (block{}) {
			return b, nil
		}
	}
}

func (s *streamSession) read() {
	defer close(s.done)
	for {
		b, err := readBlock(s.blocks)
		var e event
		if err == nil {
			e, err = s.event(b)
		}
		if err != nil {
			s.end(err)
			return
		}
		if e.cursor = b.id; e.kind() != "nothing" && !isAside(e) {
			s.put(e)
		}
	}
}

// isAside reports what is of the channel that only keeps the default ones away.
func isAside(e event) bool { return e.subscribed.GetChannel() == "none.of.these" }

func (s *streamSession) event(b block) (event, error) {
	name, isNotice := strings.CutPrefix(b.name, "millrace.")
	var f frameJSON
	if b.data == "" {
		// An id alone: the stream has moved, and browsers dispatch nothing.
		return event{checkpoint: &millracev1.Checkpoint{}}, nil
	}
	if isNotice || s.wire.envelope {
		if err := json.Unmarshal([]byte(b.data), &f); err != nil {
			return event{}, fmt.Errorf("event %v: %w", b, err)
		}
	}
	if isNotice {
		if f.Type = name; name == "error" {
			return event{}, f.refusal()
		}
		return f.event()
	}
	if s.wire.envelope {
		return f.event()
	}
	m := &millracev1.Message{Channel: b.name, Payload: payloadJSON(json.RawMessage(b.data))}
	place, err := placeIn(b.id, b.name)
	m.Position = place
	return event{message: m}, err
}

// placeIn is where a cursor says that a channel is, whatever shows it.
func placeIn(cursor, name string) (*millracev1.Position, error) {
	var entries millracev1.Cursor
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = proto.Unmarshal(text, &entries)
	}
	for _, entry := range entries.GetEntries() {
		for _, at := range append(entry.GetSeen(), entry) {
			if at.GetChannel() == name {
				return &millracev1.Position{Offset: at.GetOffset(), Epoch: at.GetEpoch()}, err
			}
		}
	}
	return nil, err
}

func (s *streamSession) close() {
	s.cancel()
	_ = s.body.Close()
	<-s.done
}

// shows of a message, where events are named by the channel, only the data and
// its place: text and bytes are JSON strings, and ephemeral is what has no place.
func (w eventStream) shows(m *millracev1.Message) *millracev1.Message {
	m = showsInBrowsers(m)
	if w.envelope {
		return m
	}
	data := m.GetPayload()
	switch kind := data.GetKind().(type) {
	case *millracev1.Payload_Text:
		data = payloadJSON(quoted(kind.Text))
	case *millracev1.Payload_Binary:
		data = payloadJSON(quoted(base64.StdEncoding.EncodeToString(kind.Binary)))
	}
	return &millracev1.Message{Channel: m.GetChannel(), Position: m.GetPosition(), Payload: data}
}

// quoted spells a text as JSON, without needless escapes.
func quoted(text string) json.RawMessage {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) //nolint:errchkjson // a text, to memory
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// call goes by plain HTTP where that has a place for all of it.
func (s *streamSession) call(ctx context.Context, request proto.Message) (proto.Message, error) {
	if s.wire.posted && canPost(request) {
		return doing(s.post).call(ctx, request)
	}
	if r := plainHTTP(s.at, request); r != nil {
		return s.roundTrip(ctx, r, request)
	}
	return unary(ctx, s.at.connect(), s.token, withSession(request, s.sessionToken))
}
