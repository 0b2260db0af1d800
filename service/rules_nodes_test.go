package service_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

func TestP11MembersAreThoseOfAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		here, _ := m.start(t, keeping(0))
		there, _ := m.start(t, keeping(0))
		w := there.watch()
		phone := here.tab("amy", "a", "phone")
		time.Sleep(soon)
		laptop := there.tab("amy", "a", "laptop")
		time.Sleep(soon)
		w.takes("subscribed a/0", "here a v0:", "changed a v1: +amy=phone (1)", "changed a v2: ~amy=laptop (1)")
		late, _ := m.start(t, keeping(0))
		for _, n := range []*node{here, there, late} {
			if got, _ := n.present("a"); got.String() != "amy=laptop" {
				t.Errorf("present are %s", got)
			}
		}
		laptop.quit()
		time.Sleep(soon)
		w.takes("changed a v3: ~amy=phone (1)")
		phone.leave()
		time.Sleep(soon)
		w.takes("changed a v4: -amy=phone (0)")
	})
}

func TestP11NodesAgreeAfterWhatTheyMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		var nodes []*node
		var lines []*line
		for range 3 {
			n, l := m.start(t, keeping(0))
			nodes, lines = append(nodes, n), append(lines, l)
		}
		stop := make(chan struct{})
		go nodes[0].churn("a", 20, stop)
		go nodes[1].churn("a", 30, stop) // of the same users, and others
		for range 20 {
			time.Sleep(1300 * time.Millisecond)
			lines[0].die()
			time.Sleep(700 * time.Millisecond)
			lines[0].revive()
		}
		close(stop)
		time.Sleep(time.Minute)
		first, _ := nodes[0].present("a")
		for _, n := range nodes[1:] {
			if got, _ := n.present("a"); got.String() != first.String() {
				t.Errorf("one node has %s, another %s", first, got)
			}
		}
	})
}

func TestP12WhoComesBackAfterTheDeathOfANodeHasNotLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const members, rooms = 5000, 10
		m := newMesh()
		dying, line := m.start(t, keeping(0))
		living, _ := m.start(t, keeping(0))
		room := func(i int) string { return fmt.Sprint("room.", i%rooms) }
		watchers := make([]*client, rooms)
		for i := range watchers {
			watchers[i] = living.subscribe(&millracev1.Subscription{Channel: room(i), Presence: true})
		}
		var lost []*client
		for i := range members {
			user := fmt.Sprint("user", i)
			if i%3 == 0 {
				user = "" // nobody in particular
			}
			lost = append(lost, dying.tab(user, room(i), "x"))
		}
		time.Sleep(2 * soon)
		line.die()
		died := time.Now()
		time.Sleep(11 * time.Second)
		back := 0
		for i, c := range lost {
			if i%2 == 0 {
				continue
			}
			user := ""
			if i%3 != 0 {
				user = fmt.Sprint("user", i)
			}
			living.dial(living.token(user), &millracev1.SubscribeRequest{SessionToken: c.ready().GetSessionToken()})
			back++
		}
		synctest.Wait()
		time.Sleep(time.Until(died.Add(17 * time.Second)))
		present := 0
		for i, w := range watchers {
			believed := w.believes()
			present += len(believed.members)
			server, _ := living.present(room(i))
			if believed.String() != server.String() {
				t.Errorf("a watcher believes in %d members, the server in %d", len(believed.members), len(server.members))
			}
			left := w.sawLeave()
			if entered := members / rooms; len(left)+len(believed.members) != entered {
				t.Errorf("%d have left and %d are there, of %d", len(left), len(believed.members), entered)
			}
		}
		if present != back {
			t.Errorf("%d are present after 17 s, and %d have come back", present, back)
		}
	})
}

// sawLeave are the users that a watcher was told have left.
func (c *client) sawLeave() (users []string) {
	synctest.Wait()
	for _, it := range c.all() {
		for _, change := range it.frame.Notice.GetPresenceChanges().GetChanges() {
			if change.GetAction() == millracev1.PresenceAction_PRESENCE_ACTION_LEAVE {
				users = append(users, change.GetMember().GetUser())
			}
		}
	}
	return users
}

// Two nodes whose NATS servers are cut off from each other follow the same channels.
func TestP12NodesThatReachTheChannelsAndNotEachOtherMakeNobodyLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		here, line := m.start(t, keeping(0))
		there, _ := m.start(t, keeping(0))
		w := there.watch()
		amy := here.tab("amy", "a", "x")
		time.Sleep(soon)
		line.part(1)
		time.Sleep(time.Minute)
		amy.enter("a", "y")
		if got, want := w.believes().String(), "amy=x"; got != want {
			t.Errorf("present are %q while the nodes do not hear each other, want %q", got, want)
		}
		line.part(0)
		time.Sleep(2 * beat)
		if got := w.believes(); got.String() != "amy=y" || len(w.sawLeave()) > 0 {
			t.Errorf("present are %s after that: %q", got, got.events)
		}
	})
}

// Each takes the other for dead, and refuses what it says.
func TestP13NodesThatGaveEachOtherUpHearEachOtherAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		here, line := m.start(t, keeping(0))
		there, _ := m.start(t, keeping(0))
		here.tab("amy", "a", "x")
		bob := there.tab("bob", "a", "x")
		time.Sleep(soon)
		line.die()
		time.Sleep(time.Minute)
		line.revive()
		time.Sleep(2 * beat)
		for _, n := range []*node{here, there} {
			if got, _ := n.present("a"); got.String() != "amy=x bob=x" {
				t.Errorf("present are %s", got)
			}
		}
		again := here.openWith(here.token("bob"), &millracev1.SubscribeRequest{SessionToken: bob.ready().GetSessionToken()})
		if got := again.ready().GetSession(); got != bob.ready().GetSession() {
			t.Errorf("the session is %s on the other node, and was %s", got, bob.ready().GetSession())
		}
	})
}

func TestP13WhatANodeSaysTooLateIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		frozen, line := m.start(t, keeping(0))
		other, _ := m.start(t, keeping(0))
		third, _ := m.start(t, keeping(0))
		w := third.watch()
		moved, stays := frozen.tab("amy", "a", "x"), frozen.tab("bob", "a", "x")
		time.Sleep(soon)
		line.freeze()
		stays.enter("a", "late") // said, and not heard
		time.Sleep(9 * time.Second)
		again := other.openWith(other.token("amy"), &millracev1.SubscribeRequest{SessionToken: moved.ready().GetSessionToken()})
		if got := again.ready().GetSession(); got != moved.ready().GetSession() {
			t.Fatalf("the session is %s on the other node, and was %s", got, moved.ready().GetSession())
		}
		again.quit()
		time.Sleep(11 * time.Second)
		if got := w.believes(); got.String() != "" {
			t.Errorf("present are %s, want nobody", got)
		}
		line.thaw()
		time.Sleep(10 * time.Second)
		// What lives on the node is there again; what has moved away is not.
		if got := w.believes(); got.String() != "bob=late" {
			t.Errorf("present are %s, want bob: %q", got, got.events)
		}
		moved.ends("DISCONNECTED")
	})
}

func TestP5ANodeThatGoesMakesNobodyLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		watched, _ := m.start(t, keeping(0))
		w := watched.watch()
		nodes := make([]*node, 3)
		tabs := map[string]*client{}
		for i := range nodes {
			nodes[i], _ = m.start(t, keeping(0))
		}
		for i := range 30 {
			user := fmt.Sprint("user", i)
			tabs[user] = nodes[i%3].tab(user, "a", "x")
		}
		time.Sleep(soon)
		for i, n := range nodes { // a rolling restart
			if err := n.Drain(t.Context(), 0); err != nil {
				t.Error(err)
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			nodes[i], _ = m.start(t, keeping(0))
			time.Sleep(5 * time.Second)
			for user, tab := range tabs {
				if tab.failure() != nil {
					next := nodes[(i+1)%3]
					tabs[user] = next.openWith(next.token(user), &millracev1.SubscribeRequest{SessionToken: tab.ready().GetSessionToken()})
				}
			}
		}
		time.Sleep(time.Minute)
		got := w.believes()
		if left := w.sawLeave(); len(got.members) != 30 || len(left) > 0 {
			t.Errorf("%d members, and %q have left", len(got.members), left)
		}
	})
}

func TestN7ASessionIsChangedThroughAnyNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		owner, _ := m.start(t, keeping(0))
		other, _ := m.start(t, keeping(0))
		w := other.watch()
		c := owner.subscribeAs("amy", to("a"))
		token := c.ready().GetSessionToken()

		ctx := service.WithCommandID(as(t.Context(), other.token("amy")), "7")
		if _, err := other.rpc.UpdateSubscription(ctx, &millracev1.UpdateSubscriptionRequest{
			SessionToken: token, Add: []*millracev1.Subscription{to("b")}, Remove: []string{"a"},
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, it := range c.after(2) { // ready, and what the session was opened with
			if id := it.frame.Notice.GetCommandId(); id != "7" {
				t.Errorf("%v answers command %q, want 7", it.frame.Notice, id)
			}
		}
		c.takes("subscribed a/0", "unsubscribed a", "subscribed b/0")
		// With the session's token for the only credentials.
		if _, err := other.rpc.EnterPresence(c.ctx(), &millracev1.EnterPresenceRequest{Channel: "a", Data: textPayload("x")}); err != nil {
			t.Fatal(err)
		}
		if _, err := other.rpc.UpdatePresence(c.ctx(), &millracev1.UpdatePresenceRequest{Channel: "a", Data: textPayload("y")}); err != nil {
			t.Fatal(err)
		}
		if _, err := other.rpc.LeavePresence(c.ctx(), &millracev1.LeavePresenceRequest{Channel: "a"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(soon)
		if got := w.believes().events; len(got) == 0 || got[0] != "amy" {
			t.Errorf("saw %q", got)
		}
		if _, err := other.rpc.RefreshToken(t.Context(), &millracev1.RefreshTokenRequest{SessionToken: token, Token: other.token("amy", auth.Grant{Pattern: "c", Actions: auth.Actions})}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(soon)
		c.takes("unsubscribed b FORBIDDEN")

		_, err := other.rpc.UpdateSubscription(as(t.Context(), other.token("bob")), &millracev1.UpdateSubscriptionRequest{SessionToken: token, Remove: []string{"b"}})
		refused(t, err, "FORBIDDEN")
		_, err = other.rpc.UpdateSubscription(as(t.Context(), other.token("amy")), &millracev1.UpdateSubscriptionRequest{SessionToken: token + "x"})
		refused(t, err, "SESSION_NOT_FOUND")
	})
}

func TestN7ATicketIsGoodOnceOnAnyNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		maker, line := m.start(t, keeping(0))
		other, _ := m.start(t, keeping(0))
		third, _ := m.start(t, keeping(0))
		issue := func() string {
			made, err := maker.rpc.CreateTicket(as(t.Context(), maker.token("amy")), &millracev1.CreateTicketRequest{})
			if err != nil {
				t.Fatal(err)
			}
			return made.GetTicket()
		}
		ticket := issue()
		c := other.dialWith(map[string]string{"Millrace-Ticket": ticket}, &millracev1.SubscribeRequest{})
		synctest.Wait()
		if got := c.ready().GetUser(); got != "amy" {
			t.Errorf("the ticket is for %q", got)
		}
		third.dialWith(map[string]string{"Millrace-Ticket": ticket}, &millracev1.SubscribeRequest{}).ends("UNAUTHENTICATED")
		ticket = issue()
		line.die()
		c = third.dialWith(map[string]string{"Millrace-Ticket": ticket}, &millracev1.SubscribeRequest{})
		time.Sleep(3 * time.Second)
		c.ends("UNAVAILABLE")
	})
}

func TestN8OperatorsSeeAndEndTheSessionsOfAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		var nodes []*node
		var tabs []*client
		for i := range 3 {
			n, _ := m.start(t, keeping(0))
			nodes = append(nodes, n)
			for k := range 5 {
				tabs = append(tabs, n.subscribeAs(fmt.Sprint("user", k), to("a"), to(fmt.Sprint("only.", i))))
			}
		}
		admin, ctx := nodes[2].admin, as(t.Context(), nodes[2].keys.APIKeys[0])
		var ids []string
		request := &millracev1.ListSessionsRequest{PageSize: 4}
		for {
			listed, err := admin.ListSessions(ctx, request)
			if err != nil || listed.GetTotal() != 15 {
				t.Fatalf("%d sessions, %v; want 15", listed.GetTotal(), err)
			}
			for _, s := range listed.GetSessions() {
				ids = append(ids, s.GetId())
			}
			if request.PageToken = listed.GetNextPageToken(); request.GetPageToken() == "" {
				break
			}
		}
		if len(ids) != 15 || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 15 {
			t.Errorf("the pages have %q", ids)
		}
		channels, err := admin.ListChannels(ctx, &millracev1.ListChannelsRequest{})
		if err != nil || len(channels.GetChannels()) != 4 || channels.GetChannels()[0].GetSubscribers() != 15 || channels.GetTotal() != 4 {
			t.Errorf("channels: %v, %v", channels, err)
		}
		out, err := admin.Unsubscribe(ctx, &millracev1.UnsubscribeRequest{Target: &millracev1.UnsubscribeRequest_User{User: "user1"}, Channel: "a"})
		if err != nil || out.GetSessions() != 3 {
			t.Errorf("unsubscribed %d sessions: %v", out.GetSessions(), err)
		}
		gone, err := admin.Disconnect(ctx, &millracev1.DisconnectRequest{Target: &millracev1.DisconnectRequest_User{User: "user2"}})
		if err != nil || gone.GetSessions() != 3 {
			t.Errorf("disconnected %d sessions: %v", gone.GetSessions(), err)
		}
		revoked, err := admin.Revoke(ctx, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: "user3"}})
		if err != nil || revoked.GetSessions() != 3 {
			t.Errorf("revoked %d sessions: %v", revoked.GetSessions(), err)
		}
		synctest.Wait()
		for i, c := range tabs {
			switch i % 5 {
			case 2:
				c.ends("DISCONNECTED")
			case 3:
				c.ends("UNAUTHENTICATED")
			default:
				if c.failure() != nil {
					t.Errorf("the session of user%d has ended: %v", i%5, c.failure())
				}
			}
		}
		// A node that comes later knows as well.
		if _, err := admin.Kick(ctx, &millracev1.KickRequest{User: "user4"}); err != nil {
			t.Fatal(err)
		}
		token := nodes[0].token("user3")
		late, _ := m.start(t, keeping(0))
		stolen := late.dial(token, &millracev1.SubscribeRequest{})
		synctest.Wait()
		stolen.ends("UNAUTHENTICATED")
		late.dial(late.token("user4"), &millracev1.SubscribeRequest{}).ends("FORBIDDEN")
		_, err = late.admin.ListSessions(as(t.Context(), late.token("amy", auth.Grant{Pattern: ">", Actions: []auth.Action{auth.Subscribe}})), &millracev1.ListSessionsRequest{})
		refused(t, err, "FORBIDDEN")
	})
}

func TestN7ATokenWhoseSuccessorWasNeverToldStillWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		var nodes []*node
		for range 3 {
			n, _ := m.start(t, keeping(0))
			nodes = append(nodes, n)
		}
		w := nodes[0].watch()
		tab := nodes[0].tab("", "a", "x")
		time.Sleep(soon)
		was := tab.ready()
		for _, n := range []*node{nodes[1], nodes[2], nodes[2], nodes[0]} {
			c := n.open(&millracev1.SubscribeRequest{SessionToken: was.GetSessionToken()})
			time.Sleep(soon)
			if got := c.ready().GetSession(); got != was.GetSession() {
				t.Errorf("the session is %s, and was %s", got, was.GetSession())
			}
			if n != nodes[1] {
				was = c.ready()
			}
		}
		if left := w.sawLeave(); len(left) > 0 {
			t.Errorf("%q have left", left)
		}
	})
}
