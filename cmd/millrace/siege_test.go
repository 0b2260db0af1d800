package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"
)

// besieged is a server in a process of its own, so that what it uses can be told
// from what its attackers use.
type besieged struct {
	*testing.T
	*launched
}

// besiege starts a program that counts the connections of this machine, so that
// those who attack come to their limit as they would from elsewhere. Strangers may do
// there what users do, and no more: who may do everything is not counted.
func besiege(t *testing.T, path string, flags ...string) *besieged {
	t.Helper()
	flags = append([]string{
		"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--trusted-proxies", "192.0.2.1", "--limits-publish-rate", "100000",
		"--api-keys", "a-key-that-nobody-here-has", "--anonymous", `[{pattern: ">", actions: [subscribe, publish, presence, history]}]`,
	}, flags...)
	return &besieged{t, launch(t, exec.CommandContext(context.WithoutCancel(t.Context()), path, flags...))}
}

// memory is what the process has in memory, in bytes: now (VmRSS), or at most so
// far (VmHWM).
func (s *besieged) memory(what string) int {
	s.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		s.Fatal(err)
	}
	found := regexp.MustCompile(what + `:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		s.Fatalf("no %s in %s", what, status)
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	if err != nil {
		s.Fatal(err)
	}
	return kilobytes << 10
}

// processor is the time that the process has had of the processors.
func (s *besieged) processor() time.Duration {
	s.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		s.Fatal(err)
	}
	const user, system, tick = 11, 12, 10 * time.Millisecond // fields after the name
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields, ticks := strings.Fields(rest), 0
	for _, field := range fields[user : system+1] {
		n, err := strconv.Atoi(field)
		if err != nil {
			s.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick
}

// goroutines is how many the process has.
func (s *besieged) goroutines() int {
	s.Helper()
	found := regexp.MustCompile(`(?m)^go_goroutines (\d+)`).FindStringSubmatch(get(s.T, s.admin+"/metrics", ""))
	if found == nil {
		s.Fatal("no go_goroutines in the metrics")
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		s.Fatal(err)
	}
	return n
}

// everyday is what a client does all day: it comes, subscribes, and publishes
// to its channel again and again. It returns how long each message took to come
// back.
func (s *besieged) everyday(messages int) []time.Duration {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience+time.Duration(messages)*100*time.Millisecond)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, s.url+"/ws?channel=calm", nil) //nolint:bodyclose // the library does
	if err != nil {
		s.Fatal(err)
	}
	defer conn.CloseNow()
	var took []time.Duration
	for pace := rate.NewLimiter(200, 1); len(took) < messages; {
		if err := pace.Wait(ctx); err != nil {
			s.Fatal(err)
		}
		began := time.Now()
		if err := conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"channel":"calm","data":%d}`, len(took))); err != nil {
			s.Fatal(err)
		}
		s.awaitCalm(ctx, conn, len(took))
		took = append(took, time.Since(began))
	}
	return took
}

func (s *besieged) awaitCalm(ctx context.Context, conn *websocket.Conn, n int) {
	s.Helper()
	for {
		var delivery struct {
			Channel string `json:"channel"`
			Data    int    `json:"data"`
		}
		_, frame, err := conn.Read(ctx)
		if err == nil {
			err = json.Unmarshal(frame, &delivery)
		}
		switch {
		case err != nil:
			s.Fatalf("message %d: %v", n, err)
		case delivery.Channel != "calm": // what is no delivery
		case delivery.Data != n:
			s.Fatalf("message %d: got %d", n, delivery.Data)
		default:
			return
		}
	}
}

// p99 is what all but one of a hundred took at most.
func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}

// While strangers do what they like, a client that has nothing to do with them
// hardly notices, and what the server uses stays bounded. How long a message takes
// is bounded with SCALE=full only, with more of everything and for a machine that
// does nothing else: each attack then has several rounds, and as many without it.
func TestHostileClientsHurtNobodyElse(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil || testing.Short() {
		t.Skip("takes its time, and reads in /proc what a process uses")
	}
	path := shipped(t)
	rounds, messages, full := 1, 40, os.Getenv("SCALE") == "full"
	if full {
		rounds, messages = 4, 400
	}
	for _, a := range attacks {
		if full {
			a.sockets = a.full
		}
		t.Run(a.name, func(t *testing.T) {
			s := besiege(t, path, a.flags...)
			s.everyday(messages) // warms up
			memory, goroutines := s.memory("VmRSS"), s.goroutines()
			u := s.endure(a, rounds, messages)
			u.memory = max(0, s.memory("VmHWM")-memory)
			t.Logf("| %s | %d | %d | %v | %v | %.1f | %d MiB | %.2f | %v |", a.name, a.sockets, u.acts,
				u.calm.Round(10*time.Microsecond), u.hostile.Round(10*time.Microsecond), u.hostile.Seconds()/u.calm.Seconds(),
				u.memory>>20, u.spent.Seconds()/u.lasted.Seconds(), (u.spent / time.Duration(max(1, u.acts))).Round(time.Microsecond))
			u.check(t, a, full)
			s.checkRest(goroutines)
		})
	}
}

// use is what an attack did to the server, and to a client.
type use struct {
	calm, hostile time.Duration // p99 of a message
	spent, lasted time.Duration // of the processors, in how much time
	acts, memory  int
}

// endure compares everyday life without an attack and with it, in turns.
func (s *besieged) endure(a attack, rounds, messages int) use {
	s.Helper()
	var u use
	var calm, hostile []time.Duration
	for range rounds {
		calm = append(calm, s.everyday(messages)...)
		before, began := s.processor(), time.Now()
		o := s.attack(a, a.sockets)
		hostile = append(hostile, s.everyday(messages)...)
		u.acts += o.stop(s.T)
		u.spent, u.lasted = u.spent+s.processor()-before, u.lasted+time.Since(began)
	}
	u.calm, u.hostile = p99(calm), p99(hostile)
	return u
}

// unnoticed is a delay that nobody notices, and that a processor which two
// programs share makes now and then.
const unnoticed = 5 * time.Millisecond

func (u use) check(t *testing.T, a attack, full bool) {
	t.Helper()
	if most := max(2*u.calm, unnoticed); full && u.hostile > most {
		t.Errorf("p99 of a client that has nothing to do with it: %v, at most %v", u.hostile, most)
	}
	if most := 128<<20 + a.sockets*a.memory; u.memory > most {
		t.Errorf("%d MiB of memory for %d sockets, at most %d", u.memory>>20, a.sockets, most>>20)
	}
	if most := u.lasted + 2*time.Duration(u.acts)*a.cost; u.spent > most {
		t.Errorf("%v of the processors for %d acts in %v, at most %v", u.spent, u.acts, u.lasted, most)
	}
}

// checkRest waits until nothing of an attack is left in the server.
func (s *besieged) checkRest(goroutines int) {
	s.Helper()
	deadline := time.After(patience)
	for s.goroutines() > goroutines+20 {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			s.Fatalf("%d goroutines are left, of %d before", s.goroutines(), goroutines)
		}
	}
	if _, status := do(s.T, &http.Transport{}, newRequest(s.T, s.url+"/readyz")); status != http.StatusOK {
		s.Errorf("not ready afterwards: status %d", status)
	}
}
