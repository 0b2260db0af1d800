package service_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectinprocess"
	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/auth"
	"millrace.dev/engine"
	"millrace.dev/engine/memory"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// node is a service under test, on the memory engine, and the ways to call it.
type node struct {
	*service.Service
	t     testing.TB
	keys  auth.Keys
	rpc   millracev1connect.RealtimeServiceClient
	admin millracev1connect.AdminServiceClient
	calls sync.WaitGroup // streams that are open
	down  chan struct{}  // closed when clients that are stalled lose their connections

	address string // that sessions are opened from
}

// start starts a node where everybody may do everything, unless config says
// who may what. The end of the test closes it.
func start(tb testing.TB, config service.Config) *node {
	tb.Helper()
	return startOn(tb, memory.Open(memory.Options{}), config)
}

func startOn(tb testing.TB, open engine.Open, config service.Config) *node {
	tb.Helper()
	n := &node{t: tb, down: make(chan struct{}), keys: auth.Keys{
		Secret:    []byte(strings.Repeat("secret", 6)),
		APIKeys:   []string{"an-administrators-key"},
		Anonymous: []auth.Grant{auth.Everything},
	}}
	if config.Authenticator == nil {
		config.Authenticator = n.keys
	}
	started, err := service.New(tb.Context(), open, config)
	if err != nil {
		tb.Fatal(err)
	}
	n.Service = started
	client := connect.NewClient(connectinprocess.New(n.Server()))
	n.rpc = millracev1connect.NewRealtimeServiceClient(client)
	n.admin = millracev1connect.NewAdminServiceClient(client)
	tb.Cleanup(n.close)
	return n
}

func (n *node) close() {
	if err := n.Close(); err != nil {
		n.t.Error(err)
	}
	select {
	case <-n.down: // already
	default:
		close(n.down)
	}
	n.calls.Wait()
}

// keeping is a configuration where every channel keeps so many messages for ten
// minutes; 0 keeps none.
func keeping(messages int) service.Config {
	return service.Config{Rules: []service.Rule{
		{Pattern: ">", History: engine.Retention{Messages: messages, Age: 10 * time.Minute}},
	}}
}

// token is a user's; the empty user has none.
func (n *node) token(user string, grants ...auth.Grant) string {
	n.t.Helper()
	if user == "" {
		return ""
	}
	if len(grants) == 0 {
		grants = []auth.Grant{auth.Everything}
	}
	token, err := n.keys.Sign(user, grants, 24*time.Hour)
	if err != nil {
		n.t.Fatal(err)
	}
	return token
}

// as is the context of a call with a token.
func as(ctx context.Context, token string) context.Context {
	ctx, info := connect.NewClientContext(ctx)
	if token != "" {
		info.RequestHeader().Set(service.HeaderAuthorization, "Bearer "+token)
	}
	return ctx
}

// text is a message with a text.
func text(channel, data string) *millracev1.PublishRequest {
	return &millracev1.PublishRequest{
		Channel: channel,
		Data:    &millracev1.PublishRequest_Payload{Payload: textPayload(data)},
	}
}

func textPayload(data string) *millracev1.Payload {
	return &millracev1.Payload{Kind: &millracev1.Payload_Text{Text: data}}
}

// send publishes a message that is accepted.
func (n *node) send(request *millracev1.PublishRequest) *millracev1.PublishResponse {
	n.t.Helper()
	response, err := n.rpc.Publish(n.t.Context(), request)
	if err != nil {
		n.t.Fatalf("publish %v: %v", request, err)
	}
	return response
}

// publish publishes texts, and returns the position of the last one.
func (n *node) publish(channel string, texts ...string) *millracev1.Position {
	n.t.Helper()
	var last *millracev1.Position
	for _, data := range texts {
		last = n.send(text(channel, data)).GetPosition()
	}
	return last
}

// sendTyped publishes a text with a type to channel a.
func (n *node) sendTyped(kind, data string) {
	n.t.Helper()
	request := text("a", data)
	request.Type = kind
	n.send(request)
}

// whisper publishes an ephemeral text to channel a.
func (n *node) whisper(data string) {
	n.t.Helper()
	request := text("a", data)
	request.Ephemeral = true
	n.send(request)
}

// refused fails unless err says reason, and returns all that it says.
func refused(tb testing.TB, err error, reason string) *millracev1.ErrorInfo {
	tb.Helper()
	if err == nil {
		tb.Fatalf("not refused, want %s", reason)
	}
	info := service.ErrorInfo(err)
	if got := reasonOf(info); got != reason {
		tb.Fatalf("refused with %s (%v), want %s", got, err, reason)
	}
	return info
}

// positions are where channels are, and the cursor of them all.
func (n *node) positions(channels ...string) ([]*millracev1.ChannelPosition, string) {
	n.t.Helper()
	response, err := n.rpc.GetPositions(n.t.Context(), &millracev1.GetPositionsRequest{Channels: channels})
	if err != nil {
		n.t.Fatal(err)
	}
	return response.GetPositions(), response.GetCursor()
}

// head is where a channel is.
func (n *node) head(channel string) *millracev1.Position {
	n.t.Helper()
	positions, _ := n.positions(channel)
	return positions[0].GetPosition()
}

// at is a place in the log that a channel has now.
func (n *node) at(channel string, offset uint64) *millracev1.Position {
	n.t.Helper()
	return &millracev1.Position{Offset: offset, Epoch: n.head(channel).GetEpoch()}
}

// pending is how much waits for a session.
func (n *node) pending(c *client) int {
	n.t.Helper()
	for _, session := range n.sessions() {
		if session.GetId() == c.ready().GetSession() {
			return int(session.GetPendingBytes())
		}
	}
	n.t.Fatal("the session is not listed")
	return 0
}

func (n *node) sessions() []*millracev1.Session {
	n.t.Helper()
	ctx := as(n.t.Context(), n.keys.APIKeys[0])
	response, err := n.admin.ListSessions(ctx, &millracev1.ListSessionsRequest{PageSize: 1000})
	if err != nil {
		n.t.Fatal(err)
	}
	return response.GetSessions()
}

const burst = time.Microsecond

// publishInBursts publishes to a channel until stop is closed: many messages at
// once, at every moment that begins a new burst.
func (n *node) publishInBursts(channel string, stop <-chan struct{}) {
	for {
		for range 20 {
			n.publish(channel, "x")
		}
		select {
		case <-stop:
			return
		case <-time.After(burst):
		}
	}
}

// together runs fn so many times at once and returns when all have ended.
func together(times int, fn func(i int)) {
	var running sync.WaitGroup
	for i := range times {
		running.Go(func() { fn(i) })
	}
	running.Wait()
}

func seconds(n float64) *durationpb.Duration {
	return durationpb.New(time.Duration(n * float64(time.Second)))
}
