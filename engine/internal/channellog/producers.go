package channellog

import (
	"time"

	"millrace.dev/engine"
)

// producer is what is remembered of a publisher that numbers its messages: the
// last number, and where it went. It is one entry however many were sent.
type producer struct {
	epoch, seq uint64
	position   engine.Position
	time       time.Time
}

// checkProducer decides whether m is the next of its producer. It returns found
// for a message that was appended before.
func (l *Log) checkProducer(m *engine.Message) (receipt engine.Receipt, found bool, err error) {
	p := m.Producer
	if p == nil {
		return engine.Receipt{}, false, nil
	}
	last, known := l.producers[p.ID]
	switch {
	case !known:
		return engine.Receipt{}, false, nil
	case p.Epoch < last.epoch:
		return engine.Receipt{Expected: last.epoch}, true, engine.ErrProducerFenced
	case p.Epoch > last.epoch && p.Seq != 1:
		return engine.Receipt{Expected: 1}, true, engine.ErrSequenceMismatch
	case p.Epoch > last.epoch || p.Seq == last.seq+1:
		return engine.Receipt{}, false, nil
	case p.Seq == last.seq:
		return engine.Receipt{Position: last.position, Duplicate: true}, true, nil
	case p.Seq < last.seq:
		return engine.Receipt{Duplicate: true}, true, nil
	}
	return engine.Receipt{Expected: last.seq + 1}, true, engine.ErrSequenceMismatch
}

// rememberProducer keeps the number of the message just appended. A channel that
// has too many producers forgets one that has been silent.
func (l *Log) rememberProducer(m *engine.Message, now time.Time) {
	if m.Producer == nil {
		return
	}
	if l.producers == nil {
		l.producers, l.silent = map[string]producer{}, now
	}
	if _, known := l.producers[m.Producer.ID]; !known && len(l.producers) >= l.limits.DedupIDs {
		l.forgetSilentProducer()
	}
	l.producers[m.Producer.ID] = producer{
		epoch: m.Producer.Epoch, seq: m.Producer.Seq, position: m.Position, time: now,
	}
}

// forgetSilentProducer forgets the one of a few that was silent longest. Looking
// at all of them would let a publisher that is another one each time hold up the
// channel.
func (l *Log) forgetSilentProducer() {
	var silent string
	looked := 0
	for id, p := range l.producers {
		if looked == 0 || p.time.Before(l.producers[silent].time) {
			silent = id
		}
		looked++
		if looked == 16 {
			break
		}
	}
	delete(l.producers, silent)
}

// forgetProducers drops those that have been silent for longer than state is
// kept.
func (l *Log) forgetProducers(now time.Time) {
	silent := now
	for id, p := range l.producers {
		switch {
		case now.Sub(p.time) >= l.limits.StateTTL:
			delete(l.producers, id)
		case p.time.Before(silent):
			silent = p.time
		}
	}
	l.silent = silent
	if len(l.producers) == 0 {
		l.producers = nil
	}
}
