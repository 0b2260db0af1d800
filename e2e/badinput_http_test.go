package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// enveloped is a message of a stream: flags, length, data.
func enveloped(flags byte, length uint32, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, length), data...)
}

func zipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data) // to memory
	_ = w.Close()
	return b.Bytes()
}

// badBodies are requests that no method can read, for each content type.
func badBodies(contentType string) map[string][]byte {
	garbage := []byte("\xff\xff\xff\xff{]")
	tooLarge := bytes.Repeat([]byte("x"), requestLimit+1)
	notUTF8 := []byte("\x0a\x02\xff\xfe")
	if contentType == "application/proto" {
		return map[string][]byte{"garbage": garbage, "text that is not UTF-8": notUTF8, "too large": tooLarge}
	}
	if contentType == "application/json" {
		return map[string][]byte{
			"garbage": garbage, "nothing": nil, "an array": []byte(`[]`), "another type": []byte(`{"channel":7}`),
			"twice": []byte(`{}{}`), "deep": bytes.Repeat([]byte(`{"value":{"listValue":{"values":[`), 5000), "too large": tooLarge,
		}
	}
	return map[string][]byte{
		"garbage":                enveloped(0, uint32(len(garbage)), garbage),
		"unknown flags":          enveloped(0xfc, 0, nil),
		"compressed, which is":   enveloped(1, uint32(len(garbage)), garbage),
		"less than it says":      enveloped(0, 100, garbage),
		"far less than it says":  enveloped(0, 0xffffffff, nil),
		"half an envelope":       {0, 0},
		"text that is not UTF-8": enveloped(0, uint32(len(notUTF8)), notUTF8),
		"too large":              enveloped(0, uint32(len(tooLarge)), tooLarge),
	}
}

func TestCallsThatCannotBeReadAreRefused(t *testing.T) {
	t.Parallel()
	for contentType, procedure := range map[string]string{
		"application/proto":         millracev1connect.RealtimeServicePublishProcedure,
		"application/json":          millracev1connect.RealtimeServicePublishProcedure,
		"application/connect+proto": millracev1connect.RealtimeServiceSubscribeProcedure,
		"application/connect+json":  millracev1connect.RealtimeServiceSubscribeProcedure,
		"application/grpc":          millracev1connect.RealtimeServicePublishProcedure,
		"application/grpc+proto":    millracev1connect.RealtimeServiceSubscribeProcedure,
		"application/grpc-web":      millracev1connect.RealtimeServicePublishProcedure,
	} {
		t.Run(contentType, func(t *testing.T) {
			t.Parallel()
			at := start(t, engines[0].open(t))
			others := watch(t, at)
			for name, body := range badBodies(contentType) {
				client := at.h2
				if contentType == "application/grpc-web" {
					client = at.h1
				}
				header := http.Header{"Content-Type": {contentType}, "Te": {"trailers"}}
				answer := exchange(t, client, http.MethodPost, at.url+procedure, header, string(body))
				isRefused := answer.status >= 400 || answer.grpc != "" && answer.grpc != "0" || strings.Contains(answer.text(), `"error":{"code":`)
				if !isRefused || answer.text() == "" || strings.Contains(answer.text(), "internal error") {
					t.Errorf("%s: answered %d %q %.300q, want it refused with a reason", name, answer.status, answer.grpc, answer.text())
				}
				if !answer.hasInfo() {
					t.Errorf("%s: answered %d %q %.300q, without a reason of ours", name, answer.status, answer.grpc, answer.text())
				}
				if strings.HasPrefix(name, "too large") && !strings.Contains(answer.text(), fmt.Sprint(requestLimit)) {
					t.Errorf("%s: %.300q does not name the limit %d", name, answer.text(), requestLimit)
				}
				others.areFine()
			}
		})
	}
}

func TestCompressedCallsAreBounded(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	others := watch(t, at)
	request, err := proto.Marshal(&millracev1.PublishRequest{Channel: "c", Data: jsonData(`1`)})
	if err != nil {
		t.Fatal(err)
	}
	bomb := zipped(make([]byte, 8<<20)) // of zeros: a thousandth of that
	for _, call := range []struct {
		encoding string
		body     []byte
		status   int
		says     string
	}{
		{"gzip", zipped(request), http.StatusOK, "position"},
		{"gzip", request, http.StatusBadRequest, "invalid_argument"},
		{"gzip", bomb, http.StatusTooManyRequests, fmt.Sprint(requestLimit)},
		{"br", request, http.StatusNotImplemented, "unimplemented"},
	} {
		header := http.Header{"Content-Type": {"application/proto"}, "Content-Encoding": {call.encoding}}
		answer := exchange(t, at.h1, http.MethodPost, at.url+millracev1connect.RealtimeServicePublishProcedure, header, string(call.body))
		if answer.status != call.status || call.status != http.StatusOK && !strings.Contains(answer.text(), call.says) {
			t.Errorf("%d bytes of %s: answered %d %.200q, want %d that says %s", len(call.body), call.encoding, answer.status, answer.text(), call.status, call.says)
		}
		others.areFine()
	}
}

func TestBadHTTPRequestsAreRefused(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	others := watch(t, at)
	long := strings.Repeat("x", 256)
	large := strings.Repeat("x", payloadLimit+1)
	var many strings.Builder
	for i := range 513 {
		fmt.Fprintf(&many, "&channel=c%d", i)
	}
	for _, call := range []struct {
		method, target, body string
		status               int
		reason, field        string
		limit                uint64
	}{
		{"POST", "/publish/c", large, 400, "TOO_LARGE", "body", payloadLimit},
		{"POST", "/publish/" + long, "1", 400, "INVALID_CHANNEL", "channel", 255},
		{"POST", "/publish/a%00b", "1", 400, "INVALID_CHANNEL", "channel", 0},
		{"POST", "/publish/a%0Aevent:%20b", "1", 400, "INVALID_CHANNEL", "channel", 0},
		{"POST", "/publish/c?ttl=long", "1", 400, "INVALID_REQUEST", "ttl", 0},
		{"POST", "/publish/c?ttl=-1s", "1", 400, "INVALID_REQUEST", "ttl", 0},
		{"POST", "/publish/c?ephemeral=perhaps", "1", 400, "INVALID_REQUEST", "ephemeral", 0},
		{"POST", "/publish/c?expect=x", "1", 400, "INVALID_REQUEST", "expect", 0},
		{"POST", "/publish/c?expect=1@", "1", 400, "INVALID_REQUEST", "expect", 0},
		{"POST", "/publish/c?expect=0@other", "1", 412, "POSITION_MISMATCH", "expect", 0},
		{"POST", "/publish/c?id=a%0Ab", "1", 400, "INVALID_REQUEST", "id", 0},
		{"POST", "/publish/c?type=" + long, "1", 400, "TOO_LARGE", "type", 128},
		{"POST", "/publish/c?key=%00", "1", 400, "INVALID_REQUEST", "key", 0},
		{"GET", "/history/c?limit=many", "", 400, "INVALID_REQUEST", "limit", 0},
		{"GET", "/history/c?limit=1001", "", 400, "TOO_MANY", "limit", 1000},
		{"GET", "/history/c?order=random", "", 400, "INVALID_REQUEST", "order", 0},
		{"GET", "/history/c?since=x", "", 400, "INVALID_REQUEST", "since", 0},
		{"GET", "/history/c?page=x", "", 400, "INVALID_CURSOR", "page", 0},
		{"GET", "/presence/a%0Db", "", 400, "INVALID_CHANNEL", "channel", 0},
		{"GET", "/events?channel=a%0Adata:%20b", "", 400, "INVALID_CHANNEL", "channel", 0},
		{"GET", "/events?channel=a%00", "", 400, "INVALID_CHANNEL", "channel", 0},
		{"GET", "/events?channel=" + long, "", 400, "INVALID_CHANNEL", "channel", 255},
		{"GET", "/events?" + many.String(), "", 400, "TOO_MANY", "subscriptions", 512},
	} {
		answer := exchange(t, at.h1, call.method, at.url+call.target, nil, call.body)
		info := infoOf(answer.refusal())
		if answer.status != call.status || info.GetReason() != reasonNamed(call.reason) || info.GetField() != call.field || info.GetLimit() != call.limit {
			t.Errorf("%s %.60s: status %d, %s; want %d, %s in %q with the limit %d", call.method, call.target, answer.status, answer.text(), call.status, call.reason, call.field, call.limit)
		}
		if name, found := strings.CutPrefix(call.target, "/publish/c"); found && info.GetChannel() != "c" {
			t.Errorf("%s %.60s%.60s: %s; want it to be about c", call.method, call.target, name, answer.text())
		}
		others.areFine()
	}
}

func TestHeadersThatAreTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	others := watch(t, at)
	header := http.Header{"Last-Event-Id": {strings.Repeat("A", 64<<10)}}
	for _, target := range []string{"/events", "/ws", "/publish/c", millracev1connect.RealtimeServicePublishProcedure} {
		answer := exchange(t, at.h1, http.MethodGet, at.url+target, header, "")
		if answer.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s over HTTP/1.1: answered %d %.200q, want 431", target, answer.status, answer.text())
		}
		others.areFine()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at.url+"/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	// Over HTTP/2 the client knows the limit, and does not even send it.
	if response, err := at.h2.Do(r); err == nil {
		_ = response.Body.Close()
		if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("over HTTP/2: answered %d, want 431", response.StatusCode)
		}
	}
	others.areFine()
}

// What is published cannot break out of an SSE block or a JSON frame.
func TestPayloadsStayWithinTheirFrames(t *testing.T) {
	t.Parallel()
	at := start(t, engines[0].open(t))
	others := watch(t, at)
	s := &scene{T: t, at: at, wire: rpc{}}
	var listeners []*client
	for _, w := range wires {
		listeners = append(listeners, s.on(w.wire).join(subscribe("evil")))
	}
	publisher := s.arrive("")
	for _, text := range []string{
		"\n\nevent: fine\ndata: {}\n\n", "\r\rid: 7\r\r", "\x00\u2028\u2029\x1b[2J", `"},"channel":"fine","data":{"x":"`, "</script>", "\ufeff: comment",
	} {
		message := publisher.publish(&millracev1.PublishRequest{Channel: "evil", Data: &millracev1.PublishRequest_Payload{
			Payload: &millracev1.Payload{Kind: &millracev1.Payload_Text{Text: text}},
		}})
		for _, c := range listeners {
			c.sees(message)
		}
		others.areFine()
	}
	for _, c := range listeners {
		c.seesNoMore()
	}
}
