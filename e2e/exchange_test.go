package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// exchanged is the answer to a request that was sent as it is.
type exchanged struct {
	status int // of HTTP
	header http.Header
	body   []byte
	// Status and message of gRPC: in the headers, the trailers, or a gRPC-Web body.
	grpc, message string
	details       string // of the error, in gRPC: a google.rpc.Status
}

// exchange sends a request by HTTP/1.1 or HTTP/2.
func exchange(t *testing.T, client *http.Client, method, target string, header http.Header, body string) exchanged {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %.100s: %v", method, target, err)
	}
	defer response.Body.Close()
	got := exchanged{status: response.StatusCode, header: response.Header}
	if got.status == http.StatusSwitchingProtocols {
		return got // what follows is no body
	}
	if got.body, err = io.ReadAll(response.Body); err != nil {
		t.Fatalf("%s %.100s: %v", method, target, err)
	}
	for _, h := range []http.Header{response.Header, response.Trailer} {
		got.grpc += h.Get("Grpc-Status")
		got.message += h.Get("Grpc-Message")
		got.details += h.Get("Grpc-Status-Details-Bin")
	}
	if _, after, found := bytes.Cut(got.body, []byte("grpc-status: ")); found {
		got.grpc, _, _ = strings.Cut(string(after), "\r\n")
	}
	if _, after, found := bytes.Cut(got.body, []byte("grpc-status-details-bin: ")); found {
		got.details, _, _ = strings.Cut(string(after), "\r\n")
	}
	details, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(got.details, "="))
	if err != nil {
		t.Fatalf("%s %.100s: the details of the error: %v", method, target, err)
	}
	got.details = string(details)
	return got
}

// hasInfo reports whether the error has a millrace.v1.ErrorInfo.
func (e exchanged) hasInfo() bool {
	return strings.Contains(e.text()+e.details, "millrace.v1.ErrorInfo")
}

// text is all there is to read.
func (e exchanged) text() string { return string(e.body) + e.message }

// refusal is the error in the body, nil where there is none.
func (e exchanged) refusal() error {
	if e.status < http.StatusBadRequest {
		return nil
	}
	return refusalIn(e.status, e.body)
}

// refusalIn is the error that an HTTP response has as its body.
func refusalIn(status int, body []byte) error {
	var f frameJSON
	if json.Unmarshal(body, &f) != nil || f.Error == nil {
		return fmt.Errorf("status %d: %.200s", status, body)
	}
	return f.Error.refusal()
}
