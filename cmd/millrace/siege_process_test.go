package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/time/rate"
)

const (
	// hostileAddress is where all who attack come from.
	hostileAddress = "127.0.0.2"
	// attackVariable makes this program attack instead of testing, as its value says.
	attackVariable = "MILLRACE_ATTACK"
)

// order is what a process of attackers is told.
type order struct {
	Attack  string `json:"attack"`
	Server  string `json:"server"`
	Sockets int    `json:"sockets"`
}

// onslaught is an attack while it lasts: a process of the lowest priority, which
// has of the processors what nobody else wants. What slows a client then is the
// server, not who attacks it.
type onslaught struct {
	command *exec.Cmd
	orders  io.Closer
	said    *transcript
}

// attack lets so many sockets do what they do, each again and again, until it is
// stopped. It returns when all have begun.
func (s *besieged) attack(a attack, sockets int) *onslaught {
	s.Helper()
	text, err := json.Marshal(order{a.name, strings.TrimPrefix(s.url, "http://"), sockets})
	if err != nil {
		s.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	last := []string{"nice", "-n", "19"}
	if os.Getenv("SCALE") == "full" { // makes way at once, and may wait for ever where others are busy
		last = []string{"chrt", "--idle", "0"}
	}
	o := &onslaught{command: exec.CommandContext(s.Context(), last[0], append(last[1:], self)...), said: newTranscript()} //nolint:gosec // this program
	o.command.Env = []string{attackVariable + "=" + string(text)}
	o.command.Stdout, o.command.Stderr = o.said, os.Stderr
	if o.orders, err = o.command.StdinPipe(); err == nil {
		err = o.command.Start()
	}
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		_ = o.command.Process.Kill() // it may have ended
		_ = o.command.Wait()
	})
	o.said.awaitFor(s.T, 6*patience, 1, "begun")
	return o
}

// stop ends the attack, and says how many acts there were.
func (o *onslaught) stop(t *testing.T) int {
	t.Helper()
	if err := o.orders.Close(); err != nil {
		t.Fatal(err)
	}
	if err := o.command.Wait(); err != nil {
		t.Fatalf("the attackers: %v", err)
	}
	said := regexp.MustCompile(`acts (\d+)`).FindStringSubmatch(o.said.String())
	if said == nil {
		t.Fatalf("the attackers say %s", o.said)
	}
	acts, err := strconv.Atoi(said[1])
	if err != nil {
		t.Fatal(err)
	}
	return acts
}

// attackAsTold is the process of attackers: it attacks until its input ends.
func attackAsTold(text string) error {
	var told order
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		return err
	}
	i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == told.Attack })
	if i < 0 {
		return fmt.Errorf("there is no attack %q", told.Attack)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h := &horde{attack: attacks[i], server: told.Server, pace: rate.NewLimiter(attacks[i].pace, 1), complete: make(chan struct{})}
	for range told.Sockets {
		h.attackers.Go(func() { h.attackAgain(ctx, int64(told.Sockets)) })
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	select {
	case <-h.complete:
		fmt.Println("begun")
	case <-ctx.Done():
	}
	h.attackers.Wait()
	fmt.Println("acts", h.acts.Load())
	return nil
}

// horde is those who attack, in their own process.
type horde struct {
	attack      attack
	server      string
	pace        *rate.Limiter
	begun, acts atomic.Int64
	complete    chan struct{} // closed when all have begun
	attackers   sync.WaitGroup
}

// attackAgain comes back whenever the server has had enough of a connection.
func (h *horde) attackAgain(ctx context.Context, all int64) {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(hostileAddress)}}
	for first := true; ctx.Err() == nil; h.next(ctx) {
		conn, err := from.DialContext(ctx, "tcp", h.server)
		if err != nil {
			continue
		}
		if first && h.begun.Add(1) == all {
			close(h.complete)
		}
		first = false
		closed := context.AfterFunc(ctx, func() { _ = conn.Close() })
		h.attack.abuse(ctx, conn, h.next)
		closed()
		_ = conn.Close() // the server may have
	}
}

// next waits until somebody may go on, and reports whether the attack does.
func (h *horde) next(ctx context.Context) bool {
	h.acts.Add(1)
	return h.pace.Wait(ctx) == nil
}

// attackInstead attacks, if this process is one of attackers.
func attackInstead() {
	text, told := os.LookupEnv(attackVariable)
	if !told {
		return
	}
	if err := attackAsTold(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
