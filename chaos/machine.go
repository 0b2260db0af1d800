package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// machine is where a server runs: a network namespace whose one cable ends in this
// program. It is there until this program ends.
type machine struct {
	name    string
	address netip.Addr
	cable   *os.File
	orders  chan func()
}

// newMachine makes a machine. Its namespace is that of one thread of this program, on
// which its servers are started.
func newMachine(name string, address netip.Addr) (*machine, error) {
	m := &machine{name: name, address: address, orders: make(chan func())}
	made := make(chan error)
	go m.obey(made) // until this program ends: the thread is the namespace
	return m, <-made
}

func (m *machine) obey(made chan<- error) {
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		err = errors.Join(up("lo"), m.plug())
	}
	made <- err
	for do := range m.orders {
		do()
	}
}

// do does something on the machine, and returns when it is done.
func (m *machine) do(what func()) {
	done := make(chan struct{})
	m.orders <- func() { defer close(done); what() }
	<-done
}

// plug makes the cable, in the namespace of the calling thread.
func (m *machine) plug() error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	const name = "cable"
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("make a cable: %w", err)
	}
	m.cable = os.NewFile(uintptr(fd), m.name)
	return errors.Join(
		set(name, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(m.address.AsSlice()) }),
		set(name, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.CIDRMask(network.Bits(), 32)) }),
		set(name, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(maxPacket); return nil }),
		up(name),
	)
}

// maxPacket is the largest packet of a cable: large, since each is two system calls.
const maxPacket = 16 << 10

// set changes an interface in the namespace of the calling thread.
func set(name string, what uint, value func(*unix.Ifreq) error) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s) //nolint:errcheck // nothing was written
	request, err := unix.NewIfreq(name)
	if err == nil {
		err = value(request)
	}
	if err == nil {
		err = unix.IoctlIfreq(s, what, request)
	}
	if err != nil {
		return fmt.Errorf("set up the network of a machine: %w", err)
	}
	return nil
}

func up(name string) error {
	return set(name, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil })
}
