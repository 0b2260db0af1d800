package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// launched is a server in a process of its own.
type launched struct {
	pid        int
	url, admin string // admin is empty where nothing listens for operators
	stderr     *transcript
	command    *exec.Cmd
}

// launch starts a program that serves, and waits until it does. It ends with the
// test.
func launch(t *testing.T, command *exec.Cmd) *launched {
	t.Helper()
	p := &launched{stderr: newTranscript(), command: command}
	command.Stderr, command.Env = p.stderr, []string{}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill() // it may have ended
		_ = command.Wait()
	})
	p.stderr.await(t, 1, "publish/demo")
	p.pid = command.Process.Pid
	p.url, p.admin = p.says(`listening on (\S+)`), p.says(`operators: (\S+)`)
	return p
}

// terminate ends the program as a system does that shuts down, and waits for it. A
// program that does not end says where it is.
func (p *launched) terminate(t *testing.T) {
	t.Helper()
	const longEnough = time.Minute
	defer time.AfterFunc(longEnough, func() { _ = p.command.Process.Signal(syscall.SIGQUIT) }).Stop() // it may have ended
	if err := errors.Join(p.command.Process.Signal(syscall.SIGTERM), p.command.Wait()); err != nil {
		t.Errorf("ends with %v: %s", err, p.stderr)
	}
}

// says is what the program has said in the place of the brackets, if it did.
func (p *launched) says(pattern string) string {
	found := regexp.MustCompile(pattern).FindStringSubmatch(p.stderr.String())
	if found == nil {
		return ""
	}
	return found[1]
}

// shipped is the program as the Dockerfile builds it, without what the race
// detector costs. It is built once for all tests.
func shipped(t *testing.T) string {
	t.Helper()
	path, err := buildAsShipped()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildAsShipped = sync.OnceValues(func() (string, error) {
	dockerfile, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		return "", err
	}
	build := regexp.MustCompile(`(CGO_ENABLED=0) (go build .*) -o /millrace (\S+) `).FindStringSubmatch(string(dockerfile))
	if build == nil {
		return "", errors.New("the Dockerfile builds no static program")
	}
	dir, err := os.MkdirTemp("", "millrace")
	if err != nil {
		return "", err
	}
	atTheEnd = append(atTheEnd, func() error { return os.RemoveAll(dir) })
	path := filepath.Join(dir, "millrace")
	command := exec.CommandContext(context.Background(), "sh", "-c", build[2]+" -o "+path+" "+build[3]) //nolint:gosec // of our Dockerfile
	command.Dir, command.Env = "../..", append(os.Environ(), build[1])
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// atTheEnd is what remains to be done when all tests have ended.
var atTheEnd []func() error

func checkStatic(t *testing.T, name string) {
	t.Helper()
	file, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			t.Error("the program needs a linker")
		}
	}
}
