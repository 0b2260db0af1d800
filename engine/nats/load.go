package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace.dev/engine"
)

// replica returns this node's copy of a channel, and reads it from the stream if
// there is none. What it returns is ready; it is used under the shard's lock.
func (e *nats) replica(ctx context.Context, channel string) (*replica, error) {
	s := e.shard(channel)
	for {
		s.mu.Lock()
		if e.isClosed() {
			s.mu.Unlock()
			return nil, engine.ErrClosed
		}
		r := s.replicas[channel]
		if r == nil {
			r = newReplica()
			s.replicas[channel] = r
			e.running.Go(func() { e.load(s, channel, r) })
		}
		r.used = time.Now()
		s.mu.Unlock()
		select {
		case <-r.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-e.stop:
			return nil, engine.ErrClosed
		}
		if r.err != nil {
			return nil, r.err
		}
		s.mu.Lock()
		current := s.replicas[channel] == r
		s.mu.Unlock()
		if current {
			return r, nil
		}
	}
}

// load reads a replica from the stream. Nodes ask again where answers do not fit
// together: the leader may be changing, or another replica of the stream behind.
// Where an answer does not come, what was read before it stays: a long channel is
// read from a slow server as well, for as long as there is more of it each time.
func (e *nats) load(s *shard, channel string, r *replica) {
	fresh := e.emptyReplica()
	deadline := time.Now().Add(e.options.AppendTimeout)
	for wait := minBackoff; ; wait = min(2*wait, maxBackoff) {
		before := fresh.at
		err := e.tryLoad(s, channel, r, fresh)
		if err == nil {
			return
		}
		if fresh.at > before && errors.Is(err, errNoAnswer) {
			deadline, wait = time.Now().Add(e.options.AppendTimeout), minBackoff
		}
		if time.Now().After(deadline) || e.isClosed() || errors.Is(err, errCorrupt) {
			e.abandon(s, channel, r, err)
			return
		}
		if !errors.Is(err, errNoAnswer) {
			fresh = e.emptyReplica()
		}
		select {
		case <-time.After(wait):
		case <-e.stop:
		}
	}
}

var (
	errCorrupt  = errors.New("a record cannot be read")
	errNoAnswer = errors.New("the stream did not answer")
)

func (e *nats) emptyReplica() *replica {
	r := newReplica()
	r.resetEmpty(e.epochs(), e.epochNow(), e.limits)
	return r
}

// abandon gives up a replica.
func (e *nats) abandon(s *shard, channel string, r *replica, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replicas[channel] == r {
		delete(s.replicas, channel)
	}
	r.err = fmt.Errorf("read the channel: %w", err)
	if e.isClosed() {
		r.err = engine.ErrClosed
	}
	close(r.ready)
}

// tryLoad reads on from where fresh is.
func (e *nats) tryLoad(s *shard, channel string, r, fresh *replica) error {
	subject := e.subject(channel)
	last, err := e.stream.get(e.alive, getRequest{LastOf: subject})
	if err != nil {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	var head uint64
	if last != nil {
		head = last.sequence
	}
	s.mu.Lock()
	known := s.newest[channel]
	s.mu.Unlock()
	if known.sequence > head && e.now().Sub(known.time) < e.options.StateTTL {
		return unavailable("read the channel", fmt.Errorf("the leader knows of record %d, and %d was delivered", head, known.sequence))
	}
	if head < fresh.at {
		return unavailable("read the channel", fmt.Errorf("the leader knows of record %d, and %d was read", head, fresh.at))
	}
	if head > 0 {
		if err := e.readChannel(subject, fresh, head); err != nil {
			return err
		}
	}
	if err := e.progress.wait(e.alive, e.stop, head); err != nil {
		return err
	}
	return e.finish(s, channel, r, fresh)
}

// finish makes the replica what was read, and what came meanwhile.
func (e *nats) finish(s *shard, channel string, r, fresh *replica) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	early := r.early
	r.early = nil
	if fresh.at == 0 && len(early) > 0 && early[0].previous == 0 {
		fresh.reset(e.epochs(), early[0], e.limits)
	}
	for _, rec := range early {
		if !fresh.apply(rec) {
			return unavailable("read the channel", fmt.Errorf("record %d follows %d, and the last is %d", rec.sequence, rec.previous, fresh.at))
		}
	}
	if s.replicas[channel] != r {
		delete(s.replicas, channel)
	}
	r.Log, r.epoch, r.at, r.kept = fresh.Log, fresh.epoch, fresh.at, fresh.kept
	close(r.ready)
	return nil
}

// readChannel applies the records of a channel from where the replica is up to the
// head. Any replica of the stream may answer: what it leaves out is had from the
// leader.
func (e *nats) readChannel(subject string, r *replica, head uint64) error {
	from := r.at + 1
	for more := true; more && r.at < head; {
		var batch []*stored
		var err error
		batch, more, err = e.stream.read(e.alive, subject, from)
		if err != nil {
			return fmt.Errorf("%w: %w", errNoAnswer, err)
		}
		for _, one := range batch {
			if err := e.applyStored(subject, r, one); err != nil {
				return err
			}
			from = one.sequence + 1
		}
		more = more && len(batch) > 0
	}
	return e.fill(subject, r, head)
}

// applyStored applies one record. If it does not follow on what was read, what is
// between comes from the leader; if that has nothing there, it was deleted, and
// the channel begins with this record.
func (e *nats) applyStored(subject string, r *replica, one *stored) error {
	rec, err := e.record(one)
	if err != nil {
		return err
	}
	if rec.previous > r.at && r.at > 0 {
		if err := e.fill(subject, r, rec.previous); err != nil {
			return err
		}
	}
	if rec.previous != r.at && rec.sequence > r.at || r.at == 0 {
		r.reset(e.epochs(), rec, e.limits)
	}
	if !r.apply(rec) {
		return unavailable("read the channel", fmt.Errorf("record %d does not follow %d", rec.sequence, r.at))
	}
	return nil
}

// fill applies what the leader has after the replica, up to a sequence.
func (e *nats) fill(subject string, r *replica, to uint64) error {
	for r.at < to {
		one, err := e.stream.get(e.alive, getRequest{Sequence: r.at + 1, NextOf: subject})
		if err != nil {
			return fmt.Errorf("%w: %w", errNoAnswer, err)
		}
		if one == nil || one.sequence > to {
			return nil
		}
		rec, err := e.record(one)
		if err != nil {
			return err
		}
		if rec.previous != r.at {
			r.reset(e.epochs(), rec, e.limits)
		}
		r.apply(rec)
	}
	return nil
}

// refresh waits until this node knows what the leader knows of a channel.
func (e *nats) refresh(ctx context.Context, channel string) error {
	last, err := e.stream.get(ctx, getRequest{LastOf: e.subject(channel)})
	if err != nil {
		return err
	}
	if last == nil { // it had none, or all have expired
		s := e.shard(channel)
		s.mu.Lock()
		defer s.mu.Unlock()
		if r := s.replicas[channel]; r != nil && r.isReady() && r.at > 0 {
			delete(s.replicas, channel)
		}
		return nil
	}
	return e.progress.wait(ctx, e.stop, last.sequence)
}
