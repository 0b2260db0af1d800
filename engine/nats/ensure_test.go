package nats

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/internal/natstest"
)

// answerCreate stands for the JetStream of a server that has no other: there is no
// stream, and each request to make one gets the next answer, then what it asks for.
func answerCreate(t *testing.T, conn *client.Conn, answers ...string) (asked func() int) {
	t.Helper()
	times := 0
	serve := func(subject string, answer func(*client.Msg) string) {
		if _, err := conn.Subscribe(subject, func(m *client.Msg) {
			if err := m.Respond([]byte(answer(m))); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	serve("$JS.API.STREAM.INFO.*", func(*client.Msg) string {
		return `{"error":{"code":404,"err_code":10059,"description":"stream not found"}}`
	})
	serve("$JS.API.STREAM.CREATE.*", func(m *client.Msg) string {
		times++
		if times <= len(answers) {
			return answers[times-1]
		}
		return fmt.Sprintf(`{"config":%s,"created":"2026-01-01T00:00:00Z"}`, m.Data)
	})
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return func() int { return times }
}

func refusal(code, errCode int) string {
	return fmt.Sprintf(`{"error":{"code":%d,"err_code":%d,"description":"not now"}}`, code, errCode)
}

func TestTheStreamIsAskedForAgainWhileItCannotBeMadeYet(t *testing.T) {
	for _, c := range []struct {
		name          string
		code, errCode int
		isFinal       bool
	}{
		{"the files of the last stream of the name are still being deleted", 500, codeNoStore, false},
		{"the cluster has not seen all its servers yet", 400, codeNoPeers, false},
		{"the cluster has no leader", 503, 10008, false},
		{"JetStream is off for the account", 503, int(jetstream.JSErrCodeJetStreamNotEnabledForAccount), true},
		{"another stream has the subjects", 400, 10065, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := client.Connect(natstest.Start(t, func(o *server.Options) { o.JetStream = false }))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			asked := answerCreate(t, conn, refusal(c.code, c.errCode), refusal(c.code, c.errCode))
			_, err = ensure(context.WithoutCancel(t.Context()), conn, Options{}.withDefaults())
			switch {
			case c.isFinal && (err == nil || asked() != 1):
				t.Errorf("asked %d times: %v; want an error at once", asked(), err)
			case !c.isFinal && (err != nil || asked() != 3):
				t.Errorf("asked %d times: %v; want the third answer", asked(), err)
			}
		})
	}
}
