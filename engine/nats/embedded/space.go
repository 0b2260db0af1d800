package embedded

import (
	"math"
	"strings"
	"syscall"
	"time"
)

const (
	// lookForSpace is how often a store that was given up is looked at.
	lookForSpace = time.Second
	// enoughSpace is how much of the disk is free before the store is opened again:
	// room for some records of the largest size.
	enoughSpace = 2 * maxPayload
)

// watchSpace starts the NATS server again that has given up its store because the disk
// was full, once there is space: it opens the store only then. The engine connects
// again by itself.
func (s *Server) watchSpace() {
	ticker := time.NewTicker(lookForSpace)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		if !s.isGivenUp() || freeBytes(s.options.StoreDir) < enoughSpace {
			continue
		}
		s.shutdown()
		if err := s.start(); err != nil {
			s.log.Error("the store cannot be opened again that was given up when the disk was full", "error", err)
			continue
		}
		s.log.Warn("the disk has space again, and the store is open")
	}
}

// isGivenUp reports whether the server writes no more for want of space. Other
// errors of the disk are left to whoever starts the process again.
func (s *Server) isGivenUp() bool {
	nats := s.nats.Load()
	return !nats.JetStreamEnabled() || strings.Contains(nats.Healthz(nil).Error, syscall.ENOSPC.Error())
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
