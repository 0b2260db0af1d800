// Package licences keeps what ships free of licences that ask more of its users
// than ours does: to name the authors, at most.
//
// What ships is what the program and the generated client are made of, and the
// packages of npm that are in its pages. Tools and tests may have any licence.
package licences

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/licensecheck"
)

const root = "../.."

// allowed are licences, by their SPDX names, that ask for no more than to be named.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "0BSD", "CC0-1.0", "Unlicense"}

// exceptions are modules with another licence, and why they may have it.
var exceptions = map[string]string{
	"github.com/hashicorp/golang-lru/v2": "MPL-2.0", // holds for its own files, which are used as they are
}

// module is a Go module that something of ours is made of.
type module struct {
	Path string `json:"Path"`
	Dir  string `json:"Dir"`
	Main bool   `json:"Main"`
}

// shippedModules are those of the packages that the program and what others import
// of us need.
func shippedModules(t *testing.T) map[string]module {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Module", "./cmd/millrace", "./gen/...")
	command.Dir = root
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]module{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Module *module `json:"Module"`
		}
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return modules
		case err != nil:
			t.Fatal(err)
		}
		if p.Module != nil && !p.Module.Main { // the standard library has none
			modules[p.Module.Path] = *p.Module
		}
	}
}

var licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)`)

// licencesOf are those that the files of a module name.
func licencesOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		if file.IsDir() || !licenceFile.MatchString(file.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, read(text)...)
	}
	return found
}

// read are the licences of a text; what is mostly something else has none that can
// be told.
func read(text []byte) []string {
	coverage := licensecheck.Scan(text)
	if coverage.Percent < 75 {
		return []string{"unknown"}
	}
	var found []string
	for _, match := range coverage.Match {
		if !match.IsURL {
			found = append(found, match.ID)
		}
	}
	return found
}

func TestWhatTheProgramIsMadeOfMayBeGivenOn(t *testing.T) {
	t.Parallel()
	modules := shippedModules(t)
	if len(modules) < 10 {
		t.Fatalf("only %d modules", len(modules))
	}
	for path, m := range modules {
		found := licencesOf(t, m.Dir)
		if len(found) == 0 {
			t.Errorf("%s has no licence", path)
		}
		for _, licence := range found {
			if !slices.Contains(allowed, licence) && exceptions[path] != licence {
				t.Errorf("%s has the licence %s", path, licence)
			}
		}
	}
}

// pagesOf are the workspaces whose packages are in what we build.
var pagesOf = []string{"packages/client", "packages/console", "packages/demo"}

// npmPackage is what of an entry of package-lock.json matters here.
type npmPackage struct {
	License         string            `json:"license"`
	Dev             bool              `json:"dev"`
	Dependencies    map[string]string `json:"dependencies"`
	DevDependencies map[string]string `json:"devDependencies"`
}

func TestWhatThePagesAreMadeOfMayBeGivenOn(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(root, "web", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]npmPackage `json:"packages"`
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for name, p := range lock.Packages {
		if !strings.Contains(name, "node_modules/") || p.Dev && !isBundled(lock.Packages, name) || strings.Contains(name, "@millrace/") {
			continue
		}
		checked++
		if !slices.Contains(allowed, p.License) {
			t.Errorf("%s has the licence %q", name, p.License)
		}
	}
	if checked < 5 {
		t.Errorf("only %d packages", checked)
	}
}

// bundled are packages that a workspace names among its tools, and that are in what
// it builds all the same.
var bundled = []string{"preact"}

func isBundled(packages map[string]npmPackage, name string) bool {
	name = strings.TrimPrefix(name, "node_modules/")
	return slices.Contains(bundled, name) && slices.ContainsFunc(pagesOf, func(page string) bool {
		_, found := packages[page].DevDependencies[name]
		return found
	})
}

func TestALicenceThatAsksForMoreIsTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.": "GPL-3.0-or-later",
		"All rights reserved. Do not copy.": "unknown",
	} {
		if got := read([]byte(text)); len(got) != 1 || got[0] != want || slices.Contains(allowed, want) {
			t.Errorf("%q has %q, want %s", text, got, want)
		}
	}
}
