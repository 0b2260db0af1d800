package main

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"millrace.dev/adapters/carrier"
)

// Else each silent connection with TLS would have a goroutine.
func TestConnectionsWithTLSAreCarried(t *testing.T) {
	t.Parallel()
	for name, trusted := range map[string]proxies{
		"of a client": nil,
		"of a proxy":  {netip.MustParsePrefix("127.0.0.0/8")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := listening.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			entrance := newTurnstile(listener, 1, trusted, slog.New(slog.DiscardHandler), true)
			defer entrance.Close()
			client, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			conn, err := entrance.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if carrier.Of(tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS12})) == nil {
				t.Errorf("%T is not carried", conn)
			}
		})
	}
}
