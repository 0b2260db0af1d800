package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"millrace.dev/engine"
	"millrace.dev/engine/enginetest"
	"millrace.dev/engine/nats"
)

func TestTheEngineKeepsTheContract(t *testing.T) {
	t.Parallel() // it waits more than it works
	const ids, window, age = 100, 5 * time.Second, 400 * time.Millisecond
	for _, fsync := range []time.Duration{time.Second, Always} {
		t.Run(fsync.String(), func(t *testing.T) {
			t.Parallel()
			enginetest.Run(t, func(t *testing.T) engine.Open {
				t.Helper()
				return Open(Options{Dir: t.TempDir(), Fsync: fsync}, nats.Options{DedupIDs: ids, DedupWindow: window})
			}, enginetest.Options{Durable: true, Age: age, DedupIDs: ids, DedupWindow: window})
		})
	}
}

func TestADataDirectoryBelongsToOneProcess(t *testing.T) {
	dir := t.TempDir()
	first, err := Start(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second server on the directory: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Start(Options{Dir: dir})
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// What a machine did with its power gone shows in the file that the last process
// has left: it ran on another boot, and did not end.
func TestPositionsChangeOnlyAfterThePowerWasLost(t *testing.T) {
	for _, c := range []struct {
		name, left string
		fsync      time.Duration
		want       string
	}{
		{"a clean end", "0 \n", 0, ""},
		{"the process was killed", "0 " + bootID() + "\n", 0, ""},
		{"the power was lost", "0 another\n", 0, "1"},
		{"the power was lost again", "1 another\n", Never, "2"},
		{"the power was lost, all was forced to the disk", "0 another\n", Always, ""},
		{"the power was lost before", "1 \n", 0, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, generationFile), []byte(c.left), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := beginGeneration(dir, c.fsync)
			if err != nil || got != c.want {
				t.Errorf("the generation is %q, %v; want %q", got, err, c.want)
			}
			if g, err := readGeneration(filepath.Join(dir, generationFile)); err != nil || g.boot != bootID() {
				t.Errorf("while the process runs the file says %+v, %v", g, err)
			}
		})
	}
}
