package service

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/engine"
	nodev1 "millrace.dev/gen/millrace/node/v1"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// Changes of a channel's presence are told at most once in a window: N users who
// come in T seconds cost N·T/window deliveries, not N².
const (
	minWindow   = 100 * time.Millisecond
	maxWindow   = time.Second
	windowUsers = 500 // above so many members the window grows with them
)

// presence knows who is present in each channel. Entries are derived from
// sessions: a session that is gone for good takes its entries along. The entries
// of a node's own sessions are its share, which other nodes have a copy of
// (shares.go).
type presence struct {
	// Set once.
	rules  *ruleset
	relay  engine.Deliver // for the join and leave messages of existing clients
	node   string
	linger time.Duration // of a node that has said that it goes

	mu     sync.Mutex
	sets   map[string]*presenceSet
	shares map[string]share // by node
	peers  map[string]*peer // by node
	fences map[string]fence // by session
	life   int64            // of the own share
	number uint64           // of its newest change
	outbox []*nodev1.Entry  // changes of it that are to be told to other nodes
	closed bool

	changed chan struct{} // holds one token if there is something in the outbox
}

// presenceSet is the members of one channel. It exists while somebody is
// present or watches. All is guarded by presence.mu.
type presenceSet struct {
	name    string
	rule    Rule
	epoch   string
	number  uint64             // of the version that was told last
	total   int                // how many members it had
	members map[string]*member // by user
	topic   *topic             // of the changes

	dirty   map[string]*millracev1.Member // who changed since then, as they were; nil for absent
	told    time.Time
	timer   *time.Timer // runs while there is something to tell
	counted bool        // too many members to list: only the total is told
}

// member is one user in a channel, with one or more sessions.
type member struct {
	user     string
	entered  time.Time
	sessions map[string]entry // by session id
	newest   string           // session whose data counts
}

// entrant is a session as presence knows it.
type entrant struct {
	member  string // who it is
	session string // its public id
	claim   uint64 // rises each time that another node takes it over
	digest  []byte // of the tokens that it can be taken over with
}

// entry is what a session says of its user.
type entry struct {
	data   *millracev1.Payload
	order  uint64 // rises with each entry of the user
	node   string // that has the session
	claim  uint64
	digest []byte
}

// isNewer says which of two entries counts, on all nodes alike.
func (e entry) isNewer(session string, than entry, thanSession string) bool {
	return cmp.Or(cmp.Compare(e.order, than.order), cmp.Compare(session, thanSession)) > 0
}

// put takes an entry of a session.
func (m *member) put(session string, e entry) {
	m.sessions[session] = e
	m.choose()
}

// remove forgets a session; what was newest before it counts again.
func (m *member) remove(session string) {
	delete(m.sessions, session)
	m.choose()
}

// choose finds the newest entry.
func (m *member) choose() {
	m.newest = ""
	for id, e := range m.sessions {
		if m.newest == "" || e.isNewer(id, m.sessions[m.newest], m.newest) {
			m.newest = id
		}
	}
}

func (m *member) toProto() *millracev1.Member {
	if m == nil {
		return nil
	}
	return &millracev1.Member{
		User:      m.user,
		Data:      m.sessions[m.newest].data,
		EnterTime: timestamppb.New(m.entered),
		Sessions:  uint32(len(m.sessions)),
	}
}

func newPresence(node string, r *ruleset, linger time.Duration, relay engine.Deliver) *presence {
	return &presence{
		rules: r, relay: relay, node: node, linger: linger, life: time.Now().UnixNano(),
		sets: map[string]*presenceSet{}, shares: map[string]share{}, peers: map[string]*peer{}, fences: map[string]fence{},
		changed: make(chan struct{}, 1),
	}
}

// close tells nothing more: a node that stops makes nobody leave.
func (p *presence) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, set := range p.sets {
		if set.timer != nil {
			set.timer.Stop()
		}
	}
}

func (set *presenceSet) version() *millracev1.PresenceVersion {
	return &millracev1.PresenceVersion{Number: set.number, Epoch: set.epoch}
}

// next is the version that the changes made now will have when they are told.
func (set *presenceSet) next() *millracev1.PresenceVersion {
	version := set.version()
	if len(set.dirty) > 0 {
		version.Number++
	}
	return version
}

// set returns a channel's set and makes it if there is none. Called under mu.
func (p *presence) set(name string) *presenceSet {
	set := p.sets[name]
	if set == nil {
		set = &presenceSet{
			name: name, rule: p.rules.of(name), epoch: rand.Text()[:8], members: map[string]*member{},
			topic: newTopic(name), dirty: map[string]*millracev1.Member{},
		}
		p.sets[name] = set
	}
	return set
}

// enter makes a session of this node present, or replaces its data.
func (p *presence) enter(name string, who entrant, data *millracev1.Payload) *millracev1.PresenceVersion {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := p.set(name)
	order := uint64(1)
	if m := set.members[who.member]; m != nil {
		order = m.sessions[m.newest].order + 1
	}
	p.put(set, who, entry{data: data, order: order, node: p.node, claim: who.claim, digest: who.digest}, time.Now())
	p.record(set, who, false)
	p.schedule(set)
	return set.next()
}

// leave ends the presence of a session of this node. It does nothing if the
// session is not there, or another node has taken it over.
func (p *presence) leave(name string, who entrant) *millracev1.PresenceVersion {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := p.sets[name]
	if set == nil || set.members[who.member] == nil {
		return nil
	}
	e, found := set.members[who.member].sessions[who.session]
	if !found || e.node != p.node {
		return set.next()
	}
	p.record(set, who, true)
	p.remove(set, who.member, who.session)
	p.schedule(set)
	version := set.next()
	p.release(set)
	return version
}

// put makes a session present; entered is when, if its member was not before.
// Called under mu.
func (p *presence) put(set *presenceSet, who entrant, e entry, entered time.Time) {
	set.touch(who.member)
	m := set.members[who.member]
	if m == nil {
		m = &member{user: who.member, entered: entered, sessions: map[string]entry{}}
		set.members[who.member] = m
	}
	if before, found := m.sessions[who.session]; found {
		p.shares[before.node].remove(set.name, who.session)
	}
	m.put(who.session, e)
	if p.shares[e.node] == nil {
		p.shares[e.node] = share{}
	}
	p.shares[e.node].put(set.name, who)
}

// remove takes a session that is there out. Called under mu.
func (p *presence) remove(set *presenceSet, user, session string) {
	set.touch(user)
	m := set.members[user]
	p.shares[m.sessions[session].node].remove(set.name, session)
	m.remove(session)
	if len(m.sessions) == 0 {
		delete(set.members, user)
	}
}

// touch notes how a member was when it was told of last.
func (set *presenceSet) touch(user string) {
	if _, noted := set.dirty[user]; !noted {
		set.dirty[user] = set.members[user].toProto()
	}
}

// schedule tells the changes at once if the last time is long enough ago, else
// when it is. Called under mu.
func (p *presence) schedule(set *presenceSet) {
	if set.timer != nil || p.closed {
		return
	}
	wait := set.window() - time.Since(set.told)
	if wait <= 0 {
		p.tell(set)
		return
	}
	set.timer = time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		set.timer = nil
		if !p.closed {
			p.tell(set)
			p.release(set)
		}
	})
}

func (set *presenceSet) window() time.Duration {
	grown := minWindow * time.Duration(len(set.members)) / windowUsers
	return min(max(minWindow, grown), maxWindow)
}

// tell publishes what has changed since the last time as one version. Called
// under mu, so that versions and publications have one order.
func (p *presence) tell(set *presenceSet) {
	changes := set.changes()
	clear(set.dirty)
	if len(changes) == 0 {
		return
	}
	set.told = time.Now()
	set.number++
	set.total = len(set.members)
	p.relayChanges(set, changes)
	wasCounted := set.counted
	set.counted = len(set.members) > set.limit() || wasCounted && len(set.members) > set.limit()*9/10
	if wasCounted && !set.counted {
		set.topic.publish(snapshotFrame(set.snapshot()))
		return
	}
	told := &millracev1.PresenceChanges{Channel: set.name, Version: set.version(), Total: uint32(set.total)}
	if !set.counted {
		told.Changes = changes
	}
	set.topic.publish(newNotice(&millracev1.SubscribeResponse{
		Notice: &millracev1.SubscribeResponse_PresenceChanges{PresenceChanges: told},
	}))
}

func (set *presenceSet) limit() int { return cmp.Or(set.rule.PresenceMembers, maxSnapshot) }

// changes compares the members with how they were. What came and went between
// two versions is no change.
func (set *presenceSet) changes() []*millracev1.PresenceChange {
	var changes []*millracev1.PresenceChange
	for _, user := range slices.Sorted(maps.Keys(set.dirty)) {
		before, now := set.dirty[user], set.members[user].toProto()
		switch {
		case before == nil && now != nil:
			changes = append(changes, &millracev1.PresenceChange{Action: millracev1.PresenceAction_PRESENCE_ACTION_ENTER, Member: now})
		case before != nil && now == nil:
			changes = append(changes, &millracev1.PresenceChange{Action: millracev1.PresenceAction_PRESENCE_ACTION_LEAVE, Member: before})
		case before != nil && !proto.Equal(before.GetData(), now.GetData()):
			changes = append(changes, &millracev1.PresenceChange{Action: millracev1.PresenceAction_PRESENCE_ACTION_UPDATE, Member: now})
		}
	}
	return changes
}

// relayChanges says joins and leaves as messages of the channel, to existing
// clients, where the rule wants it.
func (p *presence) relayChanges(set *presenceSet, changes []*millracev1.PresenceChange) {
	if !set.rule.Announce {
		return
	}
	words := map[millracev1.PresenceAction]string{
		millracev1.PresenceAction_PRESENCE_ACTION_ENTER: "join",
		millracev1.PresenceAction_PRESENCE_ACTION_LEAVE: "leave",
	}
	for _, change := range changes {
		user := change.GetMember().GetUser()
		if word := words[change.GetAction()]; word != "" {
			m := announcement(set.name, map[string]any{"type": word, "userId": user})
			if now := set.members[user]; now != nil {
				m.Exclude = now.newest // it is told who is there, and itself among them
			}
			p.relay(m)
		}
	}
}

// announcement is a message about presence in the form of existing clients.
func announcement(name string, data map[string]any) *engine.Message {
	b, err := json.Marshal(data)
	mustEncode(err)
	return &engine.Message{
		Channel: name, Payload: engine.Payload{Kind: engine.JSON, Data: b}, Time: time.Now().UTC(), Ephemeral: true,
	}
}

// release forgets a set that nobody needs. Called under mu.
func (p *presence) release(set *presenceSet) {
	if len(set.members) == 0 && set.timer == nil && set.topic.subscribers() == 0 {
		delete(p.sets, set.name)
	}
}

// page returns members in the order of their users, those after a user, as they
// are now: where that is not yet told, the version is the one that will tell it.
func (p *presence) page(name, after string, limit int) (members []*millracev1.Member, more bool, total int, version *millracev1.PresenceVersion) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := p.sets[name]
	if set == nil {
		return nil, false, 0, nil
	}
	found := set.sorted(after)
	for _, m := range found[:min(limit, len(found))] {
		members = append(members, m.toProto())
	}
	return members, len(found) > limit, len(set.members), set.next()
}

// count is how many users are present.
func (p *presence) count(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if set := p.sets[name]; set != nil {
		return len(set.members)
	}
	return 0
}

func (set *presenceSet) sorted(after string) []*member {
	var found []*member
	for user, m := range set.members {
		if user > after || after == "" {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b *member) int { return cmp.Compare(a.user, b.user) })
	return found
}

// snapshot is the members as they were told last, so that it tells nobody else
// anything. Called under mu.
func (set *presenceSet) snapshot() *millracev1.PresenceSnapshot {
	snapshot := &millracev1.PresenceSnapshot{Channel: set.name, Version: set.version(), Total: uint32(set.total)}
	for _, user := range set.toldUsers() {
		if len(snapshot.Members) == set.limit() {
			break
		}
		m, changed := set.dirty[user]
		if !changed {
			m = set.members[user].toProto()
		}
		snapshot.Members = append(snapshot.Members, m)
	}
	return snapshot
}

// toldUsers are the users who were told to be present, in order.
func (set *presenceSet) toldUsers() []string {
	var users []string
	for user := range set.members {
		if was, changed := set.dirty[user]; !changed || was != nil {
			users = append(users, user)
		}
	}
	for user, was := range set.dirty {
		if was != nil && set.members[user] == nil {
			users = append(users, user)
		}
	}
	slices.Sort(users)
	return users
}

func snapshotFrame(snapshot *millracev1.PresenceSnapshot) *Frame {
	return newNotice(&millracev1.SubscribeResponse{
		Notice: &millracev1.SubscribeResponse_PresenceSnapshot{PresenceSnapshot: snapshot},
	})
}

// users are the members' names, for existing clients; cut like a snapshot.
func (p *presence) users(name string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	users := []string{}
	if set := p.sets[name]; set != nil {
		for _, m := range set.sorted("") {
			if len(users) < set.limit() {
				users = append(users, m.user)
			}
		}
	}
	return users
}
