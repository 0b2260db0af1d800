package service

import (
	"context"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	millracev1 "millrace.dev/gen/millrace/v1"
)

const (
	sampleInterval = time.Second
	keptSamples    = 600 // ten minutes
)

// counts are what a sample is made of: they only rise. Each writer has its own,
// so that counting costs none of them the others' cache lines.
type counts struct{ published, delivered, bytes atomic.Uint64 }

// count adds a batch that was sent.
func (c *counts) count(b *batch) {
	messages := uint64(0)
	for _, f := range b.frames {
		if f.Message != nil {
			messages++
		}
	}
	c.delivered.Add(messages)
	c.bytes.Add(uint64(b.bytes))
}

// counts are where a session counts what it was sent.
func (s *Session) counts() *counts { return &s.writer.counts }

// totals are the counts of a moment.
type totals struct {
	at                          time.Time
	published, delivered, bytes uint64
}

func (s *Service) totals(now time.Time) totals {
	t := totals{at: now}
	for _, w := range s.writers {
		t.add(&w.counts)
	}
	t.add(&s.counts)
	return t
}

func (t *totals) add(c *counts) {
	t.published += c.published.Load()
	t.delivered += c.delivered.Load()
	t.bytes += c.bytes.Load()
}

// recorder keeps the samples of the last minutes.
type recorder struct {
	mu      sync.Mutex
	samples []*millracev1.Sample // newest last; never modified
	taken   uint64               // how many there ever were
	changed chan struct{}        // closed with the next one; nil once there is none
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{})} }

func (r *recorder) add(sample *millracev1.Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		return
	}
	r.samples = append(r.samples[max(len(r.samples)+1-keptSamples, 0):], sample)
	r.taken++
	close(r.changed)
	r.changed = make(chan struct{})
}

// after are the samples that are kept of those after the first so many, how many
// there were, and a channel that is closed when there are more; nil if there will
// be none.
func (r *recorder) after(seen uint64) (samples []*millracev1.Sample, taken uint64, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(r.taken-seen, uint64(len(r.samples)))
	return r.samples[uint64(len(r.samples))-n:], r.taken, r.changed
}

// close ends all watching.
func (r *recorder) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// record takes a sample each second until ctx ends.
func (s *Service) record(ctx context.Context) {
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	before := s.totals(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := s.totals(time.Now())
			s.recorder.add(s.sample(before, now))
			before = now
		}
	}
}

// sample says what happened between two moments, and how it is at the second.
func (s *Service) sample(before, now totals) *millracev1.Sample {
	elapsed := max(now.at.Sub(before.at).Seconds(), 1e-3)
	rate := func(before, now uint64) float64 { return float64(now-before) / elapsed }
	return &millracev1.Sample{
		Time:              timestamppb.New(now.at),
		PublishedRate:     rate(before.published, now.published),
		DeliveredRate:     rate(before.delivered, now.delivered),
		DeliveredByteRate: rate(before.bytes, now.bytes),
		Sessions:          s.sessionsByWire(),
		SlowSessions:      s.slow.Load(),
		Channels:          uint32(s.hub.size()),
		MemoryBytes:       memoryInUse(),
	}
}

func (s *Service) sessionsByWire() map[string]uint32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	wires := make(map[string]uint32, len(s.tally.wires))
	for wire, n := range s.tally.wires {
		wires[wire] = uint32(n)
	}
	return wires
}

// memoryInUse is what the process has of the system and has not given back.
func memoryInUse() uint64 {
	values := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(values)
	return values[0].Value.Uint64() - values[1].Value.Uint64()
}
