package service

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

func FuzzACursorIsItsOwnInverse(f *testing.F) {
	var cursor Cursor
	f.Add(cursor.String())
	for i, name := range []string{"a", "chat.*", "chat.1", "user.>", "ä.🪿", strings.Repeat("x", channel.MaxBytes)} {
		cursor.Set(name, engine.Position{Epoch: "k3f9", Offset: uint64(i) << (10 * i)})
		f.Add(cursor.String())
	}
	cursor.Set("a", engine.Position{})
	cursor.Remove("chat.1")
	f.Add(cursor.String())
	cursor.Move("chat.*", "chat.1", engine.Position{Epoch: "k3f9", Offset: 7})
	f.Add(cursor.String())
	cursor.truncated = true
	f.Add(cursor.String())
	f.Add("!")
	f.Add(strings.Repeat("A", maxCursorBytes+1))
	f.Fuzz(func(t *testing.T, text string) {
		first, err := ParseCursor(text)
		if err != nil {
			checkCursorRefusal(t, err)
			return
		}
		again, err := ParseCursor(first.String())
		if err != nil {
			t.Fatalf("%q is a cursor, and as it spells itself, %q, it is none: %v", text, first, err)
		}
		if !slices.EqualFunc(again.places.all, first.places.all, samePlace) || again.String() != first.String() || again.Len() != first.Len() {
			t.Errorf("%q is read as %q, and that as %q", text, first, again)
		}
		for _, p := range first.places.all {
			checkEntry(t, first, again, p.name)
		}
	})
}

// samePlace reports whether two cursors have a subscription at the same place.
func samePlace(a, b cursorPlace) bool { return proto.Equal(a.toProto(), b.toProto()) }

func checkCursorRefusal(t *testing.T, err error) {
	t.Helper()
	info := ErrorInfo(err)
	switch info.GetReason() {
	case millracev1.ErrorReason_ERROR_REASON_INVALID_CURSOR, millracev1.ErrorReason_ERROR_REASON_TOO_LARGE:
	default:
		t.Errorf("refused because of %s", info.GetReason())
	}
	if info.GetField() != "cursor" || info.GetMessage() == "" {
		t.Errorf("the refusal {%s} does not name the field", info)
	}
}

// checkEntry checks that a channel of the cursor can be subscribed to from there.
func checkEntry(t *testing.T, first, again *Cursor, name string) {
	t.Helper()
	at, _ := first.Position(name)
	if position, found := again.Position(name); !found || position != at {
		t.Errorf("%q is at %s, and read again at %s", name, at, position)
	}
	if err := channel.CheckPattern(name); err != nil {
		t.Errorf("the cursor has the channel %q: %v", name, err)
	}
	request := first.resume(&millracev1.Subscription{Channel: name, Recent: 3})
	if first.truncated && channel.IsPattern(name) {
		at = positionFromProto(Unknown()) // it may have lost what it had seen
	}
	if seen := first.seen(name); len(seen) != len(request.GetSeen()) || !channel.IsPattern(name) && len(seen) > 0 {
		t.Errorf("%q resumes with {%s}, and has seen %v", name, request, seen)
	}
	if positionFromProto(request.GetSince()) != at || request.GetRecent() != 0 {
		t.Errorf("%q resumes with {%s}, want since %s", name, request, at)
	}
}
