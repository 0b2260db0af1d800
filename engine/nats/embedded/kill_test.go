package embedded

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/engine"
	"millrace.dev/engine/nats"
)

// The tests run this program once more as a publisher that is killed.
const (
	publishInto = "MILLRACE_TEST_PUBLISH_INTO" // data directory
	fsyncWith   = "MILLRACE_TEST_FSYNC"
	killTimes   = "MILLRACE_KILLS" // how often it is killed
)

const (
	publishers = 128
	rooms      = 32
)

var keepAll = engine.AppendOptions{Retention: engine.Retention{Messages: 1_000_000, Age: time.Hour}}

func room(i int) string { return "room." + strconv.Itoa(i%rooms) }

// TestPublishUntilKilled is the publisher: each line that it prints is a message
// that was acknowledged.
func TestPublishUntilKilled(t *testing.T) {
	dir := os.Getenv(publishInto)
	if dir == "" {
		t.Skip("is run by another test")
	}
	fsync, err := time.ParseDuration(os.Getenv(fsyncWith))
	if err != nil {
		t.Fatal(err)
	}
	e := mustOpen(t, dir, fsync)
	run := rand.Uint64()
	var out sync.Mutex
	var running sync.WaitGroup
	for p := range publishers {
		running.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%x-%d-%d", run, p, n)
				receipt, err := e.Append(context.Background(), message(room(p), id), keepAll)
				if err != nil {
					t.Error(err)
					return
				}
				out.Lock()
				fmt.Printf("acked %s %s %d\n", room(p), id, receipt.Position.Offset)
				out.Unlock()
			}
		})
	}
	running.Wait()
}

func message(channel, id string) *engine.Message {
	return &engine.Message{Channel: channel, ID: id, Time: time.Now(), Payload: engine.Payload{Kind: engine.Text, Data: []byte(strings.Repeat("x", 256))}}
}

func mustOpen(tb testing.TB, dir string, fsync time.Duration) engine.Engine {
	tb.Helper()
	e, err := Open(Options{Dir: dir, Fsync: fsync}, nats.Options{})(tb.Context(), func(*engine.Message) {})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func TestWhatWasAcknowledgedSurvivesAKill(t *testing.T) {
	times := 3
	if text := os.Getenv(killTimes); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		times = n
	}
	for _, fsync := range []time.Duration{time.Second, Always} {
		t.Run(fsync.String(), func(t *testing.T) {
			dir, acked, total := t.TempDir(), map[string]map[string]uint64{}, 0
			for range times {
				n := publishAndKill(t, dir, fsync, acked)
				total += n
				checkAcked(t, dir, acked)
				clear(acked) // what was checked once
			}
			t.Logf("%d kills, %d acknowledged, none lost", times, total)
		})
	}
}

// publishAndKill runs the publisher until it is killed in the middle of it.
func publishAndKill(t *testing.T, dir string, fsync time.Duration, acked map[string]map[string]uint64) (n int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPublishUntilKilled$", "-test.v")
	cmd.Env = append(os.Environ(), publishInto+"="+dir, fsyncWith+"="+fsync.String())
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	end := 200 + rand.IntN(2000) // messages until it is killed
	var other []string
	for lines.Scan() {
		var channel, id string
		var offset uint64
		if _, err := fmt.Sscanf(lines.Text(), "acked %s %s %d", &channel, &id, &offset); err != nil {
			other = append(other, lines.Text()) // of the testing package, or cut by the kill
			continue
		}
		if acked[channel] == nil {
			acked[channel] = map[string]uint64{}
		}
		acked[channel][id] = offset
		n++
		if n == end {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || n < end {
		t.Fatalf("the publisher ended by itself after %d messages: %v: %q", n, err, other)
	}
	return n
}

// checkAcked looks for each acknowledged message at its place, and tries to publish
// it again.
func checkAcked(t *testing.T, dir string, acked map[string]map[string]uint64) {
	t.Helper()
	e := mustOpen(t, dir, time.Second)
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	for channel, ids := range acked {
		found := map[string]uint64{}
		for after := uint64(0); ; {
			page, err := e.Read(t.Context(), channel, engine.ReadOptions{After: after, Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page.Messages {
				if found[m.ID] > 0 {
					t.Errorf("%s: %s is there twice", channel, m.ID)
				}
				found[m.ID], after = m.Position.Offset, m.Position.Offset
			}
			if !page.More {
				break
			}
		}
		for id, offset := range ids {
			if found[id] != offset {
				t.Errorf("%s: %s was acknowledged at %d and is at %d", channel, id, offset, found[id])
			}
		}
		for id, offset := range ids { // one is enough to see that ids survive
			receipt, err := e.Append(t.Context(), message(channel, id), keepAll)
			if err != nil || !receipt.Duplicate || receipt.Position.Offset != offset {
				t.Errorf("%s: %s again: %+v, %v", channel, id, receipt, err)
			}
			break
		}
	}
}
