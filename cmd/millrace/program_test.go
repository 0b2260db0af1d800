package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// launched is a server in a process of its own.
type launched struct {
	pid        int
	url, admin string // admin is empty where nothing listens for operators
	stderr     *transcript
}

// launch starts a program that serves, and waits until it does. It ends with the
// test.
func launch(t *testing.T, command *exec.Cmd) *launched {
	t.Helper()
	p := &launched{stderr: newTranscript()}
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

// says is what the program has said in the place of the brackets, if it did.
func (p *launched) says(pattern string) string {
	found := regexp.MustCompile(pattern).FindStringSubmatch(p.stderr.String())
	if found == nil {
		return ""
	}
	return found[1]
}

// buildAsShipped builds the program as the Dockerfile does.
func buildAsShipped(t *testing.T, program string) {
	t.Helper()
	build := regexp.MustCompile(`(CGO_ENABLED=0) (go build .*) -o /millrace (\S+) `).FindStringSubmatch(deployed(t, "Dockerfile", nil))
	if build == nil {
		t.Fatal("the Dockerfile builds no static program")
	}
	command := exec.CommandContext(t.Context(), "sh", "-c", build[2]+" -o "+program+" "+build[3]) //nolint:gosec // of our Dockerfile
	command.Dir, command.Env = "../..", append(os.Environ(), build[1])
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

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
