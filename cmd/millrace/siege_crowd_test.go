package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// standstill is how far strangers take their connections, to leave them there.
type standstill struct {
	secure bool // over TLS
	says   string
}

func standstills() map[string]standstill {
	var stream strings.Builder
	framer := http2.NewFramer(&stream, nil)
	_ = framer.WriteSettings() // a text takes everything
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: requestHead("/events?channel=idle"), EndStream: true, EndHeaders: true})
	return map[string]standstill{
		"that say nothing":                     {false, ""},
		"with half a head":                     {false, "GET /events HTTP/1.1\r\nHost"},
		"with half the preface of HTTP/2":      {false, http2.ClientPreface[:10]},
		"with the preface of HTTP/2":           {false, http2.ClientPreface},
		"with a stream of HTTP/2":              {false, http2.ClientPreface + stream.String()},
		"with a WebSocket without first frame": {false, getSocket("?auth=frame", "")},
		"with a WebSocket":                     {false, getSocket("?channel=idle", "")},
		"with an event stream":                 {false, "GET /events?channel=idle HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"},
		"with half a handshake of TLS":         {false, "\x16\x03\x01\x02\x00\x01"}, // to an address that has TLS
		"with TLS":                             {true, ""},
		"with a WebSocket over TLS":            {true, getSocket("?channel=idle", "")},
	}
}

// However far strangers take their connections, one address has no more of them
// than the limit, and what each costs is bounded; others come in as before. With
// SCALE=full there are 10,000, and the limit is the default.
func TestAnAddressHasNoMoreConnectionsThanItMayHoweverFarTheyGo(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil || testing.Short() {
		t.Skip("takes its time, and reads in /proc what a process uses")
	}
	path := shipped(t)
	crowd, limit := 300, 50
	if os.Getenv("SCALE") == "full" {
		crowd, limit = 10_000, 1000
	}
	cert, key, pool := certificate(t)
	for name, still := range standstills() {
		t.Run(name, func(t *testing.T) {
			flags := []string{"--limits-address-connections", strconv.Itoa(limit), "--limits-handshake", "1h"}
			if still.secure || strings.Contains(name, "TLS") {
				flags = append(flags, "--tls-cert", cert, "--tls-key", key)
			}
			s := besiege(t, path, flags...)
			calls := visitingFrom("127.0.0.1", pool)
			defer calls.CloseIdleConnections()
			checkReady(t, s, calls)
			memory, files := s.memory("VmRSS"), s.files()
			gone := s.crowd(still, pool, crowd)
			for deadline := time.After(6 * patience); int(gone.Load()) < crowd-limit; {
				if more := s.files() - files; more > limit+maxVisitors+20 {
					t.Fatalf("%d descriptors more, and one address may have %d connections", more, limit)
				}
				select {
				case <-time.After(20 * time.Millisecond):
				case <-deadline:
					t.Fatalf("of %d connections %d were closed, and %d may stay", crowd, gone.Load(), limit)
				}
			}
			checkReady(t, s, calls)
			grown := max(0, s.memory("VmHWM")-memory)
			t.Logf("%d connections: %d were closed, %d descriptors and %d MiB more", crowd, gone.Load(), s.files()-files, grown>>20)
			if left := crowd - int(gone.Load()); left != limit {
				t.Errorf("%d connections of one address are left, want %d", left, limit)
			}
			if most := 32<<20 + limit*64<<10; grown > most {
				t.Errorf("%d MiB of memory for %d connections, at most %d", grown>>20, limit, most>>20)
			}
		})
	}
}

// crowd opens connections of one address, and counts those that the server ends.
func (s *besieged) crowd(still standstill, pool *x509.CertPool, n int) *atomic.Int64 {
	s.Helper()
	_, address, _ := strings.Cut(s.url, "://")
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(hostileAddress)}}
	gone := new(atomic.Int64)
	ctx, leave := context.WithCancel(s.Context())
	var there sync.WaitGroup
	s.Cleanup(func() {
		leave()
		there.Wait()
	})
	for range n {
		conn, err := from.DialContext(ctx, "tcp", address)
		if err != nil {
			s.Fatal(err)
		}
		if still.secure {
			conn = tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
		}
		there.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			if _, err := io.WriteString(conn, still.says); err == nil {
				_, _ = io.Copy(io.Discard, conn)
			}
			if ctx.Err() == nil {
				gone.Add(1)
				_ = conn.Close() // the server has
			}
		})
	}
	return gone
}

// files is how many descriptors the process has.
func (s *besieged) files() int {
	s.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.pid))
	if err != nil {
		s.Fatal(err)
	}
	return len(list)
}

// visitingFrom calls from an address.
func visitingFrom(address string, pool *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
}

func checkReady(t *testing.T, s *besieged, calls *http.Transport) {
	t.Helper()
	if _, status := do(t, calls, newRequest(t, s.url+"/readyz")); status != http.StatusOK {
		t.Errorf("for others the server is not ready: status %d", status)
	}
}
