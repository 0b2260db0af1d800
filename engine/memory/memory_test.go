package memory

import (
	"testing"
	"time"

	"millrace.dev/engine"
	"millrace.dev/engine/enginetest"
)

func TestTheEngineKeepsTheContract(t *testing.T) {
	options := Options{DedupWindow: 10 * time.Minute, DedupIDs: 200}
	enginetest.Run(t, func(*testing.T) engine.Open { return Open(options) }, enginetest.Options{
		FakeClock: true, Age: 90 * time.Second, DedupWindow: options.DedupWindow, DedupIDs: options.DedupIDs,
	})
}
