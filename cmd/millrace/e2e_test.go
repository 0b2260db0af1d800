package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// serve starts a server on a port of its own, and returns its URL.
func serve(t *testing.T, args ...string) (*process, string) {
	t.Helper()
	p := start(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--drain-window", "1ms"}, args...)...)
	p.stderr.await(t, 1, "publish/demo")
	url := regexp.MustCompile(`listening on (\S+)`).FindStringSubmatch(p.stderr.String())
	if url == nil {
		t.Fatalf("no address in %s", p.stderr)
	}
	return p, url[1]
}

// subscribe starts a subscriber, and returns when it has begun.
func subscribe(t *testing.T, url string, args ...string) *process {
	t.Helper()
	p := start(t, append([]string{"subscribe", "--server", url}, args...)...)
	p.stderr.await(t, 1, "-- connected")
	return p
}

// payloads are the last fields of lines.
func payloads(lines string) string {
	var all []string
	for line := range strings.Lines(lines) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		all = append(all, fields[len(fields)-1])
	}
	return strings.Join(all, " ")
}

func TestASubscriberHasWhatIsPublishedInOrder(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	channel := subscribe(t, url, "chat.1", "--count", "4")
	pattern := subscribe(t, url, "chat.*", "chat.1", "--count", "4")
	asJSON := subscribe(t, url, "chat.1", "--count", "4", "--json")
	mustCall(t, "", "publish", "chat.1", `{"n":1}`, "--server", url, "--type", "greeting", "--header", "a=b")
	mustCall(t, "two\n", "publish", "chat.1", "--server", url)
	mustCall(t, "3", "publish", "chat.1", "--server", url, "--as", "text")
	mustCall(t, "", "publish", "chat.1", "", "--server", url, "--ephemeral")
	for _, p := range []*process{channel, pattern} {
		if code := p.wait(t); code != exitOK {
			t.Errorf("exit code %d: %s", code, p.stderr)
		}
		if got := payloads(p.stdout.String()); got != `{"n":1} two 3 ` || !strings.HasSuffix(p.stdout.String(), "chat.1\t-\t\n") {
			t.Errorf("printed %q", got)
		}
	}
	asJSON.wait(t)
	first, _, _ := strings.Cut(asJSON.stdout.String(), "\n")
	for _, want := range []string{`"channel":"chat.1"`, `"offset":"1"`, `"json":"{\"n\":1}"`, `"type":"greeting"`, `"headers":{"a":"b"}`} {
		if !strings.Contains(first, want) {
			t.Errorf("%s is not in %s", want, first)
		}
	}
}

func TestPublishSaysWhereTheMessageWent(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	publish := func(args ...string) result {
		return call(t, "", append([]string{"publish", "--server", url, "a"}, args...)...)
	}
	first := publish("x", "--id", "one", "--expect", "0")
	if again := publish("x", "--id", "one"); again.stdout != first.stdout || !strings.HasPrefix(again.stdout, "1@") {
		t.Errorf("first %+v, then %+v", first, again)
	}
	if other := publish("y", "--id", "one"); other.code != exitFailure || !strings.Contains(other.stderr, "ID_REUSED") {
		t.Errorf("the same id with another content: %+v", other)
	}
	if late := publish("y", "--expect", "0"); late.code != exitFailure || !strings.Contains(late.stderr, "POSITION_MISMATCH") ||
		!strings.Contains(late.stderr, "position "+strings.TrimSpace(first.stdout)) {
		t.Errorf("an old position: %+v", late)
	}
	if next := publish("y", "--expect", strings.TrimSpace(first.stdout)); !strings.HasPrefix(next.stdout, "2@") {
		t.Errorf("the present position: %+v", next)
	}
	if got := publish("{", "--as", "json"); got.code != exitFailure || !strings.Contains(got.stderr, "INVALID_JSON") || !strings.Contains(got.stderr, "field payload.json") {
		t.Errorf("no JSON: %+v", got)
	}
	if got := publish("x", "--ephemeral", "--json"); got.stdout != "{}\n" {
		t.Errorf("ephemeral: %+v", got)
	}
}

func TestLinesArePublishedInBatches(t *testing.T) {
	t.Parallel()
	_, url := serve(t, "--limits-batch-messages", "7", "--limits-payload-bytes", "20")
	var lines strings.Builder
	for i := range 100 {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	positions := mustCall(t, lines.String()+"no line break", "publish", "logs", "--lines", "--server", url)
	if n := strings.Count(positions, "\n"); n != 101 || !strings.Contains(positions, "\n101@") {
		t.Errorf("%d positions:\n%s", n, positions)
	}
	if got, want := mustCall(t, "", "history", "logs", "--server", url, "--limit", "2", "--newest"), "no line break line 99"; payloads(got) != want {
		t.Errorf("history %q, want %q", payloads(got), want)
	}
	r := call(t, "short\nmuch longer than twenty bytes\nshort\n", "publish", "logs", "--lines", "--server", url)
	if r.code != exitFailure || !strings.Contains(r.stderr, "line 2: ") || !strings.Contains(r.stderr, "limit 20") ||
		!strings.Contains(r.stderr, "1 of 3 lines were refused") || strings.Count(r.stdout, "\n") != 2 {
		t.Errorf("a line that is too long: %+v", r)
	}
}

func TestALineIsPublishedBeforeTheNextOneComes(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	stdin, source := io.Pipe()
	p := startWith(t, stdin, "publish", "logs", "--lines", "--server", url)
	for i, text := range []string{"one\ntw", "o\n", "three\nfour"} {
		if _, err := io.WriteString(source, text); err != nil {
			t.Fatal(err)
		}
		p.stdout.await(t, i+1, "@")
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	if got := payloads(mustCall(t, "", "history", "logs", "--server", url)); got != "one two three four" {
		t.Errorf("published %q", got)
	}
}

func TestHistoryPagesThroughAll(t *testing.T) {
	t.Parallel()
	_, url := serve(t, "--rules", "[{pattern: '>', history: {messages: 5000}}]")
	mustCall(t, strings.Repeat("x\n", 2500), "publish", "a", "--lines", "--server", url)
	for limit, want := range map[string]int{"0": 2500, "1500": 1500, "3": 3} {
		got := mustCall(t, "", "history", "a", "--server", url, "--limit", limit)
		if n := strings.Count(got, "\n"); n != want || !strings.HasPrefix(got, "a\t1@") {
			t.Errorf("--limit %s: %d messages, want %d", limit, n, want)
		}
	}
}

func TestCredentialsAreAskedForAndChecked(t *testing.T) {
	t.Parallel()
	_, url := serve(t, "--secret", testSecret, "--api-keys", testAPIKey, "--anonymous", "[{pattern: public, actions: [history]}]")
	token := strings.TrimSpace(mustCall(t, "", "token", "--user", "ada", "--grant", "user.{user}=publish,history,watch", "--secret", testSecret))
	mustCall(t, "", "publish", "user.ada", "x", "--server", url, "--token", token)
	mustCall(t, "", "publish", "anywhere", "x", "--server", url, "--token", testAPIKey)
	mustCall(t, "", "history", "public", "--server", url)
	if got := mustCall(t, "", "history", "user.ada", "--json", "--server", url, "--token", token); !strings.Contains(got, `"publisher":"ada"`) {
		t.Errorf("history %s", got)
	}
	if r := call(t, "", "publish", "user.bob", "x", "--server", url, "--token", token); r.code != exitFailure || !strings.Contains(r.stderr, "FORBIDDEN") {
		t.Errorf("another's channel: %+v", r)
	}
	if r := call(t, "", "subscribe", "public", "--server", url); r.code != exitFailure || !strings.Contains(r.stderr, "FORBIDDEN") {
		t.Errorf("without a token: %+v", r)
	}
	if r := call(t, "", "subscribe", "public", "--server", url, "--token", "wrong"); r.code != exitFailure || !strings.Contains(r.stderr, "UNAUTHENTICATED") {
		t.Errorf("with a wrong token: %+v", r)
	}
}

func TestPresenceIsPrintedAndWatched(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	if got := mustCall(t, "", "presence", "room", "--server", url); got != "" {
		t.Errorf("present: %q", got)
	}
	watcher := start(t, "presence", "room", "--watch", "--json", "--server", url)
	watcher.stdout.await(t, 1, `{"snapshot":{"channel":"room"`)
	lines := start(t, "presence", "room", "--watch", "--server", url)
	subscriber := subscribe(t, url, "room", "--presence")
	leave := enter(t, url, "room")
	watcher.stdout.await(t, 1, `"action":"PRESENCE_ACTION_ENTER"`)
	lines.stdout.await(t, 1, "room\t")
	subscriber.stdout.await(t, 1, "room\tenter\t")
	if got := mustCall(t, "", "presence", "room", "--server", url); !strings.HasSuffix(got, "\t1\there\n") {
		t.Errorf("present: %q", got)
	}
	leave()
	watcher.stdout.await(t, 1, `"action":"PRESENCE_ACTION_LEAVE"`)
	subscriber.stdout.await(t, 1, "room\tleave\t")
}

func TestP5AServerThatIsToldToStopMakesNobodyLeave(t *testing.T) {
	t.Parallel()
	server, url := serve(t)
	watcher := start(t, "presence", "room", "--watch", "--json", "--server", url)
	watcher.stdout.await(t, 1, `{"snapshot":{"channel":"room"`)
	for range 3 {
		enter(t, url, "room")
	}
	watcher.stdout.await(t, 3, `"action":"PRESENCE_ACTION_ENTER"`)
	server.stop(t)
	watcher.stderr.await(t, 1, "(DRAINING")
	if told := watcher.stdout.String(); strings.Contains(told, "PRESENCE_ACTION_LEAVE") {
		t.Errorf("the watcher was told\n%s", told)
	}
}

// enter is present in a channel until leave is called.
func enter(t *testing.T, url, channel string) (leave func()) {
	t.Helper()
	command := &cobra.Command{}
	addClientFlags(command)
	if err := command.Flags().Set("server", url); err != nil {
		t.Fatal(err)
	}
	c, err := newClient(command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := c.Subscribe(ctx, &millracev1.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
	})
	response, err := stream.Receive()
	if err != nil {
		t.Fatal(err)
	}
	token := response.GetReady().GetSessionToken()
	if _, err := c.EnterPresence(ctx, &millracev1.EnterPresenceRequest{SessionToken: token, Channel: channel, Data: textPayload("here")}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := c.LeavePresence(ctx, &millracev1.LeavePresenceRequest{SessionToken: token, Channel: channel}); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingIsLostOrRepeatedWhenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"channels":           {"chat.1", "chat.2"},
		"pattern":            {"chat.*"},
		"overlapping":        {"chat.1", "chat.>"},
		"recent":             {"chat.1", "chat.2", "--recent", "10"},
		"patterns that meet": {"chat.*", "*.1", "*.2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, url := serve(t)
			wire := newProxy(t, url)
			s := subscribe(t, wire.url(), args...)
			want := 0
			publish := func() {
				want++
				for _, channel := range []string{"chat.1", "chat.2"} {
					mustCall(t, "", "publish", channel, fmt.Sprintf("n%d.", want), "--server", url)
				}
			}
			for cut := range 3 {
				publish()
				s.stdout.await(t, 2, fmt.Sprintf("n%d.", want))
				wire.cut(t)
				s.stderr.await(t, cut+1, "-- the stream has ended")
				publish()
				publish()
				wire.mend(url)
				s.stdout.await(t, 2, fmt.Sprintf("n%d.", want))
			}
			for _, channel := range []string{"chat.1", "chat.2"} {
				if got, want := ofChannel(s.stdout.String(), channel), ofChannel(mustCall(t, "", "history", channel, "--server", url), channel); got != want {
					t.Errorf("printed\n%s\nand was\n%s", got, want)
				}
			}
			if strings.Contains(s.stderr.String(), "GAP") {
				t.Errorf("there was no gap: %s", s.stderr)
			}
		})
	}
}

// ofChannel are the lines of one channel.
func ofChannel(lines, channel string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		if strings.HasPrefix(line, channel+"\t") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestAServerThatStartsAnewIsAGap(t *testing.T) {
	t.Parallel()
	server, url := serve(t)
	wire := newProxy(t, url)
	s := subscribe(t, wire.url(), "a")
	mustCall(t, "", "publish", "a", "before", "--server", url)
	s.stdout.await(t, 1, "before")
	server.stop(t)
	s.stderr.await(t, 1, "-- the stream has ended: the server is going away (DRAINING")
	wire.cut(t)
	_, url = serve(t)
	mustCall(t, "", "publish", "a", "after", "--server", url)
	wire.mend(url)
	s.stdout.await(t, 1, "after")
	s.stderr.await(t, 1, "GAP in a: ")
	if !strings.Contains(s.stderr.String(), "(EPOCH_CHANGED)") || payloads(s.stdout.String()) != "before after" {
		t.Errorf("printed %q and said %s", payloads(s.stdout.String()), s.stderr)
	}
}

func TestACommandContinuesAfterAPosition(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	first := strings.TrimSpace(mustCall(t, "", "publish", "a", "1", "--server", url))
	mustCall(t, "2\n3\n", "publish", "a", "--lines", "--server", url)
	if got := payloads(mustCall(t, "", "subscribe", "a", "--since", first, "--count", "2", "--server", url)); got != "2 3" {
		t.Errorf("since the first: %q", got)
	}
	if got := payloads(mustCall(t, "", "subscribe", "a", "--recent", "1", "--count", "1", "--server", url)); got != "3" {
		t.Errorf("the latest: %q", got)
	}
}

func TestNoServerIsAFailureAtOnce(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"subscribe", "a"}, {"publish", "a", "x"}, {"presence", "a", "--watch"}} {
		r := call(t, "", append(args, "--server", "http://127.0.0.1:1")...)
		if r.code != exitFailure || !strings.Contains(r.stderr, "no server answers: ") {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestTheThreePrintedCommandsWorkAsPrinted(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds the program")
	}
	for _, tool := range []string{"curl", "sh", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "run", "./cmd/millrace", "version") // takes its time, once
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p, _ := serve(t)
	commands := regexp.MustCompile(`(?m)^ {2}((?:curl|go run) .*)$`).FindAllStringSubmatch(p.stderr.String(), -1)
	if len(commands) != 3 {
		t.Fatalf("%d commands in\n%s", len(commands), p.stderr)
	}
	events := shell(t, commands[0][1])
	lines := shell(t, commands[1][1])
	events.await(t, 1, "event: millrace.subscribed")
	lines.await(t, 1, "-- connected")
	published := shell(t, commands[2][1])
	published.await(t, 1, `"offset":1`)
	events.await(t, 1, "event: demo\ndata: {\"text\":\"hello\"}\n")
	lines.await(t, 1, "\t{\"text\":\"hello\"}\n")
}

// shell runs a command line in the root of the repository until the test ends.
func shell(t *testing.T, line string) *transcript {
	t.Helper()
	out := newTranscript()
	command := exec.CommandContext(context.Background(), "sh", "-c", line) //nolint:gosec // what the program prints
	command.Dir, command.Stdout, command.Stderr = "../..", out, out
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The group: the shell has children, and so has `go run`.
		if err := syscall.Kill(-command.Process.Pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err)
		}
		_ = command.Wait() // it was killed
	})
	return out
}

// proxy is a wire that can be cut.
type proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	target string // empty while it is cut
	linked []net.Conn
}

func newProxy(t *testing.T, url string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener}
	p.mend(url)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		p.cut(t)
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		p.running.Wait()
	})
	return p
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		far := p.link(near)
		if far == nil {
			near.Close() //nolint:errcheck // nobody waits for it
			continue
		}
		p.running.Go(func() { pump(near, far) })
		p.running.Go(func() { pump(far, near) })
	}
}

// link connects near to the target, nil if there is none now. Both ends are
// kept, to be cut.
func (p *proxy) link(near net.Conn) (far net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.target == "" {
		return nil
	}
	far, err := net.Dial("tcp", p.target) //nolint:noctx // on loopback
	if err != nil {
		return nil
	}
	p.linked = append(p.linked, near, far)
	return far
}

// pump copies until one end is closed, and closes the other.
func pump(to, from net.Conn) {
	_, _ = io.Copy(to, from) // the wire is cut, or an end is gone
	_ = to.Close()
}

// cut breaks every connection, and refuses new ones until mend.
func (p *proxy) cut(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = ""
	for _, conn := range p.linked {
		if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
	p.linked = nil
}

func (p *proxy) mend(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = strings.TrimPrefix(url, "http://")
}
