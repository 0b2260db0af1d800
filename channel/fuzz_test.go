package channel

import (
	"regexp"
	"strings"
	"testing"
)

// reference spells a pattern as a regular expression: slow, and plain to see.
func reference(pattern string) *regexp.Regexp {
	tokens := strings.Split(pattern, ".")
	for i, token := range tokens {
		switch token {
		case "*":
			tokens[i] = `[^.]+`
		case ">":
			tokens[i] = `[^.]+(\.[^.]+)*`
		default:
			tokens[i] = regexp.QuoteMeta(token)
		}
	}
	return regexp.MustCompile(`^` + strings.Join(tokens, `\.`) + `$`)
}

// instances are channels that match a pattern: enough of them that another
// pattern, of at most so many tokens, covers it only if it matches all.
func instances(pattern string, tokens int) []string {
	const fresh = "\U0010fffd" // in no pattern that is checked here
	tail, isOpen := strings.CutSuffix(pattern, ">")
	filled := strings.Split(tail, ".")
	for i, token := range filled {
		if token == "*" {
			filled[i] = fresh
		}
	}
	name := strings.Join(filled, ".")
	if !isOpen {
		return []string{name}
	}
	return []string{name + fresh, name + fresh + strings.Repeat("."+fresh, tokens)}
}

// witness is a channel that matches both patterns if any does: it has of each
// place the token that says most.
func witness(a, b string) string {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	var tokens []string
	for i := range max(len(as), len(bs)) {
		token := "x"
		for _, of := range [][]string{as, bs} {
			if i < len(of) && of[i] != "*" && of[i] != ">" {
				token = of[i]
			}
		}
		tokens = append(tokens, token)
	}
	return strings.Join(tokens, ".")
}

func FuzzMatchAgreesWithARegularExpression(f *testing.F) {
	for _, seed := range [][3]string{
		{"chat.1", "chat.1", "chat.*"}, {"chat.*", "chat.1", ">"}, {"user.>", "user.ada.inbox", "user.*.inbox"},
		{">", "a", "*"}, {"*.>", "a", "a.>"}, {"*", "a.b", "*.*"}, {"a.*.>", "a.b.c", "a.>"}, {"a.*", "a", "a.>"},
		{"ä.+", "ä.+", "ä.*"}, {"a.b.c.d", "a.b.c", "*.b.*.d"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, pattern, name, other string) {
		if CheckPattern(pattern) != nil || Check(name) != nil || CheckPattern(other) != nil {
			t.Skip()
		}
		if strings.Contains(pattern+other, "\U0010fffd") {
			t.Skip() // what instances are made of
		}
		got, gotOther := Match(pattern, name), Match(other, name)
		if want := reference(pattern).MatchString(name); got != want {
			t.Errorf("Match(%q, %q) = %t, want %t", pattern, name, got, want)
		}
		if got && gotOther && !Overlaps(pattern, other) {
			t.Errorf("%q and %q do not overlap, and both match %q", pattern, other, name)
		}
		checkCovers(t, pattern, other)
		if got && Covers(other, pattern) && !gotOther {
			t.Errorf("%q covers %q, and does not match %q", other, pattern, name)
		}
	})
}

// checkCovers holds Covers and Overlaps against what the patterns match.
func checkCovers(t *testing.T, wide, narrow string) {
	t.Helper()
	all, some := true, false
	for _, name := range instances(narrow, strings.Count(wide, ".")+1) {
		if Match(wide, name) {
			some = true
		} else {
			all = false
		}
	}
	if got := Covers(wide, narrow); got != all {
		t.Errorf("Covers(%q, %q) = %t, want %t", wide, narrow, got, all)
	}
	if some && !Overlaps(wide, narrow) {
		t.Errorf("%q and %q do not overlap, and match the same channel", wide, narrow)
	}
	if Overlaps(wide, narrow) != Overlaps(narrow, wide) {
		t.Errorf("%q overlaps %q in one direction only", wide, narrow)
	}
	if name := witness(wide, narrow); Overlaps(wide, narrow) && (!Match(wide, name) || !Match(narrow, name)) {
		t.Errorf("%q overlaps %q, and %q, which should show it, does not match both", wide, narrow, name)
	}
	if !IsPattern(wide) && Covers(wide, narrow) != (wide == narrow) {
		t.Errorf("%q covers %q", wide, narrow)
	}
}
