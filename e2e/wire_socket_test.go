package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// readLimit is more than the server sends in one frame.
const readLimit = 16 << 20

// dial opens a WebSocket, or says with which error it was refused.
func dial(ctx context.Context, at *server, path, token string, protocols ...string) (*websocket.Conn, error) {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return dialWith(ctx, at, path, &websocket.DialOptions{HTTPHeader: header, Subprotocols: protocols})
}

// socketWire is what a connection of a wire begins with.
type socketWire interface {
	protocols() []string
	first(token string) (websocket.MessageType, []byte, error)
}

// dialOn opens a WebSocket of a wire, and says in its first frame who that is
// where somebody reaches the server so.
func dialOn(ctx context.Context, at *server, w socketWire, query url.Values, token string) (*websocket.Conn, error) {
	if at.firstFrame == "" {
		return dial(ctx, at, "/ws?"+query.Encode(), token, w.protocols()...)
	}
	return dialFirst(ctx, at, w, query, at.firstFrame)
}

// dialFirst opens a WebSocket and sends the frame that says who that is.
func dialFirst(ctx context.Context, at *server, w socketWire, query url.Values, token string) (*websocket.Conn, error) {
	query.Set("auth", "frame")
	conn, err := dial(ctx, at, "/ws?"+query.Encode(), "", w.protocols()...)
	if err != nil {
		return nil, err
	}
	kind, frame, err := w.first(token)
	if err == nil {
		err = conn.Write(ctx, kind, frame)
	}
	if err != nil {
		return nil, errors.Join(err, conn.CloseNow())
	}
	return conn, nil
}

func dialWith(ctx context.Context, at *server, path string, options *websocket.DialOptions) (*websocket.Conn, error) {
	options.HTTPClient = at.h1
	conn, response, err := websocket.Dial(ctx, at.url+path, options) //nolint:bodyclose // the library closes it
	if err != nil {
		if response != nil {
			body, readErr := io.ReadAll(response.Body) // the library has read it
			err = errors.Join(refusalIn(response.StatusCode, body), readErr, err)
		}
		return nil, err
	}
	conn.SetReadLimit(readLimit)
	return conn, nil
}

// socket is what the drivers of WebSockets share: answers come on the stream,
// and find the caller by the number of the command.
type socket struct {
	*inbox
	conn *websocket.Conn
	done chan struct{}

	mu      sync.Mutex
	last    uint32
	waiting map[uint32]chan answer
}

// answer is what came for a command.
type answer struct {
	response proto.Message
	err      error
}

func newSocket(conn *websocket.Conn) *socket {
	return &socket{inbox: newInbox(), conn: conn, done: make(chan struct{}), waiting: map[uint32]chan answer{}}
}

// read passes every frame to receive until the connection ends.
func (s *socket) read(ctx context.Context, receive func(data []byte) error) {
	defer close(s.done)
	for {
		_, data, err := s.conn.Read(ctx)
		if err == nil {
			err = receive(data)
		}
		if err != nil {
			err = closedBecause(err)
			s.end(err)
			s.mu.Lock()
			for _, waiting := range s.waiting {
				waiting <- answer{err: err}
			}
			s.waiting = nil
			s.mu.Unlock()
			return
		}
	}
}

// closedBecause is the reason that a close code stands for.
func closedBecause(err error) error {
	closed, ok := errors.AsType[websocket.CloseError](err)
	reason := millracev1.ErrorReason(closed.Code - 4000)
	if _, known := millracev1.ErrorReason_name[int32(reason)]; !ok || !known {
		return err
	}
	var f frameJSON
	if json.Unmarshal([]byte(closed.Reason), &f) != nil || reasonNamed(f.Reason) != reason {
		return fmt.Errorf("the close code does not go with its reason: %w", err)
	}
	return f.refusal()
}

// ask sends a command and waits for its answer.
func (s *socket) ask(ctx context.Context, kind websocket.MessageType, encode func(id uint32) ([]byte, error)) (proto.Message, error) {
	s.mu.Lock()
	if s.waiting == nil {
		s.mu.Unlock()
		return nil, errors.New("the connection has ended")
	}
	s.last++
	id, waiting := s.last, make(chan answer, 1)
	s.waiting[id] = waiting
	s.mu.Unlock()
	data, err := encode(id)
	if err != nil {
		return nil, err
	}
	if err := s.conn.Write(ctx, kind, data); err != nil {
		return nil, err
	}
	select {
	case got := <-waiting:
		return got.response, got.err
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer to %.200q: %w", data, ctx.Err())
	}
}

// answer passes the answer of a command on. It reports whether anybody waits.
func (s *socket) answer(id uint32, got answer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting, found := s.waiting[id]
	if found {
		delete(s.waiting, id)
		waiting <- got
	}
	return found
}

func (s *socket) close() {
	// As the existing clients do. The server may have closed it already.
	_ = s.conn.Close(websocket.StatusNormalClosure, "Client disconnect")
	<-s.done
}

// abort ends the connection as if it were lost.
func (s *socket) abort() {
	_ = s.conn.CloseNow()
	<-s.done
}
