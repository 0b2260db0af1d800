package main

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"os"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/spf13/cobra"

	"millrace.dev/gen/millrace/v1/millracev1connect"
)

const (
	defaultServer = "http://127.0.0.1:8080"
	// callTimeout bounds a call that answers once, and the start of a stream.
	callTimeout = 30 * time.Second
)

// client calls a server.
type client struct {
	millracev1connect.RealtimeServiceClient
	admin     millracev1connect.AdminServiceClient
	server    string
	transport *http.Transport
}

func addClientFlags(command *cobra.Command) {
	// The environment is not the flags' default: --help would show the token.
	command.Flags().String("server", "", "`URL` of the server (also MILLRACE_SERVER) (default "+defaultServer+")")
	command.Flags().String("token", "", "`token` or API key (also MILLRACE_TOKEN)")
}

// newClient makes the client that the flags and the environment ask for. The
// caller must Close it.
func newClient(command *cobra.Command) (*client, error) {
	server := cmp.Or(flagText(command, "server"), os.Getenv("MILLRACE_SERVER"), defaultServer)
	token := cmp.Or(flagText(command, "token"), os.Getenv("MILLRACE_TOKEN"))
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("the server %q is no URL such as %s", server, defaultServer)
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   callTimeout,
		ResponseHeaderTimeout: callTimeout,
	}
	conn := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: transport}, server), authorize(token))
	return &client{
		RealtimeServiceClient: millracev1connect.NewRealtimeServiceClient(conn),
		admin:                 millracev1connect.NewAdminServiceClient(conn),
		server:                server,
		transport:             transport,
	}, nil
}

// Close lets go of the connections.
func (c *client) Close() { c.transport.CloseIdleConnections() }

// authorize sends the token with every call.
func authorize(token string) connect.ClientInterceptor {
	return func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			if info, ok := connect.CallInfoForClientContext(ctx); ok && token != "" {
				info.RequestHeader().Set("Authorization", "Bearer "+token)
			}
			return next(ctx, spec)
		}
	}
}

// flagText is the value of a flag that the command is known to have.
func flagText(command *cobra.Command, name string) string {
	return command.Flags().Lookup(name).Value.String()
}
