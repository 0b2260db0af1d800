// Package httpapi serves plain HTTP: publishing with a POST of the raw data,
// looking things up with GET, and the health of the node. Each is a call of the
// service's Connect server.
package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/adapters/internal/browser"
	"millrace.dev/adapters/internal/call"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// readyTimeout bounds /readyz.
const readyTimeout = 2 * time.Second

// HeaderIdempotencyKey is the id of a message, as ?id= is.
const HeaderIdempotencyKey = "Idempotency-Key"

// New returns the handler of these routes:
//
//	POST /publish/{channel}    ?id= &type= &key= &ttl= &ephemeral= &expect=
//	GET  /history/{channel}    ?limit= &page= &since= &order=
//	GET  /presence/{channel}   ?limit= &page=
//	GET  /healthz              the process lives
//	GET  /readyz               a message makes its way through it
func New(s *service.Service) http.Handler {
	h := &handler{service: s}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /publish/{channel...}", h.publish)
	mux.HandleFunc("GET /history/{channel...}", h.history)
	mux.HandleFunc("GET /presence/{channel...}", h.presence)
	mux.HandleFunc("GET /healthz", h.health)
	mux.HandleFunc("GET /readyz", h.ready)
	return mux
}

type handler struct {
	service *service.Service
}

// unary calls a method in the name of the request's sender.
func unary[Response proto.Message](h *handler, r *http.Request, procedure string, request proto.Message) (Response, error) {
	return call.Unary[Response](r.Context(), h.service.Server(), procedure, call.From(r, "http", "json"), request)
}

// spelling is how the parts of a request are called.
var spelling = browser.Spelling{
	"payload": "body", "payload.json": "body", "payload.text": "body", "payload.content_type": "Content-Type",
	"expected_position": "expect", "page_size": "limit", "page_token": "page",
}

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	browser.WriteErrorAs(w, err, browser.FromErrorOn(r.PathValue("channel"), err).Spelled(spelling))
}

func (h *handler) publish(w http.ResponseWriter, r *http.Request) {
	request, err := h.publication(w, r)
	if err != nil {
		refuse(w, r, err)
		return
	}
	response, err := unary[*millracev1.PublishResponse](h, r, millracev1connect.RealtimeServicePublishProcedure, request)
	if err != nil {
		refuse(w, r, err)
		return
	}
	browser.WriteJSON(w, http.StatusOK, browser.FromPublished(request.GetChannel(), response))
}

// publication makes the API's request of the body and the URL.
func (h *handler) publication(w http.ResponseWriter, r *http.Request) (*millracev1.PublishRequest, error) {
	// One byte over the limit is enough to know, and the service says the rest.
	limit := h.service.Limits().PayloadBytes
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, service.TooLarge("body", int(max(r.ContentLength, tooLarge.Limit+1)), limit)
	}
	if err != nil {
		return nil, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "body", "body: could not be read")
	}
	query := r.URL.Query()
	request := &millracev1.PublishRequest{
		Channel: r.PathValue("channel"), Id: query.Get("id"), Type: query.Get("type"), Key: query.Get("key"),
		Data: &millracev1.PublishRequest_Payload{Payload: payload(body, r.Header.Get("Content-Type"))},
	}
	if request.GetId() == "" {
		request.Id = r.Header.Get(HeaderIdempotencyKey)
	}
	return request, parsePublication(query, request)
}

// parsePublication reads the parameters that are more than text.
func parsePublication(query url.Values, request *millracev1.PublishRequest) error {
	if text := query.Get("ttl"); text != "" {
		ttl, err := time.ParseDuration(text)
		if err != nil {
			return service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "ttl", "ttl: not a duration such as 90s or 1h")
		}
		request.Ttl = durationpb.New(ttl)
	}
	if text := query.Get("ephemeral"); text != "" {
		ephemeral, err := strconv.ParseBool(text)
		if err != nil {
			return service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "ephemeral", "ephemeral: must be true or false")
		}
		request.Ephemeral = ephemeral
	}
	var err error
	request.ExpectedPosition, err = parsePosition("expect", query.Get("expect"))
	return err
}

func parsePosition(field, text string) (*millracev1.Position, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no position is a valid one
	}
	position, err := engine.ParsePosition(text)
	if err != nil {
		return nil, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, field, "%s: %s", field, err)
	}
	return &millracev1.Position{Offset: position.Offset, Epoch: position.Epoch}, nil
}

// payload says what a body is. Where the content type does not tell, as with
// curl's own, it is JSON if it reads as JSON and text if it is UTF-8.
func payload(body []byte, contentType string) *millracev1.Payload {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = ""
	}
	switch {
	case media == "application/json" || strings.HasSuffix(media, "+json"):
		return &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: string(body)}}
	case media == "text/plain":
		return &millracev1.Payload{Kind: &millracev1.Payload_Text{Text: string(body)}}
	case media != "" && media != "application/x-www-form-urlencoded":
		return &millracev1.Payload{Kind: &millracev1.Payload_Binary{Binary: body}, ContentType: contentType}
	case len(body) == 0:
		return nil
	case json.Valid(body) && utf8.Valid(body):
		return &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: string(body)}}
	case utf8.Valid(body):
		return &millracev1.Payload{Kind: &millracev1.Payload_Text{Text: string(body)}}
	}
	return &millracev1.Payload{Kind: &millracev1.Payload_Binary{Binary: body}}
}

func (h *handler) history(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit, err := parseLimit(query.Get("limit"))
	if err != nil {
		refuse(w, r, err)
		return
	}
	request := &millracev1.HistoryRequest{Channel: r.PathValue("channel"), PageSize: limit, PageToken: query.Get("page")}
	if request.Since, err = parsePosition("since", query.Get("since")); err != nil {
		refuse(w, r, err)
		return
	}
	switch query.Get("order") {
	case "", "oldest":
	case "newest":
		request.Order = millracev1.HistoryOrder_HISTORY_ORDER_NEWEST_FIRST
	default:
		refuse(w, r, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "order", "order: must be oldest or newest"))
		return
	}
	response, err := unary[*millracev1.HistoryResponse](h, r, millracev1connect.RealtimeServiceHistoryProcedure, request)
	if err != nil {
		refuse(w, r, err)
		return
	}
	browser.WriteJSON(w, http.StatusOK, browser.FromHistory(request.GetChannel(), response))
}

func (h *handler) presence(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit, err := parseLimit(query.Get("limit"))
	if err != nil {
		refuse(w, r, err)
		return
	}
	name := r.PathValue("channel")
	response, err := unary[*millracev1.PresenceResponse](h, r, millracev1connect.RealtimeServicePresenceProcedure,
		&millracev1.PresenceRequest{Channel: name, PageSize: limit, PageToken: query.Get("page")})
	if err != nil {
		refuse(w, r, err)
		return
	}
	browser.WriteJSON(w, http.StatusOK, browser.FromPage(name, response))
}

func parseLimit(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "limit", "limit: not a number")
	}
	return uint32(n), nil
}

func (h *handler) health(w http.ResponseWriter, _ *http.Request) {
	browser.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (h *handler) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := h.service.Ready(ctx); err != nil {
		browser.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": err.Error()})
		return
	}
	browser.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
