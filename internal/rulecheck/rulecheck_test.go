// Package rulecheck keeps the promise of docs/PROTOCOL.md that each of its rules
// has a test, which has the rule's number in its name: rule D-4 has TestD4…
package rulecheck

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

var (
	// ruleLine begins a rule: "- **D-4 Exactly once, or a gap.** …".
	ruleLine = regexp.MustCompile(`(?m)^- \*\*([A-Z])-(\d+) `)
	// testName is the name of a test of a rule: "TestD4ASubscriber…".
	testName = regexp.MustCompile(`^Test([A-Z])(\d+)(?:\D|$)`)
)

func TestEveryRuleHasATestAndEveryTestARule(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(filepath.Join(root, "docs", "PROTOCOL.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := ruleTests(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults(rulesOf(string(document)), tests) {
		t.Error(fault)
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	document := "## Delivery\n- **D-1 One order.** In one\n- **D-12 Patterns.** A pattern\n  - **D-2 not one** of them\ntext **D-3 nor** this\n"
	cases := map[string]struct {
		document string
		tests    map[string]string
		want     []string
	}{
		"all is well":              {document, map[string]string{"TestD1A": "a", "TestD12B": "b"}, nil},
		"a rule without a test":    {document, map[string]string{"TestD12B": "b"}, []string{"D-1 has no test: none is named TestD1…"}},
		"a test without a rule":    {document, map[string]string{"TestD1": "a", "TestD12B": "b", "TestX1C": "c"}, []string{"c: TestX1C is named after X-1, which is no rule"}},
		"a number is not a prefix": {document, map[string]string{"TestD12B": "b", "TestD": "d"}, []string{"D-1 has no test: none is named TestD1…"}},
		"no rule at all":           {"# Protocol", map[string]string{}, []string{"docs/PROTOCOL.md has no rule"}},
		"a rule twice":             {document + document, map[string]string{"TestD1A": "a", "TestD12B": "b"}, []string{"D-1 is there twice", "D-12 is there twice"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := faults(rulesOf(test.document), test.tests); !slices.Equal(got, test.want) {
				t.Errorf("faults are %q, want %q", got, test.want)
			}
		})
	}
}

// rulesOf are the rules of a document, as "D-4".
func rulesOf(document string) []string {
	var rules []string
	for _, match := range ruleLine.FindAllStringSubmatch(document, -1) {
		rules = append(rules, match[1]+"-"+match[2])
	}
	return rules
}

// ruleOf is the rule that a test is named after, empty for none.
func ruleOf(name string) string {
	match := testName.FindStringSubmatch(name)
	if match == nil {
		return ""
	}
	return match[1] + "-" + match[2]
}

// faults are sentences about rules without tests, and tests without rules. Tests
// are the files that they are in, by name.
func faults(rules []string, tests map[string]string) []string {
	if len(rules) == 0 {
		return []string{"docs/PROTOCOL.md has no rule"}
	}
	var found []string
	tested := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		rule := ruleOf(name)
		tested[rule] = true
		if rule != "" && !slices.Contains(rules, rule) {
			found = append(found, fmt.Sprintf("%s: %s is named after %s, which is no rule", tests[name], name, rule))
		}
	}
	seen := map[string]bool{}
	for _, rule := range rules {
		switch {
		case seen[rule]:
			found = append(found, rule+" is there twice")
		case !tested[rule]:
			found = append(found, fmt.Sprintf("%s has no test: none is named Test%s…", rule, strings.ReplaceAll(rule, "-", "")))
		}
		seen[rule] = true
	}
	return found
}

// ruleTests finds the test functions of the repository, and their files. Files
// behind a build tag count.
func ruleTests(tree fs.FS) (map[string]string, error) {
	tests := map[string]string{}
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && (name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".")):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := fs.ReadFile(tree, path)
		if err != nil {
			return fmt.Errorf("read tests: %w", err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parse tests: %w", err)
		}
		for _, declaration := range file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && ruleOf(f.Name.Name) != "" {
				tests[f.Name.Name] = path
			}
		}
		return nil
	})
	return tests, err
}
