package service

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	nodev1 "millrace.dev/gen/millrace/node/v1"
)

// Presence of several nodes. Each node owns the entries of its sessions, numbers
// their changes and tells them to the others, which have a copy:
//
//   - A change is applied if it is the next one. If one is missing, the owner is
//     asked for all it has, and what came meanwhile follows on that.
//   - A node that says nothing for a lease is dead. Its entries stay a while, for
//     those who come back elsewhere, then they leave. The share then is over: what
//     its owner says later of it is refused, until it begins another one.
//   - A session that comes to another node takes its entries along, with a higher
//     claim. Whatever is said of it with a lower one is refused.
const (
	beatInterval = 3 * time.Second
	lease        = 10 * time.Second
	// deadLinger is how long the entries of a dead node stay: those who come back
	// within 12 s of its death have not left, and ghosts are gone within 17 s.
	deadLinger = 5 * time.Second
	// flushInterval is how long changes wait for others to go with.
	flushInterval = 10 * time.Millisecond
	// pause is a time without a tick after which this node was not running.
	pause = 2 * time.Second
	// fenceFor is how long it is remembered what was given up or taken over.
	fenceFor     = time.Hour
	shareEntries = 1000 // in one note
)

// share is the entries of one node: by session and channel, the member that each
// belongs to.
type share map[string]map[string]string

func (s share) put(channel string, who entrant) {
	if s[who.session] == nil {
		s[who.session] = map[string]string{}
	}
	s[who.session][channel] = who.member
}

func (s share) remove(channel, session string) {
	delete(s[session], channel)
	if len(s[session]) == 0 {
		delete(s, session)
	}
}

// fence is the claim that a session has at least.
type fence struct {
	claim uint64
	since time.Time
}

// peer is another node, as this one knows it. All is guarded by presence.mu.
type peer struct {
	node   string
	life   int64     // of its share
	number uint64    // of the change that was applied last
	whole  bool      // all up to that is here
	heard  time.Time // when it last said something
	asked  time.Time // when it was last asked for its share
	bye    bool      // it has said that it goes
	over   bool      // its share was given up
	held   []*nodev1.Changes
	parts  []*nodev1.Entry // of a share that is coming
}

// told is something to say to a node, or to all.
type told struct {
	to   string
	note *nodev1.Note
}

// news is what comes of what was heard.
type news struct {
	replies    []told
	superseded []string // own sessions that another node has taken over
}

func (n *news) reply(to string, note *nodev1.Note) { n.replies = append(n.replies, told{to, note}) }

// record notes a change of the own share, to be told to others if there are such.
// Called under mu, while the entry is there.
func (p *presence) record(set *presenceSet, who entrant, left bool) {
	p.number++
	if len(p.peers) == 0 && len(p.outbox) == 0 {
		return
	}
	e := p.toEntry(set, who.member, who.session)
	e.Left = left
	p.outbox = append(p.outbox, e)
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// toEntry is an entry as other nodes are told it. Called under mu.
func (p *presence) toEntry(set *presenceSet, user, session string) *nodev1.Entry {
	m := set.members[user]
	e := m.sessions[session]
	return &nodev1.Entry{
		Channel: set.name, Member: user, Session: session, Claim: e.claim, Data: e.data, Order: e.order,
		EnterTime: timestamppb.New(m.entered), TokenDigest: e.digest,
	}
}

// flush takes the changes that are to be told, in parts. Called by one goroutine.
func (p *presence) flush() (changes []told) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.number - uint64(len(p.outbox)) + 1
	for part := range slices.Chunk(p.outbox, shareEntries) {
		changes = append(changes, told{"", p.note(&nodev1.Note{Note: &nodev1.Note_Changes{Changes: &nodev1.Changes{First: first, Entries: part}}})})
		first += uint64(len(part))
	}
	p.outbox = nil
	return changes
}

// note is said by this node. Called under mu.
func (p *presence) note(n *nodev1.Note) *nodev1.Note {
	n.From, n.Life = p.node, p.life
	return n
}

// hear takes what another node says of its presence.
func (p *presence) hear(n *nodev1.Note) (result news) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return result
	}
	if s := n.GetShare(); s.GetOf() != "" {
		p.hearOf(s, &result)
		return result
	}
	x := p.peer(n.GetFrom(), n.GetLife())
	if x.life > n.GetLife() || x.over {
		result.reply(x.node, p.note(&nodev1.Note{Note: &nodev1.Note_Fenced{Fenced: &nodev1.Fenced{Life: n.GetLife()}}}))
		return result
	}
	x.heard = time.Now()
	switch what := n.GetNote().(type) {
	case *nodev1.Note_Hello:
		x.whole = true // it has nothing yet
		result.replies = append(p.wholeShare(p.node, x.node), p.silentShares(x.node)...)
	case *nodev1.Note_Beat:
		p.hearBeat(x, what.Beat, &result)
	case *nodev1.Note_Changes:
		p.hearChanges(x, what.Changes, &result)
	case *nodev1.Note_Ask:
		result.replies = p.wholeShare(p.node, x.node)
	case *nodev1.Note_Share:
		p.hearShare(x, what.Share, &result)
	case *nodev1.Note_Fenced:
		result.replies = p.beginLife(what.Fenced.GetLife())
	}
	return result
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

// hearBeat notes that a node is there, and finds out whether something of it was
// missed.
func (p *presence) hearBeat(x *peer, beat *nodev1.Beat, result *news) {
	x.bye = beat.GetBye()
	if !x.bye && (!x.whole || beat.GetNumber() > x.number) {
		p.ask(x, result)
	}
}

// ask has a node say all it has; one that was asked just now has not forgotten.
func (p *presence) ask(x *peer, result *news) {
	if time.Since(x.asked) < time.Second && !x.asked.IsZero() {
		return
	}
	x.asked, x.parts = time.Now(), nil
	result.reply(x.node, p.note(&nodev1.Note{Note: &nodev1.Note_Ask{Ask: &nodev1.Ask{}}}))
}

func (p *presence) hearChanges(x *peer, changes *nodev1.Changes, result *news) {
	if !x.whole || changes.GetFirst() > x.number+1 {
		x.held = append(x.held, changes)
		p.ask(x, result)
		return
	}
	for i, e := range changes.GetEntries() {
		if number := changes.GetFirst() + uint64(i); number == x.number+1 {
			x.number = number
			p.apply(x.node, e, result)
		}
	}
}

// hearShare takes a part of a share. With the last one the copy is what it says.
func (p *presence) hearShare(x *peer, s *nodev1.Share, result *news) {
	x.parts = append(x.parts, s.GetEntries()...)
	if s.GetMore() {
		return
	}
	parts := x.parts
	x.parts = nil
	if x.whole && s.GetNumber() < x.number {
		return // what came meanwhile is newer
	}
	stays := share{}
	for _, e := range parts {
		stays.put(e.GetChannel(), entrant{session: e.GetSession(), member: e.GetMember()})
		p.apply(x.node, e, result)
	}
	p.dropShare(x.node, stays)
	x.whole, x.number, x.asked = true, s.GetNumber(), time.Time{}
	held := x.held
	x.held = nil
	for _, changes := range held {
		if changes.GetFirst()+uint64(len(changes.GetEntries())) > x.number+1 {
			p.hearChanges(x, changes, result)
		}
	}
}

// hearOf takes, from another node, the share of one that says nothing itself.
func (p *presence) hearOf(s *nodev1.Share, result *news) {
	x := p.peer(s.GetOf(), s.GetLife())
	if s.GetOf() == p.node || x.over || x.life > s.GetLife() || x.whole && x.number >= s.GetNumber() {
		return
	}
	if x.heard.IsZero() {
		x.heard = time.Now().Add(-s.GetSilent().AsDuration())
	}
	x.bye = s.GetBye()
	p.hearShare(x, s, result)
}

// apply takes one entry of another node.
func (p *presence) apply(node string, e *nodev1.Entry, result *news) {
	who := entrant{member: e.GetMember(), session: e.GetSession(), claim: e.GetClaim(), digest: e.GetTokenDigest()}
	set := p.set(e.GetChannel())
	defer p.release(set)
	var now entry
	var found bool
	if m := set.members[who.member]; m != nil {
		now, found = m.sessions[who.session]
	}
	switch {
	case e.GetLeft():
		if found && now.node == node {
			p.remove(set, who.member, who.session)
			p.schedule(set)
		}
		return
	case p.fences[who.session].claim > who.claim:
		return
	case found && now.node != node && (now.claim > who.claim || now.claim == who.claim && now.node > node):
		return
	case found && now.node == p.node:
		result.superseded = append(result.superseded, who.session)
	}
	if who.claim > 0 {
		p.fences[who.session] = fence{who.claim, time.Now()}
	}
	p.put(set, who, entry{data: e.GetData(), order: e.GetOrder(), node: node, claim: who.claim, digest: who.digest}, e.GetEnterTime().AsTime())
	p.schedule(set)
}

// dropShare makes the entries of a node leave, but for some.
func (p *presence) dropShare(node string, but share) {
	for session, channels := range p.shares[node] {
		for name, user := range channels {
			if _, stays := but[session][name]; stays {
				continue
			}
			set := p.sets[name]
			p.remove(set, user, session)
			p.schedule(set)
			p.release(set)
		}
	}
	if len(p.shares[node]) == 0 {
		delete(p.shares, node)
	}
}

// wholeShare is all entries of a node, in parts. Called under mu.
func (p *presence) wholeShare(node, to string) (parts []told) {
	var entries []*nodev1.Entry
	for session := range p.shares[node] {
		entries = append(entries, p.entries(node, session)...)
	}
	last := &nodev1.Share{Number: p.number}
	if x := p.peers[node]; x != nil {
		last = &nodev1.Share{Of: node, Life: x.life, Number: x.number, Silent: durationpb.New(time.Since(x.heard)), Bye: x.bye}
	}
	for len(entries) > shareEntries {
		part := &nodev1.Share{Of: last.GetOf(), Life: last.GetLife(), Number: last.GetNumber(), Silent: last.GetSilent(), Bye: last.GetBye(), More: true, Entries: entries[:shareEntries]}
		parts = append(parts, told{to, p.note(&nodev1.Note{Note: &nodev1.Note_Share{Share: part}})})
		entries = entries[shareEntries:]
	}
	last.Entries = entries
	return append(parts, told{to, p.note(&nodev1.Note{Note: &nodev1.Note_Share{Share: last}})})
}

// silentShares are those of nodes that do not answer themselves.
func (p *presence) silentShares(to string) (parts []told) {
	for node, x := range p.peers {
		if node != to && !x.over && x.whole && (x.bye || time.Since(x.heard) > beatInterval) {
			parts = append(parts, p.wholeShare(node, to)...)
		}
	}
	return parts
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
// only while this node could have heard them.
func (p *presence) look(wasDeaf bool) {
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
			x.heard = now
		case x.over && silent > fenceFor:
			delete(p.peers, node)
		case !x.over && silent > limit:
			*x = peer{node: node, life: x.life, heard: x.heard, over: true}
			p.dropShare(node, nil)
		}
	}
	for session, f := range p.fences {
		if now.Sub(f.since) > fenceFor {
			delete(p.fences, session)
		}
	}
}

// beat says that this node is there, or that it goes.
func (p *presence) beat(bye bool) told {
	p.mu.Lock()
	defer p.mu.Unlock()
	return told{"", p.note(&nodev1.Note{Note: &nodev1.Note_Beat{Beat: &nodev1.Beat{Number: p.number - uint64(len(p.outbox)), Bye: bye}}})}
}

// isSettled reports whether all that is known to be said has been heard.
func (p *presence) isSettled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.peers {
		if !x.whole && !x.over && !x.bye {
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
func (p *presence) isLive(node string) bool { return p.wasHeard(node, lease) }

// wasHeard reports whether a node has said something of late.
func (p *presence) wasHeard(node string, of time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.peers[node]
	return x != nil && !x.over && !x.bye && time.Since(x.heard) < of
}

// ownerOf is the node that has a session, as far as presence knows.
func (p *presence) ownerOf(session string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for node, entries := range p.shares {
		if entries[session] != nil {
			return node
		}
	}
	return ""
}

// entriesOf are those of one session of a node.
func (p *presence) entriesOf(node, session string) []*nodev1.Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.entries(node, session)
}

// entries is entriesOf, called under mu.
func (p *presence) entries(node, session string) (entries []*nodev1.Entry) {
	for name, user := range p.shares[node][session] {
		entries = append(entries, p.toEntry(p.sets[name], user, session))
	}
	return entries
}

// adopt makes the entries of a session that came from another node those of this
// one.
func (p *presence) adopt(who entrant, entries []*nodev1.Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if who.claim > 0 {
		p.fences[who.session] = fence{who.claim, time.Now()}
	}
	for _, e := range entries {
		set := p.set(e.GetChannel())
		p.put(set, who, entry{data: e.GetData(), order: e.GetOrder(), node: p.node, claim: who.claim, digest: who.digest}, e.GetEnterTime().AsTime())
		p.record(set, who, false)
		p.schedule(set)
	}
}
