package embedded

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"millrace.dev/engine"
	"millrace.dev/engine/nats"
)

// The disk below a running server becomes full: nothing is acknowledged, until there
// is space. All that was acknowledged is delivered, in order, and kept.
func TestAFullDiskIsLeftOnceThereIsSpace(t *testing.T) {
	t.Parallel() // it waits more than it works
	for _, fsync := range []time.Duration{time.Second, Always} {
		t.Run(fsync.String(), func(t *testing.T) {
			t.Parallel()
			disk := smallDisk(t)
			dir, filler := filepath.Join(disk, "data"), filepath.Join(disk, "filler")
			p := &oneByOne{t: t, acked: map[string]map[string]uint64{}, heard: map[string]uint64{}}
			e, err := Open(Options{Dir: dir, Fsync: fsync}, nats.Options{})(t.Context(), p.hear)
			if err != nil {
				t.Fatal(err)
			}
			p.engine = e
			p.publish(100)
			fill(t, filler)
			p.until("refused", func(err error) bool { return err != nil })
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			p.until("taken", func(err error) bool { return err == nil })
			p.publish(100)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			p.check()
			checkAcked(t, dir, p.acked)
		})
	}
}

// oneByOne publishes one message after the other, and hears them.
type oneByOne struct {
	t      *testing.T
	engine engine.Engine
	n      int
	acked  map[string]map[string]uint64 // by channel and id

	mu    sync.Mutex
	heard map[string]uint64 // newest offset of each channel
}

func (p *oneByOne) hear(m *engine.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := p.heard[m.Channel]; m.Position.Offset != last+1 {
		p.t.Errorf("%s: heard %d after %d", m.Channel, m.Position.Offset, last)
	}
	p.heard[m.Channel] = m.Position.Offset
}

func (p *oneByOne) try() error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	p.n++
	channel, id := room(p.n), strconv.Itoa(p.n)
	receipt, err := p.engine.Append(ctx, message(channel, id), keepAll)
	if err != nil {
		return err
	}
	if p.acked[channel] == nil {
		p.acked[channel] = map[string]uint64{}
	}
	p.acked[channel][id] = receipt.Position.Offset
	return nil
}

func (p *oneByOne) publish(n int) {
	p.t.Helper()
	for range n {
		if err := p.try(); err != nil {
			p.t.Fatal(err)
		}
	}
}

// until publishes until something becomes of it.
func (p *oneByOne) until(what string, is func(error) bool) {
	p.t.Helper()
	for begun := time.Now(); !is(p.try()); {
		if time.Since(begun) > time.Minute {
			p.t.Fatalf("after a minute no message was %s", what)
		}
	}
}

// check looks whether all that was acknowledged was heard.
func (p *oneByOne) check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for channel, ids := range p.acked {
		for id, offset := range ids {
			if offset > p.heard[channel] {
				p.t.Errorf("%s: %s was acknowledged at %d, and heard were %d", channel, id, offset, p.heard[channel])
			}
		}
	}
}

// smallDisk is a directory on a file system of its own.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes to a file until the disk is full.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if closed := f.Close(); closed != nil || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(errors.Join(err, closed))
	}
}
