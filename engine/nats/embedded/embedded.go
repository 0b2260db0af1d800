// Package embedded runs a NATS server in this process, with a file store: what
// makes the engine durable on one machine.
//
//   - The data directory belongs to one process, which holds a lock on it.
//   - What was acknowledged survives the end of the process, however it ends. Of
//     what the machine loses with its power, [Options.Fsync] decides.
//   - When the disk is full, nothing is acknowledged; once there is space, all goes on.
//   - With [Always] nothing is delivered or acknowledged before it is on the disk. What
//     comes meanwhile, whatever its channel, goes there together, in one fsync.
package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"

	"millrace.dev/engine"
	"millrace.dev/engine/nats"
)

// Options configure the server.
type Options struct {
	// Dir is where the data is kept. It is made if it is not there.
	Dir string
	// Fsync is how often what was written is forced to the disk. Default 1 second;
	// [Always] does it before each acknowledgement, and [Never] leaves it to the
	// system.
	Fsync time.Duration
	// Log is for what an operator should know. Default: nothing.
	Log *slog.Logger

	messageBytes int // the largest message that must fit
}

// Values of [Options.Fsync] that are no intervals.
const (
	Always time.Duration = -1
	Never  time.Duration = -2
)

// neverInterval is the longest that the server can be told.
const neverInterval = 10 * 365 * 24 * time.Hour

// startWithin is how long the store may take to be read.
const startWithin = 5 * time.Minute

// ErrLocked says that another process uses the data directory.
var ErrLocked = errors.New("another process uses the data directory")

// Server is a NATS server in this process. No one else can connect to it.
type Server struct {
	nats       atomic.Pointer[server.Server] // another one once it was started again
	options    *server.Options
	log        *slog.Logger
	lock       *os.File
	generation string
	fsync      time.Duration
	stop       chan struct{}
	watching   sync.WaitGroup
}

// Start starts a server on a data directory.
func Start(o Options) (*Server, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock, err := lockFile(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", o.Dir, err)
	}
	s := &Server{
		options: serverOptions(o), log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		lock: lock, fsync: o.Fsync, stop: make(chan struct{}),
	}
	if s.generation, err = beginGeneration(o.Dir, o.Fsync); err == nil {
		err = s.start()
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.watching.Go(s.watchSpace)
	return s, nil
}

func serverOptions(o Options) *server.Options {
	options := &server.Options{
		ServerName: "millrace", DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: o.Dir, DisableJetStreamBanner: true,
		JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore:  1 << 50, // the disk is the limit
		MaxPayload:         int32(max(maxPayload, o.messageBytes+1<<20)),
		SyncInterval:       cmp.Or(o.Fsync, time.Second),
	}
	switch o.Fsync {
	case Always:
		options.SyncInterval = time.Second // of what is rewritten; what is new the engine forces
	case Never:
		options.SyncInterval = neverInterval
	default: // as it says
	}
	return options
}

func (s *Server) start() error {
	nats, err := server.NewServer(s.options.Clone())
	if err != nil {
		return fmt.Errorf("NATS server: %w", err)
	}
	nats.SetLoggerV2(logger{s.log}, false, false, false)
	nats.Start()
	s.nats.Store(nats)
	if !nats.ReadyForConnections(startWithin) || !nats.JetStreamEnabled() {
		s.shutdown()
		return errors.New("the embedded NATS server does not start; its log says why")
	}
	return nil
}

// shutdown stops the server once all that it has is written.
func (s *Server) shutdown() {
	nats := s.nats.Load()
	nats.Shutdown()
	nats.WaitForShutdown()
}

// InProcessConn is a connection to the server, which is how an engine reaches it.
func (s *Server) InProcessConn() (net.Conn, error) { return s.nats.Load().InProcessConn() }

// maxPayload is the largest record: one message of the largest size that the
// configuration allows, or a batch of small ones.
const maxPayload = 8 << 20

// engine is the open function of an engine on the server.
func (s *Server) engine(o nats.Options) engine.Open {
	o.Connection = append(slices.Clone(o.Connection), client.InProcessServer(s))
	o.Generation = s.generation
	if s.fsync == Always {
		o.Force = (&files{dir: s.options.StoreDir, fsync: fsync}).force
	}
	return nats.Open(o)
}

// Open returns the function that starts a server, and an engine that has it for
// itself.
func Open(o Options, on nats.Options) engine.Open {
	return func(ctx context.Context, deliver engine.Deliver) (engine.Engine, error) {
		o.messageBytes = on.MessageBytes
		s, err := Start(o)
		if err != nil {
			return nil, err
		}
		e, err := s.engine(on)(ctx, deliver)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		keeper, _ := e.(engine.Keeper) // it is one
		return &owner{Engine: e, Keeper: keeper, server: s}, nil
	}
}

// owner is an engine that has its server for itself.
type owner struct {
	engine.Engine
	engine.Keeper
	server  *Server
	closing sync.Once
	err     error
}

// Bus implements [engine.Engine]: no other node can be on the server.
func (o *owner) Bus() engine.Bus { return nil }

// Close closes the engine, then the server.
func (o *owner) Close() error {
	o.closing.Do(func() { o.err = errors.Join(o.Engine.Close(), o.server.Close()) })
	return o.err
}

// Close stops the server, once all that it has is written. The engines on it are
// closed before.
func (s *Server) Close() error {
	close(s.stop)
	s.watching.Wait()
	s.shutdown()
	return errors.Join(endGeneration(s.lock), s.lock.Close())
}

// lockFile opens a file and locks it until it is closed.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// logger gives the log lines of the server to slog.
type logger struct{ log *slog.Logger }

// Noticef implements [server.Logger].
func (l logger) Noticef(format string, v ...any) { l.log.Debug("NATS: " + fmt.Sprintf(format, v...)) }

// Warnf implements [server.Logger].
func (l logger) Warnf(format string, v ...any) { l.log.Warn("NATS: " + fmt.Sprintf(format, v...)) }

// Fatalf implements [server.Logger].
func (l logger) Fatalf(format string, v ...any) { l.Errorf(format, v...) }

// Errorf implements [server.Logger].
func (l logger) Errorf(format string, v ...any) { l.log.Error("NATS: " + fmt.Sprintf(format, v...)) }

// Debugf implements [server.Logger].
func (l logger) Debugf(string, ...any) {}

// Tracef implements [server.Logger].
func (l logger) Tracef(string, ...any) {}
