package engine

import (
	"math"
	"testing"
)

func TestAPositionReadsAsItWasWritten(t *testing.T) {
	t.Parallel()
	for _, p := range []Position{
		{Epoch: "k3f9", Offset: 42},
		{Epoch: "k3f9", Offset: 0},
		{Epoch: "k3f9", Offset: math.MaxUint64},
		{Epoch: "a@b", Offset: 1},
	} {
		if got, err := ParsePosition(p.String()); err != nil || got != p {
			t.Errorf("%v reads as %v, %v", p, got, err)
		}
	}
}

func TestATextThatIsNoPositionIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "@", "42", "42@", "@k3f9", "-1@k3f9", "+1@k3f9", "0x2a@k3f9", "1_000@k3f9", " 42@k3f9", "18446744073709551616@k3f9",
	} {
		if p, err := ParsePosition(text); err == nil || !p.IsZero() {
			t.Errorf("%q reads as %v, %v", text, p, err)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("42@k3f9")
	f.Add("18446744073709551615@a@b")
	f.Add("0@")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePosition(text)
		if err != nil {
			return
		}
		if again, err := ParsePosition(p.String()); err != nil || again != p || p.Epoch == "" && !p.IsZero() {
			t.Errorf("%q reads as %v, which reads as %v, %v", text, p, again, err)
		}
	})
}

func TestOnlyThePositionOfNothingIsZero(t *testing.T) {
	t.Parallel()
	for p, want := range map[Position]bool{
		{}: true, {Offset: 1}: false, {Epoch: "e"}: false, {Epoch: "e", Offset: 1}: false,
	} {
		if p.IsZero() != want {
			t.Errorf("IsZero of %+v is %v", p, !want)
		}
	}
}

func TestTheStateOfAChannelHasThePositionOfItsHead(t *testing.T) {
	t.Parallel()
	state := State{Epoch: "e", Low: 3, Head: 7, Sequence: 20}
	if p := state.Position(); p != (Position{Epoch: "e", Offset: 7}) {
		t.Errorf("%+v is at %v", state, p)
	}
}

func TestTheSizeOfAMessageGrowsWithAllThatIsLong(t *testing.T) {
	t.Parallel()
	const long = "0123456789"
	empty := (&Message{}).Size()
	for name, m := range map[string]Message{
		"channel":   {Channel: long},
		"id":        {ID: long},
		"type":      {Type: long},
		"payload":   {Payload: Payload{Data: []byte(long)}},
		"publisher": {Publisher: long},
		"key":       {Key: long},
		"headers":   {Headers: map[string]string{"0": long[1:]}},
	} {
		if m.Size() < empty+len(long) {
			t.Errorf("%s: %d bytes, %d without", name, m.Size(), empty)
		}
	}
}
