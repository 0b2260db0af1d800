// Package admin serves what only operators may see: the profiles of the process.
// Who may is decided as for AdminService, by a call of the service's Connect
// server.
package admin

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"millrace.dev/adapters/internal/browser"
	"millrace.dev/adapters/internal/call"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

const profiles = "/debug/pprof/"

// Profiles serves the profiles of the process below /debug/pprof/, as [pprof]
// does, but for the command line, which may have a secret in it.
func Profiles(s *service.Service) http.Handler {
	return guarded(s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch strings.TrimPrefix(r.URL.Path, profiles) {
		case "cmdline":
			http.NotFound(w, r)
		case "profile":
			pprof.Profile(w, r)
		case "trace":
			pprof.Trace(w, r)
		case "symbol":
			pprof.Symbol(w, r)
		default:
			pprof.Index(w, r)
		}
	}))
}

// guarded lets administrators in.
func guarded(s *service.Service, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The least that only they may call.
		_, err := call.Unary[*millracev1.ListSessionsResponse](r.Context(), s.Server(), millracev1connect.AdminServiceListSessionsProcedure,
			call.From(r, "http", "json"), &millracev1.ListSessionsRequest{PageSize: 1})
		if err != nil {
			browser.WriteError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}
