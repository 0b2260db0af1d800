package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// get returns the body of a page.
func get(t *testing.T, url, token string) string {
	t.Helper()
	request := newRequest(t, url)
	request.Header.Set("Authorization", "Bearer "+token)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v: %s", url, response.StatusCode, err, body)
	}
	return string(body)
}

func TestMetricsCountWhatHappened(t *testing.T) {
	t.Parallel()
	server, main, admin := operate(t, "--log-level", "debug")
	subscriber := subscribe(t, main, "chat.1", "--count", "3")
	waiting := subscribe(t, main, "chat.*")
	for range 3 {
		mustCall(t, "", "publish", "chat.1", `{"n":1}`, "--server", main)
	}
	if r := call(t, "", "publish", "no channel", "x", "--server", main); r.code != exitFailure {
		t.Errorf("%+v", r)
	}
	subscriber.wait(t)
	waiting.stdout.await(t, 3, "chat.1")
	server.stderr.await(t, 1, `msg="session ended"`)
	text := get(t, admin+"/metrics", "")
	for _, want := range []string{
		`millrace_messages_published_total 3`,
		`millrace_messages_delivered_total 6`,
		`millrace_messages_delivered_size_bytes_total [1-9]`,
		`millrace_sessions\{network_protocol_name="\w+"\} 1`,
		`millrace_sessions_opened_total\{network_protocol_name="\w+"\} 2`,
		`millrace_sessions_ended_total\{network_protocol_name="\w+"\} 1`,
		`millrace_channels 1`,
		`millrace_connections_refused_total\{server_address="127.0.0.1:0"\} 0`,
		`rpc_server_call_duration_seconds_count\{network_protocol_name="\w+",rpc_method="millrace.v1.RealtimeService/Publish"\} 3`,
		`rpc_server_call_duration_seconds_count\{error_type="INVALID_CHANNEL",network_protocol_name="\w+",rpc_method="millrace.v1.RealtimeService/Publish"\} 1`,
		`millrace_engine_append_duration_seconds_count 3`,
		`go_goroutines [1-9]`,
		`process_open_fds [1-9]`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(text) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "chat.1") {
		t.Error("a metric names a channel")
	}
	if _, got := do(t, &http.Transport{}, newRequest(t, main+"/metrics")); got != http.StatusNotFound {
		t.Errorf("the main address has metrics: status %d", got)
	}
}

// collector takes spans as a collector of OpenTelemetry does.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []span
}

type span struct {
	TraceID      string `json:"traceId"`
	SpanID       string `json:"spanId"`
	ParentSpanID string `json:"parentSpanId"`
	Name         string `json:"name"`
}

// exported is what a collector is sent.
type exported struct {
	ResourceSpans []struct {
		ScopeSpans []struct {
			Spans []span `json:"spans"`
		} `json:"scopeSpans"`
	} `json:"resourceSpans"`
}

func collect(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request exported
		if r.URL.Path != "/v1/traces" || json.NewDecoder(r.Body).Decode(&request) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, of := range request.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// of lists the spans of a trace, each with its parent's name: "append < Publish".
func (c *collector) of(trace string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := map[string]string{}
	for _, s := range c.spans {
		names[s.SpanID] = s.Name[strings.LastIndex(s.Name, "/")+1:]
	}
	var all []string
	for _, s := range c.spans {
		if s.TraceID == trace {
			all = append(all, names[s.SpanID]+" < "+names[s.ParentSpanID])
		}
	}
	slices.Sort(all)
	return all
}

const (
	someTrace  = "0af7651916cd43dd8448eb211c80319c"
	otherTrace = "0af7651916cd43dd8448eb211c80319d"
)

// The trace of a publisher goes through the server to the subscribers.
func TestATraceFollowsAMessageToItsSubscribers(t *testing.T) {
	t.Parallel()
	spans := collect(t)
	server, url := serve(t, "--tracing-endpoint", spans.URL, "--tracing-sample", "0", "--api-keys", testAPIKey, "--secret", testSecret)
	user := strings.TrimSpace(mustCall(t, "", "token", "--secret", testSecret, "--user", "ada", "--grant", ">=publish,subscribe"))
	first := subscribe(t, url, "a", "--count", "2", "--json", "--token", testAPIKey)
	second := subscribe(t, url, "*", "--count", "2", "--json", "--token", user)
	post := func(token, trace string) {
		t.Helper()
		request := newRequest(t, url+"/publish/a")
		request.Method = http.MethodPost
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
		if _, status := do(t, &http.Transport{}, request); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	post(testAPIKey, someTrace)
	post(user, otherTrace) // who wants to be traced, but is not trusted with that
	first.wait(t)
	second.wait(t)
	for _, p := range []*process{first, second} {
		lines := strings.Split(p.stdout.String(), "\n")
		if !regexp.MustCompile(`"traceparent":"00-`+someTrace+`-\w{16}-01"`).MatchString(lines[0]) || strings.Contains(lines[0], "b7ad6b7169203331") {
			t.Errorf("the traced message: %s", lines[0])
		}
		if strings.Contains(lines[1], "traceparent") {
			t.Errorf("the message that is not traced: %s", lines[1])
		}
	}
	server.stop(t) // sends what waits
	want := []string{"Publish < ", "append < Publish", "deliver < append", "send < deliver", "send < deliver"}
	if got := spans.of(someTrace); !slices.Equal(got, want) {
		t.Errorf("spans %q, want %q", got, want)
	}
	if got := spans.of(otherTrace); got != nil {
		t.Errorf("a stranger has these traced: %q", got)
	}
}

// Where nothing is traced, what the publisher says still reaches the subscriber.
func TestATraceGoesThroughAServerThatTracesNothing(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	subscriber := subscribe(t, url, "a", "--count", "2", "--json")
	request := newRequest(t, url+"/publish/a")
	request.Method = http.MethodPost
	request.Header.Set("Traceparent", "00-"+someTrace+"-b7ad6b7169203331-01")
	do(t, &http.Transport{}, request)
	request.Header.Set("Traceparent", "nonsense\x7f"[:8])
	do(t, &http.Transport{}, request)
	subscriber.wait(t)
	if got := subscriber.stdout.String(); strings.Count(got, "traceparent") != 1 || !strings.Contains(got, `"traceparent":"00-`+someTrace+`-b7ad6b7169203331-01"`) {
		t.Error(got)
	}
}

func TestSpansOfACollectorThatIsGoneAreLostAndSaid(t *testing.T) {
	t.Parallel()
	spans := collect(t)
	spans.Close()
	server, url := serve(t, "--tracing-endpoint", spans.URL+"/v1/traces", "--tracing-sample", "1")
	mustCall(t, "", "publish", "a", "x", "--server", url)
	began := time.Now()
	server.stop(t)
	if !strings.Contains(server.stderr.String(), "spans are lost") || time.Since(began) > patience/2 {
		t.Errorf("after %v: %s", time.Since(began), server.stderr)
	}
}

func TestTheLogNamesTheTraceAndTheSession(t *testing.T) {
	t.Parallel()
	server, url := serve(t, "--tracing-endpoint", "http://127.0.0.1:9", "--tracing-sample", "1", "--log-level", "debug")
	subscribe(t, url, "a", "--count", "0").stop(t)
	mustCall(t, "", "publish", "a", "x", "--server", url)
	server.stderr.await(t, 1, `msg="session ended"`)
	text := server.stderr.String()
	began := regexp.MustCompile(`msg="session began" session=(\w+) .*protocol=\w+`).FindStringSubmatch(text)
	if len(began) != 2 || !strings.Contains(text, `msg="session ended" session=`+began[1]) {
		t.Errorf("no session in %s", text)
	}
	if !regexp.MustCompile(`msg=decision .*action=publish .*trace_id=\w{32} span_id=\w{16}`).MatchString(text) {
		t.Errorf("no trace in %s", text)
	}
}
