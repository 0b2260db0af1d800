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

// member is a session that is present, over all its connections.
type member struct {
	ledger *ledger

	token string // of the session
	id    string // public: its name in presence, since it has no user
}

// stay keeps a member present until ctx ends; then its connection is cut.
func (m *member) stay(ctx context.Context, url string, entered func()) {
	client, hangUp := newClient(url)
	defer hangUp()
	for ctx.Err() == nil {
		once, cancel := context.WithCancel(ctx)
		silence := time.AfterFunc(quiet, cancel)
		_ = m.connect(once, client, entered, func() { silence.Reset(quiet) }) // it comes back, whatever it was
		silence.Stop()
		cancel()
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (m *member) connect(ctx context.Context, client millracev1connect.RealtimeServiceClient, entered, alive func()) error {
	stream, err := client.Subscribe(ctx, &millracev1.SubscribeRequest{SessionToken: m.token, HeartbeatInterval: durationpb.New(time.Second)})
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
		if m.id != "" && m.id != ready.GetSession() {
			m.ledger.mu.Lock()
			m.ledger.faultf("P-3", "%s was not taken over, and is %s", m.id, ready.GetSession())
			m.ledger.mu.Unlock()
		}
		m.token, m.id = ready.GetSessionToken(), ready.GetSession()
		if _, err := client.EnterPresence(ctx, &millracev1.EnterPresenceRequest{SessionToken: m.token, Channel: lobby}); err != nil {
			return err
		}
		entered()
	}
}

// watcher sees who is present, over all its connections.
type watcher struct {
	ledger *ledger

	mu      sync.Mutex
	members map[string]bool
	may     map[string]bool // who may leave; nil while nobody may
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
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (w *watcher) connect(ctx context.Context, client millracev1connect.RealtimeServiceClient, alive func()) error {
	stream, err := client.WatchPresence(ctx, &millracev1.WatchPresenceRequest{Channels: []string{lobby}})
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
			w.becomes(now)
		}
		if c := item.GetChanges(); c != nil {
			w.changes(c.GetChanges())
		}
	}
}

// becomes takes a snapshot: who is not in it has left.
func (w *watcher) becomes(now map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.members {
		if !now[name] {
			w.left(name, "is not in a snapshot")
		}
	}
	w.members = now
}

func (w *watcher) changes(changes []*millracev1.PresenceChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, change := range changes {
		name := change.GetMember().GetUser()
		if change.GetAction() == millracev1.PresenceAction_PRESENCE_ACTION_LEAVE {
			w.left(name, "has left")
			delete(w.members, name)
			continue
		}
		w.members[name] = true
	}
}

// left is called under mu.
func (w *watcher) left(name, how string) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	if w.may[name] {
		w.ledger.Leaves++
		return
	}
	w.ledger.faultf("P-12", "%s %s, and was never away for long", name, how)
}

// allow lets members leave.
func (w *watcher) allow(members []*member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.may = map[string]bool{}
	for _, m := range members {
		w.may[m.id] = true
	}
}

// ghosts are members that may leave and are still there, and missing are those
// that stay and are not.
func (w *watcher) ghosts(stay []*member) (ghosts, missing []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.members {
		if w.may[name] {
			ghosts = append(ghosts, name)
		}
	}
	for _, m := range stay {
		if !w.members[m.id] {
			missing = append(missing, fmt.Sprintf("%q", m.id))
		}
	}
	return ghosts, missing
}
