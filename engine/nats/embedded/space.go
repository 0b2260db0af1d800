package embedded

import (
	"cmp"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// lookForSpace is how often a store that was given up is looked at.
	lookForSpace = time.Second
	// enoughSpace is how much of the disk is free before the store is opened again:
	// room for some records of the largest size.
	enoughSpace = 2 * maxPayload
)

// space opens the store again that the server has given up because its disk was full,
// once there is space. The server does so only when it is started again.
type space struct {
	server  *server.Server
	options *server.Options
	log     *slog.Logger
	stop    chan struct{}
	running sync.WaitGroup
}

func watchSpace(s *server.Server, o *server.Options, log *slog.Logger) *space {
	w := &space{server: s, options: o, log: cmp.Or(log, slog.New(slog.DiscardHandler)), stop: make(chan struct{})}
	w.running.Go(w.run)
	return w
}

func (w *space) run() {
	ticker := time.NewTicker(lookForSpace)
	defer ticker.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-ticker.C:
		}
		if !w.isGivenUp() || freeBytes(w.options.StoreDir) < enoughSpace {
			continue
		}
		if err := w.reopen(); err != nil {
			w.log.Error("the store cannot be opened again that was given up when the disk was full", "error", err)
			continue
		}
		w.log.Warn("the disk has space again, and the store is open")
	}
}

// isGivenUp reports whether the server writes no more for want of space. Other
// errors of the disk are left to whoever starts the server again.
func (w *space) isGivenUp() bool {
	return !w.server.JetStreamEnabled() || strings.Contains(w.server.Healthz(nil).Error, syscall.ENOSPC.Error())
}

func (w *space) reopen() error {
	if err := w.server.ShutdownJetStream(); err != nil {
		return err
	}
	if w.server.JetStreamConfig() != nil {
		return errors.New("the server is still closing it")
	}
	return w.server.EnableJetStream(&server.JetStreamConfig{
		StoreDir: w.options.StoreDir, SyncInterval: w.options.SyncInterval,
		MaxMemory: w.options.JetStreamMaxMemory, MaxStore: w.options.JetStreamMaxStore,
		Strict: !w.options.NoJetStreamStrict,
	})
}

func (w *space) close() {
	close(w.stop)
	w.running.Wait()
}

// freeBytes is how much of the disk below a directory can be written; more than any
// disk has if the system does not say.
func freeBytes(dir string) uint64 {
	var about syscall.Statfs_t
	if err := syscall.Statfs(dir, &about); err != nil {
		return math.MaxUint64
	}
	return about.Bavail * uint64(about.Bsize) //nolint:gosec // a size is not negative
}
