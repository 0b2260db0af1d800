//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// A server is the real binary, listening on loopback.
type server struct {
	*program
	address string
}

var listening = regexp.MustCompile(`http://(127\.0\.0\.1:\d+)`)

// startServer starts the server: on "127.0.0.1:0", a port of its own, or where another one was.
func startServer(t *testing.T, address string, flags ...string) *server {
	t.Helper()
	buildServer(t)
	args := append([]string{"serve", "--listen", address}, flags...)
	s := &server{program: start(t, "server", nothing, command(t, ".tmp/bin/millrace", args...))}
	eventually(t, "address in what the server prints", func() bool {
		if found := listening.FindStringSubmatch(s.said.String()); found != nil {
			s.address = found[1]
		}
		return s.address != "" || s.hasEnded()
	})
	if s.address == "" {
		t.Fatalf("the server ended: %v", s.err)
	}
	return s
}

func (s *server) url() string { return "http://" + s.address }

// kill ends the server without a word to anyone.
func (s *server) kill(t *testing.T) {
	t.Helper()
	must(t, s.cmd.Process.Kill())
	_ = s.wait(t) // "signal: killed"
}

// publish publishes JSON payloads, one after the other.
func (s *server) publish(t *testing.T, channel string, payloads ...string) {
	t.Helper()
	for _, payload := range payloads {
		s.post(t, "/publish/"+channel, payload, nil)
	}
}

// sessions counts who is connected, on every wire.
func (s *server) sessions(t *testing.T) int {
	t.Helper()
	var response struct {
		Total int `json:"total"`
	}
	s.post(t, "/millrace.v1.AdminService/ListSessions", "{}", &response)
	return response.Total
}

// post makes a call with a JSON body and answer.
func (s *server) post(t *testing.T, path, body string, answer any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url()+path, strings.NewReader(body))
	must(t, err)
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // nothing is left of it
	response, err := client.Do(request)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("POST %s: %s %s", path, response.Status, text)
	}
	if answer != nil {
		must(t, json.Unmarshal(text, answer))
	}
}

var (
	buildServer = once("go", "build", "-o", ".tmp/bin/millrace", "./cmd/millrace")
	buildGo     = once("go", "build", "-o", ".tmp/bin/example-go", "./examples/go")
	generateSDK = once("tools/sdk.sh", "--generate-only")
	importGRPC  = once(debianPython, "-c", "import grpc, google.protobuf")
)

// once runs a command in the repository, the first time that a test needs what it makes.
func once(name string, args ...string) func(*testing.T) {
	run := sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = root
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w (`make deps` installs what may be missing)\n%s", strings.Join(cmd.Args, " "), err, output)
		}
		return nil
	})
	return func(t *testing.T) {
		t.Helper()
		must(t, run())
	}
}

// root is the top of the repository. A test starts in the directory of its package.
var root = func() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// at is the file system's name of a path in the repository.
func at(path string) string { return filepath.Join(root, filepath.FromSlash(path)) }

// command makes a command that runs in the repository, and fails the test where its program is missing.
func command(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	path := program
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		path = at(program)
	}
	path, err := exec.LookPath(path)
	if err != nil {
		t.Fatalf("%s is missing: run `make deps`", program)
	}
	// It ends in the clean-up, which is later than the end of the test's context.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, args...)
	cmd.Dir = root
	return cmd
}

// debianPython is the one that finds Debian's grpcio, whatever else is installed.
const debianPython = "/usr/bin/python3"

func python(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	importGRPC(t)
	generateSDK(t)
	cmd := command(t, debianPython, append([]string{script}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH=sdk/python")
	return cmd
}

func ruby(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	generateSDK(t)
	return command(t, "ruby", append([]string{"-Isdk/ruby", script}, args...)...)
}

// node makes a command for a script that is staged. A test makes its own stage.
func node(t *testing.T, stage, script string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(t, "node", append([]string{filepath.Join(stage, script)}, args...)...)
	cmd.Env = append(os.Environ(), "PROTO_PATH=proto")
	return cmd
}

// stage copies the scripts of Node to a place where their packages are found, as they are after `npm install`.
func stage(t *testing.T) string {
	t.Helper()
	generateSDK(t)
	dir := t.TempDir()
	must(t, os.Symlink(at("tools/node_modules"), filepath.Join(dir, "node_modules")))
	must(t, os.Symlink(at("sdk"), filepath.Join(dir, "sdk")))
	for _, scripts := range []string{"e2e/clients", "examples/node"} {
		must(t, os.CopyFS(filepath.Join(dir, scripts), os.DirFS(at(scripts))))
	}
	return dir
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ticker.C:
		case <-timeout.C:
			t.Fatalf("no %s in %s", what, patience)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
