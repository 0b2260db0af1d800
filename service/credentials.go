package service

import (
	"context"
	"errors"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/auth"
	nodev1 "millrace.dev/gen/millrace/node/v1"
	millracev1 "millrace.dev/gen/millrace/v1"
)

const (
	defaultTicketTTL = 30 * time.Second
	maxTicketTTL     = 5 * time.Minute
)

// errExpired is the end of a session that nobody has given new credentials.
func errExpired() error {
	return refuse(millracev1.ErrorReason_ERROR_REASON_EXPIRED, "", "the credentials have expired").retryAfter(0)
}

// who is whose session it is. The user never changes.
func (s *Session) who() auth.Identity { return *s.identity.Load() }

// RefreshToken implements the API. The token is the caller's credential: that of
// the call's header may have expired.
func (s *Service) RefreshToken(ctx context.Context, request *millracev1.RefreshTokenRequest) (*millracev1.RefreshTokenResponse, error) {
	token := request.GetSessionToken()
	if info, ok := connect.CallInfoForServerContext(ctx); ok && token == "" {
		token = info.RequestHeader().Get(HeaderSession)
	}
	session, err := s.session(token)
	if err != nil {
		return nil, err
	}
	if request.GetToken() == "" {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "token", "token: is empty")
	}
	identity, err := s.authenticator().Authenticate(ctx, auth.Credentials{Token: request.GetToken()})
	if err == nil {
		err = s.revoked.Check(identity)
	}
	if err != nil {
		return nil, err
	}
	if identity.User != session.who().User {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_FORBIDDEN, "token", "token: is not of the user of the session")
	}
	if err := session.refresh(ctx, identity); err != nil {
		return nil, err
	}
	return &millracev1.RefreshTokenResponse{ExpireTime: expireTime(identity)}, nil
}

// expireTime is when credentials expire, nil for never.
func expireTime(identity auth.Identity) *timestamppb.Timestamp {
	if identity.Expires.IsZero() {
		return nil
	}
	return timestamppb.New(identity.Expires)
}

// refresh gives the session new credentials and ends what they do not allow.
func (s *Session) refresh(ctx context.Context, identity auth.Identity) error {
	s.identity.Store(&identity)
	// It may have been revoked while it was checked.
	if err := s.service.revoked.Check(identity); err != nil {
		s.expel(err)
		return err
	}
	s.used.Store(s.service.elapsed(time.Now()))
	s.due.Store(0) // the new end may be earlier
	s.awake()
	for key, had := range s.granted() {
		action := auth.Subscribe
		if key.presence {
			action = auth.Watch
		}
		if granted, err := s.service.access(ctx, identity, action, key.name); err != nil || granted < had {
			s.lose(key, ErrorInfo(errors.Join(err, forbidden(action, key.name))))
		}
	}
	for _, name := range s.presentIn() {
		if s.service.allow(ctx, identity, auth.Presence, name) != nil {
			s.leave(name)
		}
	}
	return nil
}

// granted are the subscriptions of the session and how much each shows.
func (s *Session) granted() map[subKey]access {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[subKey]access, len(s.subs))
	for _, sub := range s.subs {
		all[sub.key] = allAccess
		if sub.onlyOwn {
			all[sub.key] = ownAccess
		}
	}
	return all
}

func (s *Session) presentIn() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.present {
		names = append(names, name)
	}
	return names
}

// lose ends a subscription that is not allowed any more.
func (s *Session) lose(key subKey, why *millracev1.ErrorInfo) {
	s.commands.Lock()
	defer s.commands.Unlock()
	if s.remove(key) && !key.presence {
		s.notice(unsubscribedNotice(key.name, why))
	}
}

// lastMoment is how long who is expelled may take for what is just being sent.
const lastMoment = 500 * time.Millisecond

// expel ends the session for a reason at once: what is pending is not sent any
// more, and a client that does not read is not waited for. Either this sees that
// something is being written, or who is about to write sees this. A client that
// reads has what is being written in a moment, and is then told the reason.
func (s *Session) expel(reason error) {
	s.finish(reason)
	s.expelled.Store(true)
	switch {
	case s.writing.Load() == 0:
	case s.isSlow(time.Now()):
		s.cut()
	default:
		time.AfterFunc(lastMoment, s.cutStuck)
	}
}

// cutStuck frees a write that does not end. A session that is over writes nothing.
func (s *Session) cutStuck() {
	s.mu.Lock()
	isStuck := !s.over && s.writing.Load() != 0
	s.mu.Unlock() // who is cut may want it
	if isStuck {
		s.cut()
	}
}

// CreateTicket implements the API.
func (s *Service) CreateTicket(ctx context.Context, request *millracev1.CreateTicketRequest) (*millracev1.CreateTicketResponse, error) {
	identity := identityOf(ctx)
	ttl := defaultTicketTTL
	if d := request.GetTtl(); d != nil {
		ttl = d.AsDuration()
		if d.CheckValid() != nil || ttl <= 0 || ttl > maxTicketTTL {
			return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "ttl", "ttl: must be more than nothing and at most %s", maxTicketTTL)
		}
	}
	if err := checkText("origin", request.GetOrigin(), maxMediaType); err != nil {
		return nil, err
	}
	if err := s.checkCount("channels", len(request.GetChannels())); err != nil {
		return nil, err
	}
	for _, name := range request.GetChannels() {
		if err := checkName(auth.Subscribe, name); err != nil {
			return nil, err
		}
		if !identity.Reaches(name) {
			return nil, forbidden(auth.Subscribe, name)
		}
	}
	if len(request.GetChannels()) > 0 {
		identity.Within = request.GetChannels()
	}
	ticket, expires, err := s.tickets.Issue(identity, strings.ToLower(request.GetOrigin()), ttl)
	if err != nil {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_RATE_LIMITED, "", "%s", err).retryAfter(defaultTicketTTL)
	}
	return &millracev1.CreateTicketResponse{Ticket: s.node + "." + ticket, ExpireTime: timestamppb.New(expires)}, nil
}

// redeem uses a ticket up: the node that made it knows it.
func (s *Service) redeem(ctx context.Context, ticket, origin string) (auth.Identity, error) {
	node, secret, _ := strings.Cut(ticket, ".")
	if node == s.node || !s.presence.isLive(node) {
		return s.tickets.Redeem(secret, origin)
	}
	answer, err := s.nodes.call(ctx, node, &nodev1.Call{Call: &nodev1.Call_Redeem{Redeem: &nodev1.Redeem{Ticket: secret, Origin: origin}}})
	if err != nil {
		return auth.Identity{}, err
	}
	c, err := callerFromNode(answer.GetCaller())
	return c.identity, err
}

// revokeHere makes credentials worthless on this node, and ends the sessions that
// have them.
func (s *Service) revokeHere(revocation auth.Revocation) (sessions int, err error) {
	if err := s.revoked.Add(revocation); err != nil {
		return 0, refuse(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, "", "%s", err)
	}
	s.authorizer.forget()
	s.mu.RLock()
	all := s.all()
	s.mu.RUnlock()
	for _, session := range all {
		if revocation.Covers(session.who()) {
			session.expel(refuse(millracev1.ErrorReason_ERROR_REASON_UNAUTHENTICATED, "", "the credentials were revoked"))
			sessions++
		}
	}
	return sessions, nil
}
