package demo

import (
	"context"
	"sync/atomic"

	"millrace.dev/engine"
)

// Keep makes an engine outlive the nodes that use it, one after the other: a
// server that restarts goes on with its channels, as it does with an engine that
// stands elsewhere. The caller closes the engine that is kept.
func Keep(ctx context.Context, open engine.Open) (kept engine.Engine, again engine.Open, err error) {
	var deliver atomic.Pointer[engine.Deliver]
	kept, err = open(ctx, func(m *engine.Message) {
		if to := deliver.Load(); to != nil {
			(*to)(m)
		}
	})
	return kept, func(_ context.Context, to engine.Deliver) (engine.Engine, error) {
		deliver.Store(&to)
		return lent{kept}, nil
	}, err
}

// lent is an engine that its user does not close.
type lent struct{ engine.Engine }

// Close implements [engine.Engine].
func (lent) Close() error { return nil }
