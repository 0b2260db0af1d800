package service_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// window is how often changes of a small room are told.
const window = 100 * time.Millisecond

func TestP1AMemberIsAUserWithOneOrMoreSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		w := n.watch()
		first, second := n.tab("amy", "a", "x"), n.tab("amy", "a", "x")
		anonymous := n.tab("", "a", "")
		time.Sleep(window)
		id := anonymous.ready().GetSession()
		w.takes("subscribed a/0", "here a v0:", "changed a v1: +amy=x (1)", "changed a v2: +"+id+" (2)")
		if _, listed := n.present("a"); listed.GetMembers()[slices.IndexFunc(listed.GetMembers(), isUser("amy"))].GetSessions() != 2 {
			t.Errorf("listed are %v", listed)
		}
		first.quit()
		time.Sleep(window)
		w.takes()
		second.quit()
		anonymous.leave()
		time.Sleep(window)
		w.takes("changed a v3: -amy=x (1)", "changed a v4: -"+id+" (0)")
	})
}

func isUser(user string) func(*millracev1.Member) bool {
	return func(m *millracev1.Member) bool { return m.GetUser() == user }
}

func TestP1ThreeTabsClosedInAnyOrderMakeOneLeave(t *testing.T) {
	orders := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	ends := []func(*client){(*client).leave, (*client).lose, func(c *client) { c.quit() }}
	for i, order := range orders {
		for how, end := range ends {
			synctest.Test(t, func(t *testing.T) {
				n := start(t, keeping(0))
				w := n.watch()
				var tabs []*client
				for range order {
					tabs = append(tabs, n.tab("amy", "a", "x"))
					time.Sleep(window)
				}
				for _, tab := range order {
					end(tabs[tab])
					time.Sleep(time.Duration(i) * window)
				}
				time.Sleep(16 * time.Second)
				if got := w.believes(); len(got.events) != 2 || len(got.members) != 0 || len(got.faults) > 0 {
					t.Errorf("order %v, ending %d: %q %q", order, how, got.events, got.faults)
				}
			})
		}
	}
}

func TestP1OfAUsersSessionsTheNewestSaysTheData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		w := n.watch()
		var tabs []*client
		for _, data := range []string{"one", "two", "three", "four"} {
			tabs = append(tabs, n.tab("amy", "a", data))
			time.Sleep(window)
		}
		for _, closed := range []int{3, 1, 2} {
			tabs[closed].leave()
			time.Sleep(window)
		}
		w.takes("subscribed a/0", "here a v0:", "changed a v1: +amy=one (1)", "changed a v2: ~amy=two (1)", "changed a v3: ~amy=three (1)",
			"changed a v4: ~amy=four (1)", "changed a v5: ~amy=three (1)", "changed a v6: ~amy=one (1)")
	})
}
