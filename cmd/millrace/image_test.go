package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The image is made of the program as its Dockerfile builds it, and runs: as
// nobody, with a directory for what it keeps, and nothing of this machine. Only
// the image that the program is built in is not pulled.
func TestTheImageIsMadeAndRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program, and an image")
	}
	b := builder{T: t, buildah: needs(t, "buildah"), store: t.TempDir()}
	if os.Geteuid() != 0 {
		t.Skip("only root can run an image without a service for it")
	}
	b.run("bud", "--isolation", "chroot", "--file", filepath.Join(b.context(), "Dockerfile"), "--tag", "millrace", b.context())
	var image struct {
		OCI struct {
			Config struct {
				User       string              `json:"User"`
				Env        []string            `json:"Env"`
				Entrypoint []string            `json:"Entrypoint"`
				Cmd        []string            `json:"Cmd"`
				Ports      map[string]struct{} `json:"ExposedPorts"`
			} `json:"config"`
		} `json:"OCIv1"`
	}
	if err := json.Unmarshal([]byte(b.run("inspect", "--type", "image", "millrace")), &image); err != nil {
		t.Fatal(err)
	}
	config := image.OCI.Config
	if _, exposed := config.Ports["8080/tcp"]; !exposed || config.User != "65532:65532" || !slices.Contains(config.Env, "MILLRACE_LISTEN=:8080") ||
		!slices.Equal(config.Cmd, []string{"serve"}) {
		t.Errorf("the image has %+v", config)
	}
	container := strings.TrimSpace(b.run("from", "millrace"))
	t.Cleanup(func() { b.run("rm", container) })
	args := append([]string{"run", "--isolation", "chroot", container, "--"}, config.Entrypoint...)
	server := b.command(append(args, "serve", "--listen", "127.0.0.1:0", "--data-dir", "/var/lib/millrace")...)
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p := launch(t, server)
	t.Cleanup(func() { _ = syscall.Kill(-p.pid, syscall.SIGKILL) }) // buildah runs it in a process of its own
	if _, status := do(t, &http.Transport{}, newRequest(t, p.url+"/readyz")); status != http.StatusOK {
		t.Errorf("not ready: status %d: %s", status, p.stderr)
	}
}

// builder makes images, and keeps them where nobody else does.
type builder struct {
	*testing.T
	buildah, store string
}

func (b builder) command(args ...string) *exec.Cmd {
	args = append([]string{"--storage-driver", "vfs", "--root", filepath.Join(b.store, "images"), "--runroot", filepath.Join(b.store, "run")}, args...)
	return exec.CommandContext(context.WithoutCancel(b.Context()), b.buildah, args...) //nolint:gosec // a program of the system
}

func (b builder) run(args ...string) string {
	b.Helper()
	var said strings.Builder
	command := b.command(args...)
	command.Stderr = &said
	out, err := command.Output()
	if err != nil && strings.Contains(said.String(), "operation not permitted") {
		b.Skipf("no image can be made or run here: %s", said.String())
	}
	if err != nil {
		b.Fatalf("%v: %v: %s", args, err, said.String())
	}
	return string(out)
}

// context is what the image is made of: the Dockerfile, and in the place of the
// stage that builds the program what that leaves behind.
func (b builder) context() string {
	b.Helper()
	dir := filepath.Join(b.store, "context")
	dockerfile := deployed(b.T, "Dockerfile", nil)
	build := regexp.MustCompile(`(?s)FROM golang:\S+ AS build\n.*?\n\n`)
	if !build.MatchString(dockerfile) {
		b.Fatal("the Dockerfile has no stage that builds the program")
	}
	program, err := os.ReadFile(shipped(b.T))
	if err != nil {
		b.Fatal(err)
	}
	authorities, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		b.Skip("this machine knows no authorities: ", err)
	}
	for name, content := range map[string]string{
		"Dockerfile":                        build.ReplaceAllString(dockerfile, "FROM scratch AS build\nCOPY . /\n\n"),
		"millrace":                          string(program),
		"data/.keep":                        "",
		"etc/ssl/certs/ca-certificates.crt": string(authorities),
	} {
		writeTree(b.T, dir, name, content)
	}
	return dir
}

// writeTree writes a file that everybody may read and run, and the directories
// above it.
func writeTree(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // there is nothing secret in it
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil { //nolint:gosec // one of them is a program
		t.Fatal(err)
	}
}
