package service

import (
	"context"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// floodFactor is how many times its rate of calls a caller may be refused: each
// refusal costs something as well.
const floodFactor = 2

type hangUpKey struct{}

// WithHangUp tells the service how to end the connection that a call comes by,
// with all the streams on it: to end only the call that was refused, as [WithCut]
// does, would leave a client of HTTP/2 its connection to make the next. A
// connection that others use as well, as that of a proxy, has no such thing. The
// function must not block, and may be called more than once.
func WithHangUp(ctx context.Context, hangUp func()) context.Context {
	return context.WithValue(ctx, hangUpKey{}, hangUp)
}

// HangUp is what [WithHangUp] said: nil where nothing was said.
func HangUp(ctx context.Context) func() {
	hangUp, _ := ctx.Value(hangUpKey{}).(func())
	return hangUp
}

// floods ends the connections of callers whom no refusal stops.
type floods struct {
	calls    *rates
	accounts *lru.Cache[string, *rate.Limiter]
}

func newFloods(calls *rates) *floods {
	accounts, err := lru.New[string, *rate.Limiter](rateAccounts)
	if err != nil {
		panic(err) // the size is more than 0
	}
	return &floods{calls: calls, accounts: accounts}
}

// refused counts a call that was refused to whoever calls, and hangs up on who was
// refused much too often.
func (f *floods) refused(ctx context.Context, c caller) {
	hangUp := HangUp(ctx)
	if account := c.account(); hangUp != nil && account != "" && !f.of(account).Allow() {
		hangUp()
	}
}

func (f *floods) of(account string) *rate.Limiter {
	limit := floodFactor * int(f.calls.limit.Load())
	limiter, found := f.accounts.Get(account)
	if !found || limiter.Burst() != burstSeconds*limit {
		limiter = rate.NewLimiter(rate.Limit(limit), burstSeconds*limit)
		f.accounts.Add(account, limiter)
	}
	return limiter
}
