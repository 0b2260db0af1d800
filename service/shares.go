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
//     asked for all it has, and what came meanwhile follows on that. Of an owner
//     that does not answer, others are asked.
//   - Nodes that miss each other say that they live where their channels are, in case
//     they reach those and not each other.
//   - A node that says nothing for a lease is dead. Its entries stay a while, for
//     those who come back elsewhere, then they leave. The share then is over: what
//     its owner says later of it is refused, until it begins another one.
//   - A session that comes to another node takes its entries along, with a higher
//     claim. Whatever is said of it with a lower one is refused.
const (
	beatInterval = 3 * time.Second
	lease        = 10 * time.Second
	// missedAfter is a silence in which a node should have been heard.
	missedAfter = beatInterval + beatInterval/2
	// deadLinger is how long the entries of a dead node stay: those who come back
	// within 12 s of its death have not left, and ghosts are gone within 17 s.
	deadLinger = 5 * time.Second
	// flushInterval is how long changes wait for others to go with.
	flushInterval = 10 * time.Millisecond
	// askEvery is how often a node is asked for the same.
	askEvery = time.Second
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

// parts are those of a share that have come so far.
type parts struct {
	number  uint64
	next    uint32
	entries []*nodev1.Entry
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
		p.hearOf(n.GetFrom(), s, &result)
		return result
	}
	if fenced := n.GetFenced(); fenced != nil { // also from a node that this one has given up
		result.replies = p.beginLife(fenced.GetLife())
		return result
	}
	x := p.peer(n.GetFrom(), n.GetLife())
	if x.life > n.GetLife() || x.over {
		result.reply(x.node, p.note(&nodev1.Note{Note: &nodev1.Note_Fenced{Fenced: &nodev1.Fenced{Life: n.GetLife()}}}))
		return result
	}
	x.heard = time.Now()
	x.reached = x.heard
	switch what := n.GetNote().(type) {
	case *nodev1.Note_Hello:
		p.hearHello(x, &result)
	case *nodev1.Note_Beat:
		p.hearBeat(x, what.Beat, &result)
	case *nodev1.Note_Changes:
		p.hearChanges(x, what.Changes, &result)
	case *nodev1.Note_Ask:
		result.replies = p.answerAsk(what.Ask.GetOf(), x.node)
	case *nodev1.Note_Share:
		p.hearOthers(what.Share.GetOthers())
		p.hearShare(x, x.node, what.Share, &result)
	}
	return result
}

// ask has a node say all it has, or others that of a node that goes; who was asked
// just now has not forgotten.
func (p *presence) ask(x *peer, result *news) {
	if !x.mayAsk() {
		return
	}
	if x.bye {
		result.reply("", p.note(&nodev1.Note{Note: &nodev1.Note_Ask{Ask: &nodev1.Ask{Of: x.node}}}))
		return
	}
	result.reply(x.node, p.note(&nodev1.Note{Note: &nodev1.Note_Ask{Ask: &nodev1.Ask{}}}))
}

// answerAsk is the share that a node has asked for, if it is here.
func (p *presence) answerAsk(of, to string) []told {
	if of == "" || of == p.node {
		return p.wholeShare(p.node, to)
	}
	if x := p.peers[of]; x != nil && x.whole && !x.over {
		return p.wholeShare(of, to)
	}
	return nil
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

// hearShare takes a part of a share from a node. With the last one the copy is what
// they say.
func (p *presence) hearShare(x *peer, from string, s *nodev1.Share, result *news) {
	entries, isLast := x.gather(from, s)
	if !isLast || x.whole && s.GetNumber() < x.number { // what came meanwhile is newer
		return
	}
	stays := share{}
	for _, e := range entries {
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

// gather puts the parts of a share together that a node says. If one is missing,
// what comes after it is of no use.
func (x *peer) gather(from string, s *nodev1.Share) (entries []*nodev1.Entry, isLast bool) {
	if x.coming == nil {
		x.coming = map[string]*parts{}
	}
	if s.GetPart() == 0 {
		x.coming[from] = &parts{number: s.GetNumber()}
	}
	c := x.coming[from]
	if c == nil || c.number != s.GetNumber() || c.next != s.GetPart() {
		delete(x.coming, from)
		return nil, false
	}
	c.next++
	c.entries = append(c.entries, s.GetEntries()...)
	if s.GetMore() {
		return nil, false
	}
	delete(x.coming, from)
	return c.entries, true
}

// hearOf takes, from another node, the share of one that says nothing itself.
func (p *presence) hearOf(from string, s *nodev1.Share, result *news) {
	if s.GetOf() == p.node {
		return
	}
	x := p.peer(s.GetOf(), s.GetLife())
	if x.over || x.life > s.GetLife() || x.whole && x.number >= s.GetNumber() {
		return
	}
	if x.heard.IsZero() {
		x.heard = time.Now().Add(-s.GetSilent().AsDuration())
	}
	x.bye = x.bye || s.GetBye()
	p.hearShare(x, from, s, result)
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
	for part := uint32(0); ; part++ {
		n := min(len(entries), shareEntries)
		s := &nodev1.Share{Number: p.number, Part: part, Entries: entries[:n], More: n < len(entries)}
		if x := p.peers[node]; x != nil {
			s.Of, s.Life, s.Number, s.Silent, s.Bye = node, x.life, x.number, durationpb.New(time.Since(x.heard)), x.bye
		} else if !s.GetMore() {
			s.Others = p.others()
		}
		parts = append(parts, told{to, p.note(&nodev1.Note{Note: &nodev1.Note_Share{Share: s}})})
		if entries = entries[n:]; len(entries) == 0 {
			return parts
		}
	}
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

// ownerOf is the node that has the session of a token, as far as presence knows.
func (p *presence) ownerOf(session, token string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for node, entries := range p.shares {
		for name, user := range entries[session] {
			if isDigestOf(p.sets[name].members[user].sessions[session].digest, token) {
				return node
			}
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
