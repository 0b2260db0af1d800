// Command vulndb makes the database that govulncheck reads of the reports in the
// module golang.org/x/vulndb, so that who reaches a module proxy needs nothing
// else. The form is that of https://go.dev/doc/security/vuln/database#api.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// report is what of a report the indexes have.
type report struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Aliases  []string  `json:"aliases"`
	Affected []struct {
		Package struct {
			Name string `json:"name"`
		} `json:"package"`
		Ranges []struct {
			Events []struct {
				Fixed string `json:"fixed"`
			} `json:"events"`
		} `json:"ranges"`
	} `json:"affected"`
}

type (
	vulnerability struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Aliases  []string  `json:"aliases,omitempty"`
	}
	fix struct {
		ID       string    `json:"id"`
		Modified time.Time `json:"modified"`
		Fixed    string    `json:"fixed,omitempty"`
	}
	module struct {
		Path  string `json:"path"`
		Vulns []fix  `json:"vulns"`
	}
)

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: vulndb DIRECTORY"))
	}
	reports, version, err := download(context.Background(), "golang.org/x/vulndb@latest")
	if err != nil {
		fail(err)
	}
	if err := write(reports, os.Args[1]); err != nil {
		fail(err)
	}
	fmt.Fprintln(os.Stdout, "reports of", version)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "vulndb:", err)
	os.Exit(1)
}

// download returns where the reports of a version are, and which it is.
func download(ctx context.Context, module string) (reports, version string, err error) {
	var source struct {
		Dir     string `json:"Dir"`
		Version string `json:"Version"`
		Error   string `json:"Error"`
	}
	answer, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
	if jsonErr := json.Unmarshal(answer, &source); err == nil && jsonErr != nil {
		err = jsonErr
	}
	if err != nil {
		return "", "", fmt.Errorf("the reports of known vulnerabilities cannot be had, so nothing is known of this code: download %s: %w %s", module, err, source.Error)
	}
	return filepath.Join(source.Dir, "data", "osv"), source.Version, nil
}

// write makes a database of the reports in a directory.
func write(reports, out string) error {
	names, err := filepath.Glob(filepath.Join(reports, "GO-*.json"))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("no reports in %s", reports)
	}
	var newest time.Time
	var all []vulnerability
	modules := map[string]*module{}
	for _, name := range names {
		r, err := copyReport(name, out)
		if err != nil {
			return err
		}
		if r.Modified.After(newest) {
			newest = r.Modified
		}
		all = append(all, vulnerability{r.ID, r.Modified, r.Aliases})
		r.addTo(modules)
	}
	var list []*module
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		list = append(list, modules[path])
	}
	for name, index := range map[string]any{"db": map[string]any{"modified": newest}, "vulns": all, "modules": list} {
		if err := writeJSON(filepath.Join(out, "index", name+".json"), index); err != nil {
			return err
		}
	}
	return nil
}

// copyReport copies a report to where it is looked for.
func copyReport(name, out string) (r report, err error) {
	data, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err == nil {
		err = writeFile(filepath.Join(out, "ID", r.ID+".json"), data)
	}
	return r, err
}

// addTo adds what a report says of each module.
func (r report) addTo(modules map[string]*module) {
	for _, affected := range r.Affected {
		path, fixed := affected.Package.Name, ""
		for _, over := range affected.Ranges {
			for _, event := range over.Events {
				if event.Fixed != "" {
					fixed = event.Fixed // the last one is the newest
				}
			}
		}
		if modules[path] == nil {
			modules[path] = &module{Path: path}
		}
		modules[path].Vulns = append(modules[path].Vulns, fix{r.ID, r.Modified, fixed})
	}
}

func writeJSON(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return writeFile(name, data)
}

func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}
