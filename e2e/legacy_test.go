package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// The tests of this file and the next play what existing clients send, frame by
// frame, and look at what they get: their wire, and no field that is ours alone.

// oldPaths are where existing clients connect to.
var oldPaths = []string{"/ws", "/ws/dashboard", "/ws/any/scope", "/ws/ws"}

// oldScene is a server of its own, and the path to it.
type oldScene struct {
	*testing.T
	at   *server
	path string
}

func (s *oldScene) connect() *oldClient {
	s.Helper()
	return connectOld(s.T, s.at, s.path)
}

// onOldPaths plays on each path.
func onOldPaths(t *testing.T, play func(*oldScene)) {
	t.Helper()
	t.Parallel()
	for _, path := range oldPaths {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			play(&oldScene{T: t, at: start(t, engines[0].open(t)), path: path})
		})
	}
}

func TestExistingClientsSubscribePublishAndUnsubscribe(t *testing.T) {
	onOldPaths(t, func(s *oldScene) {
		ada, bob := s.connect(), s.connect()
		ada.sends(`{"type":"subscribe","channel":"chat"}`)
		ada.getsNothing() // who asks with no id is not answered

		// Publishing needs no subscription and gives none; the sender who is
		// subscribed gets his own.
		bob.sends(`{"channel":"chat","data":{"text":"hello"}}`)
		ada.getsMessage("chat", `{"text":"hello"}`)
		ada.sends(`{"channel":"chat","data":{"text":"hello, Bob"}}`)
		ada.getsMessage("chat", `{"text":"hello, Bob"}`)
		bob.getsNothing()

		// Twice is once; and it is from now on.
		bob.sends(`{"type":"subscribe","channel":"chat"}`, `{"type":"subscribe","channel":"chat"}`)
		bob.getsNothing()
		ada.sends(`{"channel":"chat","data":1}`)
		for _, c := range []*oldClient{ada, bob} {
			c.getsMessage("chat", `1`)
			c.getsNothing()
		}

		ada.sends(`{"type":"unsubscribe","channel":"chat"}`, `{"channel":"chat","data":2}`)
		ada.getsNothing()
		bob.getsMessage("chat", `2`)
	})
}

func TestExistingClientsDisconnect(t *testing.T) {
	onOldPaths(t, func(s *oldScene) {
		c := s.connect()
		c.sends(`{"type":"subscribe","channel":"chat"}`)
		c.getsNothing()
		if err := c.conn.Close(websocket.StatusNormalClosure, "Client disconnect"); err != nil {
			s.Errorf("close: %v, want the same code back", err)
		}
	})
}

func TestExistingClientsGetValuesExactly(t *testing.T) {
	onOldPaths(t, func(s *oldScene) {
		c := s.connect()
		c.sends(`{"type":"subscribe","channel":"values"}`)
		for _, value := range jsonTexts {
			c.sends(`{"channel":"values","data":` + value + `}`)
			c.getsMessage("values", compact(value))
		}
		// The document's editor sends all it has at each key stroke.
		editor := `"` + strings.Repeat("x", 256<<10) + `"`
		c.sends(`{"channel":"values","data":` + editor + `}`)
		c.getsMessage("values", editor)
		// Order is strict, however fast they come.
		for i := range 200 {
			c.sends(fmt.Sprintf(`{"channel":"values","data":%d}`, i))
		}
		for i := range 200 {
			c.getsMessage("values", fmt.Sprint(i))
		}
		c.getsNothing()
	})
}

func TestExistingClientsGetEntityEvents(t *testing.T) {
	onOldPaths(t, func(s *oldScene) {
		c := s.connect()
		c.sends(`{"type":"subscribe","channel":"cache"}`)
		for _, kind := range []string{"create", "update", "delete", "patch", "invalidate"} {
			c.sends(fmt.Sprintf(`{"type":%q,"channel":"cache","entity":"user","id":"1","data":{"name":"Ada"},"timestamp":"2026-01-02T03:04:05Z","queryKeys":[["users"],["user","1"]]}`, kind))
			got := c.getsMessage("cache", `{"name":"Ada"}`)
			want := fmt.Sprintf(`"type":%q,"entity":"user","id":"1","timestamp":"2026-01-02T03:04:05Z","queryKeys":[["users"],["user","1"]]`, kind)
			if !strings.Contains(got, want) {
				s.Errorf("got %s, want %s in it", got, want)
			}
		}
		// The cache needs a time, so there always is one.
		c.sends(`{"type":"update","channel":"cache","entity":"user","id":7,"data":{}}`)
		var f frameJSON
		if got := c.getsMessage("cache", `{}`); json.Unmarshal([]byte(got), &f) != nil || f.Timestamp == "" || string(f.ID) != `"7"` {
			s.Errorf("got %s, want a timestamp, and the id as a text", got)
		}
		c.getsNothing()
	})
}

func TestExistingClientsGetPresence(t *testing.T) {
	onOldPaths(t, func(s *oldScene) {
		user := func(got, kind string) string {
			s.Helper()
			var f frameJSON
			var data struct {
				Type   string   `json:"type"`
				UserID string   `json:"userId"`
				Users  []string `json:"users"`
			}
			err := json.Unmarshal([]byte(got), &f)
			if err == nil {
				err = json.Unmarshal(f.Data, &data)
			}
			if err != nil || *f.Channel != "presence:room" || data.Type != kind || data.UserID == "" || (kind == "sync") != (data.Users != nil) {
				s.Errorf("got %s, want a %s of a user", got, kind)
			}
			return data.UserID
		}
		ada, bob := s.connect(), s.connect()
		ada.sends(`{"type":"subscribe","channel":"presence:room"}`)
		user(ada.gets(), "sync")
		bob.sends(`{"type":"subscribe","channel":"presence:room"}`)
		who := user(bob.gets(), "sync")
		if joined := user(ada.gets(), "join"); joined != who {
			s.Errorf("%s joined, want %s", joined, who)
		}
		if err := bob.conn.Close(websocket.StatusNormalClosure, "Client disconnect"); err != nil {
			s.Error(err)
		}
		if left := user(ada.gets(), "leave"); left != who {
			s.Errorf("%s left, want %s", left, who)
		}
		ada.getsNothing()
	})
}

func TestExistingClientsMaySendAnything(t *testing.T) {
	onOldPaths(t, func(s *oldScene) {
		c := s.connect()
		c.sends(`{"type":"subscribe","channel":"chat"}`)
		for frame, reason := range map[string]string{
			"hello":                            "INVALID_REQUEST",
			"":                                 "INVALID_REQUEST",
			`"a text"`:                         "INVALID_REQUEST",
			`42`:                               "INVALID_REQUEST",
			`null`:                             "INVALID_REQUEST",
			`[]`:                               "INVALID_REQUEST",
			`{}`:                               "INVALID_REQUEST",
			`{"text":"of another protocol"}`:   "INVALID_REQUEST",
			`{"type":"hello?"}`:                "INVALID_REQUEST",
			`{"type":"ping"} {"type":"ping"}`:  "INVALID_REQUEST",
			`{"type":7}`:                       "INVALID_REQUEST",
			`{"type":"update","id":"1"}`:       "INVALID_CHANNEL",
			`{"type":"subscribe"}`:             "INVALID_CHANNEL",
			`{"data":1}`:                       "INVALID_CHANNEL",
			`{"channel":"not fine","data":1}`:  "INVALID_CHANNEL",
			`{"channel":"chat","data":}`:       "INVALID_REQUEST",
			`{"channel":["chat"],"data":1}`:    "INVALID_REQUEST",
			`{"type":"delete","channel":"c"}`:  "INVALID_REQUEST",
			"\x00\x01":                         "INVALID_REQUEST",
			`{"type":"publish","channel":"*"}`: "INVALID_CHANNEL",
		} {
			c.sends(frame)
			c.getsError(reason)
			c.getsNothing()
		}
		c.sends(`{"channel":"chat","data":"and on it goes"}`)
		c.getsMessage("chat", `"and on it goes"`)
	})
}

// Whatever a client of ours asks for beside, no frame but a delivery can be taken
// for one, nor for an event of the cache.
func TestNoFrameButADeliveryLooksLikeOne(t *testing.T) {
	onOldPaths(t, func(s *oldScene) {
		c := s.connect()
		for i, frame := range []string{
			`{"type":"subscribe","id":"%d","channel":"chat","since":"1@beforenow"}`,
			`{"type":"subscribe","id":"%d","channel":"room","presence":true}`,
			`{"type":"publish","id":%d,"channel":"elsewhere","data":1}`,
			`{"type":"enter","id":%d,"channel":"room","data":{"x":1}}`,
			`{"type":"update","id":%d,"channel":"room","data":{"x":2}}`,
			`{"type":"presence","id":%d,"channel":"room"}`,
			`{"type":"history","id":%d,"channel":"elsewhere"}`,
			`{"type":"positions","id":%d,"channels":["room"]}`,
			`{"type":"leave","id":%d,"channel":"room"}`,
			`{"type":"hello","id":%d}`,
			`{"type":"subscribe","id":%d,"channel":"not fine"}`,
			`{"type":"unsubscribe","id":%d,"channel":"room"}`,
			`{"type":"ping","id":%d}`,
		} {
			c.sends(fmt.Sprintf(frame, i))
			for answered := false; !answered; {
				got := c.gets()
				var f map[string]json.RawMessage
				if err := json.Unmarshal([]byte(got), &f); err != nil || f["channel"] != nil || f["type"] == nil {
					s.Errorf("%s: got %s, want a type and no channel", frame, got)
				}
				if slices.Contains([]string{`"create"`, `"update"`, `"delete"`, `"patch"`, `"invalidate"`}, string(f["type"])) {
					s.Errorf("%s: got %s, which a cache would take for its own", frame, got)
				}
				answered = strings.Trim(string(f["id"]), `"`) == fmt.Sprint(i)
			}
		}
	})
}

func TestWhoAsksWithAnIDIsAnswered(t *testing.T) {
	onOldPaths(t, func(s *oldScene) {
		c := s.connect()
		for _, ask := range []struct{ frame, answer string }{
			{`{"type":"subscribe","id":1,"channel":"chat"}`, `{"type":"subscribed","id":1,"for":"chat","offset":0,`},
			{`{"type":"subscribe","id":"again","channel":"chat"}`, `{"type":"subscribed","id":"again",`},
			{`{"id":-2.5,"channel":"elsewhere","data":1}`, `{"type":"published","id":-2.5,"for":"elsewhere","offset":1,`},
			{`{"type":"unsubscribe","id":"x","channel":"chat"}`, `{"type":"unsubscribed","id":"x","for":"chat"}`},
			{`{"type":"unsubscribe","id":"y","channel":"chat"}`, `{"type":"unsubscribed","id":"y","already":true,"for":"chat"}`},
			{`{"type":"publish","id":5,"channel":"users","messageType":"update","entity":"user","entityId":"7","data":{}}`, `{"type":"published","id":5,`},
			{`{"type":"hello","id":6}`, `{"type":"hello","id":6,`},
			{`{"type":"ping","id":3}`, `{"type":"pong","id":3}`},
			{`{"type":"nothing","id":4}`, `{"type":"error","id":4,`},
		} {
			c.sends(ask.frame)
			if got := c.gets(); !strings.HasPrefix(got, ask.answer) {
				s.Errorf("%s: got %s, want %s", ask.frame, got, ask.answer)
			}
		}
		c.getsNothing()
	})
}

// Answers are told apart by their ids, however fast the commands come.
func TestCommandsBackToBackAreAnsweredEach(t *testing.T) {
	onOldPaths(t, func(s *oldScene) {
		c := s.connect()
		var want []string
		for i := range 200 {
			kind := []string{"subscribe", "unsubscribe", "unsubscribe"}[i%3]
			c.sends(fmt.Sprintf(`{"type":%q,"id":%d,"channel":"chat"}`, kind, i))
			want = append(want, fmt.Sprintf("%sd %d", kind, i))
		}
		var got []string
		for range want {
			var f frameJSON
			if err := json.Unmarshal([]byte(c.gets()), &f); err != nil {
				s.Fatal(err)
			}
			got = append(got, f.Type+" "+string(f.ID))
		}
		// What changes is confirmed by the stream, the rest at once, so the two may
		// pass each other.
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			s.Errorf("answered %q", got)
		}
		c.getsNothing()
	})
}

// A session goes on with the token that hello tells.
func TestHelloTellsHowToTakeTheSessionOver(t *testing.T) {
	onOldPaths(t, func(s *oldScene) {
		c := s.connect()
		c.sends(`{"type":"hello","id":1}`)
		var hello struct {
			SessionToken string `json:"sessionToken"`
		}
		if err := json.Unmarshal([]byte(c.gets()), &hello); err != nil || len(hello.SessionToken) < 16 {
			s.Fatalf("hello tells the session token %q (%v)", hello.SessionToken, err)
		}
	})
}

// Every byte goes to every subscriber, so a delivery has no field that says nothing.
func TestADeliveryHasNoNeedlessField(t *testing.T) {
	onOldPaths(t, func(s *oldScene) {
		c := s.connect()
		c.sends(`{"type":"subscribe","channel":"lean"}`)
		for frame, fields := range map[string]string{
			`{"channel":"lean","data":0}`:                                               "channel data epoch offset time",
			`{"channel":"lean","data":0,"ephemeral":true}`:                              "channel data ephemeral time",
			`{"channel":"lean","data":"x","encoding":"text"}`:                           "channel data encoding epoch offset time",
			`{"channel":"lean","data":0,"messageId":"1","key":"k","headers":{"a":"b"}}`: "channel data epoch headers key messageId offset time",
			`{"type":"delete","channel":"lean","entity":"user","timestamp":"t"}`:        "channel data entity epoch offset time timestamp type",
		} {
			c.sends(frame)
			var got map[string]json.RawMessage
			if err := json.Unmarshal([]byte(c.gets()), &got); err != nil {
				s.Fatal(err)
			}
			if names := strings.Join(slices.Sorted(maps.Keys(got)), " "); names != fields {
				s.Errorf("%s is delivered with the fields %s, want %s", frame, names, fields)
			}
		}
	})
}
