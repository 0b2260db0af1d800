package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
	machine       *machine // nil: this one
	disk          string   // where its data is, on a disk of its own; "" if it has none
	clock         string   // the file that says how far its clock is ahead; "" if it is as others' clocks

	mu  sync.Mutex
	cmd *exec.Cmd
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.CommandContext(context.Background(), p.program, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if p.clock != "" {
		p.cmd.Env = append(os.Environ(), "CHAOS_CLOCK="+p.clock)
	}
	// Whatever becomes of this program, its servers end with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.machine == nil {
		return p.cmd.Start()
	}
	var err error
	p.machine.do(func() { err = p.cmd.Start() })
	return err
}

func (p *process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.cmd.Process == nil {
		return os.ErrProcessDone // it could not be started
	}
	return p.cmd.Process.Signal(s)
}

func (p *process) url() string { return "http://" + p.address }

// end ends the process with a signal and waits for it.
func (p *process) end(s syscall.Signal) {
	_ = p.signal(s) // it may have ended, or never have been started
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Wait() // it ended as it was told to
	}
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

// fleet is servers of NATS and of Millrace, and the proxy that clients come by.
type fleet struct {
	nats, nodes []*process
	proxy       *proxy
	wiring      *wiring // nil: all are on this machine
}

// plan is what a fleet is like.
type plan struct {
	dir, bin, listen string // data and logs; programs; where the proxy listens
	servers, nodes   int
	machines         bool // each server has a machine of its own, and those of NATS a disk
	clocks           bool // each server has a clock of its own
}

// startFleet starts the servers of a plan.
func startFleet(ctx context.Context, p plan) (*fleet, error) {
	f := &fleet{}
	for i := range p.servers {
		f.nats = append(f.nats, &process{name: fmt.Sprint("nats", i), program: filepath.Join(p.bin, "nats-server")})
	}
	for i := range p.nodes {
		f.nodes = append(f.nodes, &process{name: fmt.Sprint("node", i), program: filepath.Join(p.bin, "millrace")})
	}
	if err := f.furnish(p); err != nil {
		return f, err
	}
	if err := f.instruct(ctx, p.dir); err != nil {
		return f, err
	}
	for _, one := range f.all() {
		log, err := os.Create(filepath.Join(p.dir, one.name+".log"))
		if err != nil {
			return f, err
		}
		one.log = log
		if err := one.start(); err != nil {
			return f, err
		}
	}
	for _, one := range f.nodes {
		if err := one.waitReady(ctx); err != nil {
			return f, err
		}
	}
	var err error
	f.proxy, err = startProxy(ctx, p.listen, f.nodes)
	return f, err
}

func (f *fleet) all() []*process { return slices.Concat(f.nats, f.nodes) }

// furnish gives the servers what they have for themselves.
func (f *fleet) furnish(p plan) (err error) {
	var names []string
	for _, one := range f.all() {
		names = append(names, one.name)
		if p.clocks {
			one.clock = filepath.Join(p.dir, one.name+".clock")
			err = errors.Join(err, one.setClock(0))
		}
	}
	if err != nil || !p.machines {
		return err
	}
	if err := f.separate(names, p.dir); err != nil {
		sayf("no machines here, so no faults of the network and of disks: %v", err)
	}
	return nil
}

// separate gives each server a machine, and those of NATS a disk.
func (f *fleet) separate(names []string, dir string) error {
	wiring, machines, err := newWiring(names...)
	if err != nil {
		return err
	}
	for _, one := range f.nats {
		disk := filepath.Join(dir, one.name)
		if err := mountDisk(disk); err != nil {
			wiring.close()
			return err
		}
		one.disk = disk
	}
	for i, one := range f.all() {
		one.machine = machines[i]
	}
	f.wiring = wiring
	return nil
}

// instruct says to the servers where they are, and where the others are.
func (f *fleet) instruct(ctx context.Context, dir string) error {
	var routes, urls []string
	for _, one := range f.nats {
		one.address = one.freeAddress(ctx, 4222)
		urls = append(urls, "nats://"+one.address)
		routes = append(routes, "nats://"+one.freeAddress(ctx, 6222))
	}
	for i, one := range f.nats {
		config := filepath.Join(dir, one.name+".conf")
		text := fmt.Sprintf(natsConfig, one.name, one.address, filepath.Join(dir, one.name), strings.TrimPrefix(routes[i], "nats://"), strings.Join(routes, ", "))
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return err
		}
		one.args = []string{"--config", config}
	}
	for _, one := range f.nodes {
		one.address = one.freeAddress(ctx, 8080)
		one.args = []string{
			"serve", "--listen", one.address, "--open", "--trusted-proxies", "127.0.0.0/8," + network.String(), "--nats-url", strings.Join(urls, ","), "--drain-window", "500ms",
			"--limits-heartbeat", "1s", "--limits-publish-rate", "1000000", "--limits-call-rate", "1000000", "--limits-user-sessions", "100000",
			"--rules", "[{pattern: chaos.>, history: {messages: 1000000, age: 1h}}]",
		}
	}
	return nil
}

// natsConfig is as docs/OPERATIONS.md wants it.
const natsConfig = `
server_name: %s
listen: "%s"
jetstream { store_dir: "%s" }
cluster {
  name: millrace
  listen: "%s"
  routes: [%s]
  ping_interval: "2s"
  ping_max: 2
}
`

// stop ends all.
func (f *fleet) stop() error {
	var err error
	if f.proxy != nil {
		err = f.proxy.close()
	}
	for _, p := range f.all() {
		_ = p.signal(syscall.SIGCONT) // it may be frozen
		p.end(syscall.SIGKILL)
		if p.log != nil {
			err = errors.Join(err, p.log.Close())
		}
		if p.disk != "" {
			err = errors.Join(err, unmountDisk(p.disk))
		}
	}
	if f.wiring != nil {
		f.wiring.close()
	}
	return err
}

// freeAddress is one that nobody listens on now: with the given port, if the server has
// its machine for itself.
func (p *process) freeAddress(ctx context.Context, port int) string {
	if p.machine != nil {
		return net.JoinHostPort(p.machine.address.String(), strconv.Itoa(port))
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // there is no loopback
	}
	defer l.Close()
	return l.Addr().String()
}
