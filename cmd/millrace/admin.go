package main

import (
	"net/http"

	"millrace.dev/adapters/admin"
	"millrace.dev/console"
)

// consolePath is where the operators' page is.
const consolePath = "/console/"

// adminRoutes are the paths of the operators' address: those of the main one, so
// that a page there is of one origin with all that it calls, and what the main one
// does not have.
func (s *server) adminRoutes(main *http.ServeMux) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", main)
	mux.Handle("GET /debug/pprof/", admin.Profiles(s.service))
	mux.Handle("GET /metrics", s.telemetry.metrics())
	mux.Handle("GET /{$}", http.RedirectHandler(consolePath, http.StatusFound))
	mux.Handle("GET "+consolePath, http.StripPrefix(consolePath[:len(consolePath)-1], console.Handler()))
	return mux
}

// adminIsSecure reports whether the operators' address has TLS: it does as the
// main one, but for loopback, whose name no certificate has.
func (c config) adminIsSecure() bool { return c.TLSCert != "" && !isLoopbackAddress(c.AdminListen) }
