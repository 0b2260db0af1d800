package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"
)

func TestN5CallsToAServerThatGoesMayArriveAtAnother(t *testing.T) {
	t.Parallel()
	for name, protocol := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2":   func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, url := serve(t, "--drain-window", "1m")
			transport := &http.Transport{Protocols: new(http.Protocols)}
			defer transport.CloseIdleConnections()
			protocol(transport.Protocols)
			client := http.Client{Transport: transport}
			stream := fetchFrom(t, &client, url+"/events?channel=a", nil)
			defer stream.Body.Close()

			isNew := func() bool { // the connection of a call
				reused := false
				trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }}
				response := fetchFrom(t, &client, url+"/healthz", trace)
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close() //nolint:errcheck // it was read
				return !reused
			}
			isNew()
			if isNew() {
				t.Fatal("a server that stays does not keep connections")
			}
			p.cancel()
			p.stderr.await(t, 1, "shutting down")
			for deadline := time.Now().Add(patience); !isNew(); {
				if time.Now().After(deadline) {
					t.Fatal("a server that goes keeps a connection for more calls")
				}
			}
			mustCall(t, "", "publish", "a", `"still here"`, "--server", url)
			lines := bufio.NewScanner(stream.Body)
			for lines.Scan() && !strings.Contains(lines.Text(), "still here") {
			}
			if err := lines.Err(); err != nil || !strings.Contains(lines.Text(), "still here") {
				t.Errorf("the stream ended: %v", err)
			}
			stream.Body.Close() //nolint:errcheck // the server ends with its last session
			p.wait(t)
		})
	}
}

func fetchFrom(t *testing.T, client *http.Client, url string, trace *httptrace.ClientTrace) *http.Response {
	t.Helper()
	ctx := t.Context()
	if trace != nil {
		ctx = httptrace.WithClientTrace(ctx, trace)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}
