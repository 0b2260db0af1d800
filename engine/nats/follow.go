package nats

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	client "github.com/nats-io/nats.go"

	"millrace.dev/engine"
)

// progress is how far this node has followed the stream.
type progress struct {
	mu      sync.Mutex
	at      uint64
	changed chan struct{} // closed at the next change; nil while nobody waits
}

func (p *progress) load() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

func (p *progress) reach(sequence uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = sequence
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// wait returns when the node has got to the sequence.
func (p *progress) wait(ctx context.Context, stop <-chan struct{}, sequence uint64) error {
	for {
		p.mu.Lock()
		if p.at >= sequence {
			p.mu.Unlock()
			return nil
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-stop:
			return engine.ErrClosed
		}
	}
}

// The tail is what the stream sends of each record that it takes. It may lose
// records; but their sequences are contiguous, so that shows.
const (
	tailBuffer = 1 << 16
	// silence after which the stream is asked whether there is more.
	silence = time.Second
	// strayAfter is how long the stream may not answer before this node tries
	// another server. A new leader is there sooner, as a rule.
	strayAfter = 6 * time.Second
)

// follow applies the stream's records in their order until the engine is closed.
func (e *nats) follow() {
	ticker := time.NewTicker(silence)
	defer ticker.Stop()
	heard, answered := true, time.Now()
	for {
		select {
		case <-e.stop:
			return
		case m := <-e.tail:
			heard = true
			if !e.receiveAll(m) {
				return
			}
		case sequence := <-e.nudges:
			e.repair(sequence)
		case <-e.reconnected:
			e.look()
		case now := <-ticker.C:
			switch {
			case heard || e.look():
				answered = now
			case now.Sub(answered) > strayAfter:
				e.stray()
				answered = now
			}
			heard = false
		}
	}
}

// nudge has a record read from the stream that is there and has not come.
func (e *nats) nudge(sequence uint64) {
	select {
	case e.nudges <- sequence:
	default: // the next one will do
	}
}

// receiveAll takes a message of the tail, and those that have come after it. It
// returns false if the disk does not take them: then this node acknowledges nothing
// any more, since what was written before may be lost as well.
func (e *nats) receiveAll(m *client.Msg) bool {
	waiting := len(e.tail)
	if !e.forceAll() {
		return false
	}
	e.receive(m)
	for range waiting {
		e.receive(<-e.tail)
	}
	return true
}

func (e *nats) forceAll() bool {
	err := e.options.Force()
	if err != nil {
		e.log.Error("NATS: the disk does not keep what was written; nothing is acknowledged until the server is started again", "error", err)
	}
	return err == nil
}

// receive takes a message of the tail, or a broadcast.
func (e *nats) receive(m *client.Msg) {
	if channel, isCast := strings.CutPrefix(m.Subject, e.options.Prefix+castSpace); isCast {
		if !e.isEcho(m) {
			e.receiveCast(channel, m.Data)
		}
		return
	}
	one, err := fromHeader(m)
	if err != nil {
		e.log.Error("read a record", "error", err)
		return
	}
	at := e.progress.load()
	if one.sequence <= at {
		return
	}
	if one.sequence > at+1 && !e.repair(one.sequence-1) {
		return // the engine is closing
	}
	e.apply(one)
}

// look asks the stream whether there is more than came. It returns false if the
// stream does not answer; it is asked again.
func (e *nats) look() bool {
	now, err := e.stream.info(e.alive)
	if err != nil {
		return false
	}
	if now.State.LastSequence > e.progress.load() {
		e.repair(now.State.LastSequence)
	}
	return true
}

// stray goes to another server, if there is one: that of this node may be cut off
// from the stream's leader, and is then itself of no use.
func (e *nats) stray() {
	if len(e.conn.Servers()) < 2 || !e.conn.IsConnected() {
		return
	}
	e.log.Warn("NATS: the stream does not answer; trying another server", "server", e.conn.ConnectedUrlRedacted())
	if err := e.conn.ForceReconnect(); err != nil {
		e.log.Warn("NATS: leave a server", "error", err)
	}
}

// repair reads what is missing up to a sequence, and no further: what comes after
// it waits in the tail. It returns false if the engine is closed before that.
func (e *nats) repair(to uint64) bool {
	if !e.forceAll() {
		return false
	}
	for wait := minBackoff; e.progress.load() < to; {
		before := e.progress.load()
		err := e.readOn(to)
		if err == nil && e.progress.load() > before {
			wait = minBackoff
			continue
		}
		if err != nil {
			e.log.Warn("read what was missed", "after", before, "to", to, "error", err)
		}
		select {
		case <-e.stop:
			return false
		case <-time.After(wait):
		}
		wait = min(2*wait, maxBackoff)
	}
	return true
}

// readOn applies what the stream has after the place of this node. A sequence
// that nobody has was deleted, if the leader has got so far.
func (e *nats) readOn(to uint64) error {
	all := e.options.Prefix + streamSpace + ">"
	batch, _, err := e.stream.read(e.alive, all, e.progress.load()+1)
	if err != nil {
		return err
	}
	for _, one := range batch {
		if one.sequence != e.progress.load()+1 || one.sequence > to {
			break
		}
		e.apply(one)
	}
	at := e.progress.load()
	if at >= to {
		return nil
	}
	now, err := e.stream.info(e.alive)
	if err != nil || now.State.LastSequence < to {
		return err
	}
	one, err := e.stream.get(e.alive, getRequest{Sequence: at + 1, NextOf: all})
	switch {
	case err != nil:
		return err
	case one == nil || one.sequence > to:
		e.progress.reach(to)
	default:
		e.apply(one)
	}
	return nil
}

// record reads what the stream keeps.
func (e *nats) record(one *stored) (*record, error) {
	channel, ok := decode(strings.TrimPrefix(one.subject, e.options.Prefix+logSpace))
	if !ok {
		return nil, fmt.Errorf("%w: %d has the subject %s", errCorrupt, one.sequence, one.subject)
	}
	rec, err := decodeRecord(one.data)
	if err != nil {
		return nil, fmt.Errorf("%w: %d: %w", errCorrupt, one.sequence, err)
	}
	rec.channel, rec.sequence, rec.time = channel, one.sequence, one.time
	rec.place(e.epochs())
	return rec, nil
}

// apply delivers the next record of the stream.
func (e *nats) apply(one *stored) {
	defer e.progress.reach(one.sequence)
	if one.subject == e.options.Prefix+tickSubject || e.hearKept(one) {
		return
	}
	rec, err := e.record(one)
	if err != nil {
		e.log.Error("pass over a record", "error", err)
		return
	}
	s := e.shard(rec.channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.isClosed() {
		return
	}
	e.newest.Store(rec.sequence)
	s.newest[rec.channel] = place{rec.sequence, rec.time}
	e.replicate(s, rec)
	for _, m := range rec.messages {
		m.Settled, e.settled = e.settled, m.Sequence
		e.deliver(m)
	}
	if l := s.lanes[rec.channel]; l != nil {
		l.complete(rec)
	}
}

// replicate applies a record to this node's replica, if there is one. Called
// under the shard's lock.
func (e *nats) replicate(s *shard, rec *record) {
	r := s.replicas[rec.channel]
	switch {
	case r == nil:
	case !r.isReady():
		r.early = append(r.early, rec.clone())
	case r.at == 0 && rec.previous == 0 && r.epoch != rec.epoch:
		r.reset(e.epochs(), rec, e.limits) // another node began the channel at another time
		r.apply(rec)
	case !r.apply(rec):
		delete(s.replicas, rec.channel) // it is read anew when it is needed
	default:
		e.trim(s, r, rec)
	}
}

// trim has records deleted that nobody needs any more. The node that wrote the
// last one does it.
func (e *nats) trim(s *shard, r *replica, rec *record) {
	needed := r.trim(e.options.DedupWindow)
	l := s.lanes[rec.channel]
	if needed == 0 || l == nil || l.flight == nil || l.flight.record.token != rec.token {
		return
	}
	select {
	case e.purges <- purge{e.subject(rec.channel), needed}:
	default: // they go with the next ones
	}
}

// receiveCast delivers what another node has broadcast.
func (e *nats) receiveCast(subject string, data []byte) {
	channel, ok := decode(subject)
	m, err := decodeMessage(data)
	if !ok || err != nil {
		e.log.Error("read a broadcast", "subject", subject, "error", err)
		return
	}
	m.Channel = channel
	s := e.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.deliver(m)
}
