package compare

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build compiles all servers into dir. It runs in the module of the benchmarks,
// below that of the product.
func Build(ctx context.Context, dir string) error {
	module, err := moduleDir(ctx)
	if err != nil {
		return err
	}
	for _, build := range []struct{ in, what string }{
		{filepath.Dir(module), "./cmd/millrace"},
		{module, "./peers/..."},
	} {
		command := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), build.what)
		command.Dir, command.Stderr = build.in, os.Stderr
		if err := command.Run(); err != nil {
			return fmt.Errorf("build %s: %w", build.what, err)
		}
	}
	return writeCertificate(dir)
}

func moduleDir(ctx context.Context) (string, error) {
	file, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Dir(string(file)), nil
}

// peers are the modules whose versions a report names.
var peers = []string{
	"github.com/centrifugal/centrifuge", "github.com/dunglas/mercure", "google.golang.org/grpc", "github.com/coder/websocket",
}

// versions are those of the peers, and of the Go release, in the binaries of dir.
func versions(dir string) (map[string]string, error) {
	found := map[string]string{}
	for _, name := range []string{"centrifuge", "mercure", "grpc", "coder"} {
		info, err := buildinfo.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		found["go"] = info.GoVersion
		for _, dep := range info.Deps {
			for _, peer := range peers {
				if dep.Path == peer {
					found[peer] = dep.Version
				}
			}
		}
	}
	return found, nil
}
