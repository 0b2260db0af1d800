package demo_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace.dev/adapters/sse"
	"millrace.dev/auth"
	"millrace.dev/demo"
	"millrace.dev/engine"
	"millrace.dev/engine/memory"
	"millrace.dev/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "a secret of thirty-two bytes, or more"
	key    = "an API key for the demo"
)

// stand is a demo on a server of its own.
type stand struct {
	t        *testing.T
	url      string
	client   *http.Client
	restarts chan struct{}
}

func open(t *testing.T) *stand {
	t.Helper()
	visitor := []auth.Grant{{Pattern: ">", Actions: []auth.Action{auth.Subscribe}}}
	node, err := service.New(t.Context(), memory.Open(memory.Options{}), service.Config{
		Authenticator: auth.Keys{Secret: []byte(secret), APIKeys: []string{key}, Authenticated: visitor},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t, client: &http.Client{Transport: new(http.Transport)}, restarts: make(chan struct{}, 1)}
	server := httptest.NewUnstartedServer(nil)
	s.url = "http://" + server.Listener.Addr().String()
	d := demo.New(demo.Options{Server: s.url, Secret: []byte(secret), Key: key, Restart: func() { s.restarts <- struct{}{} }})
	mux := http.NewServeMux()
	node.Mount(mux)
	mux.Handle("/events", sse.New(node, sse.Options{}))
	server.Listener, server.Config.Handler = d.Listener(server.Listener), d.Handler(mux)
	server.Start()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		s.client.CloseIdleConnections()
		if err := node.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return s
}

// reply is an answer that was read.
type reply struct {
	status int
	kind   string
	body   []byte
}

// send sends a request, with a token if it is not empty.
func (s *stand) send(method, path, token, body string) *http.Response {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	return response
}

// ask sends a request and reads the answer.
func (s *stand) ask(method, path, token, body string) reply {
	s.t.Helper()
	response := s.send(method, path, token, body)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header.Get("Content-Type"), text}
}

// get asks for JSON.
func (s *stand) get(method, path, token, body string, into any) {
	s.t.Helper()
	answer := s.ask(method, path, token, body)
	if answer.status != http.StatusOK {
		s.t.Fatalf("%s %s: %d: %s", method, path, answer.status, answer.body)
	}
	if err := json.Unmarshal(answer.body, into); err != nil {
		s.t.Fatalf("%s %s: %s: %v", method, path, answer.body, err)
	}
}

type visitor struct {
	User  string `json:"user"`
	Token string `json:"token"`
}

func (s *stand) enter(user string) (v visitor) {
	s.t.Helper()
	s.get(http.MethodPost, "/demo/api/visitor", "", `{"user":"`+user+`"}`, &v)
	return v
}

// stream is an open event stream, whose lines come as they are read.
type stream struct {
	lines chan string
	close func()
}

func (s *stand) stream(token, channel string) *stream {
	s.t.Helper()
	response := s.send(http.MethodGet, "/events?channel="+channel, token, "")              //nolint:bodyclose // its close does
	st := &stream{lines: make(chan string, 1000), close: func() { response.Body.Close() }} //nolint:errcheck // it may be cut
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(st.lines)
		read(response.Body, st.lines)
	}()
	s.t.Cleanup(func() {
		st.close()
		<-ended
	})
	st.await(s.t, "event: millrace.subscribed")
	return st
}

func read(from io.Reader, lines chan<- string) {
	buffer, rest := make([]byte, 4096), ""
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		all := strings.Split(rest+string(buffer[:n]), "\n")
		for _, line := range all[:len(all)-1] {
			lines <- line
		}
		rest = all[len(all)-1]
	}
}

const patience = 20 * time.Second

// await waits for a line that begins so; for the end, with "".
func (st *stream) await(t *testing.T, prefix string) string {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, more := <-st.lines:
			if !more && prefix == "" || more && prefix != "" && strings.HasPrefix(line, prefix) {
				return line
			}
			if !more {
				t.Fatalf("the stream ended before %q", prefix)
			}
		case <-timeout:
			t.Fatalf("%q does not come", prefix)
		}
	}
}

// drop forgets what came so far.
func (st *stream) drop() {
	for len(st.lines) > 0 {
		<-st.lines
	}
}

func TestAVisitorHasANameAndKeepsIt(t *testing.T) {
	t.Parallel()
	s := open(t)
	first := s.enter("")
	if again := s.enter(first.User); again.User != first.User || again.Token == first.Token {
		t.Errorf("%v came back as %v", first, again)
	}
	for _, name := range []string{"Ada", "a.b", "user-1", "quiet-otter-42>"} {
		if response := s.ask(http.MethodPost, "/demo/api/visitor", "", `{"user":"`+name+`"}`); response.status != http.StatusBadRequest {
			t.Errorf("%q is taken for a name: %d", name, response.status)
		}
	}
}

func TestOnlyVisitorsBreakAnything(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, token := range []string{"", "nonsense"} {
		if response := s.ask(http.MethodPost, "/demo/api/fault/restart", token, ""); response.status != http.StatusUnauthorized {
			t.Errorf("with the token %q: %d", token, response.status)
		}
	}
	token := s.enter("").Token
	if response := s.ask(http.MethodPost, "/demo/api/fault/earthquake", token, ""); response.status != http.StatusNotFound {
		t.Errorf("an unknown fault: %d", response.status)
	}
	if len(s.restarts) > 0 {
		t.Fatal("somebody restarted the server")
	}
	s.ask(http.MethodPost, "/demo/api/fault/restart", token, "")
	<-s.restarts
}

func TestAChangedRowIsPublishedAsItIs(t *testing.T) {
	t.Parallel()
	s := open(t)
	token := s.enter("").Token
	events := s.stream(token, "entities.user")
	s.ask(http.MethodPatch, "/demo/api/users/1", token, `{"score":7,"id":"99"}`)
	if line := events.await(t, "data: {\"city\""); !strings.Contains(line, `"id":"1"`) || !strings.Contains(line, `"score":7`) {
		t.Errorf("published %s", line)
	}
	var answer struct {
		Rows     []map[string]any `json:"rows"`
		Position struct {
			Offset int `json:"offset"`
		} `json:"position"`
	}
	s.get(http.MethodGet, "/demo/api/users", "", "", &answer)
	if answer.Position.Offset != 1 || answer.Rows[0]["score"] != 7.0 {
		t.Errorf("the table is %v", answer)
	}
	if response := s.ask(http.MethodPatch, "/demo/api/users/77", token, `{}`); response.status != http.StatusNotFound {
		t.Errorf("a row that there is not: %d", response.status)
	}
}

func TestAFaultHitsTheStreamsOfItsVisitorOnly(t *testing.T) {
	t.Parallel()
	s := open(t)
	one, two := s.enter(""), s.enter("")
	mine, theirs := s.stream(one.Token, "demo.pulse"), s.stream(two.Token, "demo.pulse")
	mine.await(t, "event: demo.pulse")
	var hit struct {
		Connections int `json:"connections"`
	}
	s.get(http.MethodPost, "/demo/api/fault/freeze", one.Token, "", &hit)
	if hit.Connections != 1 {
		t.Errorf("%d connections are frozen", hit.Connections)
	}
	theirs.drop()
	theirs.await(t, "event: demo.pulse")
	mine.drop() // what was on its way
	for range 3 {
		theirs.await(t, "event: demo.pulse")
	}
	if n := len(mine.lines); n > 0 {
		t.Errorf("%d lines came through a frozen connection", n)
	}
	s.get(http.MethodPost, "/demo/api/fault/cut", one.Token, "", &hit)
	mine.await(t, "")
	theirs.await(t, "event: demo.pulse")
}

func TestTokensAreRefusedOnDemand(t *testing.T) {
	t.Parallel()
	s := open(t)
	v, other := s.enter(""), s.enter("")
	s.ask(http.MethodPost, "/demo/api/fault/deny", v.Token, "")
	if response := s.ask(http.MethodPost, "/demo/api/visitor", "", `{"user":"`+v.User+`"}`); response.status != http.StatusServiceUnavailable {
		t.Errorf("the token is not refused: %d", response.status)
	}
	s.enter(other.User)
}

func TestTheSiteIsOnePage(t *testing.T) {
	t.Parallel()
	s := open(t)
	for path, kind := range map[string]string{"/": "text/html", "/demo/": "text/html", "/demo/chat": "text/html", "/demo/app.js": "text/javascript", "/demo/app.css": "text/css"} {
		response := s.ask(http.MethodGet, path, "", "")
		if response.status != http.StatusOK || !strings.HasPrefix(response.kind, kind) {
			t.Errorf("%s: %d, %s", path, response.status, response.kind)
		}
	}
}

func TestAKeptEngineOutlivesItsNodes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	kept, again, err := demo.Keep(ctx, memory.Open(memory.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	var heard []string
	for _, node := range []string{"first", "second"} {
		engineOfNode, err := again(ctx, func(m *engine.Message) { heard = append(heard, node+" "+m.Channel) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engineOfNode.Append(ctx, &engine.Message{Channel: "a"}, engine.AppendOptions{Retention: engine.Retention{Messages: 10, Age: time.Hour}}); err != nil {
			t.Fatal(err)
		}
		if err := engineOfNode.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if state, err := kept.State(ctx, "a"); err != nil || state.Head != 2 {
		t.Errorf("the channel is at %v, %v", state, err)
	}
	if want := []string{"first a", "second a"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
	if err := kept.Close(); err != nil {
		t.Error(err)
	}
}
