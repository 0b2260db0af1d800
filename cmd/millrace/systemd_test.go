package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The unit as it is, but for where the program is and where it listens, with
// everything that it forbids and all that is expected of systemd: the user that is
// made for it, the credential, the directory for its state.
func TestTheUnitRunsUnderSystemd(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program, and boots a system")
	}
	nspawn := needs(t, "systemd-nspawn")
	if os.Geteuid() != 0 {
		t.Skip("only root can boot a system in a container")
	}
	root := system(t)
	command := exec.CommandContext(context.WithoutCancel(t.Context()), nspawn, "--directory", root, "--bind-ro=/usr", //nolint:gosec // a program of the system
		"--machine", fmt.Sprint("millrace-", os.Getpid()), "--register=no", "--keep-unit", "--console=pipe", "--boot", "systemd.unit=millrace.service")
	said := newTranscript()
	command.Stdout, command.Stderr = said, said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() { _ = command.Process.Kill() }) // it may have ended

	log := filepath.Join(root, "var", "log", "millrace")
	url := awaitLine(t, log, `"msg":"listening","url":"([^"]+)"`, ended, said)
	if _, status := do(t, &http.Transport{}, newRequest(t, url+"/readyz")); status != http.StatusOK {
		t.Errorf("not ready: status %d", status)
	}
	kept, err := os.Stat(filepath.Join(root, "var", "lib", "private", "millrace"))
	if err != nil {
		t.Fatal(err)
	}
	if owner, ok := kept.Sys().(*syscall.Stat_t); !ok || owner.Uid == 0 || kept.Mode().Perm() != 0o700 {
		t.Errorf("what it keeps is of %+v, with mode %v", owner, kept.Mode())
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil { // the system shuts down
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the system: %v: %s", err, said)
		}
	case <-time.After(6 * patience):
		t.Fatalf("the system does not end: %s", said)
	}
	awaitLine(t, log, `("msg":"shutting down")`, nil, said)
}

// system makes the root directory of a system that has our unit and the programs
// of this machine.
func system(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"usr", "var/log", "run", "tmp", "proc", "sys", "dev", "root"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil { //nolint:gosec // as in any system
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+dir, filepath.Join(root, dir)); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(shipped(t))
	if err != nil {
		t.Fatal(err)
	}
	unit := "etc/systemd/system/millrace.service"
	for name, content := range map[string]string{
		"opt/millrace":       string(program),
		"etc/os-release":     "ID=test\nVERSION_ID=1\n",
		"etc/machine-id":     strings.Repeat("0123456789abcdef", 2) + "\n", // else it asks who it is
		unit:                 deployed(t, "systemd/millrace.service", map[string]string{"/usr/bin/millrace": "/opt/millrace"}),
		unit + ".d/log.conf": "[Service]\nStandardOutput=append:/var/log/millrace\nStandardError=append:/var/log/millrace\n",
		"etc/millrace/millrace.yaml": deployed(t, "systemd/millrace.yaml", map[string]string{
			"\nlisten: 127.0.0.1:8080": "\nlisten: 127.0.0.1:0", "admin_listen: 127.0.0.1:9090": "admin_listen: 127.0.0.1:0",
		}),
		"etc/millrace/secret": testSecret,
	} {
		writeTree(t, root, name, content)
	}
	if err := os.Chmod(filepath.Join(root, "etc", "millrace", "secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

// awaitLine returns what a file has in the place of the brackets, once it has. A
// container that ends before our unit was begun is none that this machine can have;
// a unit that cannot begin ends no container.
func awaitLine(t *testing.T, path, pattern string, ended <-chan error, said *transcript) string {
	t.Helper()
	line := regexp.MustCompile(pattern)
	deadline := time.After(6 * patience)
	for {
		text, err := os.ReadFile(path)
		if found := line.FindSubmatch(text); err == nil && found != nil {
			return string(found[1])
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case err := <-ended:
			if text == nil {
				t.Skipf("no system can be booted here: %v: %s", err, said)
			}
			t.Fatalf("the system has ended: %v: %s", err, text)
		case <-deadline:
			t.Fatalf("there is no %s in %s: %s", pattern, text, said)
		}
	}
}
