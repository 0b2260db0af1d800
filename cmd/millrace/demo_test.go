package main

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// post sends a request as a visitor of the demo, and returns the answer.
func post(t *testing.T, url, token, body string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Close = true
	response, err := new(http.Client).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s, %v", url, response.Status, answer, err)
	}
	return answer
}

func TestTheDemoRestartsItsServerAndNothingIsMissed(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", "--listen", "127.0.0.1:0")
	p.stderr.await(t, 1, "shows what it can do on")
	url := regexp.MustCompile(`http://[^/]+`).FindString(p.stderr.String())
	var visitor struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(post(t, url+"/demo/api/visitor", "", `{"user":"quiet-otter-42"}`), &visitor); err != nil {
		t.Fatal(err)
	}
	reader := subscribe(t, url, "demo.pulse", "--token", visitor.Token, "--count", "8", "--json")
	reader.stdout.await(t, 2, "\n")
	post(t, url+"/demo/api/fault/restart", visitor.Token, "")
	reader.wait(t)
	var offsets []int
	for _, match := range regexp.MustCompile(`"offset":"(\d+)"`).FindAllStringSubmatch(reader.stdout.String(), -1) {
		offset, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		offsets = append(offsets, offset)
	}
	for i, offset := range offsets {
		if offset != offsets[0]+i {
			t.Fatalf("the offsets are not in a row: %v\n%s", offsets, reader.stderr)
		}
	}
	if len(offsets) != 8 || slices.Contains(strings.Fields(reader.stderr.String()), "GAP") {
		t.Errorf("received %v\n%s", offsets, reader.stderr)
	}
	if !strings.Contains(reader.stderr.String(), "DRAINING") {
		t.Errorf("the server did not restart:\n%s", reader.stderr)
	}
}
