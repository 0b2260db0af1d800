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
// sessions: a session that is gone for good takes its entries along.
type presence struct {
	rules rules
	relay engine.Deliver // for the join and leave messages of existing clients

	mu     sync.Mutex
	sets   map[string]*presenceSet
	closed bool
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

// entry is what a session says of its user.
type entry struct {
	data   *millracev1.Payload
	number uint64 // rises with each entry of the user
}

// enter takes a session's data as the newest.
func (m *member) enter(session string, data *millracev1.Payload) {
	m.sessions[session] = entry{data, m.sessions[m.newest].number + 1}
	m.newest = session
}

// leave forgets a session; what was newest before it counts again.
func (m *member) leave(session string) {
	delete(m.sessions, session)
	if m.newest != session {
		return
	}
	m.newest = ""
	for id, a := range m.sessions {
		if a.number > m.sessions[m.newest].number {
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

func newPresence(r rules, relay engine.Deliver) *presence {
	return &presence{rules: r, relay: relay, sets: map[string]*presenceSet{}}
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

// enter makes a session present, or replaces its data.
func (p *presence) enter(name, user, session string, data *millracev1.Payload) *millracev1.PresenceVersion {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := p.set(name)
	set.touch(user)
	m := set.members[user]
	if m == nil {
		m = &member{user: user, entered: time.Now(), sessions: map[string]entry{}}
		set.members[user] = m
	}
	m.enter(session, data)
	p.schedule(set)
	return set.next()
}

// leave ends a session's presence. It does nothing if the session is not there.
func (p *presence) leave(name, user, session string) *millracev1.PresenceVersion {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := p.sets[name]
	if set == nil || set.members[user] == nil {
		return nil
	}
	set.touch(user)
	m := set.members[user]
	m.leave(session)
	if len(m.sessions) == 0 {
		delete(set.members, user)
	}
	p.schedule(set)
	version := set.next()
	p.release(set)
	return version
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
