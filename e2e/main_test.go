// Package e2e_test plays scenarios against a server in this process, over real
// connections: every scenario on every wire and every engine.
//
// A wire is a driver (wire_*_test.go) that translates between its own framing
// and the API's messages; a scenario (scenarios_test.go has the table) knows
// neither wires nor engines. A new wire or engine is a line in a table.
package e2e_test

import (
	"testing"
	"time"

	"millrace.dev/internal/leak"
)

// patience is how long anything may take before a test gives up. It is not a
// measure: the machine may be busy with other things.
const patience = 30 * time.Second

func TestMain(m *testing.M) { leak.Main(m) }
