package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// files are those of a data directory, which the server writes and this forces to the
// disk. The server appends to the newest block of a stream's messages; all else, such
// as another block, or an old one that was written anew, changes a directory.
//
// It is not safe for concurrent use.
type files struct {
	// Set once.
	dir   string
	fsync func(name string) error

	known map[string]*directory
	err   error // what went wrong: the system may not say it twice
}

// directory is one as it was when it was read last.
type directory struct {
	changed time.Time
	files   map[string]fs.FileInfo
	newest  string // block of messages; "" if there is none
}

// blockSuffix is how the files end that messages are in; they are numbered.
const blockSuffix = ".blk"

// soon is how long after a change there may be another one at the same time, as the
// system tells it.
const soon = 50 * time.Millisecond

// force returns when all that was written is on the disk.
func (f *files) force() error {
	switch {
	case f.err != nil:
		return f.err
	case f.known == nil:
		f.known = map[string]*directory{}
		f.err = f.forceTree(f.dir)
	default:
		f.err = f.forceNew()
	}
	if f.err != nil {
		f.err = fmt.Errorf("force the data directory to the disk: %w", f.err)
	}
	return f.err
}

// forceNew forces what was written since the last time.
func (f *files) forceNew() error {
	for name, d := range maps.Clone(f.known) { // not those that are found meanwhile, which are forced then
		about, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			delete(f.known, name)
			continue
		case err != nil:
			return err
		case !about.ModTime().Equal(d.changed) || time.Since(d.changed) < soon:
			err = f.forceTree(name)
		case d.newest != "":
			err = f.fsync(d.newest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forceTree forces the files of a directory that are not what they were, the
// directories in it that are new, then itself.
func (f *files) forceTree(name string) error {
	about, err := os.Stat(name)
	if err != nil {
		return unlessGone(err)
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return unlessGone(err)
	}
	d := &directory{changed: about.ModTime(), files: map[string]fs.FileInfo{}}
	was := f.known[name]
	f.known[name] = d
	for _, entry := range entries {
		path := filepath.Join(name, entry.Name())
		switch {
		case !entry.IsDir():
			err = f.forceFile(path, d, was)
		case f.known[path] == nil:
			err = f.forceTree(path)
		}
		if err != nil {
			return err
		}
	}
	return unlessGone(f.fsync(name))
}

// forceFile forces a file of a directory, if it is not what it was.
func (f *files) forceFile(path string, d, was *directory) error {
	info, err := os.Stat(path)
	if err != nil {
		return unlessGone(err)
	}
	d.files[path] = info
	if strings.HasSuffix(path, blockSuffix) && (len(path) > len(d.newest) || len(path) == len(d.newest) && path > d.newest) {
		d.newest = path
	}
	if was != nil && isSame(was.files[path], info) {
		return nil
	}
	return unlessGone(f.fsync(path))
}

func isSame(was, is fs.FileInfo) bool {
	return was != nil && os.SameFile(was, is) && was.Size() == is.Size() && was.ModTime().Equal(is.ModTime()) && time.Since(is.ModTime()) > soon
}

// unlessGone is no error if it says that a file is not there any more: the server has
// deleted it.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// fsync forces a file, or a directory, to the disk.
func fsync(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
