package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// planted says that strings.ToUpper has a fault that no Go mends yet.
const planted = `{
	"schema_version": "1.3.1", "id": "GO-2026-9999", "modified": "2026-11-01T00:00:00Z", "published": "2026-11-01T00:00:00Z",
	"aliases": ["CVE-2026-9999"], "database_specific": {"url": "https://pkg.go.dev/vuln/GO-2026-9999"}, "summary": "A planted fault", "details": "A planted fault.",
	"affected": [{
		"package": {"name": "stdlib", "ecosystem": "Go"},
		"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "9999.0.0"}]}],
		"ecosystem_specific": {"imports": [{"path": "strings", "symbols": ["ToUpper"]}]}
	}]
}`

func TestGovulncheckFindsWhatAReportInTheDatabaseIsAbout(t *testing.T) {
	reports, database := t.TempDir(), t.TempDir()
	writeTo(t, reports, "GO-2026-9999.json", planted)
	if err := write(reports, database); err != nil {
		t.Fatal(err)
	}

	if found, err := govulncheck(t, database, "ToUpper"); err == nil || !strings.Contains(found, "Your code is affected by 1 vulnerability") {
		t.Errorf("with the fault: %v: %s", err, found)
	}
	if found, err := govulncheck(t, database, "ToLower"); err != nil || strings.Contains(found, "GO-2026-9999") {
		t.Errorf("without it: %v: %s", err, found)
	}
}

func TestADatabaseOfNoReportsIsRefused(t *testing.T) {
	if err := write(t.TempDir(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "no reports in") {
		t.Errorf("got %v", err)
	}
}

func TestAReportThatCannotBeReadIsRefused(t *testing.T) {
	reports := t.TempDir()
	writeTo(t, reports, "GO-2026-9999.json", "{")
	if err := write(reports, t.TempDir()); err == nil {
		t.Error("a database of it was made")
	}
}

func TestReportsThatCannotBeHadAreAFailureThatSaysSo(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOMODCACHE", t.TempDir())
	_, _, err := download(t.Context(), "golang.org/x/vulndb@latest")
	if err == nil || !strings.Contains(err.Error(), "nothing is known of this code") || !strings.Contains(err.Error(), "GOPROXY=off") {
		t.Errorf("got %v", err)
	}
}

// govulncheck looks through a program that calls a function of package strings.
func govulncheck(t *testing.T, database, function string) (string, error) {
	t.Helper()
	program := t.TempDir()
	writeTo(t, program, "go.mod", "module example.com/program\n\ngo 1.26\n")
	writeTo(t, program, "main.go", "package main\n\nimport \"strings\"\n\nfunc main() { println(strings."+function+"(\"a\")) }\n")
	found, err := exec.CommandContext(t.Context(), "go", "tool", "govulncheck", "-C", program, "-db", "file://"+database, "./...").CombinedOutput()
	return string(found), err
}

func writeTo(t *testing.T, directory, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
