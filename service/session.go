package service

import (
	"crypto/rand"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// Session is one client's stay: its subscriptions, and the order in which they
// are read. It holds no messages; they wait in the topics that all share.
type Session struct {
	// Set once.
	id, token string
	prior     string // token that it was taken over from another node with
	claim     uint64 // rises each time that another node takes it over
	service   *Service
	protocol  string
	scope     string
	host      string    // of the peer, without the port
	ends      time.Time // when it has lived too long
	peer      string
	client    string
	started   time.Time
	heartbeat time.Duration
	budget    int64  // most bytes pending before a subscription falls behind
	cut       func() // frees a write that is stuck

	identity atomic.Pointer[auth.Identity] // see who
	used     atomic.Int64                  // when the client last asked for something, by elapsed
	expelled atomic.Bool                   // nothing but the end is sent any more

	wake    chan struct{} // holds one token if there is something to read; nil for sessions without a goroutine
	writer  *writer       // tells of what is published, and sends for sessions without a goroutine
	pending atomic.Int64  // bytes that live subscriptions have not passed
	writing atomic.Int64  // since when the client is being sent something, by elapsed; 0 if not

	// Of a session that is attached to a writer.
	attached  atomic.Bool  // from Attach to End
	scheduled atomic.Bool  // in the writer's queue
	blocked   atomic.Bool  // the client has not taken what was delivered
	missed    atomic.Bool  // something came up meanwhile
	due       atomic.Int64 // when something is to be done for silence, by elapsed
	// Owned by the writer.
	sink        Sink
	slot, place int // in the writer's wheel

	// commands is held while subscriptions change; it is never held while
	// waiting for the client.
	commands sync.Mutex

	mu      sync.Mutex
	subs    subscriptions
	over    bool                // closed: nothing is added any more
	queue   []*subscription     // to be read
	notices []note              // to be sent before anything else
	present map[string]struct{} // channels that the session is present in
	end     error               // why the session ends, once it does

	// Owned by the reader: the goroutine that calls next, or the writer.
	work   []*subscription // taken from queue, in the order of their turns
	held   []*subscription // whose turn is later
	unseen []*subscription // that may have checkpoints to send
	silent time.Time       // since when the client is sent nothing
	marked time.Time       // when checkpoints were sent last
	batch  *batch          // what is sent next; sessions of one writer share the writer's
	timer  *time.Timer
}

// newSession makes a session. One of a sink has no goroutine to wake. Only register
// makes it known to others.
func newSession(s *Service, identity auth.Identity, heartbeat time.Duration, isSink bool) *Session {
	session := &Session{
		id:      rand.Text()[:16],
		service: s,
		started: time.Now(), marked: time.Now(), heartbeat: heartbeat, budget: int64(s.limits().PendingBytes),
		cut: func() {}, writer: s.writer(), slot: noSlot,
	}
	if !isSink {
		session.wake, session.batch = make(chan struct{}, 1), &batch{}
	}
	session.token = s.newToken(session.id)
	session.identity.Store(&identity)
	session.used.Store(s.elapsed(session.started))
	session.ends = session.started.Add(ageOf(s.limits().MaxAge))
	return session
}

func (s *Session) ready() *millracev1.Ready {
	return &millracev1.Ready{
		Session:           s.id,
		SessionToken:      s.token,
		User:              s.who().User,
		HeartbeatInterval: durationpb.New(s.heartbeat),
		ExpireTime:        expireTime(s.who()),
	}
}

// enqueue has the reader look at a subscription. Its queued flag is set.
func (s *Session) enqueue(sub *subscription) {
	s.put(sub)
	s.awake()
}

// put puts a subscription where the reader finds it.
func (s *Session) put(sub *subscription) {
	s.mu.Lock()
	s.queue = append(s.queue, sub)
	s.mu.Unlock()
}

func (s *Session) awake() {
	if s.wake == nil {
		if !s.scheduled.Swap(true) {
			s.writer.add(s)
		}
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// finish ends the session for a reason: what is pending now is sent, as far as
// one batch holds it, then the reason.
func (s *Session) finish(reason error) {
	s.mu.Lock()
	if s.end == nil {
		s.end = reason
		s.queueAll() // the writer may not have told of the latest
	}
	s.mu.Unlock()
	s.awake()
}

// queueAll has every subscription read. Called under mu.
func (s *Session) queueAll() {
	for _, sub := range s.subs {
		if !sub.queued.Swap(true) {
			s.queue = append(s.queue, sub)
		}
	}
}

func (s *Session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// close ends all that the session has. Only the goroutine that calls next may
// call it, and next no more.
func (s *Session) close(end error) {
	s.finish(refuse(millracev1.ErrorReason_ERROR_REASON_SESSION_NOT_FOUND, "session_token", "the session has ended"))
	s.commands.Lock()
	defer s.commands.Unlock()
	s.mu.Lock()
	subs := s.subs
	s.over = true
	s.subs, s.queue, s.notices = nil, nil, nil
	s.mu.Unlock()
	for _, sub := range subs {
		sub.close()
	}
	s.part(end)
	if s.timer != nil {
		s.timer.Stop()
	}
}
