package demo

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"millrace.dev/auth"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// Config is the configuration of the server that the demo runs on, but for its
// keys.
//
//go:embed millrace.yaml
var Config []byte

// Options are what the demo needs to know. All but Log are needed.
type Options struct {
	// Server is the URL of the server.
	Server string
	// Secret and Key are the server's: the secret that signs tokens, and an API
	// key.
	Secret []byte
	Key    string
	// Restart ends the server and starts it again.
	Restart func()
	// Log is where failures are told. Default: nowhere.
	Log *slog.Logger
}

// Demo is the application. Its methods are safe for concurrent use.
type Demo struct {
	// Set once.
	options   Options
	keys      auth.Keys
	log       *slog.Logger
	transport *http.Transport
	messages  millracev1connect.RealtimeServiceClient
	server    millracev1connect.AdminServiceClient
	tables    *tables
	lines     *lines
	denied    *denials
	site, api http.Handler

	watched atomic.Bool // somebody looks at the board
}

// New makes the application. It does nothing by itself before [Demo.Run].
func New(options Options) *Demo {
	transport := new(http.Transport)
	conn := connect.NewClient(connecthttp.NewTransport(&http.Client{Transport: transport}, options.Server), withKey(options.Key))
	d := &Demo{
		options:   options,
		keys:      auth.Keys{Secret: options.Secret},
		log:       options.Log,
		transport: transport,
		messages:  millracev1connect.NewRealtimeServiceClient(conn),
		server:    millracev1connect.NewAdminServiceClient(conn),
		lines:     newLines(),
		site:      newSite(),
		denied:    newDenials(),
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.tables = newTables(d.messages)
	d.api = d.routes()
	return d
}

// withKey sends the API key with every call.
func withKey(key string) connect.ClientInterceptor {
	return func(next connect.ClientFunc) connect.ClientFunc {
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			if info, ok := connect.CallInfoForClientContext(ctx); ok {
				info.RequestHeader().Set("Authorization", "Bearer "+key)
			}
			return next(ctx, spec)
		}
	}
}

// Handler serves the site, and hands everything else to the server.
func (d *Demo) Handler(server http.Handler) http.Handler {
	mux := http.NewServeMux()
	// A page of somebody else must not do to a visitor what his own may.
	mux.Handle("/demo/api/", http.NewCrossOriginProtection().Handler(d.api))
	mux.Handle("/demo/", d.site)
	mux.Handle("/{$}", http.RedirectHandler("/demo/", http.StatusFound))
	mux.Handle("/", d.watch(server))
	return mux
}

func (d *Demo) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /demo/api/visitor", d.enter)
	mux.HandleFunc("GET /demo/api/sessions", d.visitor(d.sessions))
	mux.HandleFunc("POST /demo/api/fault/{fault}", d.visitor(d.fault))
	mux.HandleFunc("POST /demo/api/notify", d.visitor(d.notify))
	mux.HandleFunc("GET /demo/api/{table}", d.tables.list)
	mux.HandleFunc("POST /demo/api/{table}", d.tables.create)
	mux.HandleFunc("PATCH /demo/api/{table}/{id}", d.tables.update)
	mux.HandleFunc("DELETE /demo/api/{table}/{id}", d.tables.remove)
	return mux
}

// answer writes a value as JSON.
func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// The client is gone if it cannot be written.
	_ = json.NewEncoder(w).Encode(value) //nolint:errchkjson // only plain values are answered
}

// refusef says why a request is not answered.
func refusef(w http.ResponseWriter, status int, format string, args ...any) {
	http.Error(w, fmt.Sprintf(format, args...), status)
}
