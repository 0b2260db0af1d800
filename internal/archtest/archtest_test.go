// Package archtest keeps the arrows of docs/ARCHITECTURE.md: who may import whom.
//
// Only what ships is held to them; a test may import what it needs.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "millrace.dev/"
	root   = "../.."
)

// An arrow says what the packages of a scope may import besides the standard library.
// Packages are of this module or of others; "x/..." is x and all below it.
type arrow struct {
	scope  string
	may    []string
	reason string
}

// The first arrow whose scope holds a package is the one that binds it.
var arrows = []arrow{
	{
		"channel", nil,
		"names and patterns are words that every other package uses",
	},
	{
		"engine", nil,
		"the vocabulary and the contract: whatever it imported, every engine and every wire would import",
	},
	{
		"engine/nats/...",
		[]string{"engine", "engine/nats/...", "engine/internal/...", "github.com/nats-io/...", "google.golang.org/protobuf/encoding/protowire"},
		"an engine knows the contract and its own driver, so that one can take the place of another",
	},
	{
		"engine/memory/...",
		[]string{"engine", "engine/memory/...", "engine/internal/..."},
		"the default engine needs nothing but the standard library",
	},
	{
		"engine/...",
		[]string{"engine"},
		"an engine knows the contract and nothing that calls it, so that one can take the place of another",
	},
	{
		"auth/...",
		[]string{"auth/...", "channel", "github.com/golang-jwt/...", "github.com/MicahParks/jwkset", "golang.org/x/time/rate"},
		"code that security rests on is read alone: who a caller is does not depend on what he asks for",
	},
	{
		"service/...",
		[]string{
			"service/...", "channel", "engine", "auth/...", "gen/...", "connectrpc.com/...", "google.golang.org/protobuf/...",
			"github.com/sony/gobreaker/...", "github.com/hashicorp/golang-lru/...", "github.com/tidwall/gjson", "golang.org/x/time/rate",
			"go.opentelemetry.io/otel/...", // the API only: who exports what is cmd's affair
		},
		"a node knows neither the wire that a session came by nor the engine that is configured",
	},
	{
		"adapters/cors/...",
		[]string{"service/...", "connectrpc.com/cors", "github.com/rs/cors/..."},
		"which pages may use the server is decided before any wire is chosen",
	},
	{
		"adapters/ws/...",
		[]string{"adapters/ws/...", "adapters/internal/...", "adapters/ring", "service/...", "channel", "engine", "gen/...", "connectrpc.com/...", "google.golang.org/protobuf/...", "github.com/coder/websocket/...", "github.com/tidwall/gjson"},
		"a wire translates between its own framing and the service, and knows no other wire",
	},
	{
		"adapters/ring/...",
		[]string{"service"},
		"a way to send knows no wire",
	},
	{
		"adapters/carrier/...",
		[]string{"adapters/carrier"},
		"what is below TLS knows nothing of what is above",
	},
	{
		"adapters/...",
		[]string{"adapters/internal/...", "adapters/ring", "adapters/carrier", "service/...", "channel", "engine", "gen/...", "connectrpc.com/...", "google.golang.org/protobuf/..."},
		"a wire translates between its own framing and the service, and knows no other wire",
	},
	{
		"demo/...",
		[]string{"auth/...", "engine", "gen/...", "connectrpc.com/..."},
		"the demo is an application: it knows the API, not how it is served",
	},
	{
		"console", nil,
		"the page asks for everything over the API, like any other client",
	},
	{
		"gen/...",
		[]string{"gen/...", "connectrpc.com/...", "google.golang.org/protobuf/..."},
		"generated code is a leaf: it holds messages and no decisions",
	},
}

// A package that no arrow binds may import anything but the crown, which is for those that put the parts together.
var (
	crown       = []string{"cmd/...", "adapters/..."}
	mayUseCrown = []string{"cmd/...", "e2e/..."}
)

const crownReason = "only cmd knows every package; what another one needs from there stands in the wrong place"

// pkg is the part of the output of `go list -json` that is read here.
type pkg struct {
	ImportPath string   `json:"ImportPath"`
	Imports    []string `json:"Imports"`
}

func TestPackagesImportOnlyAlongTheArrows(t *testing.T) {
	t.Parallel()
	packages := list(t)
	bound := 0
	for _, p := range packages {
		if _, ok := arrowOf(p.ImportPath); ok {
			bound++
		}
		for _, violation := range violations(p) {
			t.Error(violation)
		}
	}
	if bound == 0 {
		t.Errorf("none of %d packages is bound by an arrow: nothing was checked", len(packages))
	}
}

func TestAnImportAgainstTheArrowsIsNamed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, from, imported string
		allowed              bool
	}{
		{"engine uses the standard library", "engine", "sync/atomic", true},
		{"engine uses the service", "engine", module + "service", false},
		{"engine uses a library", "engine", "github.com/nats-io/nats.go", false},
		{"engine uses one engine", "engine", module + "engine/memory", false},
		{"memory uses the contract", "engine/memory", module + "engine", true},
		{"memory uses its own sub-package", "engine/memory", module + "engine/memory/log", true},
		{"memory uses another engine", "engine/memory", module + "engine/nats", false},
		{"nats uses its driver", "engine/nats", "github.com/nats-io/nats.go/jetstream", true},
		{"memory uses the driver of nats", "engine/memory", "github.com/nats-io/nats.go", false},
		{"auth reads tokens", "auth", "github.com/golang-jwt/jwt/v5", true},
		{"auth uses the service", "auth", module + "service", false},
		{"service uses the contract", "service", module + "engine", true},
		{"service uses one engine", "service", module + "engine/memory", false},
		{"service uses a wire", "service", module + "adapters/ws", false},
		{"service uses Connect", "service", "connectrpc.com/connect/v2", true},
		{"service uses a name that only begins like an allowed one", "service", module + "authority", false},
		{"ws uses its library", "adapters/ws", "github.com/coder/websocket", true},
		{"sse uses the library of ws", "adapters/sse", "github.com/coder/websocket", false},
		{"sse uses another wire", "adapters/sse", module + "adapters/ws", false},
		{"auth uses channel patterns", "auth", module + "channel", true},
		{"channel uses the service", "channel", module + "service", false},
		{"ws uses its own sub-package", "adapters/ws", module + "adapters/ws/frame", true},
		{"a wire checks credentials itself", "adapters/sse", module + "auth", false},
		{"the demo calls the API", "demo", module + "gen/millrace/v1", true},
		{"the demo uses the service", "demo", module + "service", false},
		{"the console uses the service", "console", module + "service", false},
		{"cmd uses all", "cmd/millrace", module + "adapters/ws", true},
		{"e2e uses all", "e2e", module + "cmd/millrace", true},
		{"a package without an arrow uses a wire", "internal/memhttp", module + "adapters/ws", false},
		{"a package without an arrow uses a library", "internal/memhttp", "golang.org/x/net/http2", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := violations(pkg{ImportPath: module + test.from, Imports: []string{test.imported}})
			if allowed := len(got) == 0; allowed != test.allowed {
				t.Fatalf("allowed = %t, want %t: %v", allowed, test.allowed, got)
			}
			named := module + test.from + " imports " + test.imported
			if !test.allowed && !strings.Contains(got[0], named) {
				t.Errorf("%q does not say %q", got[0], named)
			}
		})
	}
}

// violations returns a sentence for each import of p that goes against the arrows.
func violations(p pkg) []string {
	var found []string
	bound, isBound := arrowOf(p.ImportPath)
	for _, imported := range p.Imports {
		switch {
		case isBound && !bound.allows(imported):
			found = append(found, fmt.Sprintf("%s imports %s, against the arrow of %s: %s", p.ImportPath, imported, bound.scope, bound.reason))
		case !isBound && within(crown, imported) && !within(mayUseCrown, p.ImportPath):
			found = append(found, fmt.Sprintf("%s imports %s: %s", p.ImportPath, imported, crownReason))
		}
	}
	return found
}

func arrowOf(importPath string) (arrow, bool) {
	for _, a := range arrows {
		if matches(a.scope, importPath) {
			return a, true
		}
	}
	return arrow{}, false
}

func (a arrow) allows(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	isStandard := !strings.Contains(first, ".")
	return isStandard || within(a.may, imported)
}

func within(patterns []string, importPath string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, importPath) })
}

// matches reports whether pattern, in the terms of [arrow], holds importPath.
func matches(pattern, importPath string) bool {
	name := strings.TrimPrefix(importPath, module)
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return name == tree || isTree && strings.HasPrefix(name, tree+"/")
}

// list returns every package of the module, those behind the tag e2e included.
func list(t *testing.T) []pkg {
	t.Helper()
	dependOnSources(t)
	// -e: an import that makes a cycle or is missing is listed as well, so that it is named here with its reason.
	command := exec.CommandContext(t.Context(), "go", "list", "-e", "-tags", "e2e", "-json=ImportPath,Imports", "./...")
	command.Dir = root
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			t.Fatalf("decode go list: %v", err)
		}
		packages = append(packages, p)
	}
}

// dependOnSources opens every source directory. The go command reuses the result of a test until something
// that the test opened has changed, and what `go list` opens does not count.
func dependOnSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != root && (name == "node_modules" || strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatalf("walk sources: %v", err)
	}
}
