package e2e_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// firstFrame is how a page of another host says who it is.
func firstFrame(t *testing.T, w wire, token string) (protocols []string, kind websocket.MessageType, frame []byte) {
	t.Helper()
	typed, isTyped := w.(typedSocket)
	if !isTyped {
		frame, err := json.Marshal(map[string]any{"type": "auth", "id": 1, "token": token})
		if err != nil {
			t.Fatal(err)
		}
		return nil, websocket.MessageText, frame
	}
	frame, err := typed.marshal(commandOf(1, &millracev1.RefreshTokenRequest{Token: token}))
	if err != nil {
		t.Fatal(err)
	}
	return []string{typed.protocol}, typed.kind(), frame
}

func TestA2TheFirstFrameMayBringTheToken(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	bad := f.bad()
	for _, name := range []string{"ws", "ws json", "ws proto"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			open := func(token string) (string, error) {
				protocols, kind, frame := firstFrame(t, wireNamed(name), token)
				conn, err := dialWith(ctx, f.server, "/ws?auth=frame&channel=chat.1", &websocket.DialOptions{Subprotocols: protocols})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.CloseNow()
				if err := conn.Write(ctx, kind, frame); err != nil {
					t.Fatal(err)
				}
				_, answer, err := conn.Read(ctx)
				return string(answer), closedBecause(err)
			}
			for what, token := range bad {
				if answer, err := open(token); infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED {
					t.Errorf("a token %s: %q, %v", what, answer, err)
				}
			}
			if answer, err := open(f.good("ada", auth.Everything)); err != nil || answer == "" {
				t.Errorf("a good token: %q, %v", answer, err)
			}
			if answer, err := open(f.good("ada")); infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_FORBIDDEN {
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
