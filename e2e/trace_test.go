package e2e_test

import (
	"net/http"
	"regexp"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

const (
	traceHeader  = "traceparent"
	someTrace    = "0af7651916cd43dd8448eb211c80319c"
	traceContext = "00-" + someTrace + "-b7ad6b7169203331-01"
)

// Whichever way somebody publishes, and whichever way others subscribe, they go on
// with his trace: with a span of the server's where it traces, else with his own.
func TestTheTraceOfAPublishReachesSubscribersOnEveryWire(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		configure func(*service.Config)
		want      *regexp.Regexp
	}{
		"of a server that traces": {func(c *service.Config) { c.Tracers = sdktrace.NewTracerProvider() }, regexp.MustCompile(`^00-` + someTrace + `-[0-9a-f]{16}-01$`)},
		"of one that does not":    {func(*service.Config) {}, regexp.MustCompile(`^` + traceContext + `$`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := start(t, engines[0].open(t), test.configure)
			traced := at.bearing(func(r *http.Request) error {
				r.Header.Set(traceHeader, traceContext)
				return nil
			})
			var followers []*client
			for _, w := range wires {
				followers = append(followers, (&scene{T: t, at: at, wire: w.wire}).join(subscribe("chat.1")))
			}
			for _, by := range wires {
				publisher := (&scene{T: t, at: traced, wire: by.wire}).join()
				request := &millracev1.PublishRequest{Channel: "chat.1", Data: jsonData(`1`)}
				if hasFrames(by.wire) { // which have no headers but those of the message
					request.Headers = map[string]string{traceHeader: traceContext}
				}
				sent := publisher.publish(request)
				sent.Headers = map[string]string{traceHeader: traceContext}
				for i, c := range followers {
					got := c.toldOf("message").message
					isShown := len(wires[i].wire.shows(sent).GetHeaders()) > 0
					if text := got.GetHeaders()[traceHeader]; isShown != test.want.MatchString(text) {
						t.Errorf("published on %s, on %s it has %q", by.name, wires[i].name, text)
					}
				}
			}
		})
	}
}
