package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// announce says where the server is and who may use it. For people it adds
// three commands to try, which work as they are printed.
func announce(ctx context.Context, w io.Writer, s *server) {
	c, url := s.config, s.main.url()
	if c.Log.Format == "json" {
		s.log.InfoContext(ctx, "listening", "url", url, "admin", s.admin.url(), "version", buildVersion().Version, "engine", c.engineName(), "open", !c.hasCredentials())
		return
	}
	fmt.Fprintf(w, "millrace %s is listening on %s\n", buildVersion().Version, url)
	fmt.Fprintf(w, "  engine: %s\n", c.engineText())
	fmt.Fprintf(w, "  access: %s\n", accessText(c))
	if s.admin != nil {
		fmt.Fprintf(w, "  operators: %s\n", s.admin.url())
	}
	fmt.Fprintln(w)
	header, first := "", ""
	if c.hasCredentials() {
		header = `-H "Authorization: Bearer $MILLRACE_TOKEN" `
		first = ", with an API key or a token (millrace token) in MILLRACE_TOKEN"
	}
	fmt.Fprintf(w, "Try it, in three terminals%s:\n", first)
	if len(c.SSEPaths) > 0 {
		fmt.Fprintf(w, "  curl -N %s'%s%s?channel=demo'\n", header, url, c.SSEPaths[0])
	}
	fmt.Fprintf(w, "  %s subscribe demo --server %s\n", program(), url)
	fmt.Fprintf(w, "  curl %s-d '{\"text\":\"hello\"}' %s/publish/demo\n\n", header, url)
}

func accessText(c config) string {
	switch {
	case c.hasCredentials():
		return "credentials are required"
	case c.Open:
		return "OPEN to everybody who reaches this address, as --open says"
	default:
		return "open, to this machine only; set secret, secret_file or api_keys to serve others"
	}
}

// program is what starts this program again: what was typed or, for a binary
// that `go run` built and will delete, that.
func program() string {
	if path, err := os.Executable(); err != nil || strings.Contains(path, "go-build") {
		return "go run ./cmd/millrace"
	}
	return os.Args[0]
}
