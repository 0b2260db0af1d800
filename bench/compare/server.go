package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
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
}

// start runs a program on the server's processor and waits for its address.
func (h *harness) start(ctx context.Context, p program, env ...string) (*server, error) {
	command := exec.CommandContext(ctx, filepath.Join(h.Binaries, p.name), p.args...)
	command.Env = append(append(os.Environ(), "GOMAXPROCS=1", "BENCH_SECRET="+secret), env...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s := &server{program: p, command: command, said: newOutput()}
	command.Stdout, command.Stderr = s.said, s.said
	if err := h.startPinned(command); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	var err error
	if s.address, err = s.said.find(ctx, `listening on http://(\S+)`); err == nil {
		s.streams = s.address
		if p.streams {
			s.streams, err = s.said.find(ctx, `streams on (\S+)`)
		}
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return s, nil
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
}

// collect forces a garbage collection, where there is a way.
func (s *server) collect(ctx context.Context) (*stats, error) {
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
