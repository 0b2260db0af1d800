package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"
	"connectrpc.com/grpcreflect/v2"
	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/auth"
	"millrace.dev/engine"
	"millrace.dev/gen/grpc/health/v1/healthv1connect"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// Service is one node. Its methods are safe for concurrent use.
type Service struct {
	// Set once.
	config    Config
	rules     *ruleset
	current   atomic.Pointer[current]
	log       *slog.Logger
	node      string
	started   time.Time
	engine    engine.Engine
	keeper    engine.Keeper // nil where the engine is none
	surviving atomic.Bool   // it is being kept that this node lives
	hub       *hub
	presence  *presence
	nodes     *nodes
	health    *health
	revoked   auth.Revocations
	tickets   auth.Tickets
	telemetry *telemetry
	// How often each caller may publish, and call at all.
	publishes, calls *rates
	floods           *floods
	// authorizer is nil where nobody is asked.
	authorizer *authorizer
	server     *connect.Server
	kicked     kicks
	recorder   *recorder
	tracers    tracers
	counts     counts        // of sessions without a writer, and of what is published
	slow       atomic.Uint32 // sessions, as the watchdog saw last
	writers    []*writer
	nextTurn   atomic.Uint32 // of the writers, for new sessions
	stop       context.CancelFunc
	stopped    sync.WaitGroup

	mu       sync.RWMutex
	sessions map[string]*Session // by id
	lost     map[string]*remains // by id
	draining error               // why no session is opened, once that is so
	tally    tally
	open     int           // sessions that have not ended
	idle     chan struct{} // closed when draining and none is open
}

// New starts a node on an engine. The caller closes it.
func New(ctx context.Context, start engine.Open, config Config) (*Service, error) {
	if err := config.Check(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	config = config.withDefaults()
	s := &Service{
		config:     config,
		rules:      newRuleset(config.Rules),
		log:        config.Log,
		authorizer: newAuthorizer(config.Authorizer, config.Log),
		node:       rand.Text()[:10],
		started:    time.Now(),
		recorder:   newRecorder(),
		hub:        newHub(),
		telemetry:  newTelemetry(config.Meters.Meter(instrumentation), config.Tracers),
		sessions:   map[string]*Session{},
		lost:       map[string]*remains{},
		tally:      newTally(),
		publishes:  newRates("limits.publish_rate", config.Limits.PublishRate),
		calls:      newRates("limits.call_rate", config.Limits.CallRate),
		idle:       make(chan struct{}),
	}
	s.floods = newFloods(s.calls)
	s.hub.follow = s.follow
	s.current.Store(&current{config.Limits, config.Authenticator})
	s.presence = newPresence(s.node, s.rules, config.Limits.Linger, s.hub.deliver)
	started, err := start(ctx, s.hub.deliver)
	if err != nil {
		return nil, fmt.Errorf("start engine: %w", err)
	}
	s.engine = started
	s.server = connect.NewServer(s.observe, s.protect, s.identify, s.trace, s.route, s.serveSubscribe)
	s.health = newHealth(millracev1connect.RealtimeServiceName, millracev1connect.AdminServiceName)
	millracev1connect.RegisterRealtimeServiceHandler(s.server, s)
	millracev1connect.RegisterAdminServiceHandler(s.server, &admin{s})
	healthv1connect.RegisterHealthHandler(s.server, s.health)
	grpcreflect.Register(s.server)
	s.registerGauges(config.Meters.Meter(instrumentation))
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.stopped.Go(func() { s.watchdog(running) })
	for range runtime.GOMAXPROCS(0) {
		w := newWriter(config.outbox())
		s.writers = append(s.writers, w)
		s.stopped.Go(func() { w.run(running) })
	}
	s.stopped.Go(func() { s.record(running) })
	if keeper, ok := started.(engine.Keeper); ok {
		s.keeper = keeper
		if err := keeper.Kept(ctx, s.hearKept); err != nil {
			return nil, errors.Join(fmt.Errorf("hear what is kept: %w", err), s.Close())
		}
	}
	if err := s.join(running); err != nil {
		return nil, errors.Join(fmt.Errorf("join the other nodes: %w", err), s.Close())
	}
	return s, nil
}

// writer chooses the writer of a new session.
func (s *Service) writer() *writer {
	return s.writers[s.nextTurn.Add(1)%uint32(len(s.writers))]
}

// Server is the Connect server, for adapters that are transports of it.
func (s *Service) Server() *connect.Server { return s.server }

// Mount serves Connect, gRPC and gRPC-Web on mux.
func (s *Service) Mount(mux connecthttp.ServeMux) {
	connecthttp.Mount(cuttable{mux}, s.server,
		connecthttp.WithCodecs(s.codecs()...),
		connecthttp.WithReadMaxBytes(s.RequestBytes()),
		connecthttp.WithCompressMinBytes(1<<10),
		connecthttp.WithConditionalOptions(func(spec connect.Spec) []connecthttp.Option {
			if spec.StreamType == connect.StreamTypeServer {
				// Compressing every message anew for every subscriber costs two to
				// three times the rest of the delivery.
				return []connecthttp.Option{connecthttp.WithCompressors()}
			}
			return nil
		}))
}

// RequestBytes is the largest request that can be one valid message: JSON may
// spell each byte of a payload with six characters.
func (s *Service) RequestBytes() int { return 6*s.limits().PayloadBytes + 64<<10 }

// Limits are the limits in force, with defaults filled in.
func (s *Service) Limits() Limits { return *s.limits() }

// Drain tells every session to go on elsewhere, and opens no new ones. Each is
// told a time of its own within the first half of the window, and has the other
// half for it; then it is ended, with the advice to come back. Drain returns when
// all sessions are gone. When ctx ends it waits for nobody any more.
func (s *Service) Drain(ctx context.Context, window time.Duration) error {
	s.health.leave()
	s.recorder.close()
	s.tracers.close()
	sessions := s.refuseNew(leaving(window))
	mathrand.Shuffle(len(sessions), func(i, j int) { sessions[i], sessions[j] = sessions[j], sessions[i] })
	half := window / 2
	turn := func(i int) time.Duration { return half * time.Duration(i) / time.Duration(len(sessions)) }
	began := time.Now()
	for i, session := range sessions {
		session.notice(drainingNotice(turn(i)))
	}
	for i, session := range sessions {
		if s.isIdleWithin(ctx, time.Until(began.Add(half+turn(i)))) {
			return nil
		}
		session.finish(leaving(mathrand.N(max(window, time.Millisecond))))
	}
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sessions are still open: %w", ctx.Err())
	}
}

// leaving is why a node that goes refuses and ends sessions.
func leaving(retryAfter time.Duration) *refusal {
	return refuse(millracev1.ErrorReason_ERROR_REASON_DRAINING, "", "the server is going away").retryAfter(retryAfter)
}

func drainingNotice(retryAfter time.Duration) *Frame {
	return newNotice(&millracev1.SubscribeResponse{Notice: &millracev1.SubscribeResponse_Draining{
		Draining: &millracev1.Draining{RetryAfter: durationpb.New(retryAfter)},
	}})
}

// isIdleWithin waits some time for the last session to go, or until ctx ends.
func (s *Service) isIdleWithin(ctx context.Context, d time.Duration) bool {
	if d <= 0 || ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.idle:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// Close ends what is left and stops the engine.
func (s *Service) Close() error {
	s.health.leave()
	s.recorder.close()
	s.tracers.close()
	for _, session := range s.refuseNew(engine.ErrClosed) {
		session.finish(engine.ErrClosed)
	}
	s.presence.close()
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.stopped.Wait()
	s.nodes.leave()
	return s.engine.Close()
}

// refuseNew opens no more sessions, for a reason, and lists those that are open.
// Sessions that linger stay as they are: a node that goes makes nobody leave.
func (s *Service) refuseNew(reason error) []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining == nil && s.open == 0 {
		close(s.idle)
	}
	s.draining = reason
	for _, r := range s.lost {
		r.timer.Stop()
	}
	return s.all()
}

// all lists the open sessions. Called under mu.
func (s *Service) all() []*Session {
	sessions := make([]*Session, 0, len(s.sessions))
	for _, session := range s.sessions {
		sessions = append(sessions, session)
	}
	return sessions
}

// register makes a session known, or refuses it while draining.
func (s *Service) register(session *Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining != nil {
		return s.draining
	}
	if err := s.tally.add(session, *s.limits()); err != nil {
		return err
	}
	s.open++
	s.sessions[session.id] = session
	return nil
}

func (s *Service) unregister(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[session.id] == session {
		delete(s.sessions, session.id)
	}
	s.tally.remove(session)
	s.open--
	if s.open == 0 && s.draining != nil {
		close(s.idle)
	}
}

// session finds a live session by its token.
func (s *Service) session(token string) (*Session, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if session := s.sessions[parseToken(token).id]; session != nil && isSame(session.token, token) {
		return session, nil
	}
	return nil, refuse(millracev1.ErrorReason_ERROR_REASON_SESSION_NOT_FOUND, "session_token", "no live session has this token")
}

// Ready reports why the node cannot serve: it is draining, or a message does not
// make its way through engine and hub, or a writer does not come round, within the time
// that ctx leaves.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.isGoing(); err != nil {
		return err
	}
	for _, w := range s.writers {
		if err := w.pass(ctx); err != nil {
			return err
		}
	}
	return s.probe(ctx)
}

// isGoing is why no session is opened any more, once that is so.
func (s *Service) isGoing() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.draining
}

// probe sends a message through the real path and waits for it.
func (s *Service) probe(ctx context.Context) error {
	session := newSession(s, auth.Identity{}, s.limits().Heartbeat, false)
	defer session.close(nil)
	name := reserved + "ready." + session.id
	sub := newSubscription(session, subKey{name: name})
	if _, _, err := s.openChannel(ctx, sub, &millracev1.Subscription{Channel: name}); err != nil {
		return err
	}
	if err := session.insert(sub); err != nil {
		return err
	}
	if err := s.engine.Broadcast(ctx, &engine.Message{Channel: name, Time: time.Now(), Ephemeral: true}); err != nil {
		return err
	}
	for {
		frames, err := session.next(ctx)
		for _, f := range frames {
			if f.Message != nil {
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}

// protect keeps a panic in one call from ending the process, and makes every
// error the one that clients understand.
func (s *Service) protect(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) (err error) {
		defer func() {
			if r := recover(); r != nil {
				if abort, ok := r.(error); ok && errors.Is(abort, http.ErrAbortHandler) {
					panic(r)
				}
				err = asConnect(fmt.Errorf("panic in %s: %v\n%s", spec.Procedure, r, debug.Stack()))
			}
		}()
		err = next(ctx, spec, stream)
		if end, ok := errors.AsType[*refusal](context.Cause(ctx)); ok {
			err = end
		}
		return asConnect(s.explain(err))
	}
}

// explain gives an error of Connect itself, which keeps its code, a reason like
// that of all others: the request is too large or cannot be read.
func (s *Service) explain(err error) error {
	e, ok := errors.AsType[*connect.Error](err)
	if !ok || len(e.Details()) > 0 {
		return err
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		return r // of reading the request
	}
	info := &millracev1.ErrorInfo{
		Reason: millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, Field: "request",
		Message: strings.ToValidUTF8("request: "+e.Message(), "?"),
	}
	switch e.Code() {
	case connect.CodeResourceExhausted:
		info.Reason, info.Limit = millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, uint64(s.RequestBytes())
	case connect.CodeInvalidArgument, connect.CodeInternal, connect.CodeUnimplemented:
	default:
		return err
	}
	detail, detailErr := connectproto.NewErrorDetail(info)
	if detailErr != nil {
		return err
	}
	return connect.NewError(e.Code(), info.GetMessage()).WithDetail(detail).WithCause(err)
}
