package service

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace.dev/channel"
)

// A random program adds and removes patterns; what matches is compared with
// asking every one of them.
func TestTheIndexFindsThePatternsThatASearchFinds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test repeats itself
		var index patternIndex
		added := map[string]*topic{}
		for range 400 {
			pattern := randomPattern(random)
			switch known := added[pattern]; {
			case !channel.IsPattern(pattern):
				continue
			case known == nil:
				added[pattern] = newTopic(pattern)
				index.add(added[pattern])
			default:
				index.remove(known)
				delete(added, pattern)
			}
			name := randomName(random, "a", "b", "c")
			var want []string
			for p := range added {
				if channel.Match(p, name) {
					want = append(want, p)
				}
			}
			if got := matching(&index, name, added); !slices.Equal(got, sorted(want)) {
				t.Fatalf("%q: the index finds %q, a search %q", name, got, want)
			}
		}
		for _, topic := range added {
			index.remove(topic)
		}
		if !index.root.isEmpty() || index.count.Load() != 0 {
			t.Fatalf("an index without patterns counts %d and has %+v", index.count.Load(), &index.root)
		}
	}
}

// matching names the patterns that the index finds; none may be found twice, or
// be another topic than the one that was added.
func matching(index *patternIndex, name string, added map[string]*topic) (patterns []string) {
	for _, topic := range index.match(name) {
		if added[topic.name] != topic {
			return []string{"not the topic of " + topic.name}
		}
		patterns = append(patterns, topic.name)
	}
	return sorted(patterns)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

func TestPatternsThatShareTokensAreApart(t *testing.T) {
	t.Parallel()
	var index patternIndex
	added := map[string]*topic{}
	for _, pattern := range []string{"a.*", "a.>", "a.*.>", "*", ">", "a.*.c"} {
		added[pattern] = newTopic(pattern)
		index.add(added[pattern])
	}
	for _, step := range []struct {
		remove string
		name   string
		want   []string
	}{
		{"", "a.b", []string{">", "a.*", "a.>"}},
		{"", "a", []string{"*", ">"}},
		{"", "a.b.c", []string{">", "a.*.>", "a.*.c", "a.>"}},
		{"a.*", "a.b", []string{">", "a.>"}},
		{"", "a.b.c", []string{">", "a.*.>", "a.*.c", "a.>"}},
		{"a.*.>", "a.b.c", []string{">", "a.*.c", "a.>"}},
		{">", "a.b.c", []string{"a.*.c", "a.>"}},
		{"a.*.c", "a.b.c", []string{"a.>"}},
		{"a.>", "a.b.c", nil},
		{"", "a", []string{"*"}},
		{"*", "a", nil},
	} {
		if step.remove != "" {
			index.remove(added[step.remove])
			delete(added, step.remove)
		}
		if got := matching(&index, step.name, added); !slices.Equal(got, step.want) {
			t.Errorf("without %q, %q matches %q, want %q", step.remove, step.name, got, step.want)
		}
	}
}

func TestAnIndexWithoutPatternsCostsNothing(t *testing.T) {
	var index patternIndex
	if found := index.match("chat.42"); found != nil {
		t.Errorf("found %v", found)
	}
	if n := testing.AllocsPerRun(100, func() { index.match("chat.42") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTheLongestNamesAreFound(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("a.", 127) + "a"
	var index patternIndex
	added := map[string]*topic{}
	for i := range 128 {
		tokens := strings.Split(name, ".")
		tokens[i] = "*"
		pattern := strings.Join(tokens, ".")
		added[pattern] = newTopic(pattern)
		index.add(added[pattern])
	}
	if found := index.match(name); len(found) != 128 {
		t.Errorf("%d of 128 patterns are found", len(found))
	}
}
