package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/coder/websocket"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/internal/natstest"
)

// relay is a proxy before some servers, as a load balancer is: it gives each
// connection to the next server that answers.
type relay struct {
	net.Listener
	mu    sync.Mutex
	ports []string
	next  int
	conns sync.WaitGroup
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: listener}
	r.conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.conns.Go(func() { r.pass(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close() //nolint:errcheck // it ends the accepting
		r.conns.Wait()
	})
	return r
}

// use makes these the servers.
func (r *relay) use(urls ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ports = nil
	for _, u := range urls {
		r.ports = append(r.ports, strings.TrimPrefix(u, "http://"))
	}
}

func (r *relay) pass(conn net.Conn) {
	defer conn.Close()
	r.mu.Lock()
	ports := slices.Clone(r.ports)
	r.next++
	first := r.next
	r.mu.Unlock()
	for i := range ports {
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", ports[(first+i)%len(ports)])
		if err != nil {
			continue
		}
		var both sync.WaitGroup
		for _, pair := range [][2]net.Conn{{conn, server}, {server, conn}} {
			both.Go(func() {
				_, _ = io.Copy(pair[0], pair[1]) // it ends with either
				pair[0].Close()                  //nolint:errcheck // the same
				pair[1].Close()                  //nolint:errcheck // the same
			})
		}
		both.Wait()
		return
	}
}

// traveller is a client that comes back when its stream ends, from where it was.
type traveller struct {
	*testing.T
	name, base, token string
	watch             string // the command of one that watches who is present
	stay              func(ctx context.Context, v *traveller, subscribed func()) (after time.Duration)
	last, seen        int                  // number of the last message, and how many there were before that
	at                *millracev1.Position // where it is
	cursor            string               // the same, of an EventSource
	stays             int
	left              *atomic.Int64 // leaves that anybody was told of
}

const lastMessage = -1

// travel follows the channel until the last message.
func (v *traveller) travel(ctx context.Context, subscribed func()) {
	defer subscribed() // whoever waits for it has waited long enough
	for v.last != lastMessage {
		after := v.stay(ctx, v, subscribed)
		v.stays++
		select {
		case <-time.After(after):
		case <-ctx.Done():
			if v.last != lastMessage {
				v.Errorf("%s: has %d after %d stays", v.name, v.last, v.stays)
			}
			return
		}
	}
}

// saw takes note of a message, and reports whether there are more.
func (v *traveller) saw(n int) bool {
	if n != lastMessage && n != v.last+1 {
		v.Errorf("%s: %d came after %d, in stay %d", v.name, n, v.last, v.stays+1)
	}
	if v.last = n; n == lastMessage {
		return false
	}
	v.seen = n
	return true
}

// a wait of a client that was not told one: nobody was there, or a drain took the
// connection away.
func soon() time.Duration { return 10*time.Millisecond + rand.N(200*time.Millisecond) } //nolint:gosec // no secret

func rpcStay(option connecthttp.Option) func(context.Context, *traveller, func()) time.Duration {
	return func(ctx context.Context, v *traveller, subscribed func()) time.Duration {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		client := millracev1connect.NewRealtimeServiceClient(connect.NewClient(
			connecthttp.NewTransport(&http.Client{Transport: transport}, v.base, option), authorize(v.token)))
		stream, err := client.Subscribe(ctx, &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{{Channel: "road", Since: v.at}}})
		if err != nil {
			return soon()
		}
		defer stream.Close()
		for {
			response, err := stream.Receive()
			if err != nil {
				if after := errorInfo(err).GetRetryAfter(); after != nil {
					return after.AsDuration()
				}
				return soon()
			}
			if response.GetGap() != nil {
				v.Errorf("%s: %v", v.name, response)
			}
			if s := response.GetSubscribed(); s != nil {
				v.at = s.GetPosition()
				subscribed()
			}
			for _, m := range response.GetMessages() {
				v.at = m.GetPosition()
				if n, err := strconv.Atoi(m.GetPayload().GetJson()); err != nil || !v.saw(n) {
					return 0
				}
			}
		}
	}
}

func eventStay(ctx context.Context, v *traveller, subscribed func()) time.Duration {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+"/events?channel=road", http.NoBody)
	if err != nil {
		v.Error(err)
	}
	request.Header.Set("Authorization", "Bearer "+v.token)
	if v.cursor != "" {
		request.Header.Set("Last-Event-ID", v.cursor)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return soon()
	}
	defer response.Body.Close()
	after, event := soon(), ""
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "retry":
			if ms, err := strconv.Atoi(value); err == nil {
				after = time.Duration(ms) * time.Millisecond
			}
		case "id":
			v.cursor = value
		case "event":
			if event = value; event == "millrace.subscribed" {
				subscribed()
			}
			if event == "millrace.gap" {
				v.Errorf("%s: a gap", v.name)
			}
		case "data":
			if n, err := strconv.Atoi(value); event == "road" && (err != nil || !v.saw(n)) {
				return 0
			}
		}
	}
	return after
}

// wsFrame is what of the frames of the plain WebSocket matters here.
type wsFrame struct {
	Type       string          `json:"type"`
	Channel    string          `json:"channel"`
	For        string          `json:"for"`
	Data       json.RawMessage `json:"data"`
	Offset     uint64          `json:"offset"`
	Epoch      string          `json:"epoch"`
	Reason     string          `json:"reason"`
	RetryAfter int             `json:"retryAfter"`
	Changes    []struct {
		Action string `json:"action"`
	} `json:"changes"`
}

func socketStay(ctx context.Context, v *traveller, subscribed func()) time.Duration {
	conn, response, err := websocket.Dial(ctx, v.base+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + v.token}}})
	if err != nil {
		if response != nil && response.Body != nil {
			response.Body.Close() //nolint:errcheck // it was refused
		}
		return soon()
	}
	defer conn.CloseNow()
	conn.SetReadLimit(1 << 20)
	since := ""
	if v.at != nil {
		since = fmt.Sprintf(`,"since":{"offset":%d,"epoch":%q}`, v.at.GetOffset(), v.at.GetEpoch())
	}
	for _, command := range []string{
		`{"type":"subscribe","id":1,"channel":"road"` + since + `}`,
		`{"type":"enter","channel":"room"}`, v.watch,
	} {
		if command != "" && conn.Write(ctx, websocket.MessageText, []byte(command)) != nil {
			return soon()
		}
	}
	after := soon()
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return after
		}
		var f wsFrame
		if err := json.Unmarshal(data, &f); err != nil {
			v.Errorf("%s: %s: %v", v.name, data, err)
		}
		switch {
		case f.Type == "gap":
			v.Errorf("%s: %s", v.name, data)
		case f.Type == "error" && f.Reason == "DRAINING":
			after = time.Duration(f.RetryAfter) * time.Millisecond
		case f.Type == "error" && f.Reason == "UNAVAILABLE" && f.RetryAfter > 0: // of a machine that is too busy: come back, as it says
			return time.Duration(f.RetryAfter) * time.Millisecond
		case f.Type == "error":
			v.Errorf("%s: %s", v.name, data)
		case f.Type == "subscribed" && f.For == "road":
			v.at = &millracev1.Position{Offset: f.Offset, Epoch: f.Epoch}
			subscribed()
		case f.Type == "presence":
			for _, change := range f.Changes {
				if change.Action == "leave" {
					v.left.Add(1)
				}
			}
		case f.Channel == "road":
			v.at = &millracev1.Position{Offset: f.Offset, Epoch: f.Epoch}
			if n, err := strconv.Atoi(string(f.Data)); err != nil || !v.saw(n) {
				return 0
			}
		}
	}
}

// travellers is how many clients there are: more than in CI with TRAVELLERS.
func travellers(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("TRAVELLERS"))
	if err != nil {
		return 60
	}
	return n
}

// publishUntil publishes numbers, each until it was acknowledged once, and then
// the last one. It says which were, and returns how many.
func publishUntil(ctx context.Context, t *testing.T, base string, acknowledged chan<- int, done <-chan struct{}) (published int) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	post := func(n int) {
		query := url.Values{"id": {fmt.Sprintf("message-%d", n)}}
		for ctx.Err() == nil {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/publish/road?"+query.Encode(), strings.NewReader(strconv.Itoa(n)))
			if err != nil {
				t.Error(err)
				return
			}
			request.Header.Set("Authorization", "Bearer "+testAPIKey)
			response, err := transport.RoundTrip(request)
			if err != nil {
				continue
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close() //nolint:errcheck // it was read
			if response.StatusCode == http.StatusOK {
				return
			}
		}
	}
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for ctx.Err() == nil {
		select {
		case <-done:
			post(lastMessage)
			return published
		case <-pace.C:
			published++
			post(published)
			select {
			case acknowledged <- published:
			default: // nobody waits any more
			}
		}
	}
	return published
}

// Two servers that share channels, each a process of its own, are replaced one after
// the other as a system does it, while clients of every wire are on them: nobody misses a message or has one twice, and nobody
// is told that somebody has left.
func TestN5ARollingRestartLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	nats, front := natstest.Start(t), newRelay(t)
	program := shipped(t)
	up := func() *launched {
		return launch(t, exec.CommandContext(context.WithoutCancel(t.Context()), program, "serve", "--listen", "127.0.0.1:0", //nolint:gosec // it is ours
			"--nats-url", nats, "--drain-window", "1s", "--api-keys", testAPIKey, "--secret", testSecret,
			"--rules", "[{pattern: road, history: {messages: 100000, age: 1h}}]"))
	}
	first, second := up(), up()
	front.use(first.url, second.url)
	base := "http://" + front.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var left atomic.Int64
	var everybody, ready sync.WaitGroup
	stays := []func(context.Context, *traveller, func()) time.Duration{eventStay, socketStay, rpcStay(connecthttp.WithGRPC()), rpcStay(connecthttp.WithGRPCWeb())}
	all := make([]*traveller, travellers(t))
	for i := range all {
		user := fmt.Sprintf("user-%d", i)
		token, err := auth.Keys{Secret: []byte(testSecret)}.Sign(user, []auth.Grant{auth.Everything}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = &traveller{T: t, name: fmt.Sprintf("%s on wire %d", user, i%len(stays)), base: base, token: token, stay: stays[i%len(stays)], left: &left}
		if i%len(stays) == 1 && i < 20*len(stays) { // a few tell as much as all
			all[i].watch = `{"type":"subscribe","channel":"room","presence":true}`
		}
		ready.Add(1)
		everybody.Go(func() { all[i].travel(ctx, sync.OnceFunc(ready.Done)) })
	}
	ready.Wait()
	began := time.Now()
	rolled := make(chan struct{})
	var publishing sync.WaitGroup
	published, acknowledged := 0, make(chan int)
	publishing.Go(func() { published = publishUntil(ctx, t, base, acknowledged, rolled) })
	more := func() {
		for range 20 {
			select {
			case <-acknowledged:
			case <-ctx.Done():
			}
		}
	}
	more()
	first.terminate(t)
	third := up()
	front.use(third.url, second.url)
	more()
	second.terminate(t)
	front.use(third.url, up().url)
	more()
	close(rolled)
	publishing.Wait()
	everybody.Wait()
	moved := 0
	for _, v := range all {
		if v.seen != published {
			t.Errorf("%s has %d messages of %d", v.name, v.seen, published)
		}
		if v.stays > 1 {
			moved++
		}
	}
	t.Logf("%d clients, %d of them moved; %d messages; took %v", len(all), moved, published, time.Since(began).Round(time.Second/10))
	if moved < len(all)*9/10 {
		t.Errorf("%d of %d clients have moved", moved, len(all))
	}
	if n := left.Load(); n > 0 {
		t.Errorf("%d leaves were told", n)
	}
}
