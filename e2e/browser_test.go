//go:build e2e

package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// A browser is Chromium, driven by clients/browser.mjs. Its tabs load pages from hosts that are not the server's.
type browser struct {
	*program
	pages string // host:port of the pages

	mu   sync.Mutex
	tabs map[string]*recording
}

// Names that are no loopback names: the server takes their pages for those of strangers.
const allowedHost, strangeHost = "app.example.com", "evil.example.net"

func startBrowser(t *testing.T) *browser {
	t.Helper()
	command(t, cmp.Or(os.Getenv("CHROMIUM"), "/usr/bin/chromium")) // for its complaint if it is missing
	b := &browser{pages: servePages(t), tabs: map[string]*recording{}}
	resolve := fmt.Sprintf("--host-resolver-rules=MAP %s 127.0.0.1, MAP %s 127.0.0.1", allowedHost, strangeHost)
	b.program = start(t, "chromium", b.dispatch, node(t, stage(t), "e2e/clients/browser.mjs", resolve))
	t.Cleanup(func() { _ = b.stdin.Close() })
	return b
}

// dispatch gives each tab's events to its recording.
func (b *browser) dispatch(output io.Reader, _ func(event)) error {
	err := events(output, func(e event) { b.tab(e.Tab).add(e) })
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, tab := range b.tabs {
		tab.end(errors.Join(errors.New("the browser ended"), err))
	}
	return err
}

func (b *browser) tab(name string) *recording {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.tabs[name]
	if !ok {
		r = newRecording("tab " + name)
		b.tabs[name] = r
	}
	return r
}

func (b *browser) do(t *testing.T, command map[string]string) {
	t.Helper()
	text, err := json.Marshal(command)
	must(t, err)
	b.write(t, string(text))
}

// open opens a page from the origin of a host name. The tab's name goes into the query with the rest.
func (b *browser) open(t *testing.T, host, page string, query map[string]string) *recording {
	t.Helper()
	_, port, err := net.SplitHostPort(b.pages)
	must(t, err)
	values := url.Values{}
	for key, value := range query {
		values.Set(key, value)
	}
	b.do(t, map[string]string{"open": query["name"], "url": "http://" + net.JoinHostPort(host, port) + "/" + page + "?" + values.Encode()})
	return b.tab(query["name"])
}

func (b *browser) screenshot(t *testing.T, tab, path string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(at(path)), 0o755)) //nolint:gosec // pictures for people
	b.do(t, map[string]string{"screenshot": tab, "path": path})
	b.tab(tab).awaitOne(t, "screenshot", func(e event) bool { return e.Screenshot == path })
}

// close ends the browser and checks that no page threw.
func (b *browser) close(t *testing.T) {
	t.Helper()
	must(t, b.stdin.Close())
	b.finish(t)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(b.tabs)) {
		for _, e := range b.tabs[name].events {
			if e.PageError != "" {
				t.Errorf("tab %s: %s", name, e.PageError)
			}
		}
	}
}

// servePages serves the pages on a port that is not the server's: every page is of another origin.
func servePages(t *testing.T) string {
	t.Helper()
	generateSDK(t)
	bundle := filepath.Join(t.TempDir(), "tab.js")
	cmd := command(t, "tools/node_modules/.bin/esbuild", "e2e/clients/tab.mjs", "--bundle", "--format=esm", "--log-level=warning", "--outfile="+bundle)
	cmd.Env = append(os.Environ(), "NODE_PATH="+at("tools/node_modules"))
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("esbuild: %v\n%s", err, output)
	}
	mux := http.NewServeMux()
	for path, file := range map[string]string{
		"/tab.html":   at("e2e/clients/tab.html"),
		"/tab.js":     bundle,
		"/index.html": at("examples/browser/index.html"),
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			text, err := os.ReadFile(file)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			http.ServeContent(w, r, file, time.Time{}, bytes.NewReader(text))
		})
	}
	pages := httptest.NewServer(mux)
	t.Cleanup(pages.Close)
	return pages.Listener.Addr().String()
}

// tabs are the browser's own WebSocket and EventSource, connect-web on fetch, and the example page, which has two of them.
func tabs(t *testing.T, srv *server, b *browser, channel string) []subscriber {
	t.Helper()
	var subscribers []subscriber
	for wire, host := range map[string]string{"ws": "127.0.0.1", "sse": "localhost", "connect": "localhost"} {
		tab := b.open(t, host, "tab.html", map[string]string{"name": "chromium " + wire, "wire": wire, "server": srv.url(), "channel": channel})
		subscribers = append(subscribers, subscriber{recording: tab, leave: func(t *testing.T) {
			t.Helper()
			tab.awaitOne(t, "cancellation", func(e event) bool { return e.Cancelled })
		}})
	}
	b.open(t, "127.0.0.1", "index.html", map[string]string{"name": "example", "server": srv.url(), "channel": channel})
	for _, list := range []string{"websocket", "eventsource"} {
		b.do(t, map[string]string{"watch": "example", "list": list})
		subscribers = append(subscribers, subscriber{recording: b.tab("example " + list), mute: true, leave: func(*testing.T) {}})
	}
	return subscribers
}

func TestPagesOfAllowedOriginsUseEveryWireAndOthersNone(t *testing.T) {
	b := startBrowser(t)
	_, port, err := net.SplitHostPort(b.pages)
	must(t, err)
	srv := startServer(t, "127.0.0.1:0", "--origins", "https://elsewhere.example.com,http://"+allowedHost+":"+port)

	// The pages of this machine may as long as the server is for this machine only.
	for _, host := range []string{"127.0.0.1", "localhost", allowedHost, strangeHost} {
		tabs := map[string]*recording{}
		for _, wire := range []string{"ws", "sse", "connect", "publish"} {
			name := wire + " from " + host
			tabs[name] = b.open(t, host, "tab.html", map[string]string{"name": name, "wire": wire, "server": srv.url(), "channel": "chat"})
		}
		for name, tab := range tabs {
			outcome := tab.awaitOne(t, "outcome", func(e event) bool { return e.Subscribed != "" || e.Published > 0 || e.Error != nil })
			if refused := outcome.Error != nil; refused != (host == strangeHost) {
				t.Errorf("%s: refused = %t: %s", name, refused, outcome.Error)
			}
			b.do(t, map[string]string{"close": name})
		}
	}

	// A browser sends what a form could send without asking before, and hides the answer: the server has to look.
	for host, want := range map[string]int{allowedHost: 1, strangeHost: 0} {
		name, channel := "form of "+host, "forms."+host
		tab := b.open(t, host, "tab.html", map[string]string{"name": name, "wire": "forge", "server": srv.url(), "channel": channel})
		tab.awaitOne(t, "answer", func(e event) bool { return e.Open })
		var history struct {
			Messages []any `json:"messages"`
		}
		srv.post(t, "/millrace.v1.RealtimeService/History", fmt.Sprintf(`{"channel":%q}`, channel), &history)
		if got := len(history.Messages); got != want {
			t.Errorf("%s published %d messages, want %d", name, got, want)
		}
	}
	b.close(t)
}

func TestEventSourceGetsWhatItMissedOnce(t *testing.T) {
	b, srv := startBrowser(t), startServer(t, "127.0.0.1:0")
	p := startProxy(t, srv.address)
	tab := b.open(t, "localhost", "tab.html", map[string]string{"name": "resumes", "wire": "sse", "server": "http://" + p.address(), "channel": "prices"})
	tab.awaitSubscribed(t)
	sent := payloads(31)
	srv.publish(t, "prices", sent[:5]...)
	tab.awaitMessages(t, 5)

	p.cutAfter(700) // somewhere in the next few messages
	srv.publish(t, "prices", sent[5:15]...)
	tab.awaitOne(t, "loss of the connection", func(e event) bool { return e.Reconnecting })
	if seen := len(tab.awaitMessages(t, 5)); seen == 15 {
		t.Fatal("the connection was cut too late")
	}
	srv.publish(t, "prices", sent[15:30]...)
	p.restore()
	tab.awaitMessages(t, 30)
	srv.publish(t, "prices", sent[30])

	var want []event
	for _, payload := range sent {
		want = append(want, event{Data: payload})
	}
	checkSame(t, "the page", tab.awaitMessages(t, len(sent)), want)
	if gaps := tab.gaps(); len(gaps) > 0 {
		t.Errorf("the page was told of gaps: %+v", gaps)
	}
	if n := p.connections(); n < 2 {
		t.Errorf("the page made %d connections, want another one after the cut", n)
	}
	b.screenshot(t, "resumes", ".tmp/e2e/eventsource-resumes.png")
	b.close(t)
}

func TestEventSourceIsToldOfAGapAndGoesOn(t *testing.T) {
	b, srv := startBrowser(t), startServer(t, "127.0.0.1:0")
	tab := b.open(t, "localhost", "tab.html", map[string]string{"name": "sees a gap", "wire": "sse", "server": srv.url(), "channel": "chat"})
	tab.awaitSubscribed(t)
	srv.publish(t, "chat", `{"n":1}`, `{"n":2}`)
	tab.awaitMessages(t, 2)
	srv.kill(t)
	tab.awaitOne(t, "loss of the connection", func(e event) bool { return e.Reconnecting })

	srv = startServer(t, srv.address)
	gap := tab.awaitOne(t, "gap", func(e event) bool { return e.Gap != nil })
	srv.publish(t, "chat", `{"n":3}`)
	tab.awaitMessages(t, 3)
	srv.publish(t, "chat", `{"n":4}`)
	checkSame(t, "the page", tab.awaitMessages(t, 4), []event{{Data: `{"n":1}`}, {Data: `{"n":2}`}, {Data: `{"n":3}`}, {Data: `{"n":4}`}})
	var notice struct {
		For    string `json:"for"`
		Reason string `json:"reason"`
	}
	must(t, json.Unmarshal(gap.Gap, &notice))
	if notice.For != "chat" || notice.Reason != "EPOCH_CHANGED" {
		t.Errorf("the gap is %s, want that the epoch of chat changed", gap.Gap)
	}
	if gaps := tab.gaps(); len(gaps) != 1 {
		t.Errorf("the page was told of %d gaps, want one: %+v", len(gaps), gaps)
	}
	b.screenshot(t, "sees a gap", ".tmp/e2e/eventsource-gap.png")
	b.close(t)
}
