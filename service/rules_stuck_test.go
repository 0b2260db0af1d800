package service_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"millrace.dev/engine"
	"millrace.dev/engine/memory"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// lost is an engine that cannot reach its channels, and says so after a while.
type lost struct {
	engine.Engine
	after time.Duration
}

func (e lost) Append(ctx context.Context, _ *engine.Message, _ engine.AppendOptions) (engine.Receipt, error) {
	select {
	case <-time.After(e.after):
		return engine.Receipt{}, engine.ErrUnavailable
	case <-ctx.Done():
		return engine.Receipt{}, context.Cause(ctx)
	}
}

func TestB6ABatchEndsInTimeThoughEachMessageWouldWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startOn(t, func(ctx context.Context, deliver engine.Deliver) (engine.Engine, error) {
			e, err := memory.Open(memory.Options{})(ctx, deliver)
			return lost{e, 15 * time.Second}, err
		}, keeping(10))
		began := time.Now()
		response, err := n.rpc.PublishBatch(t.Context(), &millracev1.PublishBatchRequest{Requests: repeat(100, text("a", "x"))})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("the batch took %s", took)
		}
		for i, result := range response.GetResults() {
			if reason := result.GetError().GetReason(); reason != millracev1.ErrorReason_ERROR_REASON_UNAVAILABLE {
				t.Errorf("message %d: %s", i, reason)
			}
		}
	})
}
