package ws_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"millrace.dev/adapters/ws"
	"millrace.dev/engine/memory"
	"millrace.dev/service"
)

// post sends commands to a server of their own, and says how it answers.
func post(t *testing.T, body string, header http.Header) (int, string) {
	t.Helper()
	node, err := service.New(t.Context(), memory.Open(memory.Options{}), service.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/ws", strings.NewReader(body))
	maps.Copy(request.Header, header)
	recorder := httptest.NewRecorder()
	ws.New(node, ws.Options{}).ServeHTTP(recorder, request)
	answer, err := io.ReadAll(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	return recorder.Code, string(answer)
}

func TestPostedCommandsAreAnsweredInOrderAsFrames(t *testing.T) {
	t.Parallel()
	status, answer := post(t, `[
		{"channel":"a","data":1},
		{"type":"publish","id":1,"channel":"a","data":2},
		{"type":"publish","id":2,"channel":"not a channel","data":3},
		{"type":"nonsense","id":3},
		{"type":"history","id":4,"channel":"a"}]`, nil)
	var frames []struct {
		Type     string            `json:"type"`
		Reason   string            `json:"reason"`
		ID       int               `json:"id"`
		Offset   int               `json:"offset"`
		Messages []json.RawMessage `json:"messages"`
	}
	if err := json.Unmarshal([]byte(answer), &frames); err != nil || status != http.StatusOK || len(frames) != 4 {
		t.Fatalf("answered %d, %s (%v)", status, answer, err)
	}
	for i, want := range []string{"published", "error", "error", "history"} {
		if frames[i].Type != want || frames[i].ID != i+1 {
			t.Errorf("answer %d is %+v, want %q", i+1, frames[i], want)
		}
	}
	if frames[0].Offset != 2 || frames[1].Reason != "INVALID_CHANNEL" || frames[2].Reason != "INVALID_REQUEST" || len(frames[3].Messages) != 2 {
		t.Errorf("answered %s", answer)
	}
}

func TestPostedCommandsOfNoSessionAreRefused(t *testing.T) {
	t.Parallel()
	status, answer := post(t, `[{"type":"subscribe","id":"x","channel":"a"}]`, http.Header{service.HeaderSession: {"unknown"}})
	if status != http.StatusOK || !strings.Contains(answer, `"SESSION_NOT_FOUND"`) || !strings.Contains(answer, `"id":"x"`) {
		t.Errorf("answered %d, %s", status, answer)
	}
}

func TestWhatIsNoListOfCommandsIsRefused(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"type":"ping"}`: "INVALID_JSON",
		`[1`:              "INVALID_JSON",
		`["` + strings.Repeat("x", 6*512<<10+64<<10) + `"]`: "TOO_LARGE",
	} {
		status, answer := post(t, body, nil)
		if status != http.StatusBadRequest || !strings.Contains(answer, want) {
			t.Errorf("%.20s: answered %d, %.200s, want %s", body, status, answer, want)
		}
	}
}

func TestMoreCommandsThanABatchHasAreRefusedTogether(t *testing.T) {
	t.Parallel()
	many := `[` + strings.Repeat(`{"type":"ping"},`, 1000) + `{"type":"ping"}]`
	if status, answer := post(t, many, nil); status != http.StatusBadRequest || !strings.Contains(answer, `"reason":"TOO_MANY"`) || !strings.Contains(answer, `"limit":1000`) {
		t.Errorf("1,001 commands: %d, %.200s", status, answer)
	}
	if status, answer := post(t, strings.Replace(many, `{"type":"ping"},`, "", 1), nil); status != http.StatusOK {
		t.Errorf("1,000 commands: %d, %.200s", status, answer)
	}
}
