package service

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect/v2"

	"millrace.dev/auth"
	"millrace.dev/channel"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

const (
	minHeartbeat = time.Second
	maxHeartbeat = 5 * time.Minute
)

// serveSubscribe is the innermost interceptor: it serves the Subscribe method on
// the untyped stream, which can send a [Batch] of shared frames, and leaves all
// other methods to their generated handlers.
func (s *Service) serveSubscribe(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) error {
		if spec.Procedure != millracev1connect.RealtimeServiceSubscribeProcedure {
			return next(ctx, spec, stream)
		}
		var request millracev1.SubscribeRequest
		if err := stream.Receive(&request); err != nil {
			return err
		}
		return s.subscribe(ctx, &request, stream)
	}
}

// Subscribe implements the generated handler, which serveSubscribe stands before.
func (s *Service) Subscribe(context.Context, *millracev1.SubscribeRequest, millracev1connect.RealtimeServiceSubscribeServerStream) error {
	return refuse(millracev1.ErrorReason_ERROR_REASON_INTERNAL, "", "subscribe is served by the interceptor")
}

// subscribe runs a session to its end.
func (s *Service) subscribe(ctx context.Context, request *millracev1.SubscribeRequest, stream connect.ServerStream) error {
	sink, isSink := stream.(Sink)
	session, err := s.openSession(ctx, request, isSink)
	if err != nil {
		return err
	}
	if err := session.subscribeAll(ctx, request.GetSubscriptions(), request.GetCursor()); err != nil {
		return s.end(session, err)
	}
	if isSink {
		return session.attach(sink)
	}
	return s.end(session, session.run(ctx, func(batch *Batch) error { return stream.Send(batch) }))
}

// end ends a session that nobody reads any more, and returns why.
func (s *Service) end(session *Session, reason error) error {
	session.close(reason)
	s.ended(session, reason)
	s.unregister(session)
	return reason
}

// run sends what there is until the session ends, and returns why.
func (s *Session) run(ctx context.Context, send func(*Batch) error) error {
	for {
		frames, end := s.next(ctx)
		s.counts().count(s.batch)
		for len(frames) > 0 {
			n := batchLen(frames)
			began := time.Now()
			s.writing.Store(s.service.elapsed(began))
			if s.expelled.Load() {
				return s.reason()
			}
			err := send(&Batch{Frames: frames[:n]})
			s.writing.Store(0)
			if err != nil && s.expelled.Load() {
				err = s.reason() // why it was cut
			}
			if err != nil {
				return err
			}
			s.sent(frames[:n], began)
			frames = frames[n:]
		}
		if end != nil {
			return end
		}
	}
}

// batchLen is how many of the frames go together: a run of messages, or one
// notice.
func batchLen(frames []*Frame) int {
	n := 1
	for frames[0].Message != nil && n < len(frames) && frames[n].Message != nil {
		n++
	}
	return n
}

// openSession makes a session with its first notice, and makes it known.
func (s *Service) openSession(ctx context.Context, request *millracev1.SubscribeRequest, isSink bool) (*Session, error) {
	if n := len(request.GetClient()); n > maxClientBytes {
		return nil, over(millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, "client", n, maxClientBytes, "bytes")
	}
	heartbeat := s.limits().Heartbeat
	if d := request.GetHeartbeatInterval(); d != nil {
		heartbeat = min(max(d.AsDuration(), minHeartbeat), maxHeartbeat)
	}
	c := callerOf(ctx)
	session := newSession(s, c.identity, heartbeat, isSink)
	session.client, session.scope, session.host = request.GetClient(), c.scope, c.host
	if info, ok := connect.CallInfoForServerContext(ctx); ok {
		session.protocol, session.peer = info.Protocol, info.PeerAddr
	}
	if cut, ok := ctx.Value(cutKey{}).(func()); ok {
		session.cut = cut
	}
	if err := s.isGoing(); err != nil {
		return nil, err // nothing is taken over by a node that keeps no session
	}
	s.takeOver(ctx, session, request.GetSessionToken())
	ready := newNotice(&millracev1.SubscribeResponse{Notice: &millracev1.SubscribeResponse_Ready{Ready: session.ready()}})
	session.notices = []note{{frame: ready}}
	if err := s.register(session); err != nil {
		session.part(err) // what it has taken over
		return nil, err
	}
	s.began(ctx, session)
	if err := errors.Join(s.revoked.Check(session.who()), s.kicked.check(session.who())); err != nil { // while it was being opened
		return nil, s.end(session, err)
	}
	return session, nil
}

// subscribeAll adds what the client asked for when it opened the session; all
// or nothing.
func (s *Session) subscribeAll(ctx context.Context, requests []*millracev1.Subscription, cursorText string) error {
	if err := s.service.checkCount("subscriptions", len(requests)); err != nil {
		return err
	}
	from, err := ParseCursor(cursorText)
	if err != nil {
		return err
	}
	for _, request := range requests {
		if _, err := s.subscribe(ctx, from.resume(request)); err != nil {
			return err
		}
	}
	return nil
}

// checkSubscription reports why a subscription cannot be, or how much it shows.
func (s *Service) checkSubscription(ctx context.Context, identity auth.Identity, request *millracev1.Subscription) (access, error) {
	name := request.GetChannel()
	granted, err := s.access(ctx, identity, auth.Subscribe, name)
	if err == nil {
		err = s.checkWishes(request)
	}
	if err == nil && request.GetPresence() {
		err = s.checkWatch(ctx, identity, name)
	}
	return granted, err
}

// checkWishes reports what of a subscription cannot be, whoever asks for it.
func (s *Service) checkWishes(request *millracev1.Subscription) error {
	name := request.GetChannel()
	isPattern := channel.IsPattern(name)
	switch {
	case isPattern && !s.rules.allowsPattern(name):
		return refuse(millracev1.ErrorReason_ERROR_REASON_NOT_ENABLED, "channel", "the rules do not allow patterns here").on(name)
	case isPattern && request.GetRecent() > 0:
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "recent", "recent: not for a pattern").on(name)
	case isPattern && request.GetPresence():
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "presence", "presence: not for a pattern").on(name)
	case request.GetRecent() > 0 && request.GetSince() != nil:
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "recent", "recent: not together with since").on(name)
	case !isPattern && len(request.GetSeen()) > 0:
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "seen", "seen: only for a pattern").on(name)
	}
	if err := checkPace(request, isPattern); err != nil {
		return asRefusal(err).on(name)
	}
	return nil
}

// UpdateSubscription implements the API.
func (s *Service) UpdateSubscription(ctx context.Context, request *millracev1.UpdateSubscriptionRequest) (*millracev1.UpdateSubscriptionResponse, error) {
	session, err := s.sessionOf(ctx, request.GetSessionToken())
	if err != nil {
		return nil, err
	}
	from, err := ParseCursor(request.GetCursor())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.checkCount("add", len(request.GetAdd())), s.checkCount("remove", len(request.GetRemove()))); err != nil {
		return nil, err
	}
	response := &millracev1.UpdateSubscriptionResponse{}
	for _, name := range request.GetRemove() {
		if session.unsubscribe(ctx, name) {
			response.Unsubscribed = append(response.Unsubscribed, name)
		}
	}
	for _, add := range request.GetAdd() {
		subscribed, err := session.subscribe(ctx, from.resume(add))
		switch {
		case err != nil:
			response.Errors = append(response.Errors, asRefusal(err).on(printable(add.GetChannel())).info)
		case subscribed != nil:
			response.Subscribed = append(response.Subscribed, subscribed)
		}
	}
	return response, nil
}

// sessionOf finds the session that a call is about: by the token in the request
// or, for commands on the session's own connection, in the header. The caller
// must be the user who opened it.
func (s *Service) sessionOf(ctx context.Context, token string) (*Session, error) {
	if info, ok := connect.CallInfoForServerContext(ctx); ok && token == "" {
		token = info.RequestHeader().Get(HeaderSession)
	}
	session, err := s.session(token)
	if err != nil {
		return nil, err
	}
	if session.who().User != identityOf(ctx).User {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_FORBIDDEN, "session_token", "the session belongs to another user")
	}
	return session, nil
}

// sessionIDOf is the public id of the session that a call is about, which another
// node may have.
func (s *Service) sessionIDOf(ctx context.Context, token string) (string, error) {
	if info, ok := connect.CallInfoForServerContext(ctx); ok && token == "" {
		token = info.RequestHeader().Get(HeaderSession)
	}
	parts := parseToken(token)
	if parts.node == s.node || !s.presence.isLive(parts.node) {
		session, err := s.sessionOf(ctx, token)
		if err != nil {
			return "", err
		}
		return session.id, nil
	}
	c := caller{}
	if err := s.authenticateOn(ctx, parts.node, token, &c); err != nil {
		return "", err
	}
	if c.identity.User != identityOf(ctx).User {
		return "", refuse(millracev1.ErrorReason_ERROR_REASON_FORBIDDEN, "session_token", "the session belongs to another user")
	}
	return parts.id, nil
}
