package service

import (
	"cmp"
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// presence knows who is present in each channel. Entries are derived from live
// sessions: a session that ends takes its entries along.
type presence struct {
	mu   sync.Mutex
	sets map[string]*presenceSet
}

// presenceSet is the members of one channel. It exists while somebody is
// present or watches.
type presenceSet struct {
	name    string
	epoch   string
	number  uint64             // of the version
	members map[string]*member // by user
	topic   *topic             // of the changes
}

// member is one user in a channel, with one or more sessions.
type member struct {
	user     string
	entered  time.Time
	sessions map[string]*millracev1.Payload // data by session id
	newest   string                         // session whose data counts
}

func (m *member) toProto() *millracev1.Member {
	return &millracev1.Member{
		User:      m.user,
		Data:      m.sessions[m.newest],
		EnterTime: timestamppb.New(m.entered),
		Sessions:  uint32(len(m.sessions)),
	}
}

func newPresence() *presence { return &presence{sets: map[string]*presenceSet{}} }

func (p *presence) version(set *presenceSet) *millracev1.PresenceVersion {
	return &millracev1.PresenceVersion{Number: set.number, Epoch: set.epoch}
}

// set returns a channel's set and makes it if there is none. Called under mu.
func (p *presence) set(name string) *presenceSet {
	set := p.sets[name]
	if set == nil {
		set = &presenceSet{name: name, epoch: rand.Text()[:8], members: map[string]*member{}, topic: newTopic(name)}
		p.sets[name] = set
	}
	return set
}

// enter makes a session present, or replaces its data.
func (p *presence) enter(name, user, session string, data *millracev1.Payload) *millracev1.PresenceVersion {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := p.set(name)
	action := millracev1.PresenceAction_PRESENCE_ACTION_UPDATE
	m := set.members[user]
	if m == nil {
		action = millracev1.PresenceAction_PRESENCE_ACTION_ENTER
		m = &member{user: user, entered: time.Now(), sessions: map[string]*millracev1.Payload{}}
		set.members[user] = m
	}
	m.sessions[session] = data
	m.newest = session
	p.change(set, action, m.toProto())
	return p.version(set)
}

// leave ends a session's presence. It does nothing if the session is not there.
func (p *presence) leave(name, user, session string) *millracev1.PresenceVersion {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := p.set(name)
	defer p.release(set)
	m := set.members[user]
	if m == nil || !m.has(session) {
		return p.version(set)
	}
	before := m.toProto()
	delete(m.sessions, session)
	if len(m.sessions) == 0 {
		delete(set.members, user)
		p.change(set, millracev1.PresenceAction_PRESENCE_ACTION_LEAVE, before)
		return p.version(set)
	}
	if m.newest == session {
		m.newest = slices.Min(slices.Collect(maps.Keys(m.sessions)))
	}
	p.change(set, millracev1.PresenceAction_PRESENCE_ACTION_UPDATE, m.toProto())
	return p.version(set)
}

func (m *member) has(session string) bool {
	_, found := m.sessions[session]
	return found
}

// change numbers a change and publishes it. Called under mu, so that versions
// and publications have one order.
func (p *presence) change(set *presenceSet, action millracev1.PresenceAction, m *millracev1.Member) {
	set.number++
	set.topic.publish(newNotice(&millracev1.SubscribeResponse{
		Notice: &millracev1.SubscribeResponse_PresenceChanges{PresenceChanges: &millracev1.PresenceChanges{
			Channel: set.name,
			Version: p.version(set),
			Changes: []*millracev1.PresenceChange{{Action: action, Member: m}},
			Total:   uint32(len(set.members)),
		}},
	}))
}

// release forgets a set that nobody needs. Called under mu.
func (p *presence) release(set *presenceSet) {
	if len(set.members) == 0 && set.topic.subscribers() == 0 {
		delete(p.sets, set.name)
	}
}

// page returns members in the order of their users, those after a user.
func (p *presence) page(name, after string, limit int) (members []*millracev1.Member, more bool, total int, version *millracev1.PresenceVersion) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := p.sets[name]
	if set == nil {
		return nil, false, 0, nil
	}
	var found []*member
	for user, m := range set.members {
		if user > after || after == "" {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b *member) int { return cmp.Compare(a.user, b.user) })
	for _, m := range found[:min(limit, len(found))] {
		members = append(members, m.toProto())
	}
	return members, len(found) > limit, len(set.members), p.version(set)
}

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
	if number := frame.Notice.GetPresenceChanges().GetVersion().GetNumber(); number > f.number {
		f.number = number
		b.add(frame)
	}
	return true
}

// catchUp implements [feed]: it goes live before it reads the snapshot.
func (f *presenceFeed) catchUp(_ context.Context, b *batch) (bool, error) {
	f.sub.goLive(always)
	members, _, total, version := f.presence.page(f.name, "", maxSnapshot)
	f.number = version.GetNumber()
	b.add(newNotice(&millracev1.SubscribeResponse{
		Notice: &millracev1.SubscribeResponse_PresenceSnapshot{PresenceSnapshot: &millracev1.PresenceSnapshot{
			Channel: f.name,
			Version: version,
			Members: members,
			Total:   uint32(total),
		}},
	}))
	return true, nil
}

func (f *presenceFeed) leave() {
	f.presence.mu.Lock()
	defer f.presence.mu.Unlock()
	f.sub.topic.remove(f.sub)
	f.presence.release(f.presence.sets[f.name])
}

// checkpoint implements [feed]: presence has versions, not positions.
func (f *presenceFeed) checkpoint() *Frame { return nil }
