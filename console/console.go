// Package console is the operators' page: tables, charts and a live tail, for who
// has the grants of AdminService. It is built from web/packages/console, and what
// is built is committed here, so that building the server needs no Node.
//
// What it guarantees:
//
//   - The page is a client like any other: it holds no secret and decides nothing.
//     What it shows and does, it asks for with the operator's own credentials.
//   - It loads nothing from elsewhere, and runs nothing that is not one of its files.
//   - It cannot be framed.
package console

import (
	"embed"
	"io/fs"
	"net/http"
)

//go:embed assets
var assets embed.FS

// policy is what the page may load: its own files, and answers of the server that
// it came from.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the page. The caller strips what comes before it of the path.
func Handler() http.Handler {
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the folder is embedded
	}
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cache-Control", "no-cache") // the files have no version in their names
		server.ServeHTTP(w, r)
	})
}
