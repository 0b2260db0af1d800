package service_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// client is the other end of a session: a stream that takes what it is sent and
// remembers it. Nothing but the wire is missing.
type client struct {
	// Set once.
	node    *node
	request *millracev1.SubscribeRequest
	hang    context.CancelCauseFunc
	done    <-chan struct{} // of the connection
	begun   chan struct{}   // closed with the first batch
	over    chan struct{}   // closed when the call has ended
	cut     chan struct{}   // closed by the server's watchdog
	delay   time.Duration   // that taking a batch takes; set while nothing is sent

	// Guarded by mu.
	mu    sync.Mutex
	gate  chan struct{} // while it is not nil, nothing is taken
	items []item
	read  int // items that the test has looked at
	err   error

	// Of a sink.
	attachment *service.Attachment
	left       []*service.Frame // that were delivered and are not taken
	gone       error            // why nothing is taken any more
}

// item is a frame that a client took.
type item struct {
	frame *service.Frame
	batch int // frames that were sent together have one number
	at    time.Time
}

var (
	errLost = errors.New("connection lost")
	errCut  = errors.New("write cut")
)

// open opens a session as nobody in particular.
func (n *node) open(request *millracev1.SubscribeRequest) *client {
	n.t.Helper()
	return n.openWith("", request)
}

// openWith opens a session with a token. It waits until it is open or refused.
func (n *node) openWith(token string, request *millracev1.SubscribeRequest) *client {
	n.t.Helper()
	c := n.dial(token, request)
	synctest.Wait()
	return c
}

// dial begins to open a session.
func (n *node) dial(token string, request *millracev1.SubscribeRequest) *client {
	return n.dialWith(bearer(token), request)
}

func (n *node) dialWith(headers map[string]string, request *millracev1.SubscribeRequest) *client {
	return n.dialAs(headers, request, func(c *client) connect.ServerStream { return c })
}

// dialSink begins to open a session of a stream that never blocks.
func (n *node) dialSink(token string, request *millracev1.SubscribeRequest) *client {
	return n.dialAs(bearer(token), request, func(c *client) connect.ServerStream { return sink{c} })
}

func bearer(token string) map[string]string {
	if token == "" {
		return nil
	}
	return map[string]string{service.HeaderAuthorization: "Bearer " + token}
}

func (n *node) dialAs(headers map[string]string, request *millracev1.SubscribeRequest, stream func(*client) connect.ServerStream) *client {
	ctx, hang := context.WithCancelCause(n.t.Context())
	c := &client{
		node: n, request: request, hang: hang, done: ctx.Done(),
		begun: make(chan struct{}), over: make(chan struct{}), cut: make(chan struct{}),
	}
	ctx = service.WithCut(ctx, sync.OnceFunc(c.cutOff))
	info := &connect.CallInfo{Protocol: "test", PeerAddr: n.address}
	for name, value := range headers {
		info.RequestHeader().Set(name, value)
	}
	called := stream(c)
	n.calls.Go(func() {
		err := n.Server().Call(ctx, millracev1connect.RealtimeServiceSubscribeProcedure, info, called)
		if err == nil { // a sink, which is told the end
			return
		}
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		close(c.over)
	})
	return c
}

// subscribe opens a session with subscriptions, and reads its ready notice.
func (n *node) subscribe(subscriptions ...*millracev1.Subscription) *client {
	n.t.Helper()
	return n.subscribeAs("", subscriptions...)
}

func (n *node) subscribeAs(user string, subscriptions ...*millracev1.Subscription) *client {
	n.t.Helper()
	c := n.openWith(n.token(user), &millracev1.SubscribeRequest{Subscriptions: subscriptions})
	if got := c.news(); len(got) == 0 || got[0] != "ready" {
		n.t.Fatalf("the stream begins with %q, want ready: %v", got, c.failure())
	}
	c.read = 1
	return c
}

// to is a subscription without wishes.
func to(channel string) *millracev1.Subscription {
	return &millracev1.Subscription{Channel: channel}
}

// recent is a subscription that begins with the newest messages.
func recent(channel string, n uint32) *millracev1.Subscription {
	return &millracev1.Subscription{Channel: channel, Recent: n}
}

// since is a subscription that resumes.
func since(channel string, p *millracev1.Position) *millracev1.Subscription {
	return &millracev1.Subscription{Channel: channel, Since: p}
}

// Receive implements [connect.ServerStream].
func (c *client) Receive(message any) error {
	proto.Merge(message.(proto.Message), c.request) //nolint:errcheck // anything else is a bug that may panic
	return nil
}

// SendHeaders implements [connect.ServerStream].
func (c *client) SendHeaders() error { return nil }

// Send implements [connect.ServerStream].
func (c *client) Send(message any) error {
	batch, ok := message.(*service.Batch)
	if !ok || len(batch.Frames) == 0 {
		return fmt.Errorf("sent %T, want a batch that is not empty", message)
	}
	c.mu.Lock()
	gate := c.gate
	c.mu.Unlock()
	if err := c.wait(gate); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(batch.Frames)
	return nil
}

// wait is what a slow client does before it takes a batch.
func (c *client) wait(gate chan struct{}) error {
	var delayed <-chan time.Time
	switch {
	case gate == nil && c.delay == 0:
		return nil
	case gate == nil:
		delayed = time.After(c.delay)
	}
	select {
	case <-gate:
	case <-delayed:
	case <-c.cut:
		return errCut
	case <-c.done:
		return errLost
	case <-c.node.down:
		return errLost
	}
	return nil
}

// stall makes the client take nothing.
func (c *client) stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate == nil {
		c.gate = make(chan struct{})
	}
}

// goOn makes a client that was stalled take what there is.
func (c *client) goOn() {
	c.open()
	c.drain(true)
}

func (c *client) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate != nil {
		close(c.gate)
		c.gate = nil
	}
}

// lose is what happens to a client whose connection breaks.
func (c *client) lose() { c.part(errLost) }

// leave is what a client does that says so.
func (c *client) leave() { c.part(service.ErrLeft) }

func (c *client) part(reason error) {
	c.hang(reason)
	c.detach(reason)
	<-c.over
}

// cutOff is what the server's watchdog does to a client that takes nothing.
func (c *client) cutOff() {
	close(c.cut)
	c.detach(errCut)
}

// detach ends a sink.
func (c *client) detach(reason error) {
	c.mu.Lock()
	attachment := c.attachment
	c.gone = reason
	c.mu.Unlock()
	if attachment != nil {
		attachment.Leave(reason)
		c.open()
		c.drain(false)
	}
}

// all is what the client has taken.
func (c *client) all() []item {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.items)
}

// after is what the client has taken after its first n items.
func (c *client) after(n int) []item {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.items[n:])
}

// fresh is what the client has taken since it was last asked, once nothing moves.
func (c *client) fresh() []item {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	items := slices.Clone(c.items[c.read:])
	c.read = len(c.items)
	return items
}

// news is fresh, in words.
func (c *client) news() []string {
	return inWords(c.fresh())
}

// takes fails unless the client took exactly this since it was last asked.
func (c *client) takes(want ...string) {
	c.node.t.Helper()
	if got := c.news(); !slices.Equal(got, want) {
		c.node.t.Fatalf("took:\n\t%s\nwant:\n\t%s\nsession ended with: %v",
			strings.Join(got, "\n\t"), strings.Join(want, "\n\t"), c.failure())
	}
}

// failure is why the session has ended, nil while it has not.
func (c *client) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// ends fails unless the session has ended with reason.
func (c *client) ends(reason string) *millracev1.ErrorInfo {
	c.node.t.Helper()
	synctest.Wait()
	return refused(c.node.t, c.failure(), reason)
}

// ready is the session's first notice.
func (c *client) ready() *millracev1.Ready {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.items[0].frame.Notice.GetReady()
}

// update changes the subscriptions of the session. It fails where one is refused.
func (c *client) update(request *millracev1.UpdateSubscriptionRequest) *millracev1.UpdateSubscriptionResponse {
	c.node.t.Helper()
	request.SessionToken = c.ready().GetSessionToken()
	response, err := c.node.rpc.UpdateSubscription(c.ctx(), request)
	if err != nil {
		c.node.t.Fatal(err)
	}
	return response
}

func (c *client) add(subscriptions ...*millracev1.Subscription) {
	c.node.t.Helper()
	response := c.update(&millracev1.UpdateSubscriptionRequest{Add: subscriptions})
	if errs := response.GetErrors(); len(errs) > 0 {
		c.node.t.Fatal(errs)
	}
}

func (c *client) remove(channels ...string) {
	c.node.t.Helper()
	c.update(&millracev1.UpdateSubscriptionRequest{Remove: channels})
}

// ctx is the context of a call in the name of the session.
func (c *client) ctx() context.Context {
	ctx, info := connect.NewClientContext(c.node.t.Context())
	info.RequestHeader().Set(service.HeaderSession, c.ready().GetSessionToken())
	return ctx
}
