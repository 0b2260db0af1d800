package main

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// errorInfo is what the server says about an error; nil for an error that is
// not the server's.
func errorInfo(err error) *millracev1.ErrorInfo {
	failure, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return nil
	}
	for _, detail := range failure.Details() {
		message, err := connectproto.UnmarshalErrorDetail(detail)
		if info, ok := message.(*millracev1.ErrorInfo); ok && err == nil {
			return info
		}
	}
	return nil
}

// describe is an error for people.
func describe(err error) string {
	if info := errorInfo(err); info != nil {
		return describeInfo(info)
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return "no server answers: " + dial.Error()
	}
	if failure, ok := errors.AsType[*connect.Error](err); ok && !failure.IsRemote() && failure.Message() != "" {
		return failure.Message()
	}
	return err.Error()
}

// describeInfo is the server's explanation, with all that it names.
func describeInfo(info *millracev1.ErrorInfo) string {
	about := []string{strings.TrimPrefix(info.GetReason().String(), "ERROR_REASON_")}
	if info.GetChannel() != "" {
		about = append(about, "channel "+info.GetChannel())
	}
	if info.GetField() != "" {
		about = append(about, "field "+info.GetField())
	}
	if info.GetLimit() > 0 {
		about = append(about, fmt.Sprintf("limit %d", info.GetLimit()))
	}
	if info.GetPosition() != nil {
		about = append(about, "position "+positionText(info.GetPosition()))
	}
	if info.GetRetryAfter() != nil {
		about = append(about, fmt.Sprintf("try again after %s", info.GetRetryAfter().AsDuration()))
	}
	return printable(fmt.Sprintf("%s (%s)", info.GetMessage(), strings.Join(about, ", ")))
}
