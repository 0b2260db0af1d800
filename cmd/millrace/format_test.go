package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	millracev1 "millrace.dev/gen/millrace/v1"
)

func message(payload *millracev1.Payload) *millracev1.Message {
	return &millracev1.Message{
		Channel:     "chat.1",
		Position:    &millracev1.Position{Offset: 7, Epoch: "e"},
		Payload:     payload,
		PublishTime: timestamppb.New(time.Date(2026, 5, 1, 12, 0, 0, 5_000_000, time.Local)),
	}
}

func jsonPayload(text string) *millracev1.Payload {
	return &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: text}}
}

func textPayload(text string) *millracev1.Payload {
	return &millracev1.Payload{Kind: &millracev1.Payload_Text{Text: text}}
}

func TestAMessageInEachForm(t *testing.T) {
	t.Parallel()
	long := `{"text":"` + strings.Repeat("x", wideJSON) + `"}`
	binary := &millracev1.Payload{Kind: &millracev1.Payload_Binary{Binary: []byte{0, 255}}, ContentType: "image/png"}
	tests := []struct {
		name        string
		payload     *millracev1.Payload
		line, human string
	}{
		{"JSON", jsonPayload("{\"a\": 1,\n\"b\": \"x y\"}"), `{"a":1,"b":"x y"}`, `  {"a":1,"b":"x y"}`},
		{"long JSON", jsonPayload(long), long, "\n  {\n    " + long[1:8] + " " + long[8:len(long)-1] + "\n  }"},
		{"text", textPayload("hello"), "hello", "  hello"},
		{"text of two lines", textPayload("a\nb\tc"), `a\u000ab\u0009c`, `  a\u000ab\u0009c`},
		{"text that clears the screen", textPayload("\x1b[2J\u202e"), `\u001b[2J\u202e`, `  \u001b[2J\u202e`},
		{"binary", binary, "AP8=", "  AP8= (2 bytes image/png)"},
		{"signal", nil, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := message(test.payload)
			if got, want := printed(t, asLines, m), "chat.1\t7@e\t"+test.line+"\n"; got != want {
				t.Errorf("as a line: %q, want %q", got, want)
			}
			if got, want := printed(t, asText, m), "12:00:00.005  chat.1  #7"+test.human+"\n"; got != want {
				t.Errorf("for people: %q, want %q", got, want)
			}
		})
	}
}

func TestWhatElseAMessageSays(t *testing.T) {
	t.Parallel()
	m := message(textPayload("x"))
	m.Position, m.Ephemeral = nil, true
	m.Type, m.Key, m.Publisher = "typing", "cursor", "ada\x07"
	if got, want := printed(t, asText, m), "12:00:00.005  chat.1  ephemeral  typing  cursor  ada\\u0007  x\n"; got != want {
		t.Errorf("for people: %q, want %q", got, want)
	}
	if got, want := printed(t, asLines, m), "chat.1\t-\tx\n"; got != want {
		t.Errorf("as a line: %q, want %q", got, want)
	}
}

func TestAMessageForProgramsIsOneLineOfTheAPIsJSON(t *testing.T) {
	t.Parallel()
	m := message(jsonPayload("[1,\n2]"))
	m.PublishTime = timestamppb.New(time.Unix(0, 0))
	want := `{"channel":"chat.1","position":{"offset":"7","epoch":"e"},"payload":{"json":"[1,\n2]"},"publishTime":"1970-01-01T00:00:00Z"}` + "\n"
	if got := printed(t, asJSON, m); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestColorsAreForTerminalsOnly(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	out := output{w: &b, mode: asText, color: true}
	if err := out.published(message(nil)); err != nil || !strings.Contains(b.String(), "\x1b[1mchat.1\x1b[0m") {
		t.Errorf("%q: %v", b.String(), err)
	}
}

func TestAMemberInEachForm(t *testing.T) {
	t.Parallel()
	m := &millracev1.Member{
		User: "ada", Sessions: 2, Data: jsonPayload(`{"n":1}`),
		EnterTime: timestamppb.New(time.Date(2026, 5, 1, 12, 0, 0, 0, time.Local)),
	}
	for mode, want := range map[mode]string{
		asLines: "ada\t2\t{\"n\":1}\n",
		asText:  "  ada  since 12:00:00.000  2 sessions  {\"n\":1}\n",
	} {
		var b bytes.Buffer
		if err := (&output{w: &b, mode: mode}).member(m); err != nil || b.String() != want {
			t.Errorf("%q, want %q: %v", b.String(), want, err)
		}
	}
}

func TestAGapSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	at := func(offset uint64, epoch string) *millracev1.Position {
		return &millracev1.Position{Offset: offset, Epoch: epoch}
	}
	for _, test := range []struct {
		gap  *millracev1.Gap
		want string
	}{
		{
			&millracev1.Gap{Channel: "a", Reason: millracev1.GapReason_GAP_REASON_TRUNCATED, Requested: at(4, "e"), Position: at(9, "e")},
			"GAP in a: messages 5 to 9 are missing (TRUNCATED); going on after 9@e",
		},
		{
			&millracev1.Gap{Channel: "a", Reason: millracev1.GapReason_GAP_REASON_EPOCH_CHANGED, Requested: at(4, "e"), Position: at(0, "f")},
			"GAP in a: messages after 4@e cannot be had (EPOCH_CHANGED); going on after 0@f",
		},
	} {
		if got := gapText(test.gap); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func printed(t *testing.T, mode mode, m *millracev1.Message) string {
	t.Helper()
	var b bytes.Buffer
	if err := (&output{w: &b, mode: mode}).published(m); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
