package nats

import (
	"errors"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/engine"
	"millrace.dev/internal/natstest"
)

// A server that takes nothing any more, and does not hang up, holds up nobody for
// longer than an append may take: whoever broadcasts more than the system keeps for it
// waits, and has no lock meanwhile.
func TestAServerThatTakesNothingHoldsUpNobody(t *testing.T) {
	silent, servers := relay(t, natstest.Start(t))
	const within = 500 * time.Millisecond
	e, err := Open(Options{URL: servers, AppendTimeout: within})(t.Context(), func(*engine.Message) {})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	m := func(data []byte) *engine.Message {
		return &engine.Message{Channel: "c", Payload: engine.Payload{Kind: engine.Binary, Data: data}}
	}
	if _, err := e.Append(t.Context(), m(nil), engine.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	silent.Store(true)
	refused := make(chan error)
	go func() {
		big := make([]byte, 512<<10)
		for {
			if err := e.Broadcast(t.Context(), m(big)); err != nil {
				refused <- err
				return
			}
		}
	}()
	for {
		began := time.Now()
		_, err := e.Append(t.Context(), m(nil), engine.AppendOptions{})
		if took := time.Since(began); took > 4*within {
			t.Errorf("an append took %s, and may take %s", took, within)
		}
		if err != nil && !errors.Is(err, engine.ErrUnavailable) { // the first may still get through
			t.Errorf("an append ended with %v", err)
		}
		select {
		case err := <-refused:
			if !errors.Is(err, engine.ErrUnavailable) {
				t.Errorf("a broadcast ended with %v", err)
			}
			return
		default:
		}
	}
}

// A channel that is too long to be read in one go is read in several: over
// connections of which none lasts for all of it, and whoever waits tries again.
func TestALongChannelIsReadOnWhereItWas(t *testing.T) {
	const (
		records = 3 * readBatch
		size    = 1 << 10
		lasts   = 2 * readBatch * size // less than all records, and more than one batch
	)
	server, prefix := natstest.Start(t), newPrefix()
	m := func() *engine.Message {
		return &engine.Message{Channel: "c", Time: time.Now(), Payload: engine.Payload{Kind: engine.Binary, Data: make([]byte, size)}}
	}
	keep := engine.AppendOptions{Retention: engine.Retention{Messages: records, Age: time.Hour}}
	writer, err := Open(Options{URL: server, Prefix: prefix})(t.Context(), func(*engine.Message) {})
	if err != nil {
		t.Fatal(err)
	}
	for range records {
		if _, err := writer.Append(t.Context(), m(), keep); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := Open(Options{URL: shortLived(t, server, lasts), Prefix: prefix, AppendTimeout: time.Second})(t.Context(), func(*engine.Message) {})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for end := time.Now().Add(2 * time.Minute); ; {
		at, err := e.Append(t.Context(), m(), keep)
		if err == nil {
			if at.Position.Offset != records+1 {
				t.Errorf("appended at %d, want %d", at.Position.Offset, records+1)
			}
			return
		}
		if !errors.Is(err, engine.ErrUnavailable) || time.Now().After(end) {
			t.Fatalf("append: %v", err)
		}
	}
}

// shortLived passes connections on to a server, and cuts each when the server has
// sent so many bytes.
func shortLived(t *testing.T, server string, lasts int64) (at string) {
	t.Helper()
	return passOn(t, server, func(near, far net.Conn) {
		go func() { _, _ = io.Copy(far, near) }()
		_, _ = io.CopyN(near, far, lasts)
		_ = near.Close()
		_ = far.Close()
	})
}

// relay passes connections on to a server until it is silent: then it takes nothing.
func relay(t *testing.T, server string) (silent *atomic.Bool, at string) {
	t.Helper()
	silent = &atomic.Bool{}
	return silent, passOn(t, server, func(near, far net.Conn) {
		go func() { _, _ = io.Copy(near, far) }()
		_, _ = io.Copy(far, unlessSilent{near, silent, t.Context().Done()})
	})
}

// passOn lets a function pass each connection on to a server.
func passOn(t *testing.T, server string, pass func(near, far net.Conn)) (at string) {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = near.Close() })
			far, err := new(net.Dialer).DialContext(t.Context(), "tcp", u.Host)
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = far.Close() })
			go pass(near, far)
		}
	}()
	return "nats://" + listener.Addr().String()
}

// unlessSilent is read from until it is to be silent.
type unlessSilent struct {
	io.Reader
	silent *atomic.Bool
	end    <-chan struct{}
}

func (r unlessSilent) Read(b []byte) (int, error) {
	if r.silent.Load() {
		<-r.end
		return 0, io.EOF
	}
	return r.Reader.Read(b)
}
