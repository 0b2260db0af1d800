package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/protobuf/types/known/durationpb"

	millracev1 "millrace.dev/gen/millrace/v1"
)

func serverError(t *testing.T, code connect.Code, info *millracev1.ErrorInfo) error {
	t.Helper()
	detail, err := connectproto.NewErrorDetail(info)
	if err != nil {
		t.Fatal(err)
	}
	return connect.NewError(code, "a message").WithDetail(detail)
}

func TestWhatComingBackCanHelp(t *testing.T) {
	t.Parallel()
	draining := &millracev1.ErrorInfo{Reason: millracev1.ErrorReason_ERROR_REASON_DRAINING, RetryAfter: durationpb.New(3 * time.Second)}
	forbidden := &millracev1.ErrorInfo{Reason: millracev1.ErrorReason_ERROR_REASON_FORBIDDEN}
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"a server that goes away", serverError(t, connect.CodeUnavailable, draining), true},
		{"a refusal", serverError(t, connect.CodePermissionDenied, forbidden), false},
		{"a refusal by something in between", connect.NewError(connect.CodeUnauthenticated, "no"), false},
		{"a broken connection", connect.NewError(connect.CodeUnavailable, "reset"), true},
		{"a silent server", errSilent, true},
		{"a closed stdout", final(io.ErrClosedPipe), false},
	} {
		if got := canComeBack(test.err); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	if got := delay(serverError(t, connect.CodeUnavailable, draining), 5); got != 3*time.Second {
		t.Errorf("the server says 3s, and we wait %s", got)
	}
}

func TestDelaysGrowToALimitAndAreSpread(t *testing.T) {
	t.Parallel()
	for attempt, limit := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, maxDelay, maxDelay} {
		var longest time.Duration
		for range 200 {
			longest = max(longest, delay(io.EOF, attempt))
		}
		if longest > limit || longest < limit/2 {
			t.Errorf("attempt %d: the longest of 200 delays is %s, and the limit %s", attempt, longest, limit)
		}
	}
}

func TestASilentStreamIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l, err := live(t.Context(), func(ctx context.Context, l *life) error {
			l.silence = 4 * time.Second
			l.sign()
			time.Sleep(7 * time.Second)
			l.sign()
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, errSilent) || !l.began {
			t.Errorf("began %v, ended with %v", l.began, err)
		}
		if took := time.Since(start); took != 15*time.Second {
			t.Errorf("after %s, want 7s and twice 4s", took)
		}
	})
}

func TestAnErrorOfTheServerSaysAllThatItNames(t *testing.T) {
	t.Parallel()
	err := serverError(t, connect.CodeInvalidArgument, &millracev1.ErrorInfo{
		Reason: millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, Channel: "chat.1", Field: "payload.text", Limit: 512,
		Message: "payload.text: 600 bytes, and the limit is 512", RetryAfter: durationpb.New(time.Second),
		Position: &millracev1.Position{Offset: 3, Epoch: "e"},
	})
	want := "payload.text: 600 bytes, and the limit is 512 (TOO_LARGE, channel chat.1, field payload.text, limit 512, position 3@e, try again after 1s)"
	if got := describe(fmt.Errorf("publish: %w", err)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
