package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// plainHTTP is the request for POST /publish, GET /history or GET /presence, nil
// where these have no place for all that is asked.
func plainHTTP(at *server, request proto.Message) *http.Request {
	switch r := request.(type) {
	case *millracev1.PublishRequest:
		isNowhere := r.GetExpectedPosition() != nil && r.GetExpectedPosition().GetEpoch() == ""
		if len(r.GetHeaders()) > 0 || r.GetEntity() != nil || r.GetValue() != nil || isNowhere || r.GetExcludeSelf() || r.GetProducer() != nil {
			return nil
		}
		return post(at, r)
	case *millracev1.HistoryRequest:
		query := url.Values{"page": {r.GetPageToken()}}
		query.Set("limit", strconv.Itoa(int(r.GetPageSize())))
		if r.GetOrder() == millracev1.HistoryOrder_HISTORY_ORDER_NEWEST_FIRST {
			query.Set("order", "newest")
		}
		if r.GetSince() != nil {
			query.Set("since", positionOf(r.GetSince()).String())
		}
		return lookup(at, "history", r.GetChannel(), query)
	case *millracev1.PresenceRequest:
		query := url.Values{"page": {r.GetPageToken()}}
		query.Set("limit", strconv.Itoa(int(r.GetPageSize())))
		return lookup(at, "presence", r.GetChannel(), query)
	}
	return nil
}

func lookup(at *server, what, name string, query url.Values) *http.Request {
	target := at.url + "/" + what + "/" + url.PathEscape(name) + "?" + query.Encode()
	r, err := http.NewRequest(http.MethodGet, target, http.NoBody) //nolint:noctx // roundTrip adds it
	if err != nil {
		return nil
	}
	return r
}

// post is the request that publishes.
func post(at *server, m *millracev1.PublishRequest) *http.Request {
	query := url.Values{}
	for name, value := range map[string]string{"id": m.GetId(), "type": m.GetType(), "key": m.GetKey()} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if m.GetEphemeral() {
		query.Set("ephemeral", "true")
	}
	if m.GetTtl() != nil {
		query.Set("ttl", m.GetTtl().AsDuration().Round(time.Millisecond).String())
	}
	if m.GetExpectedPosition() != nil {
		query.Set("expect", positionOf(m.GetExpectedPosition()).String())
	}
	var body []byte
	media := ""
	switch kind := m.GetPayload().GetKind().(type) {
	case *millracev1.Payload_Json:
		body, media = []byte(kind.Json), "application/json"
	case *millracev1.Payload_Text:
		body, media = []byte(kind.Text), "text/plain; charset=utf-8"
	case *millracev1.Payload_Binary:
		body, media = kind.Binary, m.GetPayload().GetContentType()
	}
	target := at.url + "/publish/" + url.PathEscape(m.GetChannel()) + "?" + query.Encode()
	r, err := http.NewRequest(http.MethodPost, target, bytes.NewReader(body)) //nolint:noctx // roundTrip adds it
	if err != nil {
		return nil
	}
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	return r
}

// roundTrip sends a request and translates the answer to the API's.
func (s *streamSession) roundTrip(ctx context.Context, r *http.Request, request proto.Message) (proto.Message, error) {
	body, err := s.exchange(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	var f frameJSON
	if err := json.Unmarshal(body, &f); err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, err)
	}
	switch request.(type) {
	case *millracev1.HistoryRequest:
		return f.history(), nil
	case *millracev1.PresenceRequest:
		return f.page(), nil
	}
	return f.published(), nil
}

// exchange sends a request, and returns the body of the answer.
func (s *streamSession) exchange(r *http.Request) ([]byte, error) {
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	response, err := s.at.h1.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = refusalIn(response.StatusCode, body)
	}
	return body, err
}

// canPost reports whether a call can be a command in a POST, and its answer be
// told from others.
func canPost(request proto.Message) bool {
	publish, isPublish := request.(*millracev1.PublishRequest)
	return canSayAll(request) && (!isPublish || publish.GetEntity() == nil)
}

// post sends a command in a POST, in the name of the session. What confirms a
// subscription comes on the stream.
func (s *streamSession) post(ctx context.Context, c command) (proto.Message, error) {
	c["id"] = 1
	body, err := c.encode()
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.at.url+"/ws", strings.NewReader("["+string(body)+"]"))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if s.sessionToken != "" {
		r.Header.Set(service.HeaderSession, s.sessionToken)
	}
	data, err := s.exchange(r)
	if err != nil {
		return nil, err
	}
	var answers []frameJSON
	if err := json.Unmarshal(data, &answers); err != nil || len(answers) > 1 {
		return nil, fmt.Errorf("a command is answered with %.200s: %w", data, err)
	}
	switch {
	case len(answers) == 0:
		return nil, nil //nolint:nilnil // there is no answer but on the stream
	case answers[0].Type == "error":
		return nil, answers[0].refusal()
	}
	return answers[0].response(), nil
}

func positionOf(p *millracev1.Position) engine.Position {
	return engine.Position{Offset: p.GetOffset(), Epoch: p.GetEpoch()}
}
