package compare

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"millrace.dev/bench/load"
)

// TestEveryServerDeliversInOrderOnEveryWire is what keeps the benchmarks from
// rotting: whatever is compared starts, and delivers all that is published.
func TestEveryServerDeliversInOrderOnEveryWire(t *testing.T) {
	binaries := t.TempDir()
	if err := Build(t.Context(), binaries); err != nil {
		t.Fatal(err)
	}
	options := Quick
	options.Binaries = binaries
	h := &harness{Options: options}
	for _, c := range Contenders() {
		if !slices.Contains(c.measures, "rate") {
			continue // it is not there to deliver what is published to the bench channel
		}
		t.Run(c.Name, func(t *testing.T) {
			_, err := h.visit(t.Context(), c, h.Subscribers, func(_ *server, client *load.Client) (sample, error) {
				for _, plan := range []load.Plan{
					{Duration: h.Duration, Rate: h.Rate},
					{Duration: h.Duration, Window: h.Window, Size: 4000},
				} {
					result, err := client.Run(t.Context(), plan)
					if err != nil {
						return sample{}, err
					}
					if err := result.Clean(); err != nil || result.Published == 0 || result.Latency.Quantile(0.5) == 0 {
						t.Errorf("%d published, %d delivered, %v", result.Published, result.Delivered, err)
					}
				}
				return sample{}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("every measure", func(t *testing.T) { everyMeasure(t, options) })
}

// everyMeasure is taken of one server of each kind.
func everyMeasure(t *testing.T, options Options) {
	t.Helper()
	options.Only = regexp.MustCompile("WebSocket$|WebSocket, no ring|send|io_uring|^millrace gRPC$|^grpc-go$|TLS$|^millrace$|^centrifuge$")
	var progress bytes.Buffer
	report, err := Run(t.Context(), options, &progress)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range report.Failures() {
		t.Error(s)
	}
	var document bytes.Buffer
	if err := report.WriteDocument(&document, "before\n"+beginMark+"\nearlier\n"+endMark+"\nafter\n"); err != nil {
		t.Error(err)
	}
	t.Log(document.String())
	if text := document.String(); !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "\nafter\n") || strings.Contains(text, "earlier") {
		t.Error("the document has not kept what is written by hand, or has kept the earlier run")
	}
	for _, m := range metrics {
		if !slices.ContainsFunc(report.contenders, func(c Contender) bool { _, _, found := report.median(c.Name, m.name); return found }) && !m.inProcess {
			t.Errorf("there is no %q of anybody", m.name)
		}
	}
	want := 0
	for _, c := range report.contenders {
		for _, m := range measures {
			if m.isOf(c) {
				want++
			}
		}
	}
	if n := bytes.Count(progress.Bytes(), []byte("\n")); n != want {
		t.Errorf("%d samples of %d contenders and %d measures, want %d", n, len(report.contenders), len(measures), want)
	}
}

func TestWhatBenchmarksWithoutAWireSayIsRead(t *testing.T) {
	found, err := growth(`goos: linux
BenchmarkDeliverToMany/sessions=1000-2         	     100	    100000 ns/op	       100.0 ns/delivery
BenchmarkDeliverToMany/sessions=100000-2       	       1	  12500000 ns/op	       125.0 ns/delivery
BenchmarkPublishToOneOfMany/channels=100       	   10000	      1000 ns/op
BenchmarkPublishToOneOfMany/channels=100000    	   10000	      1200.5 ns/op
PASS`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"deliver": 125, "deliver growth": 1.25, "publish": 1200.5, "publish growth": 1.2005} {
		if found[name] != want {
			t.Errorf("%s is %v, want %v", name, found[name], want)
		}
	}
	if _, err := growth("PASS"); err == nil {
		t.Error("no benchmarks are no error")
	}
}
