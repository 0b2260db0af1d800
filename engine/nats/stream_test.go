package nats

import (
	"errors"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"

	"millrace.dev/engine"
	"millrace.dev/internal/natstest"
)

// What a caller is told decides whether he tries again.
func TestAStreamThatElectsItsLeaderIsUnavailableAndNotBroken(t *testing.T) {
	conn, err := client.Connect(natstest.Start(t, func(o *server.Options) { o.JetStream = false }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for text, isUnavailable := range map[string]bool{
		`{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`: true,
		`{"error":{"code":400,"err_code":10003,"description":"bad request"}}`:                              false,
	} {
		answers, err := conn.Subscribe("$JS.API.STREAM.MSG.GET.s", func(m *client.Msg) {
			if err := m.Respond([]byte(text)); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&stream{conn: conn, name: "s"}).get(t.Context(), getRequest{LastOf: "x"})
		if err == nil || errors.Is(err, engine.ErrUnavailable) != isUnavailable {
			t.Errorf("%s: %v", text, err)
		}
		if err := answers.Unsubscribe(); err != nil {
			t.Error(err)
		}
	}
}
