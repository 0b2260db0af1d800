package service

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/sony/gobreaker/v2"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// Authorizer is the application that is asked where no grant decides.
type Authorizer struct {
	// Client calls the application. Nil asks nobody.
	Client millracev1connect.AuthorizerServiceClient
	// Timeout of one question. Default 2 s.
	Timeout time.Duration
	// Cache is how long an answer counts. Default 5 s; negative asks each time.
	Cache time.Duration
}

const (
	authorizerAnswers  = 100_000         // answers that are remembered
	authorizerFailures = 5               // in a row, until nobody asks any more
	authorizerPause    = 5 * time.Second // until somebody asks again
)

// authorizer asks the application, not for longer than callers can wait, not
// while it does not answer, and not twice in a short time.
type authorizer struct {
	Authorizer
	log     *slog.Logger
	breaker *gobreaker.CircuitBreaker[*millracev1.AuthorizeResponse]
	answers *lru.Cache[question, answer]
}

type question struct {
	user, tokenID, protocol, scope, name string
	action                               auth.Action
}

type answer struct {
	at       time.Time
	response *millracev1.AuthorizeResponse
}

func newAuthorizer(config Authorizer, log *slog.Logger) *authorizer {
	if config.Client == nil {
		return nil
	}
	answers, err := lru.New[question, answer](authorizerAnswers)
	if err != nil {
		panic(err) // the size is more than 0
	}
	return &authorizer{
		Authorizer: config, log: log, answers: answers,
		breaker: gobreaker.NewCircuitBreaker[*millracev1.AuthorizeResponse](gobreaker.Settings{
			Timeout:     authorizerPause,
			ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= authorizerFailures },
			// A caller who has gone says nothing about the application.
			IsSuccessful: func(err error) bool { return err == nil || errors.Is(err, context.Canceled) },
		}),
	}
}

var actions = map[auth.Action]millracev1.Action{
	auth.Subscribe: millracev1.Action_ACTION_SUBSCRIBE,
	auth.Publish:   millracev1.Action_ACTION_PUBLISH,
	auth.Presence:  millracev1.Action_ACTION_PRESENCE,
	auth.Watch:     millracev1.Action_ACTION_WATCH,
	auth.History:   millracev1.Action_ACTION_HISTORY,
}

// ask is the application's decision. Without one, nothing is allowed, and the
// caller may come back.
func (a *authorizer) ask(ctx context.Context, identity auth.Identity, action auth.Action, name string) (access, error) {
	c := callerOf(ctx)
	q := question{identity.User, identity.TokenID, c.protocol, c.scope, name, action}
	response, err := a.answer(ctx, q)
	switch {
	case err != nil:
		a.log.WarnContext(ctx, "the authorizer does not answer", "error", err)
		return noAccess, unavailable("the application that decides does not answer", authorizerPause)
	case response.GetAllowed():
		return allAccess, nil
	}
	return noAccess, asWords(response.GetError(), action, name)
}

// asWords is the application's explanation, if it has one.
func asWords(info *millracev1.ErrorInfo, action auth.Action, name string) error {
	r := forbidden(action, name)
	if info.GetMessage() != "" {
		r.info.Message = strings.ToValidUTF8(info.GetMessage(), "\uFFFD")
	}
	if _, known := outcomes[info.GetReason()]; known {
		r.info.Reason = info.GetReason()
	}
	r.info.RetryAfter = info.GetRetryAfter()
	return r
}

func unavailable(text string, after time.Duration) *refusal {
	return refuse(millracev1.ErrorReason_ERROR_REASON_UNAVAILABLE, "", "%s", text).retryAfter(after)
}

func (a *authorizer) answer(ctx context.Context, q question) (*millracev1.AuthorizeResponse, error) {
	if known, found := a.answers.Get(q); found && time.Since(known.at) < a.Cache {
		return known.response, nil
	}
	response, err := a.breaker.Execute(func() (*millracev1.AuthorizeResponse, error) {
		ctx, cancel := context.WithTimeout(ctx, a.Timeout)
		defer cancel()
		return a.Client.Authorize(ctx, &millracev1.AuthorizeRequest{
			User: q.user, Action: actions[q.action], Channel: q.name, Protocol: q.protocol, Scope: q.scope,
		})
	})
	if err == nil && a.Cache > 0 {
		a.answers.Add(q, answer{time.Now(), response})
	}
	return response, err
}

// forget drops all answers: somebody's rights have changed.
func (a *authorizer) forget() {
	if a != nil {
		a.answers.Purge()
	}
}
