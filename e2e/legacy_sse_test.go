package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// oldStream is a response of GET /events as an EventSource reads it.
type oldStream struct {
	*testing.T
	response *http.Response
	lines    *bufio.Reader
	lastID   string
}

// listen opens a stream, which ends with the test if not before.
func listen(t *testing.T, at *server, target string, header http.Header) *oldStream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.url+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	response, err := at.h1.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = response.Body.Close() })
	s := &oldStream{T: t, response: response, lines: bufio.NewReader(response.Body)}
	if media := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(media, "text/event-stream") {
		t.Fatalf("%s: status %d with %s, and an EventSource gives up for ever", target, response.StatusCode, media)
	}
	return s
}

// block is the next lines up to an empty one, as they came.
func (s *oldStream) block() []string {
	s.Helper()
	timer := time.AfterFunc(patience, func() { _ = s.response.Body.Close() })
	defer timer.Stop()
	var lines []string
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.Fatalf("next block, after %q: %v", lines, err)
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return lines
		}
		if id, isID := strings.CutPrefix(line, "id: "); isID {
			s.lastID = id
		}
		lines = append(lines, line)
	}
}

// event is the next event that an EventSource would dispatch to handlers that
// existing clients have: not one of our own.
func (s *oldStream) event() (name, data string) {
	s.Helper()
	for {
		name, data = "message", ""
		for _, line := range s.block() {
			if value, is := strings.CutPrefix(line, "event: "); is {
				name = value
			}
			if value, is := strings.CutPrefix(line, "data: "); is {
				if data != "" {
					s.Errorf("the data is on more than one line")
				}
				data = value
			}
		}
		if data != "" && !strings.HasPrefix(name, "millrace.") {
			return name, data
		}
	}
}

func (s *oldStream) gets(name, data string) {
	s.Helper()
	if gotName, gotData := s.event(); gotName != name || gotData != data {
		s.Fatalf("got event %s: %.300s, want %s: %.300s", gotName, gotData, name, data)
	}
}

// getsEach expects n events, those of each name in order: there is no other order
// between them.
func (s *oldStream) getsEach(want map[string]string, n int) {
	s.Helper()
	got := map[string]string{}
	for range n {
		name, data := s.event()
		got[name] = strings.TrimPrefix(got[name]+" "+data, " ")
	}
	if !maps.Equal(got, want) {
		s.Fatalf("got %v, want %v", got, want)
	}
}

// ours is the next event of ours of a name.
func (s *oldStream) ours(name string) (f frameJSON) {
	s.Helper()
	for {
		lines := s.block()
		for i, line := range lines {
			if line != "event: millrace."+name {
				continue
			}
			if err := json.Unmarshal([]byte(strings.TrimPrefix(lines[i+1], "data: ")), &f); err != nil {
				s.Fatalf("%q: %v", lines, err)
			}
			return f
		}
	}
}

// postTo publishes a body.
func postTo(t *testing.T, at *server, channel, media, body string) {
	t.Helper()
	header := http.Header{}
	if media != "" {
		header.Set("Content-Type", media)
	}
	if got := exchange(t, at.h1, http.MethodPost, at.url+"/publish/"+channel, header, body); got.status != http.StatusOK {
		t.Fatalf("publish to %s: %v", channel, got.refusal())
	}
}

func TestAStreamBeginsAtOnce(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	page := http.Header{"Origin": {"http://localhost:3000"}, "Cookie": {"millrace_token=" + tokenOf(t, "ada")}}
	s := listen(t, at, "/events", page)
	// Nothing was published yet, and the headers and a comment are there.
	if first := s.block(); !strings.HasPrefix(first[0], ":") || !strings.HasPrefix(first[1], "retry: ") {
		t.Errorf("the stream begins with %q, want a comment and a time to come back after", first)
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":      "http://localhost:3000", // exact, for the cookie
		"Access-Control-Allow-Credentials": "true",
		"X-Accel-Buffering":                "no",
	} {
		if got := s.response.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := s.response.Header.Get("Cache-Control"); !strings.Contains(got, "no-cache") || !strings.Contains(got, "no-transform") {
		t.Errorf("Cache-Control: %q", got)
	}
	ready := s.ours("ready")
	if ready.SessionToken == "" {
		t.Error("the first event names no session")
	}
	evil := http.Header{"Origin": {"https://evil.example"}}
	if got := exchange(t, at.h1, http.MethodGet, at.url+"/events", evil, ""); got.status != http.StatusForbidden {
		t.Errorf("to a page of another origin: status %d", got.status)
	}
}

func TestAStreamHasTheDefaultChannels(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	s, chosen := listen(t, at, "/events", nil), listen(t, at, "/events?channel=a&channel=b", nil)
	s.ours("subscribed")
	s.ours("subscribed")
	chosen.ours("subscribed")
	chosen.ours("subscribed")
	for i, name := range []string{"update", "a", "notification", "b", "elsewhere", "update", "a"} {
		postTo(t, at, name, "application/json", fmt.Sprintf(`{"n":%d}`, i))
	}
	s.getsEach(map[string]string{"update": `{"n":0} {"n":5}`, "notification": `{"n":2}`}, 3)
	chosen.getsEach(map[string]string{"a": `{"n":1} {"n":6}`, "b": `{"n":3}`}, 3)
}

func TestDataIsJSONOnOneLine(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	named, envelope := listen(t, at, "/events?channel=a", nil), listen(t, at, "/events?channel=a&format=envelope", nil)
	named.ours("subscribed")
	envelope.ours("subscribed")
	for _, m := range []struct{ media, body, data string }{
		{"application/json", "{\n  \"a\": [1,\r\n 2]\n}", `{"a":[1,2]}`},
		{"application/vnd.acme+json", `null`, `null`},
		{"text/plain", "two\nlines\r\n", `"two\nlines\r\n"`},
		{"application/octet-stream", "\x00\n\xff", `"AAr/"`},
		{"", `[false,0,""]`, `[false,0,""]`},
		{"", `no JSON`, `"no JSON"`},
		{"", "", `null`},
	} {
		postTo(t, at, "a", m.media, m.body)
		named.gets("a", m.data)
		name, data := envelope.event()
		if want := `{"channel":"a","data":` + m.data + `,`; name != "message" || !strings.HasPrefix(data, want) {
			t.Errorf("in an envelope: event %s: %s, want an unnamed one with %s", name, data, want)
		}
	}
}

func TestKeepAlivesAreComments(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t), func(c *service.Config) { c.Limits.Heartbeat = 10 * time.Millisecond })
	s := listen(t, at, "/events", nil)
	s.ours("subscribed")
	s.ours("subscribed")
	for range 3 {
		if block := s.block(); len(block) != 1 || !strings.HasPrefix(block[0], ":") {
			t.Fatalf("a silent stream has %q, want comments", block)
		}
	}
	postTo(t, at, "update", "", `1`)
	s.gets("update", `1`)
}

func TestABrowserComesBackToWhatItMissed(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	s := listen(t, at, "/events", nil)
	s.ours("subscribed")
	s.ours("subscribed")
	postTo(t, at, "update", "", `1`)
	s.gets("update", `1`)
	_ = s.response.Body.Close()
	postTo(t, at, "update", "", `2`)
	postTo(t, at, "notification", "", `"a"`)

	again := listen(t, at, "/events", http.Header{"Last-Event-Id": {s.lastID}})
	again.getsEach(map[string]string{"update": `2`, "notification": `"a"`}, 2)
	postTo(t, at, "update", "", `3`)
	again.gets("update", `3`)

	recent := listen(t, at, "/events?recent=2", nil)
	recent.getsEach(map[string]string{"update": `2 3`, "notification": `"a"`}, 3)
}

// An EventSource that comes back gives up for ever on any other status.
func TestABrowserThatComesBackIsAnswered200(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	postTo(t, at, "update", "", `1`)
	for _, id := range []string{"!", "AAAA", "CgQKAmEg", strings.Repeat("A", 20_000)} {
		s := listen(t, at, "/events", http.Header{"Last-Event-Id": {id}})
		for range defaultChannels {
			if gap := s.ours("gap"); gap.Reason != "EPOCH_CHANGED" {
				t.Errorf("with the id %.20q: a gap because of %s", id, gap.Reason)
			}
		}
		postTo(t, at, "update", "", `"live"`)
		s.gets("update", `"live"`)
	}
	forged := http.Header{"Last-Event-Id": {"AAAA"}, "Authorization": {"Bearer forged"}}
	if refused := listen(t, at, "/events", forged).ours("error"); refused.Reason != "UNAUTHENTICATED" {
		t.Errorf("with bad credentials: %s", refused.Reason)
	}
	for target, reason := range map[string]millracev1.ErrorReason{
		"/events?format=xml":               millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST,
		"/events?recent=many":              millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST,
		"/events?channel=not%20fine":       millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL,
		"/events?channel=a&cursor=!":       millracev1.ErrorReason_ERROR_REASON_INVALID_CURSOR,
		"/events?channel=" + single + ".*": millracev1.ErrorReason_ERROR_REASON_NOT_ENABLED,
	} {
		got := exchange(t, at.h1, http.MethodGet, at.url+target, nil, "")
		if info := infoOf(got.refusal()); info.GetReason() != reason || info.GetField() == "" {
			t.Errorf("%s, for the first time: status %d, %v, want %s", target, got.status, got.refusal(), reason)
		}
	}
}
