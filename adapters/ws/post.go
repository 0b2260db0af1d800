package ws

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"millrace.dev/adapters/internal/browser"
	"millrace.dev/adapters/internal/call"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// post does the commands of a body, a JSON array of the frames that a plain
// WebSocket sends, and answers with the array of the frames that it would
// receive. So a client whose messages come on a stream of another wire sends as
// one that has a socket.
func (h *handler) post(w http.ResponseWriter, r *http.Request) {
	commands, err := h.commands(w, r)
	if err != nil {
		browser.WriteError(w, err)
		return
	}
	answers := []json.RawMessage{}
	p := &plain{connection: &connection{handler: h, peer: call.From(r, "http", "json")}}
	p.answer = func(data []byte) error {
		answers = append(answers, data)
		return nil
	}
	ctx := service.WithScope(r.Context(), r.PathValue("scope"))
	for _, command := range commands {
		if err := p.commandInTime(ctx, command); err != nil {
			return // nobody waits for an answer
		}
	}
	browser.WriteJSON(w, http.StatusOK, answers)
}

func (p *plain) commandInTime(ctx context.Context, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return p.command(ctx, data)
}

// commands reads no more of a body than the commands that there may be.
func (h *handler) commands(w http.ResponseWriter, r *http.Request) ([]json.RawMessage, error) {
	most := h.service.Limits().BatchMessages
	commands, err := readList[json.RawMessage](http.MaxBytesReader(w, r.Body, int64(h.service.RequestBytes())), most)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, service.TooLarge("body", int(max(r.ContentLength, tooLarge.Limit+1)), int(tooLarge.Limit))
	}
	switch {
	case err == nil:
		return commands, nil
	case errors.Is(err, errTooLong):
		return nil, service.TooMany("body", most, "commands")
	case isJSONError(err):
		return nil, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_JSON, "body", "body: must be a JSON array of commands")
	}
	return nil, service.Refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "body", "body: could not be read")
}
