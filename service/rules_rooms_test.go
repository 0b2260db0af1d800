package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

func TestP7ChangesAreToldAtMostOnceInAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		w, amy, bob := n.watch(), n.tab("amy", "a", "0"), n.tab("bob", "b", "0")
		time.Sleep(window / 20) // not at the moments when changes are told
		for i := range 30 {
			amy.enter("a", fmt.Sprint(i))
			bob.enter("a", "briefly")
			bob.quit()
			time.Sleep(window / 10)
		}
		time.Sleep(window)
		w.takes("subscribed a/0", "here a v0:", "changed a v1: +amy=0 (1)",
			"changed a v2: ~amy=9 (1)", "changed a v3: ~amy=19 (1)", "changed a v4: ~amy=29 (1)")
	})
}

func TestP7WhoeverAsksDoesNotMakeChangesToldMoreOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		w := n.watch()
		w.fresh()
		before := time.Now()
		for i := range 100 { // a hundred users come at once, and each watches and lists
			tab := n.tab(fmt.Sprint("user", i), "a", "x")
			tab.add(&millracev1.Subscription{Channel: "a", Presence: true})
			n.present("a")
			time.Sleep(window / 20)
		}
		time.Sleep(window)
		got := w.believes()
		told, most := len(w.fresh()), int(time.Since(before)/window)+1
		if told > most || len(got.members) != 100 || len(got.faults) > 0 {
			t.Errorf("told %d times of %d members, want at most %d times; %q", told, len(got.members), most, got.faults)
		}
	})
}

// rooms lists at most so many members.
func rooms(members int) service.Config {
	return service.Config{Rules: []service.Rule{{Pattern: ">", PresenceMembers: members}}}
}

func TestP7TheWindowGrowsInLargeRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, rooms(10_000))
		crowd := n.crowd(1000)
		time.Sleep(time.Second)
		w := n.watch()
		w.fresh()
		for i := range 20 {
			crowd[0].enter("a", fmt.Sprint(i))
			time.Sleep(50 * time.Millisecond)
		}
		if told := len(w.fresh()); told < 4 || told > 6 {
			t.Errorf("told %d times in a second, want every 200 ms", told)
		}
	})
}

// crowd are sessions of as many users, present in channel a.
func (n *node) crowd(size int) []*client {
	n.t.Helper()
	crowd := make([]*client, size)
	for i := range crowd {
		crowd[i] = n.dial(n.token(fmt.Sprintf("user%05d", i)), &millracev1.SubscribeRequest{HeartbeatInterval: seconds(300)})
	}
	synctest.Wait()
	for _, c := range crowd {
		c.enter("a", "0")
	}
	return crowd
}

func TestP8InALargeRoomOnlyTheTotalIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, rooms(20))
		w, crowd := n.watch(), n.crowd(20)
		time.Sleep(window)
		if got := w.believes(); len(got.members) != 20 || len(got.faults) > 0 {
			t.Fatalf("believes %s, %q", got, got.faults)
		}
		w.fresh()
		late := n.tab("zoe", "a", "z")
		time.Sleep(window)
		w.takes("changed a v3: (21)")
		n.watch().takesWith("here a v3: user00000=0", "(of 21)")
		server, _ := n.present("a")
		if len(server.members) != 21 || !strings.Contains(server.String(), "zoe=z") {
			t.Errorf("the list has %s", server)
		}
		for i, c := range []*client{late, crowd[0], crowd[1]} { // no list before there are as few as 18
			time.Sleep(window)
			c.leave()
			time.Sleep(window)
			if i < 2 {
				w.takes(fmt.Sprintf("changed a v%d: (%d)", 4+i, 20-i))
			}
		}
		w.takesWith("here a v6: user00002=0", "user00019=0")
		crowd[2].leave()
		time.Sleep(window)
		w.takes("changed a v7: -user00002=0 (17)")
	})
}

// takesWith fails unless the last that the client took has all these words.
func (c *client) takesWith(words ...string) {
	c.node.t.Helper()
	got := c.news()
	for _, word := range words {
		if len(got) == 0 || !strings.Contains(got[len(got)-1], word) {
			c.node.t.Errorf("took %q, want %q at the end", got, word)
		}
	}
}

func TestP8TheListIsReadPageByPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, rooms(20))
		n.crowd(53)
		var users []string
		request := &millracev1.PresenceRequest{Channel: "a", PageSize: 10}
		for pages := 1; ; pages++ {
			response, err := n.rpc.Presence(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range response.GetMembers() {
				users = append(users, m.GetUser())
			}
			if request.PageToken = response.GetNextPageToken(); request.GetPageToken() == "" {
				break
			}
		}
		for i, user := range users {
			if want := fmt.Sprintf("user%05d", i); user != want || len(users) != 53 {
				t.Fatalf("member %d of %d is %s", i, len(users), user)
			}
		}
	})
}

func TestP10AnAnnouncedChannelSaysWhoComesAndGoes(t *testing.T) {
	config := service.Config{Rules: []service.Rule{{Pattern: "room:*", Announce: true}}}
	synctest.Test(t, func(t *testing.T) {
		n := start(t, config)
		amy := n.subscribeAs("amy", to("room:1"))
		amy.takes("subscribed room:1/0", `room:1/- {"type":"sync","userId":"amy","users":["amy"]}`)
		time.Sleep(window)
		bob := n.subscribeAs("bob", to("room:1"))
		bob.takes("subscribed room:1/0", `room:1/- {"type":"sync","userId":"bob","users":["amy","bob"]}`)
		amy.takes(`room:1/- {"type":"join","userId":"bob"}`)
		time.Sleep(window)
		bob.add(to("room:1"))
		amy.add(to("room:2"))
		amy.takes("subscribed room:2/0", `room:2/- {"type":"sync","userId":"amy","users":["amy"]}`)
		bob.remove("room:1")
		bob.takes("subscribed already room:1/0", "unsubscribed room:1")
		amy.takes(`room:1/- {"type":"leave","userId":"bob"}`)
		time.Sleep(window)
		if server, _ := n.present("room:1"); server.String() != "amy" {
			t.Errorf("present are %s", server)
		}
		cal := n.subscribeAs("cal", to("room:1"))
		time.Sleep(window)
		cal.leave()
		amy.takes(`room:1/- {"type":"join","userId":"cal"}`, `room:1/- {"type":"leave","userId":"cal"}`)
		second := n.subscribeAs("amy", to("room:1"))
		second.takes("subscribed room:1/0", `room:1/- {"type":"sync","userId":"amy","users":["amy"]}`)
		amy.takes()
	})
}

func TestP10ThreeTabsAndAReloadMakeOneJoinAndOneLeave(t *testing.T) {
	config := service.Config{Rules: []service.Rule{{Pattern: "room:*", Announce: true}}}
	synctest.Test(t, func(t *testing.T) {
		n := start(t, config)
		amy := n.subscribeAs("amy", to("room:1"))
		time.Sleep(window)
		var tabs []*client
		for range 3 {
			tabs = append(tabs, n.subscribeAs("bob", to("room:1")))
			time.Sleep(window)
		}
		tabs[1].lose() // a reload
		time.Sleep(10 * time.Second)
		tabs[1] = n.subscribeAs("bob", to("room:1"))
		time.Sleep(10 * time.Second)
		tabs[2].leave()
		tabs[0].lose()
		tabs[1].lose()
		time.Sleep(14 * time.Second)
		again := n.subscribeAs("bob", to("room:1")) // the last one is reloaded
		time.Sleep(14 * time.Second)
		for _, line := range []string{"subscribed room:1/0", `room:1/- {"type":"sync","userId":"amy","users":["amy"]}`, `room:1/- {"type":"join","userId":"bob"}`} {
			if got := withoutHeartbeats(amy); !slices.Contains(got, line) || len(got) != 3 {
				t.Fatalf("took %q, want %s", got, line)
			}
		}
		again.leave()
		time.Sleep(window)
		if got := withoutHeartbeats(amy); len(got) != 4 || got[3] != `room:1/- {"type":"leave","userId":"bob"}` {
			t.Errorf("took %q", got)
		}
	})
}

// withoutHeartbeats is all that a client took after ready.
func withoutHeartbeats(c *client) []string {
	return slices.DeleteFunc(inWords(c.all())[1:], func(line string) bool { return line == "heartbeat" })
}
