package service_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// crowdTrial is a random program of users who come, change and go, and what must be
// so: who is present in channel a, by the rules.
type crowdTrial struct {
	*script
	t        *testing.T
	n        *node
	tabs     []*modelTab
	watchers []*client
	entered  int // times, over all tabs
	counts   *crowdCounts
	slept    time.Duration
	past     []string // operations, for whoever reads a failure
}

type crowdCounts struct{ operations, tabs, losses, takeOvers, versions int }

// modelTab is a session of a user.
type modelTab struct {
	user    string
	c       *client
	entered int // when it said its data, 0 for not present
	data    string
	lost    time.Time // zero while it is connected
}

// isThere reports whether the tab counts: it entered, and is connected or was a
// short while ago.
func (tab *modelTab) isThere() bool {
	return tab.entered > 0 && (tab.lost.IsZero() || time.Since(tab.lost) < 15*time.Second)
}

// TestModelOfPresence runs random programs against presence and the model. It takes
// the environment of TestModel.
func TestModelOfPresence(t *testing.T) {
	operations, seed := fromEnvironment("MODEL_OPERATIONS", 5_000), fromEnvironment("MODEL_SEED", 1)
	total := crowdCounts{}
	for number := fromEnvironment("MODEL_PROGRAM", 0); total.operations < operations; number++ {
		program := randomProgram(uint64(seed), uint64(number), 1500)
		ok := t.Run(strconv.Itoa(number), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runCrowd(t, program, &total) })
		})
		if !ok {
			t.Fatalf("seed %d, program %d", seed, number)
		}
	}
	t.Logf("seed %d: %+v", seed, total)
}

// FuzzModelOfPresence looks for programs that break the rules.
func FuzzModelOfPresence(f *testing.F) {
	fuzzPrograms(f, func(t *testing.T, program []byte) {
		t.Helper()
		runCrowd(t, program, &crowdCounts{})
	})
}

func runCrowd(t *testing.T, program []byte, total *crowdCounts) {
	t.Helper()
	w := &crowdTrial{script: &script{left: program}, t: t, n: start(t, keeping(0)), counts: total}
	w.watchers = []*client{w.n.watch()}
	for !w.isOver() && !t.Failed() {
		w.operate()
		w.counts.operations++
		if w.pick(3) == 0 {
			w.check()
		}
	}
	w.check()
	server, _ := w.n.present("a")
	w.counts.versions += int(server.number)
	w.stop()
}

func (w *crowdTrial) operate() {
	switch p := w.pick(100); {
	case p < 25:
		w.open()
	case p < 50:
		w.enter()
	case p < 58:
		w.quit()
	case p < 66:
		w.part()
	case p < 76:
		w.lose()
	case p < 84:
		w.takeOver()
	case p < 86:
		w.disconnect()
	case p < 90:
		w.watch()
	default:
		w.wait([]time.Duration{time.Millisecond, 130 * time.Millisecond, time.Second, 4 * time.Second, 14 * time.Second, 16 * time.Second}[w.pick(6)])
	}
}

func (w *crowdTrial) notef(format string, args ...any) {
	w.past = append(w.past, fmt.Sprintf(format, args...))
}

// wait lets time go by, and each time a little more, so that nothing happens at the
// moment in which something else ends.
func (w *crowdTrial) wait(d time.Duration) {
	w.slept++
	w.notef("wait %v", d)
	time.Sleep(d + w.slept)
	synctest.Wait()
	w.tabs = slices.DeleteFunc(w.tabs, func(tab *modelTab) bool { return !tab.lost.IsZero() && !tab.isThere() })
}

func (w *crowdTrial) open() {
	if len(w.tabs) < 20 {
		w.tabs = append(w.tabs, w.dial(fmt.Sprint("user", w.pick(5)), ""))
	}
}

func (w *crowdTrial) dial(user, sessionToken string) *modelTab {
	dial := w.n.dial
	if w.pick(2) == 0 {
		dial = w.n.dialSink
	}
	w.counts.tabs++
	tab := &modelTab{user: user, c: dial(w.n.token(user), &millracev1.SubscribeRequest{SessionToken: sessionToken})}
	synctest.Wait()
	w.notef("%s opens %s", user, tab.c.ready().GetSession())
	return tab
}

// some is one of the tabs, connected or not as asked; nil if there is none.
func (w *crowdTrial) some(isConnected bool) *modelTab {
	var found []*modelTab
	for _, tab := range w.tabs {
		if tab.lost.IsZero() == isConnected {
			found = append(found, tab)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[w.pick(len(found))]
}

func (w *crowdTrial) enter() {
	if tab := w.some(true); tab != nil {
		w.entered++
		tab.entered, tab.data = w.entered, fmt.Sprint("d", w.pick(3))
		w.notef("%s enters with %s", tab.user, tab.data)
		tab.c.enter("a", tab.data)
	}
}

func (w *crowdTrial) quit() {
	if tab := w.some(true); tab != nil {
		tab.entered = 0
		w.notef("%s quits", tab.user)
		tab.c.quit()
	}
}

// part closes a connection that says so.
func (w *crowdTrial) part() {
	if tab := w.some(true); tab != nil {
		w.notef("%s leaves", tab.user)
		tab.c.leave()
		w.forget(tab)
	}
}

func (w *crowdTrial) lose() {
	if tab := w.some(true); tab != nil {
		w.counts.losses++
		w.notef("%s is lost", tab.user)
		tab.c.lose()
		if tab.lost = time.Now(); tab.entered == 0 {
			w.forget(tab)
		}
	}
}

// takeOver comes back with the token of a session that was lost, or that is not
// known to be.
func (w *crowdTrial) takeOver() {
	was := w.some(w.pick(3) == 0)
	if was == nil {
		return
	}
	w.counts.takeOvers++
	now := w.dial(was.user, was.c.ready().GetSessionToken())
	if was.lost.IsZero() {
		was.c.ends("DISCONNECTED")
	}
	if now.c.ready().GetSession() != was.c.ready().GetSession() {
		w.faultf("the session of %s was not taken over", was.user)
	}
	now.entered, now.data = was.entered, was.data
	w.forget(was)
	w.tabs = append(w.tabs, now)
}

func (w *crowdTrial) disconnect() {
	if len(w.tabs) == 0 {
		return
	}
	user := w.tabs[w.pick(len(w.tabs))].user
	w.notef("%s is disconnected", user)
	request := &millracev1.DisconnectRequest{Target: &millracev1.DisconnectRequest_User{User: user}}
	if _, err := w.n.admin.Disconnect(as(w.t.Context(), w.n.keys.APIKeys[0]), request); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	w.tabs = slices.DeleteFunc(w.tabs, func(tab *modelTab) bool { return tab.user == user })
}

// watch adds a watcher, in the middle of what happens, or takes one away.
func (w *crowdTrial) watch() {
	if len(w.watchers) < 4 {
		w.watchers = append(w.watchers, w.n.watch())
		return
	}
	i := w.pick(len(w.watchers))
	w.watchers[i].leave()
	w.watchers = slices.Delete(w.watchers, i, i+1)
}

func (w *crowdTrial) forget(tab *modelTab) {
	w.tabs = slices.DeleteFunc(w.tabs, func(other *modelTab) bool { return other == tab })
}

// present is who must be, each with the data that was said last.
func (w *crowdTrial) present() string {
	newest := map[string]*modelTab{}
	for _, tab := range w.tabs {
		if was := newest[tab.user]; tab.isThere() && (was == nil || was.entered < tab.entered) {
			newest[tab.user] = tab
		}
	}
	r := newRoster()
	for user, tab := range newest {
		r.members[user] = user + "=" + tab.data
	}
	return r.String()
}

// check compares the list at once, and what watchers believe once they were told.
func (w *crowdTrial) check() {
	synctest.Wait()
	if server, _ := w.n.present("a"); server.String() != w.present() {
		w.faultf("present are %s, want %s", server, w.present())
	}
	for want := "nobody was asked for"; want != w.present(); { // whose time was over just now is told of later
		want = w.present()
		w.wait(window)
	}
	for i, watcher := range w.watchers {
		got := watcher.believes()
		if want := w.present(); got.String() != want || len(got.faults) > 0 {
			w.faultf("watcher %d believes in %s, want %s; %q", i, got, want, got.faults)
		}
	}
}

// stop drains the server: nobody leaves.
func (w *crowdTrial) stop() {
	before := w.present()
	if err := w.n.Drain(w.t.Context(), time.Second); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(time.Minute)
	if server, _ := w.n.present("a"); server.String() != before {
		w.faultf("after it was drained, present are %s, want %s", server, before)
	}
	for i, watcher := range w.watchers {
		if got := watcher.believes(); got.String() != before {
			w.faultf("watcher %d was told that somebody left a server that drains: %s, want %s", i, got, before)
		}
	}
}

// faultf reports what is wrong, and what came before.
func (w *crowdTrial) faultf(format string, args ...any) {
	w.t.Helper()
	last := w.past[max(0, len(w.past)-40):]
	w.t.Errorf("%s\nafter:\n\t%s", fmt.Sprintf(format, args...), strings.Join(last, "\n\t"))
}
