package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// store is a data directory, and what of it was forced to the disk.
type store struct {
	*testing.T
	files
	asked []string
}

func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{T: t}
	s.files = files{dir: t.TempDir(), fsync: func(name string) error {
		s.asked = append(s.asked, name)
		return fsync(name)
	}}
	return s
}

func (s *store) path(name string) string { return filepath.Join(s.dir, name) }

// write appends to a file, at a time long ago: what happened just now is forced twice.
func (s *store) write(name string, at int) {
	s.Helper()
	err := os.MkdirAll(filepath.Dir(s.path(name)), 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(s.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			_, err = f.WriteString("x")
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		s.Fatal(err)
	}
	s.touch(name, at)
	s.touch(filepath.Dir(name), at)
}

func (s *store) touch(name string, at int) {
	s.Helper()
	then := time.Unix(1_700_000_000+int64(at), 0)
	if err := os.Chtimes(s.path(name), then, then); err != nil {
		s.Fatal(err)
	}
}

// forces checks what is forced to the disk now.
func (s *store) forces(want ...string) {
	s.Helper()
	s.asked = nil
	if err := s.force(); err != nil {
		s.Fatal(err)
	}
	for i := range want {
		want[i] = s.path(want[i])
	}
	slices.Sort(want)
	slices.Sort(s.asked)
	if !slices.Equal(s.asked, want) {
		s.Errorf("forced %q, want %q", s.asked, want)
	}
}

func TestAllThatIsWrittenIsForcedToTheDisk(t *testing.T) {
	s := newStore(t)
	s.write("meta/about", 1)
	s.write("msgs/9.blk", 1)
	s.write("msgs/index", 1)
	s.touch("", 1)
	s.forces("", "meta", "meta/about", "msgs", "msgs/9.blk", "msgs/index")
	s.forces("msgs/9.blk") // it may have grown; nothing tells
	s.write("msgs/9.blk", 2)
	s.write("msgs/10.blk", 2)
	s.forces("msgs", "msgs/9.blk", "msgs/10.blk")
	s.forces("msgs/10.blk")
	s.write("msgs/index", 3) // written anew
	s.forces("msgs", "msgs/index")
	s.write("more/msgs/1.blk", 4)
	s.touch("", 4)
	s.touch("more", 4)
	s.forces("", "more", "more/msgs", "more/msgs/1.blk", "msgs/10.blk")
	if err := os.RemoveAll(s.path("more")); err != nil {
		t.Fatal(err)
	}
	s.touch("", 5)
	s.forces("", "msgs/10.blk")
}

func TestWhatTheDiskDidNotTakeOnceCountsAsLost(t *testing.T) {
	broken := errors.New("input/output error")
	s := newStore(t)
	s.write("msgs/1.blk", 1)
	s.forces("", "msgs", "msgs/1.blk")
	s.fsync = func(string) error { return broken }
	if err := s.force(); !errors.Is(err, broken) {
		t.Errorf("forced: %v", err)
	}
	s.fsync = fsync // the system does not say it twice
	if err := s.force(); !errors.Is(err, broken) {
		t.Errorf("forced after it had failed: %v", err)
	}
}
