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
package ws

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/coder/websocket"

	"millrace.dev/adapters/internal/browser"
	"millrace.dev/adapters/internal/call"
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

	commandTimeout = 10 * time.Second // from reading a command to having sent the answer
	pongTimeout    = 10 * time.Second
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
}

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket endpoint", http.StatusUpgradeRequired)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	c := &connection{handler: h, w: w, r: r, cancel: cancel, peer: call.From(r, "ws", "json")}
	c.wire = chooseWire(c)
	err := h.service.Server().Call(service.WithCut(ctx, c.cut), millracev1connect.RealtimeServiceSubscribeProcedure, c.peer.Info(), c)
	c.end(err)
	cancel(nil)
	c.goroutines.Wait()
}

// wire is how frames and commands look on a connection.
type wire interface {
	messageType() websocket.MessageType
	// write sends a batch of the session's stream.
	write(ctx context.Context, batch *service.Batch) error
	// command does what a frame from the client asks, and answers it.
	command(ctx context.Context, data []byte) error
	// refuse answers a frame that could not be read.
	refuse(ctx context.Context, err error) error
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
	return &plain{connection: c, asked: map[string]askedID{}}
}

// connection is one WebSocket. It implements [connect.ServerStream] for the
// session's Subscribe call, whose goroutine writes; another reads.
type connection struct {
	// Set once.
	handler *handler
	w       http.ResponseWriter
	r       *http.Request
	cancel  context.CancelCauseFunc // ends the session
	wire    wire

	// Set by the first Send, before the reader starts.
	conn  *websocket.Conn
	ready *millracev1.Ready
	ctx   context.Context //nolint:containedctx // of the connection: it ends with the handler
	peer  call.Peer

	live       atomic.Pointer[websocket.Conn] // conn, for cut
	answered   bool                           // whether the handshake was answered; owned by the goroutine that calls Send
	received   bool                           // owned by the goroutine that calls Receive
	goroutines sync.WaitGroup
}

// cut ends a connection whose client does not read.
func (c *connection) cut() {
	if conn := c.live.Load(); conn != nil {
		conn.CloseNow() //nolint:errcheck // it is closed either way
	}
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

// SendHeaders implements [connect.ServerStream]. Headers go with the first Send.
func (c *connection) SendHeaders() error { return nil }

// Send implements [connect.ServerStream]. The first one, which has the `ready`
// notice, makes the connection a WebSocket.
func (c *connection) Send(message any) error {
	batch, ok := message.(*service.Batch)
	if !ok {
		return errors.New("a stream of the service sends batches")
	}
	if ready := batch.Frames[0].Notice.GetReady(); ready != nil && c.conn == nil {
		if err := c.accept(ready); err != nil {
			return err
		}
	}
	if batch.IsNotice() && batch.Frames[0].Notice.GetHeartbeat() != nil {
		c.goroutines.Go(c.ping)
	}
	return c.wire.write(c.ctx, batch) // the service's watchdog cuts it if it is stuck
}

// accept upgrades the connection and starts to read from it.
func (c *connection) accept(ready *millracev1.Ready) error {
	c.answered = true
	conn, err := websocket.Accept(c.w, c.r, &websocket.AcceptOptions{
		Subprotocols:       []string{protocolJSON, protocolProto},
		InsecureSkipVerify: true, // package cors decided already
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return err
	}
	conn.SetReadLimit(-1) // readFrame has a limit that does not end the connection
	c.conn, c.ready = conn, ready
	c.live.Store(conn)
	c.ctx = c.r.Context()
	c.peer = c.peer.WithSession(ready.GetSessionToken())
	c.goroutines.Go(c.readLoop)
	return nil
}

// readLoop does what the client asks, one command after the other, until the
// connection ends.
func (c *connection) readLoop() {
	for {
		data, err := c.readFrame()
		if err != nil {
			if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
				err = service.ErrLeft
			}
			c.cancel(err)
			return
		}
		ctx, cancel := context.WithTimeout(c.ctx, commandTimeout)
		if len(data) > c.handler.service.RequestBytes() {
			err = c.wire.refuse(ctx, service.TooLarge("frame", len(data), c.handler.service.RequestBytes()))
		} else {
			err = c.wire.command(ctx, data)
		}
		cancel()
		if err != nil {
			c.cancel(err)
			return
		}
	}
}

// readFrame reads one frame, and at most one byte more of it than the limit.
func (c *connection) readFrame() ([]byte, error) {
	_, reader, err := c.conn.Reader(c.ctx)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(reader, int64(c.handler.service.RequestBytes())+1))
	if err != nil {
		return nil, err
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(reader, discardBytes))
	if err == nil && rest == discardBytes {
		err = errors.New("frame is larger than anything")
		c.close(websocket.StatusMessageTooBig, "the frame is too large")
	}
	return data, err
}

// send writes one frame.
func (c *connection) send(ctx context.Context, data []byte) error {
	return c.conn.Write(ctx, c.wire.messageType(), data)
}

// ping finds out whether the client is there. It waits for the pong, which the
// reader receives.
func (c *connection) ping() {
	ctx, cancel := context.WithTimeout(c.ctx, pongTimeout)
	defer cancel()
	if err := c.conn.Ping(ctx); err != nil {
		c.cancel(err)
	}
}

// end tells the client why the session is over: with a status before the
// upgrade, with a close code after it.
func (c *connection) end(err error) {
	if c.conn == nil {
		if !c.answered {
			browser.WriteError(c.w, err)
		}
		return
	}
	code := websocket.StatusNormalClosure
	if err != nil && !errors.Is(err, context.Canceled) {
		code = websocket.StatusCode(service.CloseCode(err))
	}
	c.close(code, closeReason(err))
}

func (c *connection) close(code websocket.StatusCode, reason string) {
	if err := c.conn.Close(code, reason); err != nil {
		c.conn.CloseNow() //nolint:errcheck // it is closed either way
	}
}

// closeReason is the error as JSON, as far as a close frame has room: 123 bytes
// (RFC 6455 section 5.5).
func closeReason(err error) string {
	const room = 123
	if err == nil || errors.Is(err, context.Canceled) {
		return ""
	}
	e := browser.FromError(err)
	short := browser.Error{Code: e.Code, Reason: e.Reason, RetryAfter: e.RetryAfter}
	reason := string(browser.Marshal(short))
	if len(reason) > room {
		return e.Reason
	}
	return reason
}

var _ connect.ServerStream = (*connection)(nil)
