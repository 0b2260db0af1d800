package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	client "github.com/nats-io/nats.go"
)

// connect connects to the servers. The connection lasts as long as the engine: it
// is made again, perhaps to another server, for as long as it takes.
func (e *nats) connect(ctx context.Context) (*client.Conn, error) {
	options := append(e.connection(), e.options.Connection...)
	said := ""
	for {
		conn, err := client.Connect(e.options.URL, options...)
		if err == nil {
			return conn, nil
		}
		if isRefusal(err) {
			return nil, fmt.Errorf("connect to NATS: %w", err)
		}
		if text := err.Error(); text != said {
			said = text
			e.log.WarnContext(ctx, "NATS: cannot connect yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to NATS: %w", err)
		case <-time.After(maxBackoff):
		}
	}
}

// isRefusal reports whether servers were there and did not want us, or we them.
func isRefusal(err error) bool {
	_, isUntrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return isUntrusted || errors.Is(err, client.ErrAuthorization) || errors.Is(err, client.ErrAuthExpired) ||
		errors.Is(err, client.ErrSecureConnRequired) || errors.Is(err, client.ErrSecureConnWanted)
}

// stuckAfter is how long a server may take nothing that is sent to it.
const stuckAfter = 5 * time.Second

func (e *nats) connection() []client.Option {
	return []client.Option{
		client.Name("millrace"),
		client.NoEcho(), // what this node broadcasts it has delivered
		client.MaxReconnects(-1),
		// What was not sent when the connection went must not be sent later: its
		// caller was told that it failed.
		client.ReconnectBufSize(-1),
		client.ReconnectWait(100 * time.Millisecond),
		client.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		client.PingInterval(2 * time.Second),
		client.MaxPingsOutstanding(2),
		client.Timeout(requestTimeout),
		// A server that takes nothing must not hold up whoever says something.
		client.FlusherTimeout(stuckAfter),
		client.DisconnectErrHandler(func(_ *client.Conn, err error) {
			if err != nil && !e.isClosed() {
				e.log.Warn("NATS: disconnected", "error", err)
			}
		}),
		client.ReconnectHandler(func(c *client.Conn) {
			e.log.Info("NATS: connected again", "server", c.ConnectedUrlRedacted())
			select {
			case e.reconnected <- struct{}{}:
			default:
			}
		}),
		client.ErrorHandler(func(_ *client.Conn, _ *client.Subscription, err error) {
			e.log.Warn("NATS", "error", err)
		}),
	}
}
