package e2e_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/proto"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// fortress is a server that lets nobody in without credentials, and what it
// takes to make some.
type fortress struct {
	*testing.T
	*server
	keys    auth.Keys
	private *rsa.PrivateKey
	public  []byte // in PEM
}

const backendKey = "the-key-of-the-backend"

func besiege(t *testing.T) *fortress {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	f := &fortress{T: t, private: private, public: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
	public, err := auth.ParsePublicKeys(f.public)
	if err != nil {
		t.Fatal(err)
	}
	f.keys = auth.Keys{
		Secret: []byte(strings.Repeat("s", 32)), Public: public, APIKeys: []string{backendKey},
		Issuer: "https://login.example", Audience: "millrace",
	}
	f.server = start(t, engines[0].open(t), func(c *service.Config) {
		c.Authenticator = f.keys
		c.Limits.CallRate, c.Limits.PublishRate = 1_000_000, 1_000_000 // ada does much here
	})
	return f
}

// claims are those of a good token of a user, with some changed; nil takes one
// out.
func (f *fortress) claims(changes jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{
		"sub": "ada", "iss": f.keys.Issuer, "aud": f.keys.Audience, "jti": rand.Text(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "grants": []auth.Grant{auth.Everything},
	}
	for name, value := range changes {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func (f *fortress) sign(method jwt.SigningMethod, key any, changes jwt.MapClaims) string {
	f.Helper()
	token, err := jwt.NewWithClaims(method, f.claims(changes)).SignedString(key)
	if err != nil {
		f.Fatal(err)
	}
	return token
}

// good is a token of a user with some grants.
func (f *fortress) good(user string, grants ...auth.Grant) string {
	f.Helper()
	return f.sign(jwt.SigningMethodRS256, f.private, jwt.MapClaims{"sub": user, "grants": grants})
}

// admin is a client with the key of the backend.
func (f *fortress) admin() (context.Context, millracev1connect.AdminServiceClient) {
	return withToken(f.Context(), backendKey), millracev1connect.NewAdminServiceClient(f.connect())
}

// ticket makes one for whom a token stands for.
func (f *fortress) ticket(token string, request *millracev1.CreateTicketRequest) string {
	f.Helper()
	client := millracev1connect.NewRealtimeServiceClient(f.connect())
	response, err := client.CreateTicket(withToken(f.Context(), token), request)
	if err != nil {
		f.Fatal(err)
	}
	return response.GetTicket()
}

// bad are credentials that nobody must get in with.
func (f *fortress) bad() map[string]string {
	f.Helper()
	hs, secret := jwt.SigningMethodHS256, f.keys.Secret
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	revoked := f.sign(hs, secret, jwt.MapClaims{"jti": "revoked"})
	ctx, admin := f.admin()
	if _, err := admin.Revoke(ctx, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_TokenId{TokenId: "revoked"}}); err != nil {
		f.Fatal(err)
	}
	header, rest, _ := strings.Cut(f.good("ada", auth.Everything), ".")
	_, signature, _ := strings.Cut(rest, ".")
	return map[string]string{
		"none":                          "",
		"garbage":                       "garbage",
		"signed by a stranger":          f.sign(jwt.SigningMethodRS256, stranger, nil),
		"with another body":             header + ".eyJzdWIiOiJyb290IiwiZXhwIjo5OTk5OTk5OTk5fQ." + signature,
		"signed by nobody":              f.sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"signed with the public key":    f.sign(hs, f.public, nil),
		"expired":                       f.sign(hs, secret, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}),
		"without an end":                f.sign(hs, secret, jwt.MapClaims{"exp": nil}),
		"not valid yet":                 f.sign(hs, secret, jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}),
		"for another audience":          f.sign(hs, secret, jwt.MapClaims{"aud": "others"}),
		"for no audience":               f.sign(hs, secret, jwt.MapClaims{"aud": nil}),
		"of another issuer":             f.sign(hs, secret, jwt.MapClaims{"iss": "https://evil.example"}),
		"revoked":                       revoked,
		"with a line break in the name": f.sign(hs, secret, jwt.MapClaims{"sub": "ada\r\nX-Evil: 1"}),
		"an API key, cut":               backendKey[1:],
	}
}

func TestA2BadCredentialsOpenNothingOnAnyWire(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	bad := f.bad()
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for name, token := range bad {
				request := &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{subscribe("chat.1")}}
				s, err := w.wire.open(ctx, f.server, token, request)
				if got := infoOf(err).GetReason(); got != millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED {
					t.Errorf("credentials %s: %v", name, err)
				}
				if err == nil {
					s.close()
				}
			}
			s, err := w.wire.open(ctx, f.server, f.good("ada", auth.Everything), &millracev1.SubscribeRequest{})
			if err != nil {
				t.Fatalf("good credentials: %v", err)
			}
			s.close()
		})
	}
}

func TestA2BadCredentialsCallNothingOnAnyWire(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	requests := []proto.Message{
		&millracev1.PublishRequest{Channel: "chat.1", Data: jsonData(`1`)},
		&millracev1.HistoryRequest{Channel: "chat.1"},
		&millracev1.PresenceRequest{Channel: "chat.1"},
		&millracev1.GetPositionsRequest{Channels: []string{"chat.1"}},
		&millracev1.GetServerInfoRequest{},
		&millracev1.CreateTicketRequest{},
	}
	for name, token := range f.bad() {
		for _, w := range wires {
			for _, request := range requests {
				if err := callWithout(t, f.server, w.wire, token, request); infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED {
					t.Errorf("%s on %s with credentials %s: %v", request.ProtoReflect().Descriptor().Name(), w.name, name, err)
				}
			}
		}
	}
}

// callWithout makes a call without a session, where the wire has such.
func callWithout(t *testing.T, at *server, w wire, token string, request proto.Message) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	switch w := w.(type) {
	case rpc:
		_, err := unary(ctx, w.client(at), token, request)
		return err
	case eventStream:
		s := &streamSession{at: at, wire: w, token: token}
		_, err := s.call(ctx, request)
		return err
	}
	return &refusal{info: &millracev1.ErrorInfo{Reason: millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED}} // calls need a socket, which is not opened
}

// The table of who may do what: each wire decides as the grants say.
func TestA2NoWireIsLaxerThanAnother(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	everywhere := auth.Grant{Pattern: "none.of.these", Actions: auth.Actions} // what a stream needs to exist
	for _, w := range wires {
		for _, granted := range auth.Actions {
			t.Run(w.name+"/"+string(granted), func(t *testing.T) {
				t.Parallel()
				grants := []auth.Grant{{Pattern: "room.{user}.*", Actions: []auth.Action{granted}}, everywhere}
				id := auth.Identity{User: "ada", Grants: grants}
				s := &scene{T: t, at: f.server, wire: w.wire}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				opened, err := w.wire.open(ctx, f.server, f.good("ada", grants...), &millracev1.SubscribeRequest{})
				if err != nil {
					t.Fatal(err)
				}
				c := &client{scene: s, session: opened}
				t.Cleanup(c.leave)
				for _, name := range []string{"room.ada.1", "room.ada.*", "room.bob.1", "room.*.1", "room.ada.1.2", "other", ">"} {
					for action, request := range attempts(name) {
						_, err := c.try(request)
						checkDecision(t, err, id.May(action, name), strings.ContainsAny(name, "*>"), fmt.Sprintf("%s %s", action, name))
					}
					got, err := c.try(&millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{subscribe(name)}})
					if response, ok := got.(*millracev1.UpdateSubscriptionResponse); ok && len(response.GetErrors()) > 0 {
						err = &refusal{info: response.GetErrors()[0]}
					}
					checkDecision(t, err, id.May(auth.Subscribe, name), false, "subscribe "+name)
				}
				admin := millracev1connect.NewAdminServiceClient(f.connect())
				_, err = admin.ListSessions(withToken(t.Context(), f.good("ada", grants...)), &millracev1.ListSessionsRequest{})
				checkDecision(t, asRefusal(err), false, false, "administer")
			})
		}
	}
}

// attempts are the calls that need one action each.
func attempts(name string) map[auth.Action]proto.Message {
	return map[auth.Action]proto.Message{
		auth.Publish:  &millracev1.PublishRequest{Channel: name, Data: jsonData(`1`)},
		auth.History:  &millracev1.HistoryRequest{Channel: name},
		auth.Watch:    &millracev1.PresenceRequest{Channel: name},
		auth.Presence: &millracev1.EnterPresenceRequest{Channel: name},
	}
}

func checkDecision(t *testing.T, err error, may, isPattern bool, what string) {
	t.Helper()
	reason := infoOf(err).GetReason()
	switch {
	case isPattern && err != nil && (reason == millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL || reason == millracev1.ErrorReason_ERROR_REASON_FORBIDDEN):
	case may && err != nil:
		t.Errorf("%s: %v, want that it is allowed", what, err)
	case !may && reason != millracev1.ErrorReason_ERROR_REASON_FORBIDDEN:
		t.Errorf("%s: %v, want that it is forbidden", what, err)
	}
}

// knock sends a request of a browser to a wire, and returns the status: 200 or
// 101 if it opens.
func (f *fortress) knock(path string, header http.Header) int {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	method, body := http.MethodGet, ""
	if strings.HasPrefix(path, "/ws") {
		header = header.Clone()
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			header.Set(name, value)
		}
	}
	if strings.HasPrefix(path, "/millrace.") || strings.HasPrefix(path, "/publish") {
		method, body = http.MethodPost, `{"channel":"chat.1"}`
		header = header.Clone()
		header.Set("Content-Type", "application/json")
	}
	r, err := http.NewRequestWithContext(ctx, method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	r.Header = header
	response, err := f.h1.Do(r)
	if err != nil {
		f.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

var browserPaths = []string{"/ws", "/events?channel=chat.1", "/history/chat.1", "/presence/chat.1", "/publish/chat.1", "/millrace.v1.RealtimeService/Publish"}

func TestA2ACookieCountsFromExactOriginsOnly(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	cookie := "millrace_token=" + f.good("ada", auth.Everything)
	for _, path := range browserPaths {
		for _, test := range []struct {
			name   string
			header http.Header
			want   string
		}{
			{"from the server's own page", http.Header{"Origin": {f.url}}, "opens"},
			{"from a page that the browser says is of the same origin", http.Header{"Sec-Fetch-Site": {"same-origin"}}, "opens"},
			{"from a program", http.Header{}, "opens"},
			{"from another page of this machine", http.Header{"Origin": {"http://localhost:3000"}}, "401"},
			{"from a page that the browser says is of another site", http.Header{"Sec-Fetch-Site": {"cross-site"}}, "401"},
			{"from a page that the browser says is of the same site", http.Header{"Sec-Fetch-Site": {"same-site"}}, "401"},
			{"from a page of a stranger", http.Header{"Origin": {"https://evil.example"}}, "403"},
			{"from a page of nobody", http.Header{"Origin": {"null"}}, "403"},
			{"from a page that looks like the server's", http.Header{"Origin": {f.url + ".evil.example"}}, "403"},
		} {
			test.header.Set("Cookie", cookie)
			got := fmt.Sprint(f.knock(path, test.header))
			if got == "200" || got == "101" {
				got = "opens"
			}
			if got != test.want {
				t.Errorf("%s with a cookie %s: %s, want %s", path, test.name, got, test.want)
			}
		}
	}
}

func TestA2ATokenInAURLNeverCounts(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	for _, path := range browserPaths {
		for _, name := range []string{"token", "access_token", "jwt", "authorization", "Authorization", "bearer", "auth", "millrace_token", "ticket"} {
			separator := "?"
			if strings.Contains(path, "?") {
				separator = "&"
			}
			target := path + separator + name + "=" + url.QueryEscape(f.good("ada", auth.Everything))
			if got := f.knock(target, http.Header{}); got != http.StatusUnauthorized {
				t.Errorf("%s with the token as ?%s=: %d", path, name, got)
			}
		}
	}
}

func TestA3ATicketOpensEachBrowserWireOnce(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	token := f.good("ada", auth.Everything)
	for _, path := range browserPaths {
		isRPC := strings.HasPrefix(path, "/millrace.")
		use := func(ticket, origin string) int {
			header := http.Header{}
			if origin != "" {
				header.Set("Origin", origin)
			}
			if isRPC {
				header.Set(service.HeaderTicket, ticket)
				return f.knock(path, header)
			}
			target, _ := url.Parse(path)
			query := target.Query()
			query.Set("ticket", ticket)
			target.RawQuery = query.Encode()
			return f.knock(target.String(), header)
		}
		ticket := f.ticket(token, &millracev1.CreateTicketRequest{})
		if got := use(ticket, ""); got != http.StatusOK && got != http.StatusSwitchingProtocols {
			t.Errorf("%s with a ticket: %d", path, got)
		}
		if got := use(ticket, ""); got != http.StatusUnauthorized {
			t.Errorf("%s with a ticket that was used: %d", path, got)
		}
		bound := f.ticket(token, &millracev1.CreateTicketRequest{Origin: f.url})
		if got := use(bound, "http://localhost:3000"); got != http.StatusUnauthorized {
			t.Errorf("%s with a ticket of another origin: %d", path, got)
		}
	}
	bound := f.ticket(token, &millracev1.CreateTicketRequest{Channels: []string{"chat.1"}})
	if got := f.knock("/events?channel=chat.2&ticket="+bound, http.Header{}); got != http.StatusForbidden {
		t.Errorf("a ticket for another channel: %d", got)
	}
}

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

func TestA4ARefreshOnALiveStreamLosesNothing(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			f := besiege(t)
			s := &scene{T: t, at: f.server, wire: w.wire}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			opened, err := w.wire.open(ctx, f.server, f.good("ada", auth.Everything), &millracev1.SubscribeRequest{
				Subscriptions: []*millracev1.Subscription{subscribe("chat.1"), subscribe("chat.2")},
			})
			if err != nil {
				t.Fatal(err)
			}
			c := &client{scene: s, session: opened}
			t.Cleanup(c.leave)
			c.seesSubscribed("chat.1")
			c.seesSubscribed("chat.2")
			publisher := f.connect()
			publish := func(channel string, i int) *millracev1.Message {
				request := &millracev1.PublishRequest{Channel: channel, Data: jsonData(fmt.Sprint(i))}
				response, err := unary(ctx, publisher, backendKey, request)
				if err != nil {
					t.Fatal(err)
				}
				return published(request, response.(*millracev1.PublishResponse)) //nolint:errcheck // it is what the method returns
			}
			var sent []*millracev1.Message
			for i := range 20 {
				for j := range 5 {
					sent = append(sent, publish("chat.1", 5*i+j))
				}
				refresh := &millracev1.RefreshTokenRequest{Token: f.good("ada", auth.Everything)}
				if _, err := c.refresh(ctx, f, refresh); err != nil {
					t.Fatal(err)
				}
			}
			c.sees(sent...)
			// What the last token does not allow ends, and the rest goes on.
			one := auth.Grant{Pattern: "chat.1", Actions: auth.Actions}
			if _, err := c.refresh(ctx, f, &millracev1.RefreshTokenRequest{Token: f.good("ada", one)}); err != nil {
				t.Fatal(err)
			}
			if ended := c.toldOf("unsubscribed").unsubscribed; ended.GetChannel() != "chat.2" || ended.GetError().GetReason() != millracev1.ErrorReason_ERROR_REASON_FORBIDDEN {
				t.Errorf("unsubscribed {%s}", ended)
			}
			publish("chat.2", 1)
			c.sees(publish("chat.1", 1))
			_, err = c.refresh(ctx, f, &millracev1.RefreshTokenRequest{Token: f.good("bob", auth.Everything)})
			checkRefusal(t, err, millracev1.ErrorReason_ERROR_REASON_FORBIDDEN, "token")
		})
	}
}

// refresh gives the session a new token, the wire's own way.
func (c *client) refresh(ctx context.Context, f *fortress, request *millracev1.RefreshTokenRequest) (proto.Message, error) {
	if plain, ok := c.session.(*plainSession); ok {
		return plain.do(ctx, command{"type": "auth", "token": request.GetToken()})
	}
	if _, isTyped := c.session.(*typedSession); isTyped {
		return c.try(request)
	}
	// With nothing but the handle of the session and the new token.
	return unary(ctx, f.connect(), "", withSession(request, sessionTokenOf(c)))
}

func TestA5RevocationEndsLiveStreamsOnEveryWire(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var open []session
	for _, w := range wires {
		s, err := w.wire.open(ctx, f.server, f.good("ada", auth.Everything), &millracev1.SubscribeRequest{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.close)
		open = append(open, s)
	}
	adminCtx, admin := f.admin()
	response, err := admin.Revoke(adminCtx, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: "ada"}})
	if err != nil || int(response.GetSessions()) != len(wires) {
		t.Errorf("%v, %v", response, err)
	}
	began := time.Now()
	for i, s := range open {
		if e, err := s.next(ctx); infoOf(err).GetReason() != millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED {
			t.Errorf("%s: %s, %v", wires[i].name, e, err)
		}
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("took %v", took)
	}
}

// A session token stands for the credentials of its session, and ends with them.
func TestA5TheHandleOfARevokedSessionIsWorthless(t *testing.T) {
	t.Parallel()
	f := besiege(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := rpc{options: []connecthttp.Option{connecthttp.WithGRPC()}}.open(ctx, f.server, f.good("ada", auth.Everything), &millracev1.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	handle := s.(*rpcSession).sessionToken //nolint:errcheck // it is what the wire opens
	withHandle := func() context.Context {
		ctx, info := connect.NewClientContext(ctx)
		info.RequestHeader().Set(service.HeaderSession, handle)
		return ctx
	}
	client := millracev1connect.NewRealtimeServiceClient(f.connect())
	if _, err := client.Publish(withHandle(), &millracev1.PublishRequest{Channel: "chat.1"}); err != nil {
		t.Errorf("while it lives: %v", err)
	}
	adminCtx, admin := f.admin()
	if _, err := admin.Revoke(adminCtx, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_User{User: "ada"}}); err != nil {
		t.Fatal(err)
	}
	_, _ = s.next(ctx) // its end
	if _, err := client.Publish(withHandle(), &millracev1.PublishRequest{Channel: "chat.1"}); err == nil {
		t.Error("afterwards it is good")
	}
}
