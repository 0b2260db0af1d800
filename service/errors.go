package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/auth"
	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// refusal is an error on its way to a client: what every wire makes its own
// error from.
type refusal struct {
	info  *millracev1.ErrorInfo
	cause error
}

func (r *refusal) Error() string { return r.info.GetMessage() }
func (r *refusal) Unwrap() error { return r.cause }

// refuse says why a request is not done.
func refuse(reason millracev1.ErrorReason, field, format string, args ...any) *refusal {
	return &refusal{info: &millracev1.ErrorInfo{Reason: reason, Field: field, Message: fmt.Sprintf(format, args...)}}
}

// over says that a field has passed its limit.
func over(reason millracev1.ErrorReason, field string, has, limit int, unit string) *refusal {
	r := refuse(reason, field, "%s: %d %s, and the limit is %d", field, has, unit, limit)
	r.info.Limit = uint64(limit)
	return r
}

// Refuse makes the error of a request that an adapter cannot read.
func Refuse(reason millracev1.ErrorReason, field, format string, args ...any) error {
	return refuse(reason, field, format, args...)
}

// TooLarge makes the error of something that has more bytes than the limit.
func TooLarge(field string, has, limit int) error {
	return over(millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, field, has, limit, "bytes")
}

// TooMany makes the error of a request that has more of something than the limit
// in force. How many there are nobody has counted.
func TooMany(field string, limit int, unit string) error {
	r := refuse(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, field, "%s: the limit is %d %s", field, limit, unit)
	r.info.Limit = uint64(limit)
	return r
}

// TimedOut makes the error of a client that took longer than a setting allows.
func TimedOut(setting string, limit time.Duration) error {
	return refuse(millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED, setting, "%s: nothing came in %s", setting, limit)
}

func (r *refusal) on(name string) *refusal {
	r.info.Channel = name
	return r
}

func (r *refusal) retryAfter(d time.Duration) *refusal {
	r.info.RetryAfter = durationpb.New(d)
	return r
}

// outcome is what a reason means on the wires.
type outcome struct {
	code  connect.Code
	close int // WebSocket close code, where the session ends
}

// outcomes is the one table of reasons; docs/PROTOCOL.md shows it to users.
// Close codes are 4000 + the number of the reason.
var outcomes = map[millracev1.ErrorReason]outcome{
	millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST:   {connect.CodeInvalidArgument, 4001},
	millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL:   {connect.CodeInvalidArgument, 4002},
	millracev1.ErrorReason_ERROR_REASON_INVALID_JSON:      {connect.CodeInvalidArgument, 4003},
	millracev1.ErrorReason_ERROR_REASON_TOO_LARGE:         {connect.CodeInvalidArgument, 4004},
	millracev1.ErrorReason_ERROR_REASON_TOO_MANY:          {connect.CodeInvalidArgument, 4005},
	millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED:   {connect.CodeUnauthenticated, 4006},
	millracev1.ErrorReason_ERROR_REASON_FORBIDDEN:         {connect.CodePermissionDenied, 4007},
	millracev1.ErrorReason_ERROR_REASON_RATE_LIMITED:      {connect.CodeResourceExhausted, 4008},
	millracev1.ErrorReason_ERROR_REASON_SLOW_CONSUMER:     {connect.CodeResourceExhausted, 4009},
	millracev1.ErrorReason_ERROR_REASON_DRAINING:          {connect.CodeUnavailable, 4010},
	millracev1.ErrorReason_ERROR_REASON_SESSION_NOT_FOUND: {connect.CodeNotFound, 4011},
	millracev1.ErrorReason_ERROR_REASON_NOT_ENABLED:       {connect.CodeFailedPrecondition, 4012},
	millracev1.ErrorReason_ERROR_REASON_POSITION_MISMATCH: {connect.CodeFailedPrecondition, 4013},
	millracev1.ErrorReason_ERROR_REASON_ID_REUSED:         {connect.CodeAlreadyExists, 4014},
	millracev1.ErrorReason_ERROR_REASON_INVALID_CURSOR:    {connect.CodeInvalidArgument, 4015},
	millracev1.ErrorReason_ERROR_REASON_GAP:               {connect.CodeOutOfRange, 4016},
	millracev1.ErrorReason_ERROR_REASON_DISCONNECTED:      {connect.CodeAborted, 4017},
	millracev1.ErrorReason_ERROR_REASON_SEQUENCE_MISMATCH: {connect.CodeFailedPrecondition, 4018},
	millracev1.ErrorReason_ERROR_REASON_EXPIRED:           {connect.CodeUnavailable, 4019},
	millracev1.ErrorReason_ERROR_REASON_INTERNAL:          {connect.CodeInternal, 4020},
	millracev1.ErrorReason_ERROR_REASON_UNAVAILABLE:       {connect.CodeUnavailable, 4021},
}

// CloseCode is the WebSocket close code of a session that ends with err.
func CloseCode(err error) int {
	return outcomes[ErrorInfo(err).GetReason()].close
}

// Code is the Connect code of a reason.
func Code(reason millracev1.ErrorReason) connect.Code { return outcomes[reason].code }

// ErrorInfo says why err happened, for any error that a call returned.
func ErrorInfo(err error) *millracev1.ErrorInfo {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.info
	}
	if e, ok := errors.AsType[*connect.Error](err); ok {
		for _, detail := range e.Details() {
			message, err := connectproto.UnmarshalErrorDetail(detail)
			if info, ok := message.(*millracev1.ErrorInfo); ok && err == nil {
				return info
			}
		}
	}
	return asRefusal(err).info
}

// asRefusal finds what an error of the domain means to a client. What it does
// not know is internal and keeps its text to itself.
func asRefusal(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	var r *refusal
	switch {
	case errors.Is(err, channel.ErrInvalid):
		r = refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel", "%s", err)
	case errors.Is(err, auth.ErrUnavailable):
		r = unavailable(err.Error(), time.Second)
	case errors.Is(err, auth.ErrUnauthenticated):
		r = refuse(millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED, "", "%s", err)
	case errors.Is(err, engine.ErrIDReused):
		r = refuse(millracev1.ErrorReason_ERROR_REASON_ID_REUSED, "id", "the id was published before with another content")
	case errors.Is(err, engine.ErrPositionMismatch):
		r = refuse(millracev1.ErrorReason_ERROR_REASON_POSITION_MISMATCH, "expected_position", "the channel is not at the expected position")
	case errors.Is(err, engine.ErrSequenceMismatch):
		r = refuse(millracev1.ErrorReason_ERROR_REASON_SEQUENCE_MISMATCH, "producer.seq", "producer.seq: not the next number")
	case errors.Is(err, engine.ErrProducerFenced):
		r = refuse(millracev1.ErrorReason_ERROR_REASON_SEQUENCE_MISMATCH, "producer.epoch", "producer.epoch: a newer one has replaced it")
	case errors.Is(err, engine.ErrUnavailable):
		r = refuse(millracev1.ErrorReason_ERROR_REASON_UNAVAILABLE, "", "channels cannot be reached at the moment").retryAfter(time.Second)
	case errors.Is(err, engine.ErrOverloaded):
		r = refuse(millracev1.ErrorReason_ERROR_REASON_RATE_LIMITED, "channel", "too many messages wait to be stored in the channel").retryAfter(time.Second)
	case errors.Is(err, engine.ErrClosed):
		r = leaving(time.Second)
	case errors.Is(err, context.DeadlineExceeded):
		r = unavailable("the call took longer than it may, and it is not known whether it was done", time.Second)
	case errors.Is(err, context.Canceled):
		r = unavailable("the call was given up before it was done", time.Second)
	default:
		r = refuse(millracev1.ErrorReason_ERROR_REASON_INTERNAL, "", "internal error")
	}
	r.cause = err
	return r
}

// asConnect makes the error that Connect sends. Errors of Connect itself, such
// as an unreadable request, and of an ended context pass as they are.
func asConnect(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[*connect.Error](err); ok {
		return err
	}
	r := asRefusal(err)
	detail, detailErr := connectproto.NewErrorDetail(r.info)
	if detailErr != nil {
		return connect.NewError(connect.CodeInternal, r.Error()).WithCause(detailErr)
	}
	return connect.NewError(outcomes[r.info.GetReason()].code, r.Error()).WithDetail(detail).WithCause(err)
}
