package service_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

func TestScaleAReplayIsCompleteWhilePublishingGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, more := sized(10_000, 100_000), sized(2_000, 20_000)
		n := start(t, keeping(kept+more))
		for i := range kept {
			n.publish("a", fmt.Sprint(i))
		}
		c := n.count(since("a", n.at("a", 0)))
		for i := range more {
			n.publish("a", fmt.Sprint(i))
		}
		synctest.Wait()
		if fault := c.complains(kept + more); fault != "" {
			t.Error(fault)
		}
		t.Logf("%d messages replayed while %d were published", kept, more)
	})
}

func TestScaleThousandsComeBackAtOnceAndMissNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions, channels, each := sized(1_000, 10_000), 100, 20
		n := start(t, keeping(1000))
		name := func(i int) string { return fmt.Sprint("room.", i%channels) }
		publish := func() {
			for i := range channels {
				for range each {
					n.publish(name(i), "x")
				}
			}
		}
		clients := make([]*tally, sessions)
		for i := range clients {
			clients[i] = n.count(to(name(i)))
		}
		synctest.Wait()
		publish()
		for i, c := range clients {
			c.hang(errLost)
			if i == sessions/2 {
				synctest.Wait()
				publish() // some see it still
			}
		}
		synctest.Wait()
		publish()
		before := time.Now()
		taken := 0
		for i, c := range clients {
			taken += c.taken
			if len(c.faults)+len(c.gaps) > 0 || int(c.last) != c.taken {
				t.Fatalf("before: took %d messages up to %d: %v", c.taken, c.last, c.faults)
			}
			position := n.at(name(i), c.last)
			clients[i] = n.count(since(name(i), position))
		}
		publish()
		synctest.Wait()
		for i, c := range clients {
			if fault := c.complains(4 * each); fault != "" {
				t.Fatalf("session %d: %s", i, fault)
			}
		}
		if waited := time.Since(before); waited != 0 {
			t.Errorf("somebody waited for %v", waited)
		}
		t.Logf("%d sessions came back at once, with %d of %d messages", sessions, taken, sessions*4*each)
	})
}

func TestScaleAWatcherOfThousandsOfMembersIsNeverWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size, duration, changes := sized(500, 5_000), time.Duration(sized(5, 20))*time.Second, 500
		n := start(t, rooms(10_000))
		watchers := []*client{n.watch()}
		crowd := n.crowd(size)
		watchers = append(watchers, n.watch())
		random := rand.New(rand.NewPCG(1, 2))
		begin, versions := time.Now(), map[uint64]string{}
		for i := 0; time.Since(begin) < duration; i++ {
			n.changeOne(crowd, random)
			time.Sleep(time.Second / time.Duration(changes))
			if i%100 == 0 {
				snapshot := n.watch()
				server := snapshot.believes()
				versions[server.number] = server.String()
				snapshot.leave()
			}
		}
		time.Sleep(2 * time.Second)
		server, _ := n.present("a")
		versions[server.number] = server.String()
		compared := 0
		for _, w := range watchers {
			compared += compare(t, w, versions)
			if got := w.believes(); got.number != server.number || len(got.faults) > 0 {
				t.Errorf("a watcher is at version %d, the server at %d: %q", got.number, server.number, got.faults)
			}
		}
		t.Logf("%d members, %d changes a second for %v: %d versions, %d compared", size, changes, duration, server.number, compared)
	})
}

// changeOne has a member of a crowd come, change or go.
func (n *node) changeOne(crowd []*client, random *rand.Rand) {
	n.t.Helper()
	switch who := random.IntN(len(crowd)); {
	case crowd[who] == nil:
		crowd[who] = n.openWith(n.token(fmt.Sprintf("user%05d", who)), &millracev1.SubscribeRequest{HeartbeatInterval: seconds(300)})
		crowd[who].enter("a", "back")
	case random.IntN(3) == 0:
		crowd[who].leave()
		crowd[who] = nil
	default:
		crowd[who].enter("a", fmt.Sprint(random.IntN(3)))
	}
}

// compare folds what a watcher was told, and compares each state with the
// server's of that version, where that is known.
func compare(t *testing.T, w *client, versions map[uint64]string) (compared int) {
	t.Helper()
	r := newRoster()
	for _, it := range w.all() {
		r.apply(it.frame.Notice)
		if want, known := versions[r.number]; known && it.frame.Notice.GetPresenceChanges() != nil {
			compared++
			if r.String() != want {
				t.Errorf("at version %d, a watcher believes other members than the server", r.number)
			}
		}
	}
	return compared
}

// slowCase is one client among many that takes nothing for 30 s.
type slowCase struct {
	history int
	onSlow  millracev1.OnSlow
	check   func(t *testing.T, slow *tally, published int)
}

func TestScaleOneSlowReaderAmongMany(t *testing.T) {
	others, rate := sized(50, 1_000), sized(500, 5_000)
	cases := map[string]slowCase{
		"history": {30 * rate, 0, func(t *testing.T, slow *tally, published int) {
			t.Helper()
			if fault := slow.complains(published); fault != "" {
				t.Error(fault)
			}
		}},
		"disconnect": {0, millracev1.OnSlow_ON_SLOW_DISCONNECT, func(t *testing.T, slow *tally, _ int) {
			t.Helper()
			slow.ends("SLOW_CONSUMER")
		}},
		"drop oldest": {0, millracev1.OnSlow_ON_SLOW_DROP_OLDEST, func(t *testing.T, slow *tally, published int) {
			t.Helper()
			missed := 0
			for _, gap := range slow.gaps {
				missed += int(gap.GetPosition().GetOffset() - gap.GetRequested().GetOffset())
			}
			if missed == 0 || missed+slow.taken != published || len(slow.faults) > 0 {
				t.Errorf("took %d messages and missed %d of %d: %v", slow.taken, missed, published, slow.faults)
			}
			t.Logf("missed %d, in %d gaps", missed, len(slow.gaps))
		}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test.play(t, others, rate) })
		})
	}
}

func (test slowCase) play(t *testing.T, others, rate int) {
	t.Helper()
	const budget = 1 << 20
	config := keeping(test.history)
	config.Limits = service.Limits{PendingBytes: budget, WriteTimeout: time.Minute}
	n := start(t, config)
	clients := make([]*tally, others)
	for i := range clients {
		clients[i] = n.count(to("a"))
	}
	slow := n.count(&millracev1.Subscription{Channel: "a", OnSlow: test.onSlow})
	synctest.Wait()
	slow.stall()
	before, most := heap(), 0
	for tick := range 30_000 { // 30 s
		if tick%1000 == 0 {
			most = max(most, n.mostPending())
		}
		for range rate / 1000 {
			n.publish("a", blank)
		}
		if rate < 1000 && tick%2 == 0 {
			n.publish("a", blank)
		}
		time.Sleep(time.Millisecond)
	}
	most = max(most, n.mostPending())
	grown := heap() - before
	published := int(n.head("a").GetOffset())
	slow.goOn()
	synctest.Wait()
	for i, c := range clients {
		if fault := c.complains(published); fault != "" {
			t.Fatalf("session %d: %s", i, fault)
		}
	}
	if most > budget+len(blank)+200 {
		t.Errorf("%d bytes were pending, and the budget is %d", most, budget)
	}
	if test.history == 0 && grown > 8*budget {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	test.check(t, slow, published)
	t.Logf("%d others, %d messages in 30 s: at most %d bytes pending, heap grown by %d KiB", others, published, most, grown>>10)
}

const blank = "................................................................................................................................"

// mostPending is the most that waits for any session.
func (n *node) mostPending() int {
	n.t.Helper()
	most := 0
	for _, session := range n.sessions() {
		most = max(most, int(session.GetPendingBytes()))
	}
	return most
}

// heap is how many bytes are reachable.
func heap() int {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}
