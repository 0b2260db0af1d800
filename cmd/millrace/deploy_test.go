package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// deployed reads a file that we ship, with some of it replaced by what is there in
// the test.
func deployed(t *testing.T, name string, replace map[string]string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for old, replacement := range replace {
		if !strings.Contains(text, old) {
			t.Fatalf("%s does not contain %q", name, old)
		}
		text = strings.ReplaceAll(text, old, replacement)
	}
	return text
}

// needs skips a test for which a program is missing.
func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed here: %v", program, err)
	}
	return path
}

func TestTheConfigurationsThatWeShipAreRight(t *testing.T) {
	t.Parallel()
	secret := writeFile(t, "secret", testSecret)
	for name, place := range map[string]string{
		"systemd/millrace.yaml":    "/run/credentials/millrace.service/secret",
		"kubernetes/millrace.yaml": "/run/secrets/millrace/secret",
	} {
		file := writeFile(t, filepath.Base(name), deployed(t, name, map[string]string{place: secret}))
		mustCall(t, "", "config", "check", file)
	}
}

// Every list of manifests names its kind, and Kustomize puts them together.
func TestTheManifestsAreTakenByKustomize(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), needs(t, "kubectl"), "kustomize", "../../deploy/kubernetes").CombinedOutput() //nolint:gosec // a program of the system
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"kind: Deployment", "kind: Service", "kind: ConfigMap", "kind: PodDisruptionBudget", "kind: NetworkPolicy", "registry.example.com/millrace:latest"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("there is no %s", want)
		}
	}
}

func TestTheUnitIsRightAndGuarded(t *testing.T) {
	t.Parallel()
	analyze := needs(t, "systemd-analyze")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := writeFile(t, "millrace.service", deployed(t, "systemd/millrace.service", map[string]string{"/usr/bin/millrace": self}))
	for _, args := range [][]string{
		{"verify", "--recursive-errors=no", unit},
		{"security", "--offline=true", "--threshold=15", unit}, // of 100, which is everything allowed
	} {
		if out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput(); err != nil { //nolint:gosec // a program of the system
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
}

// What is in the image needs nothing else that is there: it runs in an empty
// directory, and as nobody.
func TestTheProgramNeedsNothingBesideItself(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program")
	}
	if dockerfile := deployed(t, "Dockerfile", nil); !strings.Contains(dockerfile, "\nUSER 65532:65532\n") {
		t.Fatal("the image is not for nobody")
	}
	root, err := os.MkdirTemp("", "millrace-image") //nolint:usetesting // nobody else may enter one of the test's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	program, err := os.ReadFile(shipped(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "millrace"), program, 0o755); err != nil { //nolint:gosec // a program is for everybody
		t.Fatal(err)
	}
	checkStatic(t, filepath.Join(root, "millrace"))
	if os.Geteuid() != 0 {
		t.Skip("only root can change the root directory")
	}
	if err := os.Chmod(root, 0o755); err != nil { //nolint:gosec // there is nothing secret in it
		t.Fatal(err)
	}
	server := exec.CommandContext(context.WithoutCancel(t.Context()), "/millrace", "serve", "--listen", "127.0.0.1:0")
	server.Dir, server.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	p := launch(t, server)
	if _, status := do(t, &http.Transport{}, newRequest(t, p.url+"/readyz")); status != http.StatusOK {
		t.Errorf("not ready: status %d: %s", status, p.stderr)
	}
}
