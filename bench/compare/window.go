package compare

import (
	"os"
	"time"

	"millrace.dev/bench/machine"
)

// window is a stretch of time in which a server is measured.
type window struct {
	server       *server
	start        time.Time
	usage        machine.Usage
	client, busy time.Duration
}

// cost is what a window took.
type cost struct {
	cpu     time.Duration // of the server
	elapsed time.Duration
	foreign float64 // share of the machine that other processes took
}

func openWindow(s *server) (*window, error) {
	w := &window{server: s, start: time.Now()}
	var err error
	if w.usage, err = machine.ReadUsage(); err != nil {
		return nil, err
	}
	if w.client, err = machine.CPUTime(os.Getpid()); err != nil {
		return nil, err
	}
	w.busy, err = machine.CPUTime(s.pid())
	return w, err
}

func (w *window) close() (cost, error) {
	end, err := openWindow(w.server)
	if err != nil {
		return cost{}, err
	}
	c := cost{cpu: end.busy - w.busy, elapsed: end.start.Sub(w.start)}
	foreign := end.usage.Busy - w.usage.Busy - c.cpu - (end.client - w.client)
	c.foreign = max(0, float64(foreign)/max(1, float64(end.usage.Total-w.usage.Total)))
	return c, nil
}
