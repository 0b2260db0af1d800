package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// network is that of all machines: addresses that are for trials.
var network = netip.MustParsePrefix("198.18.0.0/24")

// wiring connects machines: it reads each packet that one sends, and passes it on,
// late or not at all, as its weather says.
type wiring struct {
	own      *machine // of this program
	machines map[netip.Addr]*machine
	running  sync.WaitGroup

	mu      sync.RWMutex
	weather map[link]weather
}

// link is one direction between two machines.
type link struct{ from, to netip.Addr }

// weather is what becomes of the packets of a link. The zero value is fair.
type weather struct {
	cut  bool          // none arrives
	loss float64       // so many of them do not
	late time.Duration // how long each is under way
}

// newWiring makes a network of this program, whose machine is the first, and so many
// others.
func newWiring(names ...string) (*wiring, []*machine, error) {
	w := &wiring{machines: map[netip.Addr]*machine{}, weather: map[link]weather{}}
	address := network.Addr().Next()
	w.own = &machine{name: "clients", address: address}
	if err := w.own.plug(); err != nil {
		return nil, nil, err
	}
	all := []*machine{w.own}
	for _, name := range names {
		address = address.Next()
		m, err := newMachine(name, address)
		if err != nil {
			return nil, nil, fmt.Errorf("machine %s: %w", name, err)
		}
		all = append(all, m)
	}
	for _, m := range all {
		w.machines[m.address] = m
		w.running.Go(func() { w.carry(m) })
	}
	return w, all[1:], nil
}

func (w *wiring) close() {
	for _, m := range w.machines {
		_ = m.cable.Close() // nobody needs it any more
	}
	w.running.Wait()
}

// carry carries the packets that a machine sends.
func (w *wiring) carry(m *machine) {
	slow := make(chan letter, 4096)
	defer close(slow)
	w.running.Go(func() { w.post(slow) })
	packet := make([]byte, maxPacket)
	for {
		n, err := m.cable.Read(packet)
		if err != nil {
			return
		}
		if n < 20 || packet[0]>>4 != 4 {
			continue // IPv6, which nobody has an address of
		}
		from, _ := netip.AddrFromSlice(packet[12:16])
		to, _ := netip.AddrFromSlice(packet[16:20])
		now := w.on(link{from, to})
		switch other := w.machines[to]; {
		case other == nil || now.cut || now.loss > 0 && rand.Float64() < now.loss:
		case now.late > 0:
			select {
			case slow <- letter{append([]byte(nil), packet[:n]...), other, time.Now().Add(now.late)}:
			default: // as a router whose memory is full
			}
		default:
			_, _ = other.cable.Write(packet[:n]) // a network promises nothing
		}
	}
}

// letter is a packet that is under way.
type letter struct {
	packet []byte
	to     *machine
	due    time.Time
}

// post delivers what is late, in order.
func (w *wiring) post(slow <-chan letter) {
	for l := range slow {
		<-time.After(time.Until(l.due))
		_, _ = l.to.cable.Write(l.packet) // a network promises nothing
	}
}

func (w *wiring) on(l link) weather {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.weather[l]
}

// between sets the weather between machines, in both directions.
func (w *wiring) between(some, others []*process, now weather) {
	w.from(some, others, now)
	w.from(others, some, now)
}

// from sets the weather in one direction.
func (w *wiring) from(some, others []*process, now weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range some {
		for _, b := range others {
			w.weather[link{a.machine.address, b.machine.address}] = now
		}
	}
}

// clients is who all clients come by.
func (w *wiring) clients() *process { return &process{machine: w.own} }

// clear makes it fair everywhere.
func (w *wiring) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.weather)
}
