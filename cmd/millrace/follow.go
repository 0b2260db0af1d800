package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/signal"
	"syscall"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/spf13/cobra"
)

const (
	firstDelay = 500 * time.Millisecond
	maxDelay   = 15 * time.Second
	// steady is how long a stream has lived that says nothing about the next one.
	steady = 10 * time.Second
	// defaultSilence is the longest silence of a server that has not said one.
	defaultSilence = 15 * time.Second
)

// keepUp runs follow, which follows a stream until that breaks, again and again
// until the command is interrupted, which is no error. It returns the error of
// a first stream that never began, and every error that coming back cannot
// help.
func keepUp(command *cobra.Command, follow func(context.Context, *life) error) error {
	ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	began := false
	for attempt := 0; ; attempt++ {
		start := time.Now()
		life, err := live(ctx, follow)
		began = began || life.began
		switch {
		case errors.Is(err, errDone), ctx.Err() != nil:
			return nil
		case !began || !canComeBack(err):
			return err
		case time.Since(start) > steady:
			attempt = 0
		}
		wait := delay(err, attempt)
		fmt.Fprintf(command.ErrOrStderr(), "-- the stream has ended: %s; coming back in %s\n", describe(err), wait.Round(time.Millisecond))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// errDone ends a command that has all it was asked for.
var errDone = errors.New("done")

// errSilent ends a stream whose server has gone without a word.
var errSilent = errors.New("the server has been silent for too long")

// finalError is an error that has nothing to do with the stream, such as of
// stdout.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func final(err error) error {
	if err == nil {
		return nil
	}
	return finalError{err}
}

// canComeBack reports whether trying again can help. The server says so by
// telling when; without its word, anything but a refusal may pass.
func canComeBack(err error) bool {
	if _, isFinal := errors.AsType[finalError](err); isFinal {
		return false
	}
	if info := errorInfo(err); info != nil {
		return info.GetRetryAfter() != nil
	}
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument, connect.CodeNotFound, connect.CodePermissionDenied,
		connect.CodeUnauthenticated, connect.CodeUnimplemented:
		return false
	default:
		return true
	}
}

// delay is how long to wait: as long as the server says, else a random part of
// a time that doubles, so that a crowd does not come back at once.
func delay(err error, attempt int) time.Duration {
	if after := errorInfo(err).GetRetryAfter(); after != nil {
		return after.AsDuration()
	}
	return rand.N(min(firstDelay<<min(attempt, 10), maxDelay)) //nolint:gosec // no secret
}

// life watches over one stream: it ends one whose server says nothing for twice
// as long as it promised to.
type life struct {
	began   bool
	silence time.Duration
	timer   *time.Timer
}

// live runs follow with a context that ends with the stream's life.
func live(ctx context.Context, follow func(context.Context, *life) error) (*life, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := &life{silence: defaultSilence}
	l.timer = time.AfterFunc(callTimeout, func() { cancel(errSilent) })
	defer l.timer.Stop()
	err := follow(ctx, l)
	switch {
	case errors.Is(context.Cause(ctx), errSilent):
		return l, errSilent
	case errors.Is(err, io.EOF):
		return l, errors.New("the server closed it")
	}
	return l, err
}

// sign is called at every sign of life.
func (l *life) sign() {
	l.began = true
	l.timer.Reset(2 * l.silence)
}
