package service_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
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
		h := n.fill(size)
		watchers = append(watchers, n.watch())
		random := rand.New(rand.NewPCG(1, 2))
		first := h.version
		for begin := time.Now(); time.Since(begin) < duration; {
			h.change(random)
			time.Sleep(time.Second / time.Duration(changes))
		}
		time.Sleep(2 * time.Second)
		h.states[h.version] = h.String()
		server, _ := n.present("a")
		if server.number != h.version || server.String() != h.String() {
			t.Fatalf("the server is at version %d, the test at %d", server.number, h.version)
		}
		for i, w := range watchers {
			if compared, fault := h.compare(w, first); fault != "" || compared != int(h.version-first) {
				t.Errorf("watcher %d: %d versions of %d compared; %s", i, compared, h.version-first, fault)
			}
		}
		t.Logf("%d members, %d changes a second for %v: %d versions, each compared for %d watchers", size, changes, duration, h.version-first, len(watchers))
	})
}

// hall is a crowd in channel a, and what the server must say of it at each version.
type hall struct {
	n       *node
	crowd   []*client
	data    []string // empty for who is not present
	version uint64   // that the last change is told with
	states  map[uint64]string
}

func (n *node) fill(size int) *hall {
	n.t.Helper()
	h := &hall{n: n, crowd: n.crowd(size), states: map[uint64]string{}}
	for range size {
		h.data = append(h.data, "0")
	}
	time.Sleep(2 * time.Second)
	server, _ := n.present("a")
	h.version = server.number
	return h
}

func (h *hall) String() string {
	var members []string
	for i, data := range h.data {
		if data != "" {
			members = append(members, fmt.Sprintf("user%05d=%s", i, data))
		}
	}
	return strings.Join(members, " ")
}

// change has a member come, change or go. What was before it is what the version
// before said, if this one is told with another.
func (h *hall) change(random *rand.Rand) {
	h.n.t.Helper()
	who := random.IntN(len(h.crowd))
	c, data := h.crowd[who], fmt.Sprint(random.IntN(3))
	var version *millracev1.PresenceVersion
	if h.data[who] != "" && random.IntN(3) == 0 {
		data = ""
		response, err := h.n.rpc.LeavePresence(c.ctx(), &millracev1.LeavePresenceRequest{Channel: "a"})
		if err != nil {
			h.n.t.Fatal(err)
		}
		version = response.GetVersion()
	} else {
		response, err := h.n.rpc.EnterPresence(c.ctx(), &millracev1.EnterPresenceRequest{Channel: "a", Data: textPayload(data)})
		if err != nil {
			h.n.t.Fatal(err)
		}
		version = response.GetVersion()
	}
	if version.GetNumber() != h.version {
		h.states[h.version] = h.String()
		h.version = version.GetNumber()
	}
	h.data[who] = data
}

// compare folds what a watcher was told, and compares it at every version after
// the first.
func (h *hall) compare(w *client, first uint64) (compared int, fault string) {
	r := newRoster()
	for _, it := range w.all() {
		r.apply(it.frame.Notice)
		if it.frame.Notice.GetPresenceChanges() == nil || r.number <= first {
			continue
		}
		compared++
		if r.String() != h.states[r.number] {
			return compared, fmt.Sprintf("at version %d it believes in other members", r.number)
		}
	}
	if len(r.faults) > 0 {
		return compared, r.faults[0]
	}
	return compared, ""
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
