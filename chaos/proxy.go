package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// proxy passes TCP connections on to one node after the other, of those that
// answer. It cuts the connections of one that does not.
type proxy struct {
	listener net.Listener
	nodes    []*backend
	next     atomic.Uint32
	stop     context.CancelFunc
	running  sync.WaitGroup
	passed   sync.Map // the node's name, by the address of the client's connection
}

// nodeOf names the node that a client's connection was passed on to.
func (p *proxy) nodeOf(from string) string {
	if name, ok := p.passed.Load(from); ok {
		return fmt.Sprint(name)
	}
	return "no node"
}

type backend struct {
	name, address string
	healthy       atomic.Bool

	mu   sync.Mutex
	open map[net.Conn]struct{}
}

const (
	checkEvery  = 500 * time.Millisecond
	checkWithin = 2 * time.Second
)

func startProxy(ctx context.Context, listen string, nodes []*process) (*proxy, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &proxy{listener: listener, stop: stop}
	for _, node := range nodes {
		b := &backend{name: node.name, address: node.address, open: map[net.Conn]struct{}{}}
		b.healthy.Store(true)
		p.nodes = append(p.nodes, b)
		p.running.Go(func() { b.check(ctx) })
	}
	p.running.Go(func() { p.accept(ctx) })
	return p, nil
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

func (p *proxy) close() error {
	err := p.listener.Close()
	p.stop()
	for _, b := range p.nodes {
		b.cut()
	}
	p.running.Wait()
	return err
}

func (p *proxy) accept(ctx context.Context) {
	for {
		conn, err := p.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // too many are open
			pause(ctx, checkEvery)
		default:
			p.running.Go(func() { p.pass(conn) })
		}
	}
}

// pass connects a client with a node until either ends.
func (p *proxy) pass(client net.Conn) {
	defer client.Close()
	for range p.nodes {
		b := p.nodes[p.next.Add(1)%uint32(len(p.nodes))]
		if !b.healthy.Load() {
			continue
		}
		server, err := net.DialTimeout("tcp", b.address, time.Second) //nolint:noctx // it has a time
		if err != nil {
			continue
		}
		p.passed.Store(client.RemoteAddr().String(), b.name)
		b.join(client, server)
		return
	}
}

func (b *backend) join(client, server net.Conn) {
	defer server.Close()
	b.mu.Lock()
	b.open[server] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.open, server)
		b.mu.Unlock()
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client) // either end may go at any time
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
	_ = client.Close()
	<-done
}

func (b *backend) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for conn := range b.open {
		_ = conn.Close()
	}
}

// check asks whether the node is there, and cuts its connections when it is not.
func (b *backend) check(ctx context.Context) {
	client := &http.Client{Timeout: checkWithin, Transport: &http.Transport{DisableKeepAlives: true}}
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.address+"/healthz", http.NoBody)
		if err != nil {
			return
		}
		response, err := client.Do(request)
		isThere := err == nil && response.StatusCode == http.StatusOK
		if err == nil {
			_ = response.Body.Close()
		}
		b.healthy.Store(isThere)
		if !isThere {
			b.cut()
		}
	}
}
