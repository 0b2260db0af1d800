package console_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"millrace.dev/console"
)

func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	console.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return recorder
}

func TestThePageAndItsFilesAreServedUnderAStrictPolicy(t *testing.T) {
	t.Parallel()
	page := get(t, "/")
	if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "<title>Millrace console</title>") {
		t.Fatalf("the page: %d %s", page.Code, page.Body)
	}
	files := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	if len(files) != 3 {
		t.Errorf("the page loads %v, want a script, a style and an icon", files)
	}
	for _, file := range files {
		got := get(t, "/"+file[1])
		policy := got.Header().Get("Content-Security-Policy")
		if got.Code != http.StatusOK || !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; style-src 'self'") {
			t.Errorf("%s: %d, policy %q", file[1], got.Code, policy)
		}
	}
	if got := get(t, "/no-such-file"); got.Code != http.StatusNotFound {
		t.Errorf("a file that is not there: %d", got.Code)
	}
}

func TestThePageRunsNothingThatIsWrittenInIt(t *testing.T) {
	t.Parallel()
	page := get(t, "/").Body.String()
	if found := regexp.MustCompile(`(?i)<script[^>]*>[^<]|<style|\son[a-z]+=|https?://`).FindString(page); found != "" {
		t.Errorf("the page has %q", found)
	}
}
