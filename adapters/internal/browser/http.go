package browser

import (
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect/v2"

	"millrace.dev/service"
)

// statuses are those of the Connect protocol for unary calls
// (https://connectrpc.com/docs/protocol#error-codes), with 413 and 429 left to
// the reasons that mean them.
var statuses = map[connect.Code]int{
	connect.CodeCanceled:           499,
	connect.CodeInvalidArgument:    http.StatusBadRequest,
	connect.CodeDeadlineExceeded:   http.StatusGatewayTimeout,
	connect.CodeNotFound:           http.StatusNotFound,
	connect.CodeAlreadyExists:      http.StatusConflict,
	connect.CodePermissionDenied:   http.StatusForbidden,
	connect.CodeResourceExhausted:  http.StatusTooManyRequests,
	connect.CodeFailedPrecondition: http.StatusPreconditionFailed,
	connect.CodeAborted:            http.StatusConflict,
	connect.CodeOutOfRange:         http.StatusGone,
	connect.CodeUnimplemented:      http.StatusNotImplemented,
	connect.CodeUnavailable:        http.StatusServiceUnavailable,
	connect.CodeUnauthenticated:    http.StatusUnauthorized,
}

// WriteError answers a request with an error.
func WriteError(w http.ResponseWriter, err error) { WriteErrorAs(w, err, FromError(err)) }

// WriteErrorAs answers a request with an error in the form given.
func WriteErrorAs(w http.ResponseWriter, err error, form Error) {
	info := service.ErrorInfo(err)
	status, found := statuses[service.Code(info.GetReason())]
	if !found {
		status = http.StatusInternalServerError
	}
	if after := info.GetRetryAfter(); after != nil {
		seconds := int(after.AsDuration().Round(time.Second) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(max(seconds, 1)))
	}
	WriteJSON(w, status, struct {
		Error Error `json:"error"`
	}{form})
}

// WriteJSON answers a request with a value.
func WriteJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(Marshal(value), '\n')) //nolint:errcheck // the client is gone, and there is nobody to tell
}
