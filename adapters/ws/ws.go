// Package ws serves WebSockets, as a transport of the service's Connect server:
// opening one is a call of Subscribe, and each command on it a call of its own.
//
// A client that asks for no sub-protocol speaks plain JSON text frames, one
// value each (plain.go): the wire of existing clients, with fields they do not
// know for all that they do not do. The sub-protocols millrace.v1.json and
// millrace.v1.proto carry the API's own messages (typed.go).
//
// A refusal is an HTTP status, before the upgrade. After it, sessions end with a
// close code that docs/PROTOCOL.md explains.
//
// The library does the handshake, reads, and answers control frames. What the
// service sends goes around it, as whole frames made once for all subscribers
// (frame.go), to an outlet that never blocks.
package ws

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"millrace.dev/adapters/internal/browser"
	"millrace.dev/adapters/internal/call"
	"millrace.dev/adapters/internal/outlet"
	"millrace.dev/adapters/internal/poll"
	"millrace.dev/adapters/ring"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// Options configure the handler. The zero value works.
type Options struct {
	// Join names, for a path, the channels that its sessions are subscribed to
	// without asking.
	Join map[string][]string
}

const (
	protocolJSON  = "millrace.v1.json"
	protocolProto = "millrace.v1.proto"

	commandTimeout = 10 * time.Second // from reading a command to having answered
	closeTimeout   = 5 * time.Second  // for the client to close after us
	// discardBytes is how much of an over-large frame is read past, so that the
	// connection lives on.
	discardBytes = 64 << 20
)

// New returns the handler.
func New(s *service.Service, options Options) http.Handler {
	return &handler{service: s, options: options}
}

type handler struct {
	service *service.Service
	options Options
	waiting poll.Set // connections that are silent
}

// ServeHTTP implements [http.Handler]. It returns when the connection is a
// WebSocket; the session then belongs to the service's writer.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		h.post(w, r)
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket endpoint", http.StatusUpgradeRequired)
		return
	}
	c := &connection{handler: h, w: w, r: r, peer: call.From(r, "ws", "json"), below: service.HangUp(r.Context())}
	c.wire = chooseWire(c)
	if r.URL.Query().Get("auth") == "frame" && !c.awaitCredentials() {
		return
	}
	ctx := service.WithScope(service.WithCut(r.Context(), c.cut), r.PathValue("scope"))
	ctx = service.WithJoined(ctx, h.options.Join[r.URL.Path])
	err := h.service.Server().Call(ctx, millracev1connect.RealtimeServiceSubscribeProcedure, c.peer.Info(), c)
	switch {
	case err != nil && c.first != nil && !c.attached.Load():
		c.dismiss(err)
	case err != nil && !c.answered:
		browser.WriteError(w, err)
	}
	c.w, c.r = nil, nil // their buffers are free now
}

// wire is how frames and commands look on a connection.
type wire interface {
	messageType() websocket.MessageType
	format() service.Format
	// appendFrame appends a message or notice of the session's stream as frames,
	// or nothing if the client does not want it.
	appendFrame(b []byte, f *service.Frame) []byte
	// command does what a frame from the client asks, and answers it.
	command(ctx context.Context, data []byte) error
	// credentials reads the command that a connection with ?auth=frame begins with.
	credentials(data []byte) (firstCommand, error)
	// authenticated answers it, when the session is open.
	authenticated(first firstCommand, ready *millracev1.Ready)
	// refuse answers a frame that could not be read.
	refuse(err error) error
}

func chooseWire(c *connection) wire {
	for offered := range strings.SplitSeq(strings.Join(c.r.Header.Values("Sec-WebSocket-Protocol"), ","), ",") {
		switch strings.TrimSpace(offered) {
		case protocolJSON:
			return typedJSON(c)
		case protocolProto:
			return typedProto(c)
		}
	}
	return &plain{connection: c, answer: c.answer}
}

// connection is one WebSocket. It implements [service.Sink]: the session's writer
// sends, and what the client sends is read in turns.
type connection struct {
	// Set once, before the reader starts.
	handler *handler
	wire    wire
	peer    call.Peer
	below   func() // hangs up on the connection that this is made of; nil where it knows no such thing
	conn    *websocket.Conn
	in      *poll.Conn
	out     *outlet.Outlet
	session service.Attachment

	buffered *bufio.Reader // what the library reads from; owned by who reads

	// Owned by the handler's goroutine.
	w        http.ResponseWriter
	r        *http.Request
	answered bool // whether the handshake was answered
	received bool
	first    *firstCommand // that brought the credentials, if one did

	attached atomic.Bool // session is set

	live  atomic.Pointer[outlet.Outlet] // out, for cut
	heard atomic.Bool                   // something came since the last ping
	read  atomic.Bool                   // the reader has ended
	ended atomic.Pointer[time.Timer]    // set by End: cuts the connection in the end
}

// Receive implements [connect.ServerStream]: the request is in the URL.
func (c *connection) Receive(message any) error {
	request, ok := message.(*millracev1.SubscribeRequest)
	if c.received || !ok {
		return io.EOF
	}
	c.received = true
	query := c.r.URL.Query()
	request.Cursor = query.Get("cursor")
	request.Client = c.r.Header.Get(service.HeaderClient)
	request.SessionToken = query.Get("session")
	for _, name := range slices.Concat(c.handler.options.Join[c.r.URL.Path], query["channel"]) {
		request.Subscriptions = append(request.Subscriptions, &millracev1.Subscription{Channel: name})
	}
	return nil
}

// SendHeaders implements [connect.ServerStream]. Headers go with the upgrade.
func (c *connection) SendHeaders() error { return nil }

// Send implements [connect.ServerStream], which a sink is not asked for.
func (c *connection) Send(any) error { return errors.New("a sink is delivered to") }

// Attach implements [service.Sink]: it upgrades the connection and starts to
// read from it.
func (c *connection) Attach(session service.Attachment) error {
	c.answered = true
	c.session = session
	c.attached.Store(true)
	c.peer = c.peer.WithSession(session.Token())
	c.heard.Store(true)
	if c.first == nil {
		if err := c.accept(); err != nil {
			return err
		}
	} else {
		c.wire.authenticated(*c.first, session.Ready())
	}
	hasMore := c.buffered.Buffered() > 0 // behind the first frame
	c.in.Start(session.Go, c.turn)
	if hasMore {
		c.in.Call()
	}
	return nil
}

// accept upgrades the connection.
func (c *connection) accept() error {
	conn, err := websocket.Accept(&hijacker{ResponseWriter: c.w, connection: c}, c.r, &websocket.AcceptOptions{
		Subprotocols:       []string{protocolJSON, protocolProto},
		InsecureSkipVerify: true, // package cors decided already
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived: func(context.Context, []byte) bool {
			c.betweenFrames()
			return true
		},
		OnPongReceived: func(context.Context, []byte) {
			c.heard.Store(true)
			c.betweenFrames()
		},
	})
	if err != nil {
		return err
	}
	conn.SetReadLimit(-1) // readFrame has a limit that does not end the connection
	if c.buffered.Buffered() == 0 {
		c.buffered.Reset(c.out) // what the library puts before it is empty, and would stay
	}
	c.conn = conn
	c.live.Store(c.out)
	return nil
}

// taken says that the client has taken everything.
func (c *connection) taken() {
	if c.attached.Load() {
		c.session.Resume()
	}
}

// Deliver implements [service.Sink]: whatever is pending goes in one write.
func (c *connection) Deliver(delivery service.Delivery) (bool, error) {
	block := delivery.Shared(c.wire.format(), func(b []byte) []byte {
		for _, f := range delivery.Frames {
			b = c.wire.appendFrame(b, f)
		}
		return b
	})
	if len(block) == 0 {
		return true, nil
	}
	return c.out.SendWith(ring.Of(delivery.Outbox), block)
}

// Idle implements [service.Sink]: it asks whether the client is there, and gives
// up on one that has not answered the last time.
func (c *connection) Idle() {
	if !c.heard.Swap(false) {
		c.cut()
		return
	}
	_, _ = c.out.Send(pingFrame) // the reader notices if this fails
}

// End implements [service.Sink]: it tells the client why the session is over and
// gives it a while to close the connection.
func (c *connection) End(reason error) {
	code := websocket.StatusNormalClosure
	if !errors.Is(reason, service.ErrLeft) {
		code = websocket.StatusCode(service.CloseCode(reason))
	}
	if !c.read.Load() { // else the client has closed, and the library has answered
		c.out.Shut(closeFrame(code, closeReason(reason)))
	}
	c.ended.Store(time.AfterFunc(closeTimeout, c.cut))
	if c.read.Load() {
		c.finish()
	}
}

// finish closes the connection when both sides have ended. The later one calls
// it.
func (c *connection) finish() {
	if timer := c.ended.Load(); timer != nil {
		timer.Stop()
		c.out.Finish()
	}
}

// hangUp cuts the connection of a client that floods the server.
func (c *connection) hangUp() {
	if c.below != nil {
		c.below()
	}
	c.cut()
}

// cut ends the connection.
func (c *connection) cut() {
	if out := c.live.Load(); out != nil {
		out.Close() //nolint:errcheck // it is closed either way
	}
}
