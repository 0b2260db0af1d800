package service

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// keyedFrame is a message with an offset and a key, and so many bytes of data.
func keyedFrame(offset int, key string, bytes int) *Frame {
	return newMessageFrame(&engine.Message{
		Channel: "a", Key: key, Position: engine.Position{Offset: uint64(offset), Epoch: "e"},
		Payload: engine.Payload{Kind: engine.Binary, Data: make([]byte, bytes)},
	})
}

// places are the offsets and keys of frames.
func places(frames []*Frame) []string {
	var found []string
	for _, f := range frames {
		found = append(found, fmt.Sprint(f.Message.Position.Offset, f.key()))
	}
	return found
}

// plainLatest does what latest does, in the simplest way.
type plainLatest struct {
	frames []*Frame
	lost   engine.Position
}

func (l *plainLatest) add(f *Frame, limit int) {
	l.frames = slices.DeleteFunc(l.frames, func(other *Frame) bool { return other.key() == f.key() })
	l.frames = append(l.frames, f)
	for len(l.frames) > 1 && l.bytes() > limit {
		l.lost = l.frames[0].Message.Position
		l.frames = l.frames[1:]
	}
}

func (l *plainLatest) bytes() int {
	total := 0
	for _, f := range l.frames {
		total += f.size()
	}
	return total
}

func TestTheLatestOfEachKeyIsKeptAsFarAsTheLimitAllows(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		keys := 1 + random.IntN(40)
		var got latest
		var want plainLatest
		for offset := range 2000 {
			f := keyedFrame(offset+1, strings.Repeat("k", random.IntN(keys)), random.IntN(100))
			limit := 1000 + random.IntN(3000)
			got.add(f, limit)
			want.add(f, limit)
			kept := slices.Collect(got.all())
			if !slices.Equal(kept, want.frames) || got.bytes != want.bytes() || got.lost != want.lost {
				t.Fatalf("seed %d: after %d kept are %v of %d bytes, lost %v; want %v of %d bytes, lost %v", seed, offset+1,
					places(kept), got.bytes, got.lost, places(want.frames), want.bytes(), want.lost)
			}
		}
	}
}

func TestOneMessageIsKeptHoweverLargeItIs(t *testing.T) {
	t.Parallel()
	var l latest
	for offset := range 5 {
		l.add(keyedFrame(offset+1, fmt.Sprint(offset), 1000), -1)
	}
	if got := places(slices.Collect(l.all())); !slices.Equal(got, []string{"54"}) || l.lost.Offset != 4 {
		t.Errorf("kept are %v, lost is %v", got, l.lost)
	}
}

func TestUpdatesOfAFewKeysTakeTheRoomOfAFew(t *testing.T) {
	t.Parallel()
	var l latest
	for offset := range 100_000 {
		l.add(keyedFrame(offset+1, fmt.Sprint(offset%3), 10), 1<<20)
	}
	if len(l.frames) > 20 || cap(l.frames) > 100 {
		t.Errorf("3 keys take %d places of %d", len(l.frames), cap(l.frames))
	}
}

func TestConflatingKeepsTheLatestOfEachKeyOfABatch(t *testing.T) {
	t.Parallel()
	typing := keyedFrame(0, "x", 0)
	typing.Message.Ephemeral = true
	elsewhere := keyedFrame(1, "x", 0)
	elsewhere.Message.Channel = "b"
	notice := newNotice(&millracev1.SubscribeResponse{})
	var b batch
	b.add(keyedFrame(1, "x", 0), keyedFrame(2, "x", 0), notice, keyedFrame(3, "", 0), keyedFrame(4, "y", 0), elsewhere,
		keyedFrame(5, "", 0), keyedFrame(6, "x", 0), typing, keyedFrame(7, "y", 0))
	b.conflate(1) // the first is of another subscription
	want := plainLatest{frames: b.frames}
	if b.bytes != want.bytes() {
		t.Errorf("the batch counts %d bytes, and has %d", b.bytes, want.bytes())
	}
	var got []string
	for _, f := range b.frames {
		if f == notice {
			got = append(got, "notice")
			continue
		}
		got = append(got, f.Message.Channel+places([]*Frame{f})[0])
	}
	if want := []string{"a1x", "notice", "a3", "b1x", "a5", "a6x", "a0x", "a7y"}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
}
