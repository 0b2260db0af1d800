package service_test

import (
	"maps"
	"slices"
	"strings"
	"testing/synctest"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// watch opens a session that sees who is present in channel a.
func (n *node) watch() *client {
	n.t.Helper()
	c := n.subscribe(&millracev1.Subscription{Channel: "a", Presence: true})
	synctest.Wait()
	return c
}

// tab opens a session of a user, present in a channel.
func (n *node) tab(user, channel, data string) *client {
	n.t.Helper()
	c := n.subscribeAs(user)
	c.enter(channel, data)
	return c
}

func (c *client) enter(channel, data string) {
	c.node.t.Helper()
	_, err := c.node.rpc.EnterPresence(c.ctx(), &millracev1.EnterPresenceRequest{Channel: channel, Data: textPayload(data)})
	if err != nil {
		c.node.t.Fatal(err)
	}
}

// quit leaves channel a.
func (c *client) quit() {
	c.node.t.Helper()
	if _, err := c.node.rpc.LeavePresence(c.ctx(), &millracev1.LeavePresenceRequest{Channel: "a"}); err != nil {
		c.node.t.Fatal(err)
	}
}

// present are the members of a channel, as the Presence method lists them.
func (n *node) present(channel string) (*roster, *millracev1.PresenceResponse) {
	n.t.Helper()
	seen, request := newRoster(), &millracev1.PresenceRequest{Channel: channel, PageSize: 1000}
	for {
		response, err := n.rpc.Presence(n.t.Context(), request)
		if err != nil {
			n.t.Fatal(err)
		}
		for _, m := range response.GetMembers() {
			seen.members[m.GetUser()] = sayMember(m)
		}
		seen.number = response.GetVersion().GetNumber()
		if request.PageToken = response.GetNextPageToken(); request.GetPageToken() == "" {
			return seen, response
		}
	}
}

// roster is who a watcher believes to be present, by what it was told.
type roster struct {
	number  uint64 // of the version
	members map[string]string
	events  []string // what it saw happen, but for snapshots
	faults  []string // what cannot be
}

func newRoster() *roster { return &roster{members: map[string]string{}} }

func (r *roster) String() string {
	return strings.Join(slices.Sorted(maps.Values(r.members)), " ")
}

func (r *roster) fault(what string, in *millracev1.SubscribeResponse) {
	r.faults = append(r.faults, what+": "+sayNotice(in))
}

// apply takes in a notice.
func (r *roster) apply(notice *millracev1.SubscribeResponse) {
	if snapshot := notice.GetPresenceSnapshot(); snapshot != nil {
		r.number, r.members = snapshot.GetVersion().GetNumber(), map[string]string{}
		for _, m := range snapshot.GetMembers() {
			r.members[m.GetUser()] = sayMember(m)
		}
		r.check(snapshot.GetTotal(), notice)
	}
	if changes := notice.GetPresenceChanges(); changes != nil {
		if changes.GetVersion().GetNumber() != r.number+1 {
			r.fault("not the next version", notice)
		}
		r.number = changes.GetVersion().GetNumber()
		for _, change := range changes.GetChanges() {
			r.change(change, notice)
		}
		r.check(changes.GetTotal(), notice)
	}
}

func (r *roster) check(total uint32, in *millracev1.SubscribeResponse) {
	if len(r.members) != int(total) {
		r.fault("another total", in)
	}
}

func (r *roster) change(change *millracev1.PresenceChange, in *millracev1.SubscribeResponse) {
	user, now := change.GetMember().GetUser(), sayMember(change.GetMember())
	was, known := r.members[user]
	switch change.GetAction() {
	case millracev1.PresenceAction_PRESENCE_ACTION_ENTER:
		if known {
			r.fault("entered twice", in)
		}
		r.members[user] = now
	case millracev1.PresenceAction_PRESENCE_ACTION_UPDATE:
		if !known || was == now {
			r.fault("no update", in)
		}
		r.members[user] = now
	case millracev1.PresenceAction_PRESENCE_ACTION_LEAVE:
		if !known || was != now {
			r.fault("another one left", in)
		}
		delete(r.members, user)
	case millracev1.PresenceAction_PRESENCE_ACTION_UNSPECIFIED:
		r.fault("no action", in)
	}
	r.events = append(r.events, user)
}

// believes folds what a watcher was told into who is present.
func (c *client) believes() *roster {
	synctest.Wait()
	r := newRoster()
	for _, it := range c.all() {
		if it.frame.Notice != nil {
			r.apply(it.frame.Notice)
		}
	}
	return r
}
