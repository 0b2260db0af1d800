package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a server that can be killed, frozen and started again.
type process struct {
	name, address string
	program       string
	args          []string
	log           *os.File

	mu  sync.Mutex
	cmd *exec.Cmd
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.CommandContext(context.Background(), p.program, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	// Whatever becomes of this program, its servers end with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return p.cmd.Start()
}

func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Signal(s)
}

func (p *process) url() string { return "http://" + p.address }

// end ends the process with a signal and waits for it.
func (p *process) end(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(s) // it may have ended
	_ = p.cmd.Wait()            // as it was told to
}

// waitReady waits until the server takes connections.
func (p *process) waitReady(ctx context.Context) error {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; see %s", p.name, err, p.log.Name())
		}
	}
}

// fleet is servers of NATS and of Millrace on this machine, and the proxy that
// clients come by.
type fleet struct {
	nats, nodes []*process
	proxy       *proxy
}

// startFleet starts so many NATS servers and nodes. Their data and logs are in dir.
func startFleet(ctx context.Context, dir, bin, listen string, servers, nodes int) (*fleet, error) {
	f := &fleet{}
	var routes, urls []string
	for range servers {
		routes = append(routes, "nats://"+freeAddress(ctx))
		urls = append(urls, "nats://"+freeAddress(ctx))
	}
	for i := range servers {
		name := fmt.Sprint("nats", i)
		host, port, _ := net.SplitHostPort(strings.TrimPrefix(urls[i], "nats://"))
		f.nats = append(f.nats, &process{
			name: name, address: net.JoinHostPort(host, port), program: filepath.Join(bin, "nats-server"),
			args: []string{
				"--name", name, "--addr", host, "--port", port, "--jetstream", "--store_dir", filepath.Join(dir, name),
				"--cluster_name", "millrace", "--cluster", routes[i], "--routes", strings.Join(routes, ","),
			},
		})
	}
	for i := range nodes {
		address := freeAddress(ctx)
		f.nodes = append(f.nodes, &process{
			name: fmt.Sprint("node", i), address: address, program: filepath.Join(bin, "millrace"),
			args: []string{
				"serve", "--listen", address, "--nats-url", strings.Join(urls, ","), "--drain-window", "500ms",
				"--limits-heartbeat", "1s", "--limits-publish-rate", "1000000", "--limits-call-rate", "1000000", "--limits-user-sessions", "100000",
				"--rules", "[{pattern: chaos.>, history: {messages: 1000000, age: 1h}}]",
			},
		})
	}
	for _, all := range [][]*process{f.nats, f.nodes} {
		for _, p := range all {
			log, err := os.Create(filepath.Join(dir, p.name+".log"))
			if err != nil {
				return f, err
			}
			p.log = log
			if err := p.start(); err != nil {
				return f, err
			}
		}
	}
	for _, p := range f.nodes {
		if err := p.waitReady(ctx); err != nil {
			return f, err
		}
	}
	var err error
	f.proxy, err = startProxy(ctx, listen, f.nodes)
	return f, err
}

// stop ends all.
func (f *fleet) stop() error {
	var err error
	if f.proxy != nil {
		err = f.proxy.close()
	}
	for _, all := range [][]*process{f.nodes, f.nats} {
		for _, p := range all {
			if p.cmd != nil {
				_ = p.signal(syscall.SIGCONT) // it may be frozen
				p.end(syscall.SIGKILL)
			}
			if p.log != nil {
				err = errors.Join(err, p.log.Close())
			}
		}
	}
	return err
}

// freeAddress is one that nobody listens on now.
func freeAddress(ctx context.Context) string {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // there is no loopback
	}
	defer l.Close()
	return l.Addr().String()
}
