package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A machine that loses its power loses what was not yet forced to the disk, though
// it was acknowledged; its positions would then be used for other messages. So
// positions are of a generation, and the generation changes at a start after
// which that may be so: the last process did not end by itself, and the machine
// was started anew since. The end of the process alone loses nothing.
type generation struct {
	number int
	boot   string // of the machine, while a process runs; empty after a clean end
}

const generationFile = "generation"

// bootID names the present run of the machine.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown since " + time.Now().UTC().Format(time.RFC3339Nano) // as if it were another run
	}
	return strings.TrimSpace(string(id))
}

// beginGeneration returns the generation of positions, and notes that a process runs.
func beginGeneration(dir string, fsync time.Duration) (string, error) {
	name := filepath.Join(dir, generationFile)
	g, err := readGeneration(name)
	if err != nil {
		return "", err
	}
	now := bootID()
	if g.boot != "" && g.boot != now && fsync != Always {
		g.number++
	}
	g.boot = now
	if err := writeGeneration(name, g); err != nil {
		return "", err
	}
	if g.number == 0 {
		return "", nil
	}
	return strconv.Itoa(g.number), nil
}

// endGeneration notes that all is on the disk.
func endGeneration(lock *os.File) error {
	name := filepath.Join(filepath.Dir(lock.Name()), generationFile)
	g, err := readGeneration(name)
	if err != nil {
		return err
	}
	g.boot = ""
	return writeGeneration(name, g)
}

func readGeneration(name string) (g generation, err error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err != nil {
		return g, fmt.Errorf("data directory: %w", err)
	}
	number, boot, _ := strings.Cut(strings.TrimSuffix(string(data), "\n"), " ")
	if g.number, err = strconv.Atoi(number); err != nil {
		return g, fmt.Errorf("data directory: %s: %w", name, err)
	}
	g.boot = boot
	return g, nil
}

// writeGeneration replaces the file as a whole, on the disk as well.
func writeGeneration(name string, g generation) error {
	f, err := os.CreateTemp(filepath.Dir(name), generationFile+".*")
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	_, err = fmt.Fprintf(f, "%d %s\n", g.number, g.boot)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err == nil {
		err = fsync(filepath.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	return nil
}
