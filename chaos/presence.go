package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

const lobby = "chaos.lobby"

// member is a session that is present in a room, over all its connections.
type member struct {
	ledger   *ledger
	room     string
	patience time.Duration // how long a connection may be silent

	at  string // where it is connected with, first of all
	cut func() // ends that

	mu      sync.Mutex
	token   string // of the session
	id      string // public: its name in presence, since it has no user
	present bool   // as that
}

// known is the session's token and id.
func (m *member) known() (token, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.token, m.id
}

// stay keeps a member present until ctx ends; then its connection is cut. It goes from
// one address to the next.
func (m *member) stay(ctx context.Context, to []string, entered func()) {
	for i := 0; ctx.Err() == nil; i++ {
		client, hangUp := newSlimClient(to[i%len(to)])
		once, cancel := context.WithCancel(ctx)
		silence := time.AfterFunc(m.patience, cancel)
		_ = m.connect(once, client, entered, func() { silence.Reset(m.patience) }) // it comes back, whatever it was
		silence.Stop()
		cancel()
		hangUp()
		pause(ctx, 50*time.Millisecond)
	}
}

func (m *member) connect(ctx context.Context, client millracev1connect.RealtimeServiceClient, entered, alive func()) error {
	token, _ := m.known()
	stream, err := client.Subscribe(ctx, &millracev1.SubscribeRequest{SessionToken: token, HeartbeatInterval: durationpb.New(time.Second)})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		item, err := stream.Receive()
		if err != nil {
			return err
		}
		alive()
		ready := item.GetReady()
		if ready == nil {
			continue
		}
		m.becomes(ready)
		if _, err := client.EnterPresence(ctx, &millracev1.EnterPresenceRequest{SessionToken: ready.GetSessionToken(), Channel: m.room}); err != nil {
			return err
		}
		m.mu.Lock()
		m.present = true
		m.mu.Unlock()
		entered()
	}
}

// becomes notes which session the member is. One that is present stays what it is.
func (m *member) becomes(ready *millracev1.Ready) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.present && m.id != ready.GetSession() {
		m.present = false
		m.ledger.notef("P-3", "%s was not taken over, and is %s", m.id, ready.GetSession())
	}
	m.token, m.id = ready.GetSessionToken(), ready.GetSession()
}

// renounce says that the session need not stay what it is: its node is to be given up.
func (m *member) renounce() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.present = false
}

// leave says that the member leaves, where it is connected with.
func (m *member) leave(ctx context.Context) error {
	client, hangUp := newSlimClient(m.at)
	defer hangUp()
	token, _ := m.known()
	_, err := client.LeavePresence(ctx, &millracev1.LeavePresenceRequest{SessionToken: token, Channel: m.room})
	return err
}

// watcher sees who is present, over all its connections.
type watcher struct {
	ledger *ledger
	rooms  []string

	mu      sync.Mutex
	members map[string]string // the room of each
	may     map[string]bool   // who may leave
}

func newWatcher(l *ledger, rooms ...string) *watcher {
	return &watcher{ledger: l, rooms: rooms, members: map[string]string{}}
}

func (w *watcher) watch(ctx context.Context, url string) {
	client, hangUp := newClient(url)
	defer hangUp()
	for ctx.Err() == nil {
		once, cancel := context.WithCancel(ctx)
		silence := time.AfterFunc(quiet, cancel)
		_ = w.connect(once, client, func() { silence.Reset(quiet) }) // it comes back, whatever it was
		silence.Stop()
		cancel()
		pause(ctx, 50*time.Millisecond)
	}
}

func (w *watcher) connect(ctx context.Context, client millracev1connect.RealtimeServiceClient, alive func()) error {
	stream, err := client.WatchPresence(ctx, &millracev1.WatchPresenceRequest{Channels: w.rooms})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		item, err := stream.Receive()
		if err != nil {
			return err
		}
		alive()
		if s := item.GetSnapshot(); s != nil {
			now := map[string]bool{}
			for _, m := range s.GetMembers() {
				now[m.GetUser()] = true
			}
			w.becomes(s.GetChannel(), now)
		}
		if c := item.GetChanges(); c != nil {
			w.changes(c.GetChannel(), c.GetChanges())
		}
	}
}

// becomes takes a snapshot of a room: who is not in it has left.
func (w *watcher) becomes(room string, now map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, in := range w.members {
		if in == room && !now[name] {
			w.left(name, "is not in a snapshot")
		}
	}
	for name := range now {
		w.members[name] = room
	}
}

func (w *watcher) changes(room string, changes []*millracev1.PresenceChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, change := range changes {
		name := change.GetMember().GetUser()
		if change.GetAction() == millracev1.PresenceAction_PRESENCE_ACTION_LEAVE {
			w.left(name, "has left")
			continue
		}
		w.members[name] = room
	}
}

// left is called under mu.
func (w *watcher) left(name, how string) {
	delete(w.members, name)
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	if w.may[name] {
		w.ledger.Leaves++
		return
	}
	w.ledger.faultf("P-12", "%s %s, and was never away for long", name, how)
}

// allow lets members leave, and nobody else.
func (w *watcher) allow(members []*member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.may = map[string]bool{}
	for _, m := range members {
		_, id := m.known()
		w.may[id] = true
	}
}

// present says which of some members are there.
func (w *watcher) present(of []*member) string { return some(w.among(of, true)) }

// missing says which of some members are not there.
func (w *watcher) missing(of []*member) string { return some(w.absent(of)) }

func (w *watcher) absent(of []*member) []string { return w.among(of, false) }

// among names those of some members who are there, or who are not.
func (w *watcher) among(of []*member, there bool) (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range of {
		_, id := m.known()
		if _, is := w.members[id]; is == there {
			names = append(names, id)
		}
	}
	return names
}

// some says how many there are, and the first of them.
func some(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("%d: %q", len(names), names[:min(len(names), 5)])
}
