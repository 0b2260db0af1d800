//go:build e2e

package e2e

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// A proxy passes TCP connections on to the server until it is told to cut them.
type proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup

	mu       sync.Mutex
	open     map[net.Conn]bool
	accepted int
	budget   int // bytes to clients until all is cut; negative for no end
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{target: target, listener: listener, open: map[net.Conn]bool{}, budget: -1}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cutAfter(0)
		p.running.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.pass(client) })
	}
}

// pass passes a connection on, in both directions, until either ends or is cut.
func (p *proxy) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target) //nolint:noctx // loopback answers at once
	if err != nil {
		return
	}
	defer server.Close()
	if !p.admit(client) {
		return
	}
	defer p.forget(client)
	p.running.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	_, _ = io.Copy(&metered{proxy: p, Writer: client}, server)
}

// admit takes a connection in, unless all is cut.
func (p *proxy) admit(client net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.budget == 0 {
		return false
	}
	p.open[client] = true
	p.accepted++
	return true
}

func (p *proxy) forget(client net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, client)
}

// cutAfter lets n more bytes pass to clients; then every connection is cut, and new ones too until restore.
func (p *proxy) cutAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget = n
	p.cut()
}

func (p *proxy) cut() {
	if p.budget != 0 {
		return
	}
	for client := range p.open {
		_ = client.Close()
	}
}

func (p *proxy) restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget = -1
}

// connections counts the connections that were passed on.
func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// metered writes to a client what the budget of the proxy allows.
type metered struct {
	proxy *proxy
	io.Writer
}

var errCut = errors.New("the connection was cut")

// Write implements [io.Writer].
func (m *metered) Write(b []byte) (int, error) {
	m.proxy.mu.Lock()
	defer m.proxy.mu.Unlock()
	if m.proxy.budget < 0 {
		return m.Writer.Write(b)
	}
	n, err := m.Writer.Write(b[:min(len(b), m.proxy.budget)])
	m.proxy.budget -= n
	m.proxy.cut()
	if err == nil && n < len(b) {
		err = errCut
	}
	return n, err
}
