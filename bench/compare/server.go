package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"millrace.dev/bench/load"
	"millrace.dev/bench/machine"
)

const startTimeout = 20 * time.Second

// server is a running program.
type server struct {
	program program
	command *exec.Cmd
	said    *output
	address string // of HTTP
	streams string // of what is subscribed to
	admin   string // of profiles
}

// start runs a program on the server's processor and waits for its address.
func (h *harness) start(ctx context.Context, p program) (*server, error) {
	args, admin := slices.Clone(p.args), ""
	if p.profiles {
		var err error
		if admin, err = freeAddress(ctx); err != nil {
			return nil, err
		}
		args = append(args, "--admin-listen", admin)
	}
	certificate, key := filepath.Join(h.Binaries, certificateFile), filepath.Join(h.Binaries, keyFile)
	env := append(os.Environ(), "GOMAXPROCS=1", "BENCH_SECRET="+secret)
	switch {
	case p.tls && p.profiles:
		args = append(args, "--tls-cert", certificate, "--tls-key", key)
	case p.tls:
		env = append(env, "BENCH_CERT="+certificate, "BENCH_KEY="+key)
	}
	command := exec.CommandContext(ctx, filepath.Join(h.Binaries, p.name), args...)
	command.Env = env
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s := &server{program: p, command: command, said: newOutput(), admin: admin}
	command.Stdout, command.Stderr = s.said, s.said
	if err := h.startPinned(command); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	var err error
	if s.address, err = s.said.find(ctx, `listening on https?://(\S+)`); err == nil {
		s.streams = s.address
		switch {
		case p.streams:
			s.streams, err = s.said.find(ctx, `streams on (\S+)`)
		case p.tls:
			s.address = admin // which needs none on loopback
		}
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return s, nil
}

// freeAddress is one of loopback on which nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free address: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// startPinned starts a command from a thread that is on the server's
// processor, which the command inherits.
func (h *harness) startPinned(command *exec.Cmd) error {
	if !h.Pin {
		return command.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := machine.PinThread(0, h.serverCPU)
	if err == nil {
		err = command.Start()
	}
	return errors.Join(err, machine.PinThread(0, h.clientCPU))
}

func (s *server) stop() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait() // it says that it was killed
}

func (s *server) pid() int { return s.command.Process.Pid }

func (s *server) target(wire load.Wire) load.Target {
	return load.Target{
		Address: s.streams, Wire: wire,
		PublishAddress: s.address, PublishPath: "/publish/bench", PublishHeader: s.program.header,
	}
}

// port is that of the sockets of subscribers.
func (s *server) port() (uint16, error) {
	address, err := netip.ParseAddrPort(s.streams)
	return address.Port(), err
}

// stats is what a server says of itself after a garbage collection.
type stats struct {
	Mallocs uint64 `json:"mallocs"`
	// Free is memory that the server could give back to the system, and has not.
	Free int `json:"-"`
}

// collect forces a garbage collection. The peers' programs then give back what is
// free; of ours, which has no such function, it is found out how much that is.
func (s *server) collect(ctx context.Context) (*stats, error) {
	if s.program.profiles {
		return s.collectByProfile(ctx)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+"/gc", http.NoBody)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("collect: %w", err)
	}
	defer response.Body.Close()
	var found stats
	return &found, json.NewDecoder(response.Body).Decode(&found)
}

// collectByProfile asks for a profile of the heap, which is made after a garbage
// collection: twice, because the second sweeps what the first has found.
func (s *server) collectByProfile(ctx context.Context) (*stats, error) {
	var text []byte
	for range 2 {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/debug/pprof/heap?gc=1&debug=1", http.NoBody)
		if err != nil {
			return nil, err
		}
		for _, field := range s.program.header {
			request.Header.Set(field.Name, field.Value)
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
		response, err := client.Do(request)
		if err != nil {
			return nil, fmt.Errorf("collect: %w", err)
		}
		text, err = io.ReadAll(response.Body)
		response.Body.Close() //nolint:errcheck // it was read
		if err != nil || response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("collect: status %d, %w", response.StatusCode, err)
		}
	}
	numbers := map[string]uint64{}
	for _, match := range regexp.MustCompile(`(?m)^# (Mallocs|HeapIdle|HeapReleased) = (\d+)$`).FindAllSubmatch(text, -1) {
		var err error
		if numbers[string(match[1])], err = strconv.ParseUint(string(match[2]), 10, 64); err != nil {
			return nil, fmt.Errorf("collect: %w", err)
		}
	}
	if len(numbers) != 3 {
		return nil, errors.New("collect: the profile does not say how much memory there is")
	}
	return &stats{Mallocs: numbers["Mallocs"], Free: int(numbers["HeapIdle"] - numbers["HeapReleased"])}, nil
}

// output is what a server writes.
type output struct {
	mu    sync.Mutex
	text  []byte
	grown chan struct{} // holds one token when there is more to look at
}

func newOutput() *output { return &output{grown: make(chan struct{}, 1)} }

// Write implements [io.Writer].
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.text) < 64<<10 {
		o.text = append(o.text, b...)
	}
	select {
	case o.grown <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (o *output) all() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// find waits for text, and returns the first group of the pattern.
func (o *output) find(ctx context.Context, pattern string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	expression := regexp.MustCompile(pattern)
	for {
		if match := expression.FindStringSubmatch(o.all()); match != nil {
			return match[1], nil
		}
		select {
		case <-o.grown:
		case <-ctx.Done():
			return "", fmt.Errorf("%w; it said %q", ctx.Err(), o.all())
		}
	}
}
