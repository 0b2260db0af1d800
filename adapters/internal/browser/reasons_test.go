package browser

import (
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// What docs/PROTOCOL.md tells users of each reason is what the server does: its
// Connect code, its HTTP status and its close code. Every reason has advice.
func TestN3TheTableOfReasonsIsThatOfTheDocument(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../../docs/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(document), "\n### Reasons\n")
	told := map[string][]string{}
	for line := range strings.Lines(section) {
		if cells := strings.Split(strings.Trim(line, "|\n "), " | "); len(cells) == 5 {
			told[cells[0]] = cells[1:]
		}
	}
	for number, name := range millracev1.ErrorReason_name {
		if number == 0 {
			continue
		}
		reason := millracev1.ErrorReason(number)
		refused, answer := service.Refuse(reason, "", "no"), httptest.NewRecorder()
		WriteError(answer, refused)
		want := []string{service.Code(reason).String(), strconv.Itoa(answer.Code), strconv.Itoa(service.CloseCode(refused))}
		got := told[strings.TrimPrefix(name, "ERROR_REASON_")]
		if len(got) != 4 || !slices.Equal(got[:3], want) || got[3] == "" {
			t.Errorf("%s: the document says %q, the server %q", name, got, want)
		}
		if code := service.CloseCode(refused); code != 4000+int(number) {
			t.Errorf("%s: the close code is %d", name, code)
		}
	}
}
