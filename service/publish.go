package service

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"millrace.dev/auth"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// Publish implements the API.
func (s *Service) Publish(ctx context.Context, request *millracev1.PublishRequest) (*millracev1.PublishResponse, error) {
	response, err := s.publish(ctx, request)
	s.refused(ctx, request, err)
	return response, err
}

func (s *Service) publish(ctx context.Context, request *millracev1.PublishRequest) (*millracev1.PublishResponse, error) {
	identity := identityOf(ctx)
	if err := s.allow(ctx, identity, auth.Publish, request.GetChannel()); err != nil {
		return nil, err
	}
	if err := s.publishes.spend(callerOf(ctx)); err != nil {
		return nil, asRefusal(err).on(request.GetChannel())
	}
	m, err := s.message(request)
	if err != nil {
		return nil, asRefusal(err).on(request.GetChannel())
	}
	m.Publisher = identity.User
	if request.GetExcludeSelf() {
		if m.Exclude, err = s.sessionIDOf(ctx, request.GetSessionToken()); err != nil {
			return nil, err
		}
	}
	if m.Ephemeral {
		err := s.broadcast(ctx, m)
		if err == nil {
			s.counts.published.Add(1)
		}
		return &millracev1.PublishResponse{}, err
	}
	options := engine.AppendOptions{Retention: s.rules.of(m.Channel).History}
	if request.GetExpectedPosition() != nil {
		expect := positionFromProto(request.GetExpectedPosition())
		options.Expect = &expect
	}
	receipt, err := s.append(ctx, m, options)
	if err != nil {
		return nil, appendRefusal(err, receipt).on(m.Channel)
	}
	if !receipt.Duplicate {
		s.counts.published.Add(1)
	}
	return &millracev1.PublishResponse{Position: positionToProto(receipt.Position), Duplicate: receipt.Duplicate}, nil
}

// appendRefusal tells the publisher what the engine would have accepted.
func appendRefusal(err error, receipt engine.Receipt) *refusal {
	r := asRefusal(err)
	if errors.Is(err, engine.ErrPositionMismatch) {
		r.info.Position = &millracev1.Position{Offset: receipt.Position.Offset, Epoch: receipt.Position.Epoch}
	}
	r.info.Limit = receipt.Expected
	return r
}

// batchWithin is how long a batch may take; what is not placed by then is answered
// UNAVAILABLE.
const batchWithin = 30 * time.Second

// PublishBatch implements the API.
func (s *Service) PublishBatch(ctx context.Context, request *millracev1.PublishBatchRequest) (*millracev1.PublishBatchResponse, error) {
	if n, limit := len(request.GetRequests()), s.limits().BatchMessages; n > limit {
		return nil, over(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, "requests", n, limit, "messages")
	}
	// While the engine is not to be had each message would wait for it anew.
	ctx, cancel := context.WithTimeoutCause(ctx, batchWithin, engine.ErrUnavailable)
	defer cancel()
	response := &millracev1.PublishBatchResponse{}
	for _, one := range request.GetRequests() {
		result := &millracev1.PublishResult{}
		published, err := s.Publish(ctx, one)
		if err != nil {
			result.Result = &millracev1.PublishResult_Error{Error: asRefusal(err).info}
		} else {
			result.Result = &millracev1.PublishResult_Response{Response: published}
		}
		response.Results = append(response.Results, result)
	}
	return response, nil
}

// message makes the engine's message of a request that is within the limits.
func (s *Service) message(request *millracev1.PublishRequest) (*engine.Message, error) {
	payload, err := s.payload(request)
	if err != nil {
		return nil, err
	}
	for _, check := range []error{
		checkText("id", request.GetId(), maxIDBytes),
		checkText("type", request.GetType(), maxTypeBytes),
		checkText("key", request.GetKey(), maxKeyBytes),
		checkHeaders("headers", request.GetHeaders()),
		checkEntity(request),
		checkKept(request),
		checkProducer(request),
	} {
		if check != nil {
			return nil, check
		}
	}
	m := &engine.Message{
		Channel:   request.GetChannel(),
		ID:        request.GetId(),
		Type:      request.GetType(),
		Payload:   payload,
		Time:      time.Now().UTC(),
		Headers:   request.GetHeaders(),
		Key:       request.GetKey(),
		TTL:       request.GetTtl().AsDuration(),
		Ephemeral: request.GetEphemeral(),
	}
	if p := request.GetProducer(); p != nil {
		m.Producer = &engine.Producer{ID: p.GetId(), Epoch: p.GetEpoch(), Seq: p.GetSeq()}
	}
	if e := request.GetEntity(); e != nil {
		m.Entity = &engine.Entity{Name: e.GetName(), ID: e.GetId(), Timestamp: e.GetTimestamp(), QueryKeys: e.GetQueryKeysJson()}
		if m.Entity.Timestamp == "" {
			m.Entity.Timestamp = m.Time.Format(time.RFC3339Nano)
		}
	}
	return m, nil
}

func (s *Service) payload(request *millracev1.PublishRequest) (engine.Payload, error) {
	if value, ok := request.GetData().(*millracev1.PublishRequest_Value); ok {
		return s.checkPayload("value", structuredPayload(value.Value))
	}
	return s.checkPayload("payload", PayloadFromProto(request.GetPayload()))
}

// structuredPayload spells a structured value as JSON.
func structuredPayload(value *structpb.Value) engine.Payload {
	b, err := protojson.Marshal(value)
	if err != nil { // NaN and the infinities, which JSON does not have
		return engine.Payload{Kind: engine.JSON}
	}
	return engine.Payload{Kind: engine.JSON, Data: b}
}

// checkPayload reports a payload that is too large or not what it says.
func (s *Service) checkPayload(field string, p engine.Payload) (engine.Payload, error) {
	if n, limit := len(p.Data), s.limits().PayloadBytes; n > limit {
		return p, over(millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, field, n, limit, "bytes")
	}
	return p, checkForm(field, p)
}

func checkForm(field string, p engine.Payload) error {
	switch {
	case p.Kind == engine.JSON && (!json.Valid(p.Data) || !utf8.Valid(p.Data)):
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_JSON, field+".json", "%s.json: not a well-formed JSON text", field)
	case p.Kind == engine.Text && !utf8.Valid(p.Data):
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, field+".text", "%s.text: not valid UTF-8", field)
	}
	return checkText(field+".content_type", p.ContentType, maxMediaType)
}

// checkText reports a short field that is too long, or would break a header or a
// line of the text wires.
func checkText(field, text string, limit int) error {
	if n := len(text); n > limit {
		return over(millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, field, n, limit, "bytes")
	}
	for _, r := range text {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, field, "%s: has a control character or is not valid UTF-8", field)
		}
	}
	return nil
}

func checkHeaders(field string, headers map[string]string) error {
	if n := len(headers); n > MaxHeaders {
		return over(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, field, n, MaxHeaders, "entries")
	}
	total := 0
	for name, value := range headers {
		total += len(name) + len(value)
		if err := errors.Join(checkText(field, name, maxHeaderBytes), checkText(field, value, maxHeaderBytes)); err != nil {
			return err
		}
	}
	if total > maxHeaderBytes {
		return over(millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, field, total, maxHeaderBytes, "bytes")
	}
	return nil
}

// entityTypes are the kinds of message that say what happened to an entity.
var entityTypes = map[string]bool{"create": true, "update": true, "patch": true, "delete": true, "invalidate": true}

func checkEntity(request *millracev1.PublishRequest) error {
	e := request.GetEntity()
	if e == nil {
		return nil
	}
	if e.GetName() == "" {
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "entity.name", "entity.name: is empty")
	}
	if !entityTypes[request.GetType()] {
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "type",
			"type: a message about an entity is of type create, update, patch, delete or invalidate")
	}
	if err := checkQueryKeys(e.GetQueryKeysJson()); err != nil {
		return err
	}
	return errors.Join(
		checkText("entity.name", e.GetName(), maxEntityBytes),
		checkText("entity.id", e.GetId(), maxEntityBytes),
		checkText("entity.timestamp", e.GetTimestamp(), maxEntityBytes))
}

func checkQueryKeys(text string) error {
	const field = "entity.query_keys_json"
	if n := len(text); n > maxQueryKeyBytes {
		return over(millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, field, n, maxQueryKeyBytes, "bytes")
	}
	var keys []json.RawMessage
	if text != "" && json.Unmarshal([]byte(text), &keys) != nil {
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_JSON, field, "%s: not a JSON array", field)
	}
	return nil
}

// checkKept reports what an ephemeral message cannot have.
func checkKept(request *millracev1.PublishRequest) error {
	if ttl := request.GetTtl(); ttl != nil && (ttl.CheckValid() != nil || ttl.AsDuration() <= 0) {
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "ttl", "ttl: must be more than nothing")
	}
	if !request.GetEphemeral() {
		return nil
	}
	for field, set := range map[string]bool{
		"id":                request.GetId() != "",
		"ttl":               request.GetTtl() != nil,
		"expected_position": request.GetExpectedPosition() != nil,
	} {
		if set {
			return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, field, "%s: not for an ephemeral message, which has no place in the channel", field)
		}
	}
	return nil
}

func checkProducer(request *millracev1.PublishRequest) error {
	p := request.GetProducer()
	switch {
	case p == nil:
		return nil
	case p.GetId() == "" || p.GetSeq() == 0:
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "producer", "producer: has no id, or no number from 1")
	case request.GetId() != "" || request.GetEphemeral():
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "producer", "producer: not together with id or ephemeral")
	}
	return checkText("producer.id", p.GetId(), maxIDBytes)
}
