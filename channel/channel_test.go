package channel_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace.dev/channel"
)

func TestNamesAndPatternsAreChecked(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", channel.MaxBytes)
	for _, test := range []struct {
		name             string
		channel, pattern bool // whether it can be one
	}{
		{"chat", true, true},
		{"chat.42", true, true},
		{"user.ada.messages", true, true},
		{"a-b_c:d/e@f#g$h%i+j=k~l", true, true},
		{"Ünïcode.日本.🎉", true, true},
		{"{user}", true, true},
		{long, true, true},
		{"a\u00adb", true, true}, // a soft hyphen is no control character

		{"*", false, true},
		{">", false, true},
		{"chat.*", false, true},
		{"*.chat", false, true},
		{"chat.*.42", false, true},
		{"chat.>", false, true},
		{"*.*.>", false, true},

		{"", false, false},
		{long + "a", false, false},
		{".", false, false},
		{"..", false, false},
		{".chat", false, false},
		{"chat.", false, false},
		{"chat..42", false, false},
		{"chat .42", false, false},
		{"chat\t42", false, false},
		{"chat\n42", false, false},
		{"chat\r42", false, false},
		{"chat\x0042", false, false},
		{"chat\x7f42", false, false},
		{"chat\u008542", false, false},
		{"chat\u00a042", false, false},
		{"chat\u202842", false, false},
		{"chat\u202942", false, false},
		{"chat\u300042", false, false},
		{"chat\xff", false, false},
		{"chat\xed\xa0\x80", false, false}, // a surrogate
		{"chat*", false, false},
		{"*chat", false, false},
		{"**", false, false},
		{"chat>", false, false},
		{">>", false, false},
		{"*>", false, false},
		{">.chat", false, false},
		{">.>", false, false},
		{"chat.>.42", false, false},
		{"chat.>.*", false, false},
	} {
		for kind, check := range map[string]struct {
			err  error
			want bool
		}{
			"channel": {channel.Check(test.name), test.channel},
			"pattern": {channel.CheckPattern(test.name), test.pattern},
		} {
			if (check.err == nil) != check.want || check.err != nil && !errors.Is(check.err, channel.ErrInvalid) {
				t.Errorf("%q as a %s: %v", test.name, kind, check.err)
			}
		}
		if test.pattern && channel.IsPattern(test.name) == test.channel {
			t.Errorf("%q: IsPattern is %v", test.name, test.channel)
		}
	}
}

func TestPatternsMatch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, channel string
		want             bool
	}{
		{"chat.42", "chat.42", true},
		{"chat.42", "chat.43", false},
		{"chat.42", "chat", false},
		{"chat", "chat.42", false},
		{"chat", "chatter", false},
		{"chat.*", "chat.42", true},
		{"chat.*", "chat", false},
		{"chat.*", "chat.42.typing", false},
		{"*.42", "chat.42", true},
		{"*.*", "chat.42", true},
		{"*", "chat", true},
		{"*", "chat.42", false},
		{"chat.*.typing", "chat.42.typing", true},
		{"chat.*.typing", "chat.42.reading", false},
		{">", "chat", true},
		{">", "chat.42.typing", true},
		{"chat.>", "chat.42", true},
		{"chat.>", "chat.42.typing", true},
		{"chat.>", "chat", false},
		{"chat.>", "chatter.42", false},
		{"*.>", "chat.42", true},
		{"*.>", "chat", false},
	} {
		if got := channel.Match(test.pattern, test.channel); got != test.want {
			t.Errorf("Match(%q, %q) = %v", test.pattern, test.channel, got)
		}
	}
}

func TestPatternsCover(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		wide, narrow string
		want         bool
	}{
		{">", ">", true},
		{">", "chat.*", true},
		{"chat.>", "chat.*", true},
		{"chat.>", "chat.*.>", true},
		{"chat.>", "chat", false},
		{"chat.>", "*.42", false},
		{"chat.>", ">", false},
		{"chat.*", "chat.42", true},
		{"chat.*", "chat.*", true},
		{"chat.*", "chat.>", false},
		{"chat.42", "chat.*", false},
		{"*.*", "chat.*", true},
		{"*.>", ">", false},
		{"*.>", "chat.>", true},
		{"user.ada.>", "user.ada.messages", true},
		{"user.ada.>", "user.bob.messages", false},
		{"user.ada.>", "user.*.messages", false},
	} {
		if got := channel.Covers(test.wide, test.narrow); got != test.want {
			t.Errorf("Covers(%q, %q) = %v", test.wide, test.narrow, got)
		}
	}
}

// names lists every name of up to three tokens over an alphabet.
func names(tokens ...string) (list []string) {
	for _, a := range tokens {
		list = append(list, a)
		for _, b := range tokens {
			list = append(list, a+"."+b)
			for _, c := range tokens {
				list = append(list, a+"."+b+"."+c)
			}
		}
	}
	return list
}

// patterns lists every pattern of up to three tokens.
func patterns() []string {
	return slices.DeleteFunc(names("a", "b", "*", ">"), func(p string) bool { return channel.CheckPattern(p) != nil })
}

// matches is Match in the plainest form there is.
func matches(pattern, name string) bool {
	p, n := strings.Split(pattern, "."), strings.Split(name, ".")
	for i, token := range p {
		if token == ">" {
			return len(n) > i
		}
		if i >= len(n) || token != "*" && token != n[i] {
			return false
		}
	}
	return len(p) == len(n)
}

// In every small case Match, Covers and Overlaps mean what they say. The names
// have a token, "c", that no pattern spells, and one token more than patterns,
// so that what is true of them is true of all.
func TestMatchCoversAndOverlapsAreWhatTheySay(t *testing.T) {
	t.Parallel()
	channels := names("a", "b", "c")
	for _, name := range names("a", "b", "c") {
		channels = append(channels, name+".a", name+".c")
	}
	slices.Sort(channels)
	channels = slices.Compact(channels)
	patterns := patterns()
	matched := map[string][]string{}
	for _, p := range patterns {
		for _, c := range channels {
			if got := channel.Match(p, c); got != matches(p, c) {
				t.Errorf("Match(%q, %q) = %v", p, c, got)
			}
			if matches(p, c) {
				matched[p] = append(matched[p], c)
			}
		}
	}
	for _, p := range patterns {
		for _, q := range patterns {
			covers, overlaps := true, false
			for _, c := range matched[q] {
				covers = covers && matches(p, c)
				overlaps = overlaps || matches(p, c)
			}
			if got := channel.Covers(p, q); got != covers {
				t.Errorf("Covers(%q, %q) = %v", p, q, got)
			}
			if got := channel.Overlaps(p, q); got != overlaps {
				t.Errorf("Overlaps(%q, %q) = %v", p, q, got)
			}
		}
	}
	t.Logf("%d patterns, %d channels", len(patterns), len(channels))
}

func TestLongPatternsMatchAsShortOnesDo(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test repeats itself
	pick := func(tokens ...string) string {
		list := []string{}
		for range 1 + random.IntN(12) {
			list = append(list, tokens[random.IntN(len(tokens))])
		}
		return strings.Join(list, ".")
	}
	matched := 0
	for range 20_000 {
		p, c := pick("a", "a", "*", "*", "*"), pick("a", "a", "a", "b")
		if random.IntN(2) == 0 {
			p += ".>"
		}
		want := matches(p, c)
		if got := channel.Match(p, c); got != want || channel.Covers(p, c) != want || channel.Overlaps(p, c) != want {
			t.Errorf("Match(%q, %q) = %v, Covers %v, Overlaps %v", p, c, got, channel.Covers(p, c), channel.Overlaps(p, c))
		}
		if want {
			matched++
		}
	}
	t.Logf("%d matched", matched)
}

// Whatever a stranger sends as a name, nothing breaks, and what passes is safe
// on every wire.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"chat.42", "chat.*", "user.>", "a..b", "\xff", "a\u2028b", ">.a"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if channel.Check(a) == nil && (channel.CheckPattern(a) != nil || channel.IsPattern(a) || strings.ContainsAny(a, " \r\n\t\x00*>")) {
			t.Errorf("%q passes as a channel", a)
		}
		if channel.CheckPattern(a) != nil || channel.CheckPattern(b) != nil {
			return
		}
		if !channel.Covers(a, a) || !channel.Overlaps(a, a) {
			t.Errorf("%q does not cover or overlap itself", a)
		}
		if channel.Overlaps(a, b) != channel.Overlaps(b, a) {
			t.Errorf("%q and %q overlap one way only", a, b)
		}
		if channel.Covers(a, b) && !channel.Overlaps(a, b) {
			t.Errorf("%q covers %q and does not overlap it", a, b)
		}
		if channel.Check(b) == nil && channel.Match(a, b) != matches(a, b) {
			t.Errorf("Match(%q, %q) = %v", a, b, channel.Match(a, b))
		}
	})
}
