package service_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"millrace.dev/engine"
	"millrace.dev/engine/memory"
	nodev1 "millrace.dev/gen/millrace/node/v1"
	"millrace.dev/service"
)

// mesh is a network between nodes of this process. Each has channels of its own:
// presence and calls need no shared ones.
type mesh struct {
	mu    sync.Mutex
	lines map[string]*line        // by node
	loses func(*nodev1.Note) bool // what does not arrive; nil for nothing
	kept  [][]byte
	hear  []func([]byte)
}

// line is what connects one node. It implements [engine.Bus].
type line struct {
	mesh *mesh
	name string

	// Guarded by mesh.mu.
	cut    bool     // what is said in either direction is lost, and nothing is kept
	side   int      // only lines of one side hear each other
	slow   bool     // what the node says comes later
	late   []remark // that was said while it was slow
	inbox  [][]byte
	ring   chan struct{} // holds one token if something is in the inbox
	stop   chan struct{}
	hangUp func() // closes stop
	ends   sync.WaitGroup
}

type remark struct {
	to   string
	data []byte
}

func newMesh() *mesh { return &mesh{lines: map[string]*line{}} }

// start starts a node on the mesh, and returns its line.
func (m *mesh) start(t *testing.T, config service.Config) (*node, *line) {
	t.Helper()
	l := &line{mesh: m, ring: make(chan struct{}, 1), stop: make(chan struct{})}
	n := startOn(t, func(ctx context.Context, deliver engine.Deliver) (engine.Engine, error) {
		e, err := memory.Open(memory.Options{})(ctx, deliver)
		l.hangUp = sync.OnceFunc(func() { close(l.stop) })
		return &meshEngine{e, l}, err
	}, config)
	synctest.Wait()
	return n, l
}

// meshEngine is an engine that has a line.
type meshEngine struct {
	engine.Engine
	line *line
}

// Bus implements [engine.Engine].
func (e *meshEngine) Bus() engine.Bus { return e.line }

// Keep implements [engine.Keeper].
func (e *meshEngine) Keep(_ context.Context, _ string, data []byte, _ time.Duration) error {
	m := e.line.mesh
	m.mu.Lock()
	if e.line.cut {
		m.mu.Unlock()
		return errLost
	}
	m.kept = append(m.kept, data)
	all := slices.Clone(m.hear)
	m.mu.Unlock()
	for _, hear := range all {
		hear(data)
	}
	return nil
}

// Kept implements [engine.Keeper].
func (e *meshEngine) Kept(_ context.Context, hear func([]byte)) error {
	m := e.line.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, data := range m.kept {
		hear(data)
	}
	m.hear = append(m.hear, hear)
	return nil
}

// Close implements [engine.Engine].
func (e *meshEngine) Close() error {
	e.line.hangUp()
	e.line.ends.Wait()
	return e.Engine.Close()
}

// Join implements [engine.Bus].
func (l *line) Join(node string, hear func([]byte)) error {
	l.name = node
	l.mesh.mu.Lock()
	l.mesh.lines[node] = l
	l.mesh.mu.Unlock()
	l.ends.Go(func() {
		for {
			select {
			case <-l.ring:
			case <-l.stop:
				return
			}
			for _, data := range l.take() {
				hear(data)
			}
		}
	})
	return nil
}

func (l *line) take() [][]byte {
	l.mesh.mu.Lock()
	defer l.mesh.mu.Unlock()
	all := l.inbox
	l.inbox = nil
	return all
}

// Tell implements [engine.Bus].
func (l *line) Tell(node string, data []byte) error {
	l.mesh.mu.Lock()
	defer l.mesh.mu.Unlock()
	if l.slow {
		l.late = append(l.late, remark{node, data})
		return nil
	}
	l.pass(remark{node, data})
	return nil
}

// pass is called under the mesh's mu.
func (l *line) pass(r remark) {
	for name, other := range l.mesh.lines {
		if other == l || l.cut || other.cut || l.side != other.side || r.to != "" && r.to != name {
			continue
		}
		if l.mesh.loses != nil && l.mesh.loses(noteOf(r.data)) {
			continue
		}
		other.inbox = append(other.inbox, r.data)
		select {
		case other.ring <- struct{}{}:
		default:
		}
	}
}

func noteOf(data []byte) *nodev1.Note {
	note := &nodev1.Note{}
	if err := proto.Unmarshal(data, note); err != nil {
		panic(err) // nodes say nothing else
	}
	return note
}

// IsUp implements [engine.Bus].
func (l *line) IsUp() bool { return true }

// die loses all that the node says and is told from now on.
func (l *line) die() {
	l.mesh.mu.Lock()
	defer l.mesh.mu.Unlock()
	l.cut = true
}

// revive ends that.
func (l *line) revive() {
	l.mesh.mu.Lock()
	defer l.mesh.mu.Unlock()
	l.cut = false
}

// part puts a line on a side.
func (l *line) part(side int) {
	l.mesh.mu.Lock()
	defer l.mesh.mu.Unlock()
	l.side = side
}

// freeze keeps back what the node says, and thaw lets it go.
func (l *line) freeze() {
	l.mesh.mu.Lock()
	defer l.mesh.mu.Unlock()
	l.slow = true
}

func (l *line) thaw() {
	l.mesh.mu.Lock()
	defer l.mesh.mu.Unlock()
	l.slow = false
	for _, r := range l.late {
		l.pass(r)
	}
	l.late = nil
}

const (
	// soon is the time in which nodes tell each other what has changed.
	soon = time.Second
	// beat is how often they say that they are there.
	beat = 3 * time.Second
)
