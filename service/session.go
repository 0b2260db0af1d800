package service

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/auth"
	"millrace.dev/channel"
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

// subscribe adds a channel or pattern. A nil answer without an error means that
// it was there already.
func (s *Session) subscribe(ctx context.Context, request *millracev1.Subscription) (subscribed *millracev1.Subscribed, err error) {
	name := request.GetChannel()
	granted, err := s.permit(ctx, request)
	if err != nil {
		return nil, err
	}
	defer s.commands.Unlock()
	s.yield(request)
	keys := []subKey{{name: name}, {name: name, presence: true}}
	if !request.GetPresence() {
		keys = keys[:1]
	}
	keys, err = s.missing(keys...)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 || keys[0].presence {
		s.confirm(ctx, name)
	}
	for _, key := range keys {
		if key.presence {
			err = s.watch(key)
		} else {
			subscribed, err = s.open(ctx, key, request, granted)
		}
		if err != nil {
			return nil, err
		}
	}
	return subscribed, nil
}

// yield removes what the session was given without asking, for one that it asks
// for and that is more than the same. What it has shown was before. Called under
// commands.
func (s *Session) yield(request *millracev1.Subscription) {
	key := subKey{name: request.GetChannel()}
	s.mu.Lock()
	given := s.subs.get(key)
	s.mu.Unlock()
	if given == nil || !given.joined {
		return
	}
	same := &millracev1.Subscription{Channel: request.GetChannel(), Presence: request.GetPresence()}
	if !proto.Equal(request, same) {
		s.remove(key)
	}
}

// permit checks a subscription, and returns how much it shows with commands
// locked: the credentials are still those that were checked.
func (s *Session) permit(ctx context.Context, request *millracev1.Subscription) (access, error) {
	for {
		checked := s.identity.Load()
		granted, err := s.service.checkSubscription(ctx, *checked, request)
		if err != nil {
			return noAccess, err
		}
		s.commands.Lock()
		if s.identity.Load() == checked {
			return granted, nil
		}
		s.commands.Unlock()
	}
}

// open adds a channel or pattern that is not there. Called under commands.
func (s *Session) open(ctx context.Context, key subKey, request *millracev1.Subscription, granted access) (*millracev1.Subscribed, error) {
	sub := newSubscription(s, key)
	sub.onlyOwn, sub.joined = granted == ownAccess, isJoined(ctx, key.name)
	open := s.service.openChannel
	if channel.IsPattern(key.name) {
		open = s.service.openPattern
	}
	subscribed, gap, err := open(ctx, sub, request)
	if err != nil {
		return nil, err
	}
	opening := []*Frame{subscribedNotice(subscribed).from(ctx)}
	if gap != nil {
		opening = append(opening, s.service.gapNotice(gap))
	}
	if !channel.IsPattern(key.name) && s.service.rules.of(key.name).Announce {
		sync, err := s.announce(key.name)
		if err != nil {
			sub.feed.leave()
			return nil, err
		}
		opening = append(opening, sync)
	}
	s.notice(opening...) // before the reader has the subscription
	return subscribed, s.insert(sub)
}

// announce makes the session present where the rule says that subscribers are,
// and returns who else is, in the form of existing clients.
func (s *Session) announce(name string) (sync *Frame, err error) {
	if err := s.markPresent(name); err != nil {
		return nil, err
	}
	s.service.presence.enter(name, s.entrant(), nil)
	who := map[string]any{"type": "sync", "userId": s.entrant().member, "users": s.service.presence.users(name)}
	return newMessageFrame(announcement(name, who)), nil
}

// watch adds the presence of a channel. Called under commands.
func (s *Session) watch(key subKey) error {
	sub := newSubscription(s, key)
	s.service.presence.watch(sub, key.name)
	return s.insert(sub)
}

// newSubscription makes a subscription that waits to be inserted: until then it
// counts as queued, so that its topic does not queue it.
func newSubscription(s *Session, key subKey) *subscription {
	sub := &subscription{key: key, session: s}
	sub.queued.Store(true)
	return sub
}

// missing are those of some subscriptions that the session does not have, or why
// it cannot have them.
func (s *Session) missing(keys ...subKey) ([]subKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	missing := slices.DeleteFunc(keys, func(key subKey) bool { return s.subs.get(key) != nil })
	has, limit := len(s.subs)+len(missing), s.service.limits().Channels
	if len(missing) > 0 && has > limit {
		return nil, over(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, "subscriptions", has, limit, "channels").on(missing[0].name)
	}
	return missing, nil
}

// insert hands a new subscription to the reader.
func (s *Session) insert(sub *subscription) error {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		sub.feed.leave()
		return s.reason()
	}
	s.subs.put(sub)
	s.mu.Unlock()
	s.enqueue(sub)
	return nil
}

// unsubscribe removes a channel or pattern, and its presence. It returns false
// if it was not there.
func (s *Session) unsubscribe(ctx context.Context, name string) bool {
	s.commands.Lock()
	defer s.commands.Unlock()
	s.remove(subKey{name: name, presence: true})
	if !s.remove(subKey{name: name}) {
		return false
	}
	s.notice(unsubscribedNotice(name, nil).from(ctx))
	if s.service.rules.of(name).Announce {
		s.leaveNow(name)
	}
	return true
}

// drop ends one subscription for a reason that the client did not give.
func (s *Session) drop(sub *subscription, why *millracev1.ErrorInfo) {
	s.commands.Lock()
	defer s.commands.Unlock()
	if !sub.removed.Load() && s.remove(sub.key) { // not another one of the name
		s.notice(unsubscribedNotice(sub.key.name, why))
	}
}

// remove takes a subscription out. Called under commands.
func (s *Session) remove(key subKey) bool {
	s.mu.Lock()
	sub := s.subs.take(key)
	s.mu.Unlock()
	if sub != nil {
		sub.close()
	}
	return sub != nil
}

// close ends a subscription: its feed sees nothing more, and what waited for it
// waits no longer.
func (sub *subscription) close() {
	sub.removed.Store(true)
	sub.feed.leave()
	sub.letGo()
}

// enqueue has the reader look at a subscription. Its queued flag is set.
func (s *Session) enqueue(sub *subscription) {
	s.mu.Lock()
	s.queue = append(s.queue, sub)
	s.mu.Unlock()
	s.awake()
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

// next waits for something to send. It returns frames, an error, or both: the
// frames are then the last. They are valid until the next call.
func (s *Session) next(ctx context.Context) ([]*Frame, error) {
	s.silent = time.Now()
	for {
		if err := s.collect(ctx, time.Now()); err != nil || len(s.batch.frames) > 0 {
			return s.batch.frames, err
		}
		if err := s.wait(ctx); err != nil || len(s.batch.frames) > 0 {
			return s.batch.frames, err
		}
	}
}

// collect fills the batch: notices first, then each subscription in turn. One
// that has more than fits goes to the end of the line.
func (s *Session) collect(ctx context.Context, now time.Time) error {
	s.batch.reset()
	s.mu.Lock()
	for _, n := range s.notices {
		n.fill()
		s.batch.add(n.frame)
	}
	s.notices = nil
	s.work = append(s.work, s.queue...)
	clear(s.queue)
	s.queue = s.queue[:0]
	end := s.end
	s.mu.Unlock()
	if end == nil {
		end = s.overdue(now)
	}
	s.release(now)
	read := 0
	for ; read < len(s.work) && !s.batch.full(); read++ {
		sub := s.work[read]
		if sub.nextTurn.After(now) {
			s.held = append(s.held, sub)
			continue
		}
		sub.queued.Store(false)
		more, err := s.readOne(ctx, sub, now)
		if err != nil {
			return err
		}
		if more && !sub.queued.Swap(true) {
			s.work = append(s.work, sub)
		}
	}
	left := copy(s.work, s.work[read:])
	clear(s.work[left:])
	s.work = s.work[:left]
	if now.Sub(s.marked) >= s.heartbeat {
		s.checkpoints(now) // the stream is not silent, and has no heartbeats
	}
	return end
}

// readOne takes one subscription's turn.
func (s *Session) readOne(ctx context.Context, sub *subscription, now time.Time) (more bool, err error) {
	from := len(s.batch.frames)
	more, err = sub.read(ctx, s.batch)
	for sub.pace.latestPerKey && err == nil {
		s.batch.conflate(from)
		if !more || s.batch.full() {
			break
		}
		more, err = sub.read(ctx, s.batch)
	}
	sub.report()
	if sub.pace.interval > 0 && len(s.batch.frames) > from {
		sub.nextTurn = now.Add(sub.pace.interval)
	}
	return more, err
}

// release gives the held subscriptions whose turn has come back to work.
func (s *Session) release(now time.Time) {
	s.held = slices.DeleteFunc(s.held, func(sub *subscription) bool {
		if sub.nextTurn.After(now) {
			return false
		}
		s.work = append(s.work, sub)
		return true
	})
}

// wait returns when there may be something to send; at a heartbeat, there is.
func (s *Session) wait(ctx context.Context) error {
	if len(s.work) > 0 {
		return ctx.Err()
	}
	d := s.untilDue(time.Now())
	if s.timer == nil {
		s.timer = time.NewTimer(d)
	} else {
		s.timer.Reset(d)
	}
	select {
	case <-s.wake:
		return nil
	case now := <-s.timer.C:
		return s.onTimer(now)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var heartbeatFrame = newNotice(&millracev1.SubscribeResponse{
	Notice: &millracev1.SubscribeResponse_Heartbeat{Heartbeat: &millracev1.Heartbeat{}},
})

// onTimer is what there is to do when nothing else was.
func (s *Session) onTimer(now time.Time) error {
	for _, sub := range s.held {
		if !sub.nextTurn.After(now) {
			return nil
		}
	}
	if err := errors.Join(s.overdue(now), s.neglected(now)); err != nil {
		return err
	}
	s.checkpoints(now)
	s.batch.add(heartbeatFrame)
	return nil
}

// checkpoints says where the subscriptions are that have moved unseen.
func (s *Session) checkpoints(now time.Time) {
	for _, sub := range s.unseen {
		sub.unseen = false
		if !sub.removed.Load() {
			sub.feed.checkpoints(s.batch)
		}
	}
	clear(s.unseen)
	s.unseen, s.marked = s.unseen[:0], now
}

// untilDue is how long the session may wait.
func (s *Session) untilDue(now time.Time) time.Duration {
	d := max(s.heartbeat-now.Sub(s.silent), 0)
	for _, sub := range s.held {
		d = min(d, max(sub.nextTurn.Sub(now), 0))
	}
	if expires := s.identity.Load().Expires; !expires.IsZero() {
		d = min(d, max(expires.Sub(now), 0))
	}
	return min(d, max(s.ends.Sub(now), 0))
}

// enter makes the session present in a channel.
func (s *Session) enter(name string, data *millracev1.Payload) (*millracev1.PresenceVersion, error) {
	s.commands.Lock()
	defer s.commands.Unlock()
	if err := s.markPresent(name); err != nil {
		return nil, err
	}
	return s.service.presence.enter(name, s.entrant(), data), nil
}

// markPresent notes what the session has to leave when it ends.
func (s *Session) markPresent(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return s.end
	}
	if s.present == nil {
		s.present = map[string]struct{}{}
	}
	_, already := s.present[name]
	if limit := s.service.limits().Channels; !already && len(s.present) >= limit {
		return over(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, "channel", len(s.present)+1, limit, "channels").on(name)
	}
	s.present[name] = struct{}{}
	return nil
}

// isPresent reports whether the session entered a channel.
func (s *Session) isPresent(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.present[name]
	return found
}

// leave ends the session's presence in a channel.
func (s *Session) leave(name string) *millracev1.PresenceVersion {
	s.commands.Lock()
	defer s.commands.Unlock()
	return s.leaveNow(name)
}

// leaveNow is leave, called under commands.
func (s *Session) leaveNow(name string) *millracev1.PresenceVersion {
	s.mu.Lock()
	delete(s.present, name)
	s.mu.Unlock()
	return s.service.presence.leave(name, s.entrant())
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
