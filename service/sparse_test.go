package service_test

import (
	"context"

	"millrace.dev/engine"
)

// stride is how far apart the offsets of a sparse engine are.
const stride = 10

// sparse makes an engine whose offsets have holes, as those of a log have that
// is shared with others: the messages of the engine below, numbered in tens.
func sparse(open engine.Open) engine.Open {
	return func(ctx context.Context, deliver engine.Deliver) (engine.Engine, error) {
		below, err := open(ctx, func(m *engine.Message) { deliver(spread(m)) })
		return sparseEngine{below}, err
	}
}

// sparseEngine implements [engine.Engine] as far as offsets are concerned.
type sparseEngine struct{ engine.Engine }

func spread(m *engine.Message) *engine.Message {
	shown := *m
	shown.Position.Offset *= stride
	shown.Previous *= stride
	return &shown
}

func spreadState(s engine.State) engine.State {
	return engine.State{Epoch: s.Epoch, Low: (s.Low-1)*stride + 1, Head: s.Head * stride, Sequence: s.Sequence}
}

// Append implements [engine.Engine].
func (e sparseEngine) Append(ctx context.Context, m *engine.Message, options engine.AppendOptions) (engine.Receipt, error) {
	receipt, err := e.Engine.Append(ctx, m, options)
	receipt.Position.Offset *= stride
	return receipt, err
}

// State implements [engine.Engine].
func (e sparseEngine) State(ctx context.Context, channel string) (engine.State, error) {
	state, err := e.Engine.State(ctx, channel)
	return spreadState(state), err
}

// Read implements [engine.Engine].
func (e sparseEngine) Read(ctx context.Context, channel string, options engine.ReadOptions) (engine.Page, error) {
	options.After /= stride
	page, err := e.Engine.Read(ctx, channel, options)
	page.State = spreadState(page.State)
	for i, m := range page.Messages {
		page.Messages[i] = spread(m)
	}
	return page, err
}
