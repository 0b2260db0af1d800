package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/coder/websocket"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// reverseProxy is a program that stands before the server in production, with the
// configuration that we ship for it.
type reverseProxy struct {
	name string // of the program
	// prepare writes the configuration, with our addresses and certificate in it,
	// and returns what the program is called with.
	prepare func(t *testing.T, place placement) []string
	// lacks are the wires that Debian's version does not pass on without fault.
	lacks []string
}

// placement is what a configuration has to be told.
type placement struct {
	dir               string // for what the program writes
	listen, server    string // addresses
	certFile, keyFile string
}

var reverseProxies = []reverseProxy{
	{name: "nginx", prepare: func(t *testing.T, p placement) []string {
		t.Helper()
		site := deployed(t, "proxies/nginx.conf", map[string]string{
			"listen 443 ssl": "listen " + p.listen + " ssl", "server 127.0.0.1:8080": "server " + p.server,
			"/etc/ssl/millrace/cert.pem": p.certFile, "/etc/ssl/millrace/key.pem": p.keyFile,
		})
		around := "daemon off;\nmaster_process off;\npid " + p.dir + "/pid;\nevents {}\nhttp {\naccess_log off;\n"
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			around += kind + "_temp_path " + filepath.Join(p.dir, kind) + ";\n"
		}
		return []string{"-e", "stderr", "-p", p.dir, "-c", writeFile(t, "nginx.conf", around+site+"}\n")}
	}},
	{name: "haproxy", prepare: func(t *testing.T, p placement) []string {
		t.Helper()
		both := ""
		for _, name := range []string{p.certFile, p.keyFile} {
			part, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			both += string(part)
		}
		file := deployed(t, "proxies/haproxy.cfg", map[string]string{
			"bind :443": "bind " + p.listen, "server a 127.0.0.1:8080": "server a " + p.server, "/etc/haproxy/millrace.pem": writeFile(t, "both.pem", both),
			"maxconn 200000": "maxconn 1000",
		})
		return []string{"-db", "-f", writeFile(t, "haproxy.cfg", file)}
	}},
	// 2.6 may cut a stream over HTTP/1.1 that a POST has opened: it stops reading the request when the answer begins.
	{name: "caddy", lacks: []string{"Connect over HTTP/1.1", "gRPC-Web over HTTP/1.1"}, prepare: func(t *testing.T, p placement) []string {
		t.Helper()
		file := deployed(t, "proxies/Caddyfile", map[string]string{
			"millrace.example.com {": "https://" + p.listen + " {\n\ttls " + p.certFile + " " + p.keyFile, "127.0.0.1:8080": p.server,
		})
		return []string{"run", "--adapter", "caddyfile", "--config", writeFile(t, "Caddyfile", "{\n\tadmin off\n\tauto_https off\n}\n"+file)}
	}},
}

// run starts the program, and returns the address that it listens on. Somebody else
// may take that address before it does: then there is another one.
func (p reverseProxy) run(t *testing.T, program string, place placement) string {
	t.Helper()
	for range 10 {
		place.listen = freeAddress(t)
		place.dir = t.TempDir()
		out := newTranscript()
		command := exec.CommandContext(context.WithoutCancel(t.Context()), program, p.prepare(t, place)...) //nolint:gosec // a program of the system
		command.Stdout, command.Stderr = out, out
		command.Env = append(os.Environ(), "HOME="+place.dir, "XDG_DATA_HOME="+place.dir, "XDG_CONFIG_HOME="+place.dir)
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = command.Wait() // it was stopped, or says why not
			close(ended)
		}()
		t.Cleanup(func() {
			_ = command.Process.Kill() // it may have ended; some wait long for connections to end
			<-ended
		})
		if answers(t, place.listen, ended) {
			return place.listen
		}
		if !strings.Contains(strings.ToLower(out.String()), "in use") && !strings.Contains(out.String(), "cannot bind") {
			t.Fatalf("%s has ended: %s", p.name, out)
		}
	}
	t.Fatalf("%s finds no address", p.name)
	return ""
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// answers waits until somebody listens, or the program has ended.
func answers(t *testing.T, address string, ended <-chan struct{}) bool {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(patience)
	for {
		if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
			conn.Close() //nolint:errcheck // it was only tried
			return true
		}
		select {
		case <-again.C:
		case <-ended:
			return false
		case <-deadline:
			t.Fatalf("nobody listens on %s", address)
		}
	}
}

// visitor is a client that comes from elsewhere, as far as loopback allows, and
// says that it is somebody else.
type visitor struct {
	base   string
	client *http.Client
	header http.Header
}

const (
	visitorAddress = "127.0.0.2"
	pretended      = "203.0.113.9"
)

func newVisitor(t *testing.T, address string, pool *x509.CertPool, version func(*http.Protocols)) visitor {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(visitorAddress)}}
	transport := &http.Transport{
		DialContext: dialer.DialContext, Protocols: new(http.Protocols),
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}
	version(transport.Protocols)
	t.Cleanup(transport.CloseIdleConnections)
	return visitor{"https://" + address, &http.Client{Transport: transport}, http.Header{
		"Authorization": {"Bearer " + testAPIKey}, "X-Forwarded-For": {pretended}, "Origin": {"https://" + address},
	}}
}

// view is a subscription through a proxy: each call waits for the data of the next
// message.
type view func() (string, error)

// openers open a subscription to a channel on each wire, confirmed.
var openers = map[string]struct {
	version func(*http.Protocols)
	open    func(ctx context.Context, v visitor, channel string) (view, error)
}{
	"WebSocket":                {http1, openSocket},
	"SSE over HTTP/1.1":        {http1, openEvents},
	"SSE over HTTP/2":          {http2Only, openEvents},
	"Connect over HTTP/1.1":    {http1, openRPC()},
	"Connect over HTTP/2":      {http2Only, openRPC()},
	"gRPC-Web over HTTP/1.1":   {http1, openRPC(connecthttp.WithGRPCWeb())},
	"gRPC-Web over HTTP/2":     {http2Only, openRPC(connecthttp.WithGRPCWeb())},
	"gRPC":                     {http2Only, openRPC(connecthttp.WithGRPC())},
	"Connect with JSON frames": {http2Only, openRPC(connecthttp.WithProtoJSON())},
}

func http1(p *http.Protocols)     { p.SetHTTP1(true) }
func http2Only(p *http.Protocols) { p.SetHTTP2(true) }

func openSocket(ctx context.Context, v visitor, channel string) (view, error) {
	conn, response, err := websocket.Dial(ctx, v.base+"/ws?channel="+channel, &websocket.DialOptions{HTTPClient: v.client, HTTPHeader: v.header}) //nolint:bodyclose // the library does
	if err != nil {
		return nil, fmt.Errorf("%w: %v", err, response)
	}
	context.AfterFunc(ctx, func() { _ = conn.CloseNow() })
	err = conn.Write(ctx, websocket.MessageText, []byte(`{"type":"subscribe","id":1,"channel":"`+channel+`"}`))
	next := func() (f wsFrame, err error) {
		_, data, err := conn.Read(ctx)
		if err == nil {
			err = json.Unmarshal(data, &f)
		}
		return f, err
	}
	for f := (wsFrame{}); err == nil && f.Type != "subscribed"; {
		f, err = next()
	}
	return func() (string, error) {
		f, err := next()
		return string(f.Data), err
	}, err
}

func openEvents(ctx context.Context, v visitor, channel string) (view, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+"/events?channel="+channel, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header = v.header
	response, err := v.client.Do(request)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = response.Body.Close() })
	lines := bufio.NewScanner(response.Body)
	event := ""
	until := func(wanted string) (string, error) {
		for lines.Scan() {
			switch field, value, _ := strings.Cut(lines.Text(), ": "); {
			case field == "event":
				event = value
			case field == "data" && event == wanted:
				return value, nil
			}
		}
		return "", fmt.Errorf("the stream has ended, status %d: %w", response.StatusCode, lines.Err())
	}
	_, err = until("millrace.subscribed")
	return func() (string, error) { return until(channel) }, err
}

func openRPC(options ...connecthttp.Option) func(ctx context.Context, v visitor, channel string) (view, error) {
	return func(ctx context.Context, v visitor, channel string) (view, error) {
		stream, err := v.rpc(options...).Subscribe(ctx, &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{{Channel: channel}}})
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = stream.Close() })
		response := &millracev1.SubscribeResponse{}
		for err == nil && response.GetSubscribed() == nil {
			response, err = stream.Receive()
		}
		return func() (string, error) {
			response, err := stream.Receive()
			for err == nil && len(response.GetMessages()) == 0 {
				response, err = stream.Receive()
			}
			if err != nil {
				return "", err
			}
			return response.GetMessages()[0].GetPayload().GetJson(), nil
		}, err
	}
}

func (v visitor) rpc(options ...connecthttp.Option) millracev1connect.RealtimeServiceClient {
	send := func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			if info, ok := connect.CallInfoForClientContext(ctx); ok {
				for name, values := range v.header {
					info.RequestHeader().SetValues(name, values)
				}
			}
			return next(ctx, spec)
		}
	}
	return millracev1connect.NewRealtimeServiceClient(connect.NewClient(connecthttp.NewTransport(v.client, v.base, options...), send))
}

// Each proxy passes each wire on with the configuration that we ship: what is
// published arrives while the stream goes on, and the server knows from where the
// client comes, whatever that says itself.
func TestProxiesPassEveryWireOn(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := certificate(t)
	for _, proxy := range reverseProxies {
		t.Run(proxy.name, func(t *testing.T) {
			t.Parallel()
			program := needs(t, proxy.name)
			_, url := serve(t, "--api-keys", testAPIKey, "--trusted-proxies", "127.0.0.1")
			address := proxy.run(t, program, placement{server: strings.TrimPrefix(url, "http://"), certFile: certFile, keyFile: keyFile})
			for name, wire := range openers {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					if slices.Contains(proxy.lacks, name) {
						t.Skip("this version of the program does not pass it on without fault")
					}
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					v, channel := newVisitor(t, address, pool, wire.version), strings.NewReplacer(" ", "-", "/", "-").Replace(name)
					next, err := wire.open(ctx, v, channel)
					if err != nil {
						t.Fatal(err)
					}
					for i := range 3 {
						data := &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: fmt.Sprint(i)}}
						if _, err := v.rpc().Publish(ctx, &millracev1.PublishRequest{Channel: channel, Data: &millracev1.PublishRequest_Payload{Payload: data}}); err != nil {
							t.Fatal(err)
						}
						if got, err := next(); err != nil || got != fmt.Sprint(i) {
							t.Fatalf("message %d: %q, %v", i, got, err)
						}
					}
					checkPeer(ctx, t, url, channel)
				})
			}
		})
	}
}

// checkPeer checks from where the server thinks that a channel's subscriber comes.
func checkPeer(ctx context.Context, t *testing.T, url, channel string) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	admin := millracev1connect.NewAdminServiceClient(connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: transport}, url), authorize(testAPIKey)))
	response, err := admin.ListSessions(ctx, &millracev1.ListSessionsRequest{Channel: channel})
	if err != nil || len(response.GetSessions()) != 1 {
		t.Fatalf("sessions: %v, %v", response, err)
	}
	if peer := response.GetSessions()[0].GetPeer(); !strings.HasPrefix(peer, visitorAddress+":") {
		t.Errorf("the client comes from %s", peer)
	}
}
