package service

import (
	"context"

	"millrace.dev/engine"
)

// presenceFeed shows who is present: a snapshot, then the changes after it. When
// it falls behind it shows a new snapshot.
type presenceFeed struct {
	presence *presence
	sub      *subscription
	name     string
	number   uint64 // of the version shown last; owned by the session's reader
}

func (p *presence) watch(sub *subscription, name string) {
	f := &presenceFeed{presence: p, sub: sub, name: name}
	sub.feed = f
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(name).topic.add(sub)
}

// accept implements [feed]: changes that the snapshot has already are dropped.
func (f *presenceFeed) accept(frame *Frame, b *batch) bool {
	number := max(frame.Notice.GetPresenceChanges().GetVersion().GetNumber(), frame.Notice.GetPresenceSnapshot().GetVersion().GetNumber())
	if number > f.number {
		f.number = number
		b.add(frame)
	}
	return true
}

// catchUp implements [feed]: it goes live before it reads the snapshot.
func (f *presenceFeed) catchUp(_ context.Context, b *batch) (bool, error) {
	f.sub.goLive(always)
	f.presence.mu.Lock()
	snapshot := f.presence.set(f.name).snapshot()
	f.presence.mu.Unlock()
	f.number = snapshot.GetVersion().GetNumber()
	b.add(snapshotFrame(snapshot))
	return true, nil
}

func (f *presenceFeed) leave() {
	f.presence.mu.Lock()
	defer f.presence.mu.Unlock()
	f.sub.topic.remove(f.sub)
	if set := f.presence.sets[f.name]; set != nil {
		f.presence.release(set)
	}
}

// place implements [feed]: presence has versions, not positions.
func (f *presenceFeed) place() engine.Position { return engine.Position{} }

// checkpoints implements [feed]: presence has versions, not positions.
func (f *presenceFeed) checkpoints(*batch) {}
