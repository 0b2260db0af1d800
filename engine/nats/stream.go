package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/engine"
)

// requestTimeout is how long one question to NATS may take. A question that gets
// no answer is asked again, perhaps of a new leader.
const requestTimeout = 2 * time.Second

// stored is a message as the stream keeps it.
type stored struct {
	subject  string
	sequence uint64
	time     time.Time
	data     []byte
}

// stream asks the JetStream API about the one stream there is. Answers of its
// leader are complete; those of other replicas may lag behind.
type stream struct {
	// Set once.
	conn *client.Conn
	name string
}

// apiError is how the JetStream API says no.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

// Error implements error.
func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.ErrCode) }

// Codes of the JetStream API.
const (
	codeNoMessage     = 10037
	codeWrongLast     = 10071
	codeWrongLastBusy = 10164
	codeNoSpace       = 10077 // max bytes
	codeNoResources   = 10023
	codeNotClustered  = 10074
	codeNoStream      = 10059
	codeNoStore       = 10049
	codeNoPeers       = 10005
)

// ask calls the JetStream API.
func (s *stream) ask(ctx context.Context, call string, request, response any) error {
	data, err := json.Marshal(request)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := s.conn.RequestWithContext(ctx, "$JS.API."+call+"."+s.name, data)
	if err != nil {
		return unavailable(call, err)
	}
	answer := struct {
		Error *apiError `json:"error"`
	}{}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("%s: %w", call, err)
	}
	switch {
	case answer.Error != nil && answer.Error.Code == http.StatusServiceUnavailable: // a leader is being elected
		return unavailable(call, answer.Error)
	case answer.Error != nil:
		return fmt.Errorf("%s: %w", call, answer.Error)
	case response == nil:
		return nil
	}
	return json.Unmarshal(m.Data, response)
}

func unavailable(what string, err error) error {
	return fmt.Errorf("%s: %w: %w", what, engine.ErrUnavailable, err)
}

// info is what is asked for of STREAM.INFO.
type info struct {
	Created time.Time `json:"created"`
	State   struct {
		LastSequence uint64 `json:"last_seq"`
	} `json:"state"`
	Config struct {
		Metadata map[string]string `json:"metadata"`
	} `json:"config"`
}

func (s *stream) info(ctx context.Context) (i info, err error) {
	err = s.ask(ctx, "STREAM.INFO", struct{}{}, &i)
	return i, err
}

// getRequest asks for stored messages.
type getRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	NextOf   string `json:"next_by_subj,omitempty"`
	LastOf   string `json:"last_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// get asks the leader for one message; nil if there is none.
func (s *stream) get(ctx context.Context, request getRequest) (*stored, error) {
	var answer struct {
		Message struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	err := s.ask(ctx, "STREAM.MSG.GET", request, &answer)
	if refused, ok := errors.AsType[*apiError](err); ok && refused.ErrCode == codeNoMessage {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, err
	}
	m := answer.Message
	return &stored{subject: m.Subject, sequence: m.Sequence, time: m.Time, data: m.Data}, nil
}

// batch is how many messages one answer has.
const (
	readBatch = 512
	readBytes = 4 << 20
)

// read asks any replica for the messages of some subjects from a sequence on, as
// many as one batch has, and reports whether there are more.
func (s *stream) read(ctx context.Context, filter string, from uint64) (messages []*stored, more bool, err error) {
	request, err := json.Marshal(getRequest{Sequence: from, NextOf: filter, Batch: readBatch, MaxBytes: readBytes})
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	inbox := s.conn.NewInbox()
	answers, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, false, unavailable("read", err)
	}
	defer answers.Unsubscribe() //nolint:errcheck // it may have gone with the connection
	if err := s.conn.PublishRequest("$JS.API.DIRECT.GET."+s.name, inbox, request); err != nil {
		return nil, false, unavailable("read", err)
	}
	for {
		m, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			return nil, false, unavailable("read", err)
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204":
			return messages, m.Header.Get("Nats-Num-Pending") != "0", nil
		case "404":
			return messages, false, nil
		default:
			return nil, false, unavailable("read", fmt.Errorf("status %s %s", status, m.Header.Get("Description")))
		}
		one, err := fromHeader(m)
		if err != nil {
			return nil, false, err
		}
		messages = append(messages, one)
	}
}

// fromHeader reads what the stream says of a message that it sent.
func fromHeader(m *client.Msg) (*stored, error) {
	sequence, err := strconv.ParseUint(first(m.Header, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("sequence of a message on %s: %w", m.Subject, err)
	}
	at, err := time.Parse(time.RFC3339Nano, first(m.Header, jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("time of a message on %s: %w", m.Subject, err)
	}
	return &stored{subject: first(m.Header, jetstream.SubjectHeader), sequence: sequence, time: at, data: m.Data}, nil
}

func first(h client.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return textproto.MIMEHeader(h).Get(name)
}

// publish appends to the stream if the newest message of the subject is the one
// of the given sequence. It returns errMoved if it is not, and errNoSpace when the
// stream is full. After any other error the outcome is not known.
func (s *stream) publish(ctx context.Context, subject string, data []byte, expect uint64, ttl time.Duration) (sequence uint64, err error) {
	m := client.NewMsg(subject)
	m.Data = data
	m.Header["Nats-Expected-Last-Subject-Sequence"] = []string{strconv.FormatUint(expect, 10)}
	if ttl > 0 {
		m.Header["Nats-TTL"] = []string{strconv.FormatInt(int64(ttl/time.Second), 10) + "s"}
	}
	return s.send(ctx, m)
}

var (
	errMoved   = errors.New("the channel has moved on")
	errNoSpace = errors.New("the stream is full")
)

func (s *stream) send(ctx context.Context, m *client.Msg) (sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := s.conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return 0, unavailable("publish", err)
	}
	var ack struct {
		Error    *apiError `json:"error"`
		Sequence uint64    `json:"seq"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return 0, unavailable("publish", err)
	}
	switch {
	case ack.Error == nil:
		return ack.Sequence, nil
	case ack.Error.ErrCode == codeWrongLast || ack.Error.ErrCode == codeWrongLastBusy:
		return 0, errMoved
	case ack.Error.ErrCode == codeNoSpace || ack.Error.ErrCode == codeNoResources || strings.Contains(ack.Error.Description, "no space"):
		return 0, fmt.Errorf("publish: %w: %w: %w", engine.ErrUnavailable, errNoSpace, ack.Error)
	}
	return 0, unavailable("publish", ack.Error)
}

// purge deletes the messages of a subject before a sequence.
func (s *stream) purge(ctx context.Context, subject string, before uint64) error {
	return s.ask(ctx, "STREAM.PURGE", map[string]any{"filter": subject, "seq": before}, nil)
}
