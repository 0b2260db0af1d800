package service_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	nodev1 "millrace.dev/gen/millrace/node/v1"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// resumes opens the session of a token on a node, and checks that it is the same.
func (n *node) resumes(was *millracev1.Ready) *client {
	n.t.Helper()
	c := n.open(&millracev1.SubscribeRequest{SessionToken: was.GetSessionToken()})
	for synctest.Wait(); len(c.all()) == 0 && c.failure() == nil; synctest.Wait() {
		time.Sleep(10 * time.Millisecond) // a node that does not answer is waited for
	}
	if got := c.ready().GetSession(); got != was.GetSession() {
		n.t.Errorf("the session is %s, and was %s", got, was.GetSession())
	}
	return c
}

func TestN7ANodeThatComesRightAfterADeathTakesOverFromTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		dying, line := m.start(t, keeping(0))
		living, _ := m.start(t, keeping(0))
		w := living.watch()
		tab := dying.tab("", "a", "x")
		time.Sleep(soon)
		line.die()
		next, _ := m.start(t, keeping(0))
		next.resumes(tab.ready())
		time.Sleep(time.Minute)
		if left := w.sawLeave(); len(left) > 0 {
			t.Errorf("%q have left", left)
		}
	})
}

func TestN7ANodeThatOthersAnswerLateTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		going, _ := m.start(t, keeping(0))
		slow, line := m.start(t, keeping(0))
		w := slow.watch()
		gone, stays := going.tab("", "a", "x"), slow.tab("", "a", "x")
		time.Sleep(soon)
		if err := going.Close(); err != nil {
			t.Error(err)
		}
		line.freeze()
		time.AfterFunc(400*time.Millisecond, line.thaw)
		next, _ := m.start(t, keeping(0))
		next.resumes(gone.ready())
		next.resumes(stays.ready())
		time.Sleep(time.Minute)
		if left := w.sawLeave(); len(left) > 0 {
			t.Errorf("%q have left", left)
		}
	})
}

func TestN7ATokenCountsBeforeItsNodeIsKnownToHaveTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		first, line := m.start(t, keeping(0))
		second, late := m.start(t, keeping(0))
		third, _ := m.start(t, keeping(0))
		w := third.watch()
		tab := first.tab("", "a", "x")
		time.Sleep(soon)
		line.die()
		time.Sleep(5 * time.Second)
		late.freeze()
		again := second.resumes(tab.ready())
		time.AfterFunc(400*time.Millisecond, late.thaw)
		third.resumes(again.ready())
		time.Sleep(time.Minute)
		if left := w.sawLeave(); len(left) > 0 {
			t.Errorf("%q have left", left)
		}
	})
}

func TestN7OfTwoNodesThatTakeASessionOverAtOnceTheLaterHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh()
		first, line := m.start(t, keeping(0))
		second, here := m.start(t, keeping(0))
		third, there := m.start(t, keeping(0))
		w := third.watch()
		for range 8 { // nodes have random names
			tab := first.tab("", "a", "x")
			time.Sleep(soon)
			line.freeze()
			time.Sleep(5 * time.Second)
			here.freeze()
			there.freeze()
			second.resumes(tab.ready()) // its client has gone on
			time.Sleep(time.Millisecond)
			again := third.resumes(tab.ready())
			time.Sleep(soon)
			here.thaw()
			there.thaw()
			line.thaw()
			time.Sleep(soon)
			if err := again.failure(); err != nil {
				t.Errorf("the later one has ended: %v", err)
			}
			second.resumes(again.ready())
			time.Sleep(soon)
		}
		time.Sleep(time.Minute)
		if left := w.sawLeave(); len(left) > 0 {
			t.Errorf("%q have left", left)
		}
	})
}

// A node comes while others take over what a dead one had. What it learns of the dead
// one may be older than what it learns of them.
func TestP5ANodeThatComesDuringATakeOverKnowsWhoHasTheSession(t *testing.T) {
	for after := range 60 {
		synctest.Test(t, func(t *testing.T) {
			m := newMesh()
			dying, line := m.start(t, keeping(0))
			going, _ := m.start(t, keeping(0))
			third, _ := m.start(t, keeping(0))
			w := third.watch()
			tab := dying.tab("", "a", "x")
			time.Sleep(soon)
			line.die()
			again := going.open(&millracev1.SubscribeRequest{SessionToken: tab.ready().GetSessionToken()})
			time.Sleep(time.Duration(after) * 50 * time.Millisecond)
			next, _ := m.start(t, keeping(0))
			time.Sleep(5 * time.Second)
			if err := going.Drain(t.Context(), 0); err != nil {
				t.Error(err)
			}
			next.resumes(again.ready())
			if err := going.Close(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
			if left := w.sawLeave(); len(left) > 0 {
				t.Errorf("%q have left", left)
			}
		})
	}
}

func TestP11AShareOfWhichAPartWasLostCountsOnlyAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const members = 2500 // three parts
		m := newMesh()
		full, _ := m.start(t, keeping(0))
		for i := range members {
			full.tab(fmt.Sprint("user", i), "a", "x")
		}
		var lost atomic.Int32
		m.mu.Lock()
		m.loses = func(n *nodev1.Note) bool { return n.GetShare().GetPart() == 1 && lost.Add(1) == 1 }
		m.mu.Unlock()
		next, _ := m.start(t, keeping(0))
		time.Sleep(5 * time.Second)
		if got, _ := next.present("a"); len(got.members) != members || lost.Load() == 0 {
			t.Errorf("the other node has %d members of %d; %d parts were on their way", len(got.members), members, lost.Load())
		}
	})
}

func TestP3ASessionThatMayNotBeTakenOverNowStillLeavesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := keeping(0)
		config.Limits.UserSessions = 1
		n := start(t, config)
		w := n.watch()
		token := n.token("amy", modest)
		tab := n.openWith(token, &millracev1.SubscribeRequest{})
		tab.enter("a", "x")
		tab.lose()
		n.openWith(token, &millracev1.SubscribeRequest{})
		n.openWith(token, &millracev1.SubscribeRequest{SessionToken: tab.ready().GetSessionToken()}).ends("RATE_LIMITED")
		time.Sleep(14 * time.Second)
		if got := w.believes(); got.String() != "amy=x" {
			t.Errorf("present are %q before the time is over", got)
		}
		time.Sleep(2 * time.Second)
		if got := w.believes(); got.String() != "" {
			t.Errorf("present are %q after the time is over", got)
		}
	})
}
