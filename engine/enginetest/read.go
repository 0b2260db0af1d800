package enginetest

import (
	"slices"
	"strconv"
	"sync"

	"millrace.dev/engine"
)

var readPromises = []promise{
	{"pages from both ends put together are the log, whatever their size", pagesAreTheLog},
	{"a read begins after, or before, any offset", readsBeginAnywhere},
	{"a read is of one moment, while many append", readsAreOfOneMoment},
	{"what a channel is asked for is not what another has", channelsAreApart},
}

// pages reads a channel from both ends, in pages of a size.
func (s *subject) pages(channel string, size int, want []string) {
	s.Helper()
	backwards := slices.Clone(want)
	slices.Reverse(backwards)
	for _, from := range []struct {
		newestFirst bool
		want        []string
	}{{false, want}, {true, backwards}} {
		got, options := []string{}, engine.ReadOptions{NewestFirst: from.newestFirst, Limit: size}
		for {
			page := s.read(channel, options)
			got = append(got, texts(page.Messages)...)
			if len(page.Messages) > size || page.More && len(page.Messages) < size {
				s.Fatalf("a page of %d has %d messages, more %v", size, len(page.Messages), page.More)
			}
			if !page.More {
				break
			}
			last := page.Messages[size-1].Position.Offset
			options.After, options.Before = last, last
		}
		if !slices.Equal(got, from.want) {
			s.Errorf("pages of %d, newest first %v: got %q, want %q", size, from.newestFirst, got, from.want)
		}
	}
}

func pagesAreTheLog(s *subject) {
	for _, kept := range []int{1, 2, 3, 7, 8} {
		channel := "pages." + strconv.Itoa(kept)
		for n := range 13 {
			s.publish(text(channel, strconv.Itoa(n+1)), keeping(kept, 0))
		}
		for size := 1; size <= kept+1; size++ {
			s.pages(channel, size, numbers(14-kept, 13))
		}
	}
}

func readsBeginAnywhere(s *subject) {
	const all, kept = 9, 6
	positions := []engine.Position{}
	for n := range all {
		positions = append(positions, s.publish(text("read", strconv.Itoa(n+1)), keeping(kept, 0)))
	}
	head := positions[all-1].Offset
	offsets := []uint64{0, 1, head + 1, head + 100, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	for _, p := range positions {
		offsets = append(offsets, p.Offset)
	}
	for _, offset := range offsets {
		var after, before []string // of offset
		for n, p := range positions {
			if n >= all-kept && p.Offset > offset {
				after = append(after, strconv.Itoa(n+1))
			}
			if n >= all-kept && (p.Offset < offset || offset == 0) {
				before = append([]string{strconv.Itoa(n + 1)}, before...)
			}
		}
		for limit := 1; limit <= kept+1; limit++ {
			s.reads(engine.ReadOptions{After: offset, Limit: limit}, after)
			s.reads(engine.ReadOptions{Before: offset, NewestFirst: true, Limit: limit}, before)
		}
	}
}

// reads checks one read of which the unlimited answer is known.
func (s *subject) reads(options engine.ReadOptions, all []string) {
	s.Helper()
	page := s.read("read", options)
	want, more := all[:min(options.Limit, len(all))], len(all) > options.Limit
	if got := texts(page.Messages); !slices.Equal(got, want) || page.More != more {
		s.Errorf("read %+v: got %q, more %v; want %q, more %v", options, got, page.More, want, more)
	}
}

func readsAreOfOneMoment(s *subject) {
	const kept = 20
	done := make(chan struct{})
	var readers sync.WaitGroup
	for _, newestFirst := range []bool{false, true} {
		readers.Go(func() {
			last := engine.State{}
			for finished := false; !finished; {
				select {
				case <-done:
					finished = true
				default:
				}
				page, err := s.Read(s.Context(), "moment", engine.ReadOptions{NewestFirst: newestFirst, Limit: 2 * kept})
				if err != nil {
					s.Errorf("read: %v", err)
					return
				}
				if newestFirst {
					slices.Reverse(page.Messages)
				}
				if !s.isOneMoment(page, last, kept) {
					return
				}
				last = page.State
			}
		})
	}
	each(4, func(int) {
		for range 200 {
			if _, err := s.Append(s.Context(), text("moment", ""), keeping(kept, 0)); err != nil {
				s.Errorf("append: %v", err)
			}
		}
	})
	close(done)
	readers.Wait()
}

// isOneMoment checks that a page and its state agree, and that both are not of
// an earlier moment than the last.
func (s *subject) isOneMoment(page engine.Page, last engine.State, kept int) bool {
	s.Helper()
	low, head, sequence := page.State.Head+1, page.State.Head, page.State.Sequence
	if n := len(page.Messages); n > 0 {
		low, head, sequence = page.Messages[0].Position.Offset, page.Messages[n-1].Position.Offset, page.Messages[n-1].Sequence
		if broken := brokenChain(page.Messages[1:], page.Messages[0].Position); broken != "" {
			s.Error(broken)
		}
	}
	if page.State != (engine.State{Epoch: page.State.Epoch, Low: low, Head: head, Sequence: sequence}) || page.More || len(page.Messages) > kept {
		s.Errorf("%d messages from %d to %d, more %v, have the state %+v", len(page.Messages), low, head, page.More, page.State)
		return false
	}
	if last.Head > page.State.Head || last.Low > page.State.Low || last.Epoch != "" && last.Epoch != page.State.Epoch {
		s.Errorf("the channel went from %+v to %+v", last, page.State)
		return false
	}
	return true
}

func channelsAreApart(s *subject) {
	names := []string{"a", "a.b", "b", "a.b.c", "A", "ä", "a-b", "a_b", "a/b", "a:b", "a%2Eb", "$a"}
	for _, name := range names {
		s.publish(text(name, name), keep)
	}
	for _, name := range names {
		s.alone(name, name)
	}
}
