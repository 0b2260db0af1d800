package e2e_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
)

func TestA2TheFirstFrameMayBringTheToken(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	bad, good := f.bad(), f.good("ada", auth.Everything)
	for _, name := range []string{"ws", "ws json", "ws proto"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			open := func(at *server, token string) (string, error) {
				wire := wireNamed(name).(socketWire) //nolint:errcheck // they are those with sockets
				conn, err := dialFirst(ctx, at, wire, url.Values{"channel": {"chat.1"}}, token)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.CloseNow()
				_, answer, err := conn.Read(ctx)
				return string(answer), closedBecause(err)
			}
			for what, token := range bad {
				if answer, err := open(f.server, token); infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED {
					t.Errorf("a token %s: %q, %v", what, answer, err)
				}
			}
			// What else the handshake brings does not make up for it.
			for what, at := range map[string]*server{
				"a token": f.with("token", good), "a cookie": f.with("cookie", good), "a ticket": f.withTickets(good), "a session": f.withSession(good),
			} {
				if answer, err := open(at, "garbage"); infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED {
					t.Errorf("garbage, after %s in the handshake: %q, %v", what, answer, err)
				}
			}
			if answer, err := open(f.server, good); err != nil || answer == "" {
				t.Errorf("a good token: %q, %v", answer, err)
			}
			if answer, err := open(f.server, f.good("ada")); infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_FORBIDDEN {
				t.Errorf("a token without grants: %q, %v", answer, err)
			}
		})
	}
}

// Whoever asks to say later who he is has no session until he does.
func TestA2BeforeTheFirstFrameThereIsNoSession(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for name, frames := range map[string][]string{
		"a command":          {`{"type":"subscribe","channel":"chat.1","id":1}`},
		"a publication":      {`{"channel":"chat.1","data":1}`},
		"nonsense":           {`nonsense`},
		"too much":           {strings.Repeat("x", 1<<20)},
		"a command of auth":  {`{"type":"auth"}`},
		"a forged one first": {`{"type":"auth","token":"x"}`, `{"type":"auth","token":"` + f.good("ada", auth.Everything) + `"}`},
	} {
		conn, err := dialWith(ctx, f.server, "/ws?auth=frame&channel=chat.1", &websocket.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, frame := range frames {
			_ = conn.Write(ctx, websocket.MessageText, []byte(frame)) // the server may have closed already
		}
		_, answer, err := conn.Read(ctx)
		if code := websocket.CloseStatus(err); code < 4001 || code > 4006 {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
		_ = conn.CloseNow()
	}
	adminCtx, admin := f.admin()
	sessions, err := admin.ListSessions(adminCtx, &millracev1.ListSessionsRequest{})
	if err != nil || sessions.GetTotal() != 0 {
		t.Errorf("sessions: %v, %v", sessions, err)
	}
}
