package service

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	nodev1 "millrace.dev/gen/millrace/node/v1"
)

// How a node knows which others there are, and which of them live: each says every
// [beatInterval] that it is there, and is dead once it has said nothing for a [lease].

// peer is another node, as this one knows it. All is guarded by presence.mu.
type peer struct {
	node    string
	life    int64     // of its share
	number  uint64    // of the change that was applied last
	whole   bool      // all up to that is here
	greeted bool      // it has said hello, and was told all
	heard   time.Time // when it last said something, or that it lives
	reached time.Time // when it last said something to this node
	asked   time.Time // when it was last asked for its share
	bye     bool      // it has said that it goes
	over    bool      // its share was given up
	held    []*nodev1.Changes
	coming  map[string]*parts // of its share, by who says it
}

// peer finds a node. What is newer than what was known of it begins its life anew.
func (p *presence) peer(node string, life int64) *peer {
	x := p.peers[node]
	if x == nil {
		x = &peer{node: node}
		p.peers[node] = x
	}
	if life > x.life {
		*x = peer{node: node, life: life}
	}
	return x
}

// hearHello tells a node that starts what there is: once all, and then that this
// node is there, from which it knows whether it has all.
func (p *presence) hearHello(x *peer, result *news) {
	if x.greeted {
		result.reply(x.node, p.beatNote(false))
		return
	}
	x.whole, x.greeted = true, true // it has nothing yet
	result.replies = append(p.wholeShare(p.node, x.node), p.silentShares(x.node)...)
}

// hearBeat notes that a node is there, and finds out whether something of it was
// missed.
func (p *presence) hearBeat(x *peer, beat *nodev1.Beat, result *news) {
	x.bye = beat.GetBye()
	if !x.whole || beat.GetNumber() > x.number {
		p.ask(x, result)
	}
}

// mayAsk reports whether its share was not asked for just now, and notes that it is.
func (x *peer) mayAsk() bool {
	if time.Since(x.asked) < askEvery {
		return false
	}
	x.asked = time.Now()
	return true
}

// hearOthers learns which nodes there are, from one that knows them: what they have
// is still to come.
func (p *presence) hearOthers(others []*nodev1.Peer) {
	for _, other := range others {
		if other.GetNode() == p.node || p.peers[other.GetNode()] != nil {
			continue
		}
		p.peer(other.GetNode(), other.GetLife()).heard = time.Now().Add(-other.GetSilent().AsDuration())
	}
}

// askForMissing asks all for the shares that have not come.
func (p *presence) askForMissing() (asks []told) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.peers {
		if x.whole || x.over || !x.mayAsk() {
			continue
		}
		asks = append(asks, told{"", p.note(&nodev1.Note{Note: &nodev1.Note_Ask{Ask: &nodev1.Ask{Of: x.node}}})})
	}
	return asks
}

// others are the nodes that this one knows.
func (p *presence) others() (others []*nodev1.Peer) {
	for node, x := range p.peers {
		if !x.over {
			others = append(others, &nodev1.Peer{Node: node, Life: x.life, Silent: durationpb.New(time.Since(x.heard))})
		}
	}
	return others
}

// beginLife begins another life of the own share, after others have given it up,
// and tells it to all.
func (p *presence) beginLife(after int64) []told {
	if after != p.life {
		return nil
	}
	p.life = max(time.Now().UnixNano(), p.life+1)
	p.outbox = nil // it is in the share
	return p.wholeShare(p.node, "")
}

// look gives up the shares of nodes that are dead. The silence of others counts
// only while this node could have heard them. It returns those who
// had not said that they go.
func (p *presence) look(wasDeaf bool) (dead []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for node, x := range p.peers {
		limit := lease + deadLinger
		if x.bye {
			limit = p.linger
		}
		switch silent := now.Sub(x.heard); {
		case wasDeaf:
			x.heard, x.reached = now, now
		case x.over && silent > fenceFor:
			delete(p.peers, node)
		case !x.over && silent > limit:
			if !x.bye {
				dead = append(dead, node)
			}
			*x = peer{node: node, life: x.life, heard: x.heard, over: true}
			p.dropShare(node, nil)
		}
	}
	for session, f := range p.fences {
		if now.Sub(f.since) > fenceFor {
			delete(p.fences, session)
		}
	}
	return dead
}

// misses reports whether a node was not heard when it should have been. Either it is
// dead, or it may miss this one as well.
func (p *presence) misses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.peers {
		if !x.over && !x.bye && time.Since(x.reached) > missedAfter {
			return true
		}
	}
	return false
}

// alive is what is kept to say that this node lives.
func (p *presence) alive() *nodev1.Alive {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &nodev1.Alive{Node: p.node, Life: p.life}
}

// hearAlive takes what another node has kept. What it says else is still missing.
func (p *presence) hearAlive(alive *nodev1.Alive) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.peers[alive.GetNode()]; x != nil && !x.over && alive.GetLife() >= x.life {
		x.heard = time.Now()
	}
}

// hello says that this node has come.
func (p *presence) hello() told {
	p.mu.Lock()
	defer p.mu.Unlock()
	return told{"", p.note(&nodev1.Note{Note: &nodev1.Note_Hello{Hello: &nodev1.Hello{}}})}
}

// beat says that this node is there, or that it goes.
func (p *presence) beat(bye bool) told {
	p.mu.Lock()
	defer p.mu.Unlock()
	return told{"", p.beatNote(bye)}
}

// beatNote is beat, called under mu.
func (p *presence) beatNote(bye bool) *nodev1.Note {
	return p.note(&nodev1.Note{Note: &nodev1.Note_Beat{Beat: &nodev1.Beat{Number: p.number - uint64(len(p.outbox)), Bye: bye}}})
}

// isSettled reports whether all that is known to be said has been heard. Who has
// heard of nobody may not have been heard himself yet.
func (p *presence) isSettled(silent time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.peers) == 0 {
		return silent > settleAlone
	}
	for _, x := range p.peers {
		if !x.whole && !x.over {
			return false
		}
	}
	return true
}

// live are the nodes that answer, as far as is known.
func (p *presence) live() (nodes []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for node, x := range p.peers {
		if !x.over && !x.bye {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// isLive reports whether a node is there, as far as is known.
func (p *presence) isLive(node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.peers[node]
	return x != nil && !x.over && !x.bye && time.Since(x.heard) < lease
}

// isNear reports whether a node has said something to this one just now.
func (p *presence) isNear(node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.peers[node]
	return x != nil && !x.over && !x.bye && time.Since(x.reached) < missedAfter
}
