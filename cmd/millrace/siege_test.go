package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"
)

// besieged is a server in a process of its own, so that what it uses can be told
// from what its attackers use.
type besieged struct {
	*testing.T
	pid        int
	url, admin string
}

// besiegeProgram starts a program that counts the connections of this machine,
// so that those who attack come to their limit as they would from elsewhere.
func besiegeProgram(t *testing.T, program string, flags ...string) *besieged {
	t.Helper()
	flags = append([]string{
		"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--trusted-proxies", "192.0.2.1", "--limits-publish-rate", "100000",
	}, flags...)
	out := newTranscript()
	server := exec.CommandContext(context.WithoutCancel(t.Context()), program, flags...)
	server.Stderr, server.Env = out, []string{}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill() // it may have ended
		_ = server.Wait()
	})
	out.await(t, 1, "publish/demo")
	s := &besieged{T: t, pid: server.Process.Pid, url: regexp.MustCompile(`listening on (\S+)`).FindStringSubmatch(out.String())[1]}
	s.admin = regexp.MustCompile(`operators: (\S+)`).FindStringSubmatch(out.String())[1]
	return s
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
// back, sorted.
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
	slices.Sort(took)
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

func p99(sorted []time.Duration) time.Duration { return sorted[len(sorted)*99/100] }

// hostileAddress is where all who attack come from.
const hostileAddress = "127.0.0.2"

// onslaught is an attack while it lasts.
type onslaught struct {
	begun, acts atomic.Int64
	pace        *rate.Limiter
	attackers   sync.WaitGroup
	stop        context.CancelFunc
}

// attack lets so many sockets do what they do, each again and again, until it is
// stopped. It returns when all have begun.
func (s *besieged) attack(a attack, sockets int) *onslaught {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	o := &onslaught{pace: rate.NewLimiter(a.pace, 1)}
	o.stop = func() {
		cancel()
		o.attackers.Wait()
	}
	s.Cleanup(o.stop)
	enough := make(chan struct{})
	for range sockets {
		o.attackers.Go(func() {
			for first := true; ctx.Err() == nil; first = false {
				conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(hostileAddress)}}).DialContext(ctx, "tcp", strings.TrimPrefix(s.url, "http://"))
				if err != nil {
					o.next(ctx)
					continue
				}
				if first && o.begun.Add(1) == int64(sockets) {
					close(enough)
				}
				context.AfterFunc(ctx, func() { _ = conn.Close() })
				a.abuse(ctx, conn, o.next)
				_ = conn.Close() // the server may have
				o.next(ctx)
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(3 * patience):
		s.Fatalf("of %d sockets only %d have begun", sockets, o.begun.Load())
	}
	return o
}

// next waits until somebody may go on, and reports whether the attack does.
func (o *onslaught) next(ctx context.Context) bool {
	o.acts.Add(1)
	return o.pace.Wait(ctx) == nil
}

// While strangers do what they like, a client that has nothing to do with them
// hardly notices, and what the server uses stays bounded. How long a message takes
// is bounded with SCALE=full only, which is for a machine that does nothing else:
// attackers have the same processors as the server.
func TestHostileClientsHurtNobodyElse(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil || testing.Short() {
		t.Skip("takes its time, and reads in /proc what a process uses")
	}
	program := filepath.Join(t.TempDir(), "millrace")
	buildAsShipped(t, program) // what the race detector costs is no matter of attackers
	rounds, messages, full := 3, 40, os.Getenv("SCALE") == "full"
	if full {
		rounds, messages = 3, 300
	}
	for _, a := range attacks {
		sockets := a.sockets
		if full {
			sockets = a.full
		}
		t.Run(a.name, func(t *testing.T) {
			s := besiegeProgram(t, program, a.flags...)
			s.everyday(messages) // warms up
			memory, goroutines := s.memory("VmRSS"), s.goroutines()
			var calm, hostile []time.Duration
			var spent, lasted time.Duration
			var acts int64
			for range rounds {
				calm = append(calm, p99(s.everyday(messages)))
				o := s.attack(a, sockets)
				before, began := s.processor(), time.Now()
				hostile = append(hostile, p99(s.everyday(messages)))
				spent, lasted = spent+s.processor()-before, lasted+time.Since(began)
				o.stop()
				acts += o.acts.Load()
			}
			slices.Sort(calm)
			slices.Sort(hostile)
			with, without := hostile[rounds/2], calm[rounds/2]
			grown := max(0, s.memory("VmHWM")-memory)
			t.Logf("%d sockets, %d acts: p99 %v with, %v without (%.2f); %d MiB more; %.2f processors",
				sockets, acts, with, without, with.Seconds()/without.Seconds(), grown>>20, spent.Seconds()/lasted.Seconds())
			if most := 20*without + time.Second; full && with > most {
				t.Errorf("p99 of a client that has nothing to do with it: %v, at most %v", with, most)
			}
			if most := 128<<20 + sockets*a.memory; grown > most {
				t.Errorf("%d MiB of memory for %d sockets, at most %d", grown>>20, sockets, most>>20)
			}
			if most := lasted + 2*time.Duration(acts)*a.cost; spent > most {
				t.Errorf("%v of the processors for %d acts in %v, at most %v", spent, acts, lasted, most)
			}
			s.checkRest(goroutines)
		})
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
