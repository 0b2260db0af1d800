package service_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
)

func TestP2ChangesAfterASnapshotGiveTheMembersAtEachVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		stop := make(chan struct{})
		go n.churn("a", 30, stop)
		watchers := []*client{n.watch()}
		for range 60 {
			time.Sleep(37 * time.Millisecond)
			watchers = append(watchers, n.watch())
			server, _ := n.present("a")
			for _, w := range watchers {
				got := w.believes()
				if got.number == server.number && got.String() != server.String() || len(got.faults) > 0 {
					t.Fatalf("at version %d\n%s\nof the server, a watcher believes\n%s\n%q", server.number, server, got, got.faults)
				}
			}
		}
		close(stop)
		time.Sleep(time.Minute)
		server, _ := n.present("a")
		for _, w := range watchers {
			if got := w.believes(); got.number != server.number || got.String() != server.String() {
				t.Errorf("at rest a watcher is at %d, the server at %d", got.number, server.number)
			}
		}
	})
}

// churn makes users come, change and go until stop is closed.
func (n *node) churn(channel string, users int, stop <-chan struct{}) {
	tabs := make([]*client, users)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-time.After(7 * time.Millisecond):
		}
		k := i * 7 % users
		switch {
		case tabs[k] == nil:
			tabs[k] = n.dial(n.token(fmt.Sprint("user", k)), &millracev1.SubscribeRequest{})
			<-tabs[k].begun
			tabs[k].enter(channel, fmt.Sprint(i))
		case i%5 == 0:
			tabs[k].leave()
			tabs[k] = nil
		default:
			tabs[k].enter(channel, fmt.Sprint(i/20))
		}
	}
}

func TestP2WatchPresenceTellsWhatASubscriptionDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		amy := n.tab("amy", "a", "x")
		stream, err := n.rpc.WatchPresence(t.Context(), &millracev1.WatchPresenceRequest{Channels: []string{"a", "b", "a"}})
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		n.calls.Go(func() {
			for {
				r, err := stream.Receive()
				if err != nil {
					return
				}
				told = append(told, sayWatched(r))
			}
		})
		synctest.Wait()
		amy.enter("a", "y")
		time.Sleep(window)
		n.tab("bob", "b", "z")
		time.Sleep(15 * time.Second)
		synctest.Wait()
		want := []string{"here a v1: amy=x", "here b v0:", "changed a v2: ~amy=y (1)", "changed b v1: +bob=z (1)", "heartbeat"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func sayWatched(r *millracev1.WatchPresenceResponse) string {
	switch {
	case r.GetSnapshot() != nil:
		return sayMembers(r.GetSnapshot())
	case r.GetChanges() != nil:
		return sayChanges(r.GetChanges())
	}
	return "heartbeat"
}

func TestP3ALostSessionStaysPresentForFifteenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		w, tab := n.watch(), n.tab("amy", "a", "x")
		w.takes("subscribed a/0", "here a v0:", "changed a v1: +amy=x (1)")
		tab.lose()
		time.Sleep(15*time.Second - time.Millisecond)
		w.takes()
		time.Sleep(time.Millisecond)
		w.takes("heartbeat", "changed a v2: -amy=x (0)")
	})
}

func TestP3ASessionThatIsTakenOverInTimeNeverLeft(t *testing.T) {
	for _, missed := range []bool{true, false} { // whether the server has noticed that the connection is lost
		synctest.Test(t, func(t *testing.T) {
			n := start(t, keeping(0))
			w, tab := n.watch(), n.tab("amy", "a", "x")
			if missed {
				tab.lose()
			}
			time.Sleep(14 * time.Second)
			again := n.openWith(n.token("amy"), &millracev1.SubscribeRequest{SessionToken: tab.ready().GetSessionToken()})
			if !missed {
				tab.ends("DISCONNECTED")
			}
			if was, is := tab.ready(), again.ready(); was.GetSession() != is.GetSession() || was.GetSessionToken() != is.GetSessionToken() {
				t.Errorf("%v was taken over as %v", was, is)
			}
			time.Sleep(time.Minute)
			again.leave()
			if got := w.believes(); len(got.events) != 2 || len(got.members) != 0 {
				t.Errorf("saw %q", got.events)
			}
		})
	}
}

func TestP3AUserThatComesBackInTimeNeverLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		w := n.watch()
		for range 5 { // reloads
			tab := n.tab("amy", "a", "x")
			time.Sleep(10 * time.Second)
			tab.lose()
			time.Sleep(5 * time.Second)
		}
		if got := w.believes(); len(got.events) != 1 || got.String() != "amy=x" {
			t.Errorf("saw %q, believes %s", got.events, got)
		}
		time.Sleep(10 * time.Second)
		if got := w.believes(); len(got.events) != 2 || got.String() != "" {
			t.Errorf("in the end saw %q, believes %s", got.events, got)
		}
	})
}

func TestP3ASessionIsNotTakenOverByAnotherUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		tab := n.tab("amy", "a", "x")
		thief := n.openWith(n.token("bob"), &millracev1.SubscribeRequest{SessionToken: tab.ready().GetSessionToken()})
		if tab.failure() != nil || thief.ready().GetSession() == tab.ready().GetSession() {
			t.Error("another user has taken over the session")
		}
	})
}

func TestP4LeavingIsAtOnce(t *testing.T) {
	ways := map[string]func(*node, *client){
		"LeavePresence": func(_ *node, c *client) { c.quit() },
		"closed":        func(_ *node, c *client) { c.leave() },
		"disconnected by an administrator": func(n *node, c *client) {
			request := &millracev1.DisconnectRequest{Target: &millracev1.DisconnectRequest_Session{Session: c.ready().GetSession()}}
			if _, err := n.admin.Disconnect(as(n.t.Context(), n.keys.APIKeys[0]), request); err != nil {
				n.t.Fatal(err)
			}
		},
	}
	for name, leave := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t, keeping(0))
				w, tab := n.watch(), n.tab("amy", "a", "x")
				time.Sleep(window)
				leave(n, tab)
				w.takes("subscribed a/0", "here a v0:", "changed a v1: +amy=x (1)", "changed a v2: -amy=x (0)")
			})
		})
	}
}

func TestP5AServerThatStopsMakesNobodyLeave(t *testing.T) {
	for _, drain := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, keeping(0))
			w, tab, lost := n.watch(), n.tab("amy", "a", "x"), n.tab("bob", "a", "y")
			lost.lose()
			time.Sleep(14 * time.Second)
			if drain {
				if err := n.Drain(t.Context(), time.Second); err != nil {
					t.Fatal(err)
				}
			} else if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			tab.ends("DRAINING")
			w.ends("DRAINING")
			time.Sleep(time.Minute)
			if got := w.believes(); len(got.events) != 2 {
				t.Errorf("saw %q", got.events)
			}
			if server, _ := n.present("a"); server.String() != "amy=x bob=y" {
				t.Errorf("present are %s", server)
			}
		})
	}
}

func TestP6NewDataIsAnUpdateAndTheSameDataNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		w, tab := n.watch(), n.tab("amy", "a", "x")
		for _, data := range []string{"x", "y", "y", "x"} {
			time.Sleep(window)
			if _, err := n.rpc.UpdatePresence(tab.ctx(), &millracev1.UpdatePresenceRequest{Channel: "a", Data: textPayload(data)}); err != nil {
				t.Fatal(err)
			}
			tab.enter("a", data)
		}
		time.Sleep(window)
		w.takes("subscribed a/0", "here a v0:", "changed a v1: +amy=x (1)", "changed a v2: ~amy=y (1)", "changed a v3: ~amy=x (1)")
	})
}

func TestP9WatchingIsNotBeingPresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		n.watch()
		n.subscribeAs("amy", &millracev1.Subscription{Channel: "a", Presence: true})
		if server, _ := n.present("a"); server.String() != "" {
			t.Errorf("present are %s", server)
		}
		tab := n.tab("amy", "b", "x")
		tab.takes() // being present is not watching
	})
}

func TestP9WatchingAndBeingPresentNeedTheirOwnGrants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		only := func(actions ...auth.Action) string {
			return n.token("amy", auth.Grant{Pattern: "a", Actions: append(actions, auth.Subscribe)})
		}
		enter := func(token string) error {
			c := n.openWith(token, &millracev1.SubscribeRequest{})
			_, err := n.rpc.EnterPresence(c.ctx(), &millracev1.EnterPresenceRequest{Channel: "a"})
			return err
		}
		watch := func(token string) error {
			_, err := n.rpc.Presence(as(t.Context(), token), &millracev1.PresenceRequest{Channel: "a"})
			return err
		}
		if err := enter(only(auth.Presence)); err != nil {
			t.Error(err)
		}
		if err := watch(only(auth.Watch)); err != nil {
			t.Error(err)
		}
		refused(t, enter(only(auth.Watch)), "FORBIDDEN")
		refused(t, watch(only(auth.Presence)), "FORBIDDEN")
		c := n.openWith(only(auth.Presence), &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{{Channel: "a", Presence: true}}})
		c.ends("FORBIDDEN")
		synctest.Wait()
	})
}
