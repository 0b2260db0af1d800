package demo

import (
	"net"
	"net/http"
	"sync"
	"time"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// What a visitor may ask to be refused, and how long it is.
const (
	denyToken     = "token"
	denyWebSocket = "websocket"
	denyFor       = 10 * time.Second
	// slowness is how long each write to a slow connection takes.
	slowness = 400 * time.Millisecond
)

// fault does something bad to the connections of a visitor.
func (d *Demo) fault(w http.ResponseWriter, r *http.Request, who auth.Identity) {
	var hit int
	switch r.PathValue("fault") {
	case "cut":
		hit = d.lines.each(who.User, (*line).cut)
	case "freeze":
		hit = d.lines.each(who.User, func(l *line) { l.set(frozen) })
	case "slow":
		hit = d.lines.each(who.User, func(l *line) { l.set(slow) })
	case "mend":
		hit = d.lines.each(who.User, func(l *line) { l.set(good) })
	case "deny":
		d.denied.add(who.User, denyToken, denyFor)
		hit = d.lines.each(who.User, (*line).cut)
	case "no-websocket":
		d.denied.add(who.User, denyWebSocket, denyFor)
		hit = d.lines.each(who.User, (*line).cut)
	case "revoke":
		response, err := d.server.Revoke(r.Context(), &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_TokenId{TokenId: who.TokenID}})
		if err != nil {
			refusef(w, http.StatusBadGateway, "revoke the token: %v", err)
			return
		}
		hit = int(response.GetSessions())
	case "restart":
		answer(w, map[string]int{"connections": 0})
		d.options.Restart()
		return
	default:
		refusef(w, http.StatusNotFound, "there is no fault %q", r.PathValue("fault"))
		return
	}
	answer(w, map[string]int{"connections": hit})
}

// watch notes which connections carry the streams of which visitor, and refuses
// what he asked to be refused.
func (d *Demo) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := ""
		if isStream(r) {
			user = d.who(r).User
		}
		d.lines.claim(r.RemoteAddr, user)
		if isWebSocket(r) && d.denied.has(user, denyWebSocket) {
			refusef(w, http.StatusBadGateway, "no WebSocket passes here at the moment, as was asked for")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isWebSocket(r *http.Request) bool { return r.Header.Get("Upgrade") == "websocket" }

func isStream(r *http.Request) bool {
	return isWebSocket(r) || r.URL.Path == "/events" || r.URL.Path == "/millrace.v1.RealtimeService/Subscribe"
}

// quality is what becomes of the bytes on a connection.
type quality int

const (
	good   quality = iota
	slow           // each write takes its time
	frozen         // they vanish, in both directions, and neither side is told
)

// line is a connection whose quality can change.
type line struct {
	net.Conn               // set once
	ended    chan struct{} // closed by Close
	end      func()

	mu      sync.Mutex
	user    string
	quality quality
}

func newLine(conn net.Conn, forget func(*line)) *line {
	l := &line{Conn: conn, ended: make(chan struct{})}
	l.end = sync.OnceFunc(func() {
		close(l.ended)
		forget(l)
	})
	return l
}

// Read implements [io.Reader].
func (l *line) Read(p []byte) (int, error) {
	for {
		n, err := l.Conn.Read(p)
		if err != nil || l.get() != frozen {
			return n, err
		}
	}
}

// Write implements [io.Writer].
func (l *line) Write(p []byte) (int, error) {
	switch l.get() {
	case frozen:
		return len(p), nil
	case slow:
		l.wait(slowness)
	case good:
	}
	return l.Conn.Write(p)
}

func (l *line) wait(long time.Duration) {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ended:
	}
}

// Close implements [io.Closer].
func (l *line) Close() error {
	l.end()
	return l.Conn.Close()
}

func (l *line) set(q quality) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quality = q
}

func (l *line) get() quality {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quality
}

func (l *line) cut() { l.Close() } //nolint:errcheck // it is meant to be gone

// lines are the open connections, by the address of the client.
type lines struct {
	mu   sync.Mutex
	open map[string]*line
}

func newLines() *lines { return &lines{open: map[string]*line{}} }

// Listener is a listener whose connections can be made bad.
func (d *Demo) Listener(of net.Listener) net.Listener { return &listener{of, d.lines} }

type listener struct {
	net.Listener
	lines *lines
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.lines.add(conn), nil
}

func (ls *lines) add(conn net.Conn) *line {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	address := conn.RemoteAddr().String()
	added := newLine(conn, func(l *line) {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		if ls.open[address] == l {
			delete(ls.open, address)
		}
	})
	ls.open[address] = added
	return added
}

// claim notes that a connection carries a stream of a user; of nobody for "".
func (ls *lines) claim(address, user string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.open[address]; l != nil {
		l.mu.Lock()
		l.user = user
		l.mu.Unlock()
	}
}

// each does something to the connections of a user, and counts them.
func (ls *lines) each(user string, do func(*line)) int {
	var found []*line
	ls.mu.Lock()
	for _, l := range ls.open {
		l.mu.Lock()
		if l.user == user {
			found = append(found, l)
		}
		l.mu.Unlock()
	}
	ls.mu.Unlock()
	for _, l := range found {
		do(l)
	}
	return len(found)
}
