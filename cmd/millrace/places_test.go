package main

import (
	"fmt"
	"strings"
	"testing"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// at is a position of the epoch "e".
func at(offset uint64) *millracev1.Position { return &millracev1.Position{Offset: offset, Epoch: "e"} }

func (p *places) mustShow(t *testing.T, channel string, offset uint64, want bool) {
	t.Helper()
	p.mustShowBy(t, "", channel, offset, want)
}

func (p *places) mustShowBy(t *testing.T, pattern, channel string, offset uint64, want bool) {
	t.Helper()
	if got := p.show(&millracev1.Message{Channel: channel, Position: at(offset), Pattern: pattern}); got != want {
		t.Errorf("message %d of %s: shown %v, want %v", offset, channel, got, want)
	}
}

// asked is what a new stream would ask for, in short.
func (p *places) asked(name string, recent uint32) string {
	request := p.subscription(name, &millracev1.Subscription{Recent: recent})
	var text strings.Builder
	fmt.Fprintf(&text, "since %s recent %d", positionText(request.GetSince()), request.GetRecent())
	for _, seen := range request.GetSeen() {
		fmt.Fprintf(&text, " %s:%s", seen.GetChannel(), positionText(seen.GetPosition()))
	}
	return text.String()
}

func (p *places) mustAsk(t *testing.T, name string, recent uint32, want string) {
	t.Helper()
	if got := p.asked(name, recent); got != want {
		t.Errorf("%s: asks for %q, want %q", name, got, want)
	}
}

func TestAChannelContinuesAfterItsLastMessage(t *testing.T) {
	t.Parallel()
	p := newPlaces()
	p.mustAsk(t, "a", 0, "since - recent 0")
	p.subscribed(&millracev1.Subscribed{Channel: "a", Position: at(4)}, false)
	p.mustAsk(t, "a", 0, "since 4@e recent 0")
	p.mustShow(t, "a", 5, true)
	p.mustShow(t, "a", 5, false)
	p.mustAsk(t, "a", 0, "since 5@e recent 0")
	p.subscribed(&millracev1.Subscribed{Channel: "a", Position: at(9), Resumed: true}, false)
	p.mustAsk(t, "a", 0, "since 5@e recent 0") // 6 to 9 are still to come
	p.checkpoint(&millracev1.Checkpoint{Channel: "a", Position: at(9)})
	p.mustAsk(t, "a", 0, "since 9@e recent 0")
	p.gap(&millracev1.Gap{Channel: "a", Requested: at(9), Position: at(3)})
	p.mustAsk(t, "a", 0, "since 3@e recent 0")
	p.mustShow(t, "a", 4, true) // the server lost its tail
}

func TestRecentMessagesAreAskedForAgainUntilTheyCame(t *testing.T) {
	t.Parallel()
	p := newPlaces()
	p.subscribed(&millracev1.Subscribed{Channel: "a", Position: at(4)}, true)
	p.mustAsk(t, "a", 2, "since - recent 2")
	p.mustShow(t, "a", 3, true)
	p.mustAsk(t, "a", 2, "since 3@e recent 0")

	p.subscribed(&millracev1.Subscribed{Channel: "b", Position: at(0)}, true)
	p.caughtUp()
	p.mustAsk(t, "b", 2, "since 0@e recent 0")
}

func TestAPatternContinuesWhereItBeganAndEachOfItsChannelsWhereItWas(t *testing.T) {
	t.Parallel()
	p := newPlaces()
	p.subscribed(&millracev1.Subscribed{Channel: "a.*", Position: at(100)}, false)
	p.mustShowBy(t, "a.*", "a.1", 7, true)
	p.mustShowBy(t, "a.*", "a.2", 1, true)
	p.mustShow(t, "b", 1, true)
	p.mustAsk(t, "a.*", 0, "since 100@e recent 0 a.1:7@e a.2:1@e")
	p.gap(&millracev1.Gap{Channel: "a.1", Requested: at(7), Position: at(20), Pattern: "a.*"})
	p.mustAsk(t, "a.*", 0, "since 100@e recent 0 a.1:20@e a.2:1@e")
	p.gap(&millracev1.Gap{Channel: "a.*", Requested: at(100), Position: &millracev1.Position{Offset: 3, Epoch: "f"}})
	p.mustAsk(t, "a.*", 0, "since 3@f recent 0")
	p.mustAsk(t, "b", 0, "since 1@e recent 0")
}

// The pattern has a new message before the channel's recent ones have come.
func TestSubscriptionsThatOverlapShowEachMessageOnce(t *testing.T) {
	t.Parallel()
	p := newPlaces()
	p.subscribed(&millracev1.Subscribed{Channel: "a.*", Position: at(100)}, false)
	p.subscribed(&millracev1.Subscribed{Channel: "a.1", Position: at(2)}, true)
	p.mustShowBy(t, "a.*", "a.1", 5, true)
	for offset := range uint64(3) {
		p.mustShow(t, "a.1", 3+offset, offset < 2)
	}
	p.mustShow(t, "a.1", 6, true)
	p.mustShowBy(t, "a.*", "a.1", 6, false)
	p.gap(&millracev1.Gap{Channel: "a.1", Requested: at(6), Position: at(8), Pattern: "a.*"})
	p.mustShow(t, "a.1", 7, true)
	p.checkpoint(&millracev1.Checkpoint{Channel: "a.1", Position: at(9), Pattern: "a.*"})
	p.mustAsk(t, "a.1", 0, "since 7@e recent 0")
	p.mustAsk(t, "a.*", 0, "since 100@e recent 0 a.1:9@e")
}
