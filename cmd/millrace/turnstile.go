package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"millrace.dev/adapters/carrier"
	"millrace.dev/service"
)

// turnstile is a listener that lets at most so many connections in from one
// address.
type turnstile struct {
	net.Listener
	limit   atomic.Int64
	proxies proxies
	log     *slog.Logger
	secure  bool // it has TLS, in which nothing can be said before a handshake

	refused  atomic.Int64
	logged   rate.Sometimes
	visitors visitors

	arrivals *lru.Cache[netip.Addr, *rate.Limiter] // of each address, also when it has no connection

	mu   sync.Mutex
	from map[netip.Addr]int
}

const (
	// arrivalSeconds is in how much time an address may make as many connections
	// as it may have. After a pause it may make as many at once.
	arrivalSeconds = 10
	minArrivals    = 100     // at once, and in that time
	rememberedFrom = 100_000 // addresses
)

func newTurnstile(listener net.Listener, limit int, trusted proxies, log *slog.Logger, secure bool) *turnstile {
	t := &turnstile{
		Listener: listener, proxies: trusted, log: log, secure: secure,
		logged: rate.Sometimes{First: 1, Interval: time.Second}, from: map[netip.Addr]int{},
		visitors: visitors{rate: rate.NewLimiter(maxVisits, maxVisits)},
	}
	t.limit.Store(int64(limit))
	arrivals, err := lru.New[netip.Addr, *rate.Limiter](rememberedFrom)
	if err != nil {
		panic(err) // the size is more than 0
	}
	t.arrivals = arrivals
	return t
}

// Accept implements [net.Listener].
func (t *turnstile) Accept() (net.Conn, error) {
	for {
		conn, err := t.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr, counts := t.counts(conn.RemoteAddr())
		if counts && !t.enter(addr) {
			t.turnAway(conn, addr)
			continue
		}
		limitUnsent(conn)
		if t.secure {
			conn = carrier.New(conn)
		}
		if counts {
			conn = &countedConn{Conn: conn, entrance: t, from: addr}
		}
		return conn, nil
	}
}

// Close implements [net.Listener].
func (t *turnstile) Close() error {
	err := t.Listener.Close()
	t.visitors.close()
	return err
}

// counts is what a connection is counted under, if it is.
func (t *turnstile) counts(remote net.Addr) (netip.Addr, bool) {
	addr, err := netip.ParseAddrPort(remote.String())
	if err != nil || t.proxies.include(addr.Addr()) {
		return netip.Addr{}, false
	}
	return service.NetworkOf(addr.Addr()), true
}

// mayCome reports whether an address may make one more connection now: to make one
// costs more than to have it, and one that is over is not counted any more.
func (t *turnstile) mayCome(addr netip.Addr) bool { return t.arrivalsOf(addr).Allow() }

func (t *turnstile) arrivalsOf(addr netip.Addr) *rate.Limiter {
	limit := max(int(t.limit.Load()), minArrivals)
	limiter, found := t.arrivals.Get(addr)
	if !found || limiter.Burst() != limit {
		limiter = rate.NewLimiter(rate.Limit(limit)/arrivalSeconds, limit)
		t.arrivals.Add(addr, limiter)
	}
	return limiter
}

// flooded has an address that the server had to hang up on come back later: what
// it did counts for as many connections as it may make in a second. So it waits for
// [arrivalSeconds] and a second at most, once it has behaved.
func (t *turnstile) flooded(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if arrivals := t.arrivalsOf(addr); arrivals.Tokens() > -float64(arrivals.Burst()) {
		arrivals.ReserveN(time.Now(), arrivals.Burst()/arrivalSeconds)
	}
}

func (t *turnstile) enter(addr netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if int64(t.from[addr]) >= t.limit.Load() || !t.mayCome(addr) {
		return false
	}
	t.from[addr]++
	return true
}

func (t *turnstile) leave(addr netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.from[addr]--
	if t.from[addr] <= 0 {
		delete(t.from, addr)
	}
}

// countedConn is a connection that leaves when it is closed.
type countedConn struct {
	net.Conn
	entrance *turnstile
	from     netip.Addr
	left     atomic.Bool
	flooded  atomic.Bool
}

// Close implements [net.Conn].
func (c *countedConn) Close() error {
	if !c.left.Swap(true) {
		c.entrance.leave(c.from)
	}
	return c.Conn.Close()
}

// hangUp closes the connection of a caller who floods the server, and who is not
// to come back at once.
func (c *countedConn) hangUp() {
	if !c.flooded.Swap(true) {
		c.entrance.flooded(c.from)
	}
	_ = c.Close() // it is closed either way
}

// Unwrapped is the connection itself, for who sends past the library. Only the
// outer one is closed.
func (c *countedConn) Unwrapped() net.Conn { return c.Conn }

// turnAway ends a connection that is one too many. The log tells of some, the
// metric of all, and who asks in HTTP is told as well.
func (t *turnstile) turnAway(conn net.Conn, addr netip.Addr) {
	t.refused.Add(1)
	limit := t.limit.Load()
	t.logged.Do(func() {
		t.log.Warn("connections are refused", "setting", limitConnections, "limit", limit, "address", addr.String(), "refused", t.refused.Load())
	})
	if t.secure || !t.visitors.see(conn, limit) {
		conn.Close() //nolint:errcheck // nobody was let in
	}
}

const (
	limitConnections = "limits.address_connections"
	// retryConnections is when to come back: browsers let go of connections in
	// such a time.
	retryConnections = 10 * time.Second
)

// tooManyConnections is the answer of HTTP to a connection that is one too many,
// in the form of all other errors.
func tooManyConnections(limit int64) []byte {
	body, err := json.Marshal(map[string]any{"error": map[string]any{
		"code": "resource_exhausted", "reason": "RATE_LIMITED", "field": limitConnections, "limit": limit, "retryAfter": retryConnections.Milliseconds(),
		"message": fmt.Sprintf("%s: the limit is %d connections from one address", limitConnections, limit),
	}})
	if err != nil {
		panic(err) // there is nothing in it that has no JSON
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nRetry-After: %d\r\nConnection: close\r\n\r\n%s",
		http.StatusTooManyRequests, http.StatusText(http.StatusTooManyRequests), len(body), int(retryConnections.Seconds()), body)
}

const (
	maxVisitors = 64          // that are answered at once; others are cut without a word
	maxVisits   = 1000        // a second
	visit       = time.Second // how long each of them may take
	visitBytes  = 64 << 10    // how much each of them may ask
)

// visitors are connections that are answered once and not let in. They are few,
// and stay only briefly.
type visitors struct {
	rate *rate.Limiter

	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]bool
	running sync.WaitGroup
}

// see answers a visitor, if there is time for one more.
func (v *visitors) see(conn net.Conn, limit int64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed || len(v.conns) >= maxVisitors || !v.rate.Allow() {
		return false
	}
	if v.conns == nil {
		v.conns = map[net.Conn]bool{}
	}
	v.conns[conn] = true
	v.running.Go(func() {
		defer v.forget(conn)
		_ = answerOnce(conn, tooManyConnections(limit)) // who does not wait for the answer has none
	})
	return true
}

func (v *visitors) forget(conn net.Conn) {
	conn.Close() //nolint:errcheck // it was never let in
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.conns, conn)
}

func (v *visitors) close() {
	v.mu.Lock()
	v.closed = true
	for conn := range v.conns {
		conn.Close() //nolint:errcheck // it ends the visit
	}
	v.mu.Unlock()
	v.running.Wait()
}

// answerOnce waits for a question, answers, and waits for the other side to close:
// a connection that is closed while something comes is reset, and the answer lost.
func answerOnce(conn net.Conn, answer []byte) error {
	err := conn.SetDeadline(time.Now().Add(visit))
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil {
		_, err = conn.Write(answer)
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && err == nil {
		err = half.CloseWrite()
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, conn, visitBytes)
	}
	return err
}
