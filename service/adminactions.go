package service

import (
	"cmp"
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
)

const (
	defaultKick     = time.Minute
	maxKick         = 24 * time.Hour
	defaultRemember = 30 * 24 * time.Hour
	maxRemember     = 400 * 24 * time.Hour
)

// Disconnect implements the API.
func (a *admin) Disconnect(ctx context.Context, request *millracev1.DisconnectRequest) (*millracev1.DisconnectResponse, error) {
	if err := a.permit(ctx, auth.Disconnect, everywhere); err != nil {
		return nil, err
	}
	if err := checkText("message", request.GetMessage(), maxMediaType); err != nil {
		return nil, err
	}
	sessions, err := a.target(request.GetSession(), request.GetUser())
	if err != nil {
		return nil, err
	}
	a.dismiss(sessions, cmp.Or(request.GetMessage(), "disconnected by an administrator"))
	a.forgetLost(request.GetSession(), request.GetUser())
	a.record(ctx, "Disconnect", len(sessions), "session", request.GetSession(), "user", request.GetUser(), "message", request.GetMessage())
	return &millracev1.DisconnectResponse{Sessions: uint32(len(sessions))}, nil
}

// dismiss ends sessions. One whose client takes nothing is not waited for.
func (a *admin) dismiss(sessions []*Session, message string) {
	now := time.Now()
	for _, s := range sessions {
		why := refuse(millracev1.ErrorReason_ERROR_REASON_DISCONNECTED, "", "%s", message)
		if s.isSlow(now) {
			s.expel(why)
		} else {
			s.finish(why)
		}
	}
}

// target finds the sessions that a request names; it must name some.
func (a *admin) target(id, user string) ([]*Session, error) {
	if id == "" && user == "" {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "target", "target: neither a session nor a user is given")
	}
	return a.find(func(s *Session) bool { return id != "" && s.id == id || user != "" && s.who().User == user }), nil
}

// Unsubscribe implements the API.
func (a *admin) Unsubscribe(ctx context.Context, request *millracev1.UnsubscribeRequest) (*millracev1.UnsubscribeResponse, error) {
	name := request.GetChannel()
	if err := a.permit(ctx, auth.Disconnect, name); err != nil {
		return nil, err
	}
	sessions, err := a.target(request.GetSession(), request.GetUser())
	if err != nil {
		return nil, err
	}
	removed := 0
	why := refuse(millracev1.ErrorReason_ERROR_REASON_DISCONNECTED, "", "unsubscribed by an administrator").on(name).info
	for _, s := range sessions {
		if s.evict(name, why) {
			removed++
		}
	}
	a.record(ctx, "Unsubscribe", removed, "session", request.GetSession(), "user", request.GetUser(), "channel", name)
	return &millracev1.UnsubscribeResponse{Sessions: uint32(removed)}, nil
}

// evict removes a channel for a reason that the client is told.
func (s *Session) evict(name string, why *millracev1.ErrorInfo) bool {
	s.commands.Lock()
	defer s.commands.Unlock()
	s.remove(subKey{name: name, presence: true})
	removed := s.remove(subKey{name: name})
	if removed {
		s.notice(unsubscribedNotice(name, why))
	}
	return removed
}

// Kick implements the API.
func (a *admin) Kick(ctx context.Context, request *millracev1.KickRequest) (*millracev1.KickResponse, error) {
	if err := a.permit(ctx, auth.Disconnect, everywhere); err != nil {
		return nil, err
	}
	user := request.GetUser()
	if user == "" {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "user", "user: is empty")
	}
	if err := checkText("message", request.GetMessage(), maxMediaType); err != nil {
		return nil, err
	}
	duration, err := within("duration", request.GetDuration(), defaultKick, maxKick)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(duration)
	if err := a.kicked.add(user, until); err != nil { // before the sessions end, so that none comes back
		return nil, err
	}
	sessions, err := a.target("", user)
	if err != nil {
		return nil, err
	}
	a.dismiss(sessions, cmp.Or(request.GetMessage(), "disconnected by an administrator"))
	a.forgetLost("", user)
	a.record(ctx, "Kick", len(sessions), "user", user, "duration", duration, "message", request.GetMessage())
	if err := a.keepKick(ctx, user, until); err != nil {
		return nil, err
	}
	return &millracev1.KickResponse{Sessions: uint32(len(sessions))}, nil
}

// within is a duration that was asked for, or the default, if it is one that may
// be.
func within(field string, asked *durationpb.Duration, otherwise, limit time.Duration) (time.Duration, error) {
	if asked == nil {
		return otherwise, nil
	}
	d := asked.AsDuration()
	if asked.CheckValid() != nil || d <= 0 || d > limit {
		return 0, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, field, "%s: must be more than nothing and at most %s", field, limit)
	}
	return d, nil
}

// Revoke implements the API.
func (a *admin) Revoke(ctx context.Context, request *millracev1.RevokeRequest) (*millracev1.RevokeResponse, error) {
	if err := a.permit(ctx, auth.Revoke, everywhere); err != nil {
		return nil, err
	}
	if request.GetTokenId() == "" && request.GetUser() == "" {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "target", "target: neither a token nor a user is given")
	}
	remember, err := within("remember", request.GetRemember(), defaultRemember, maxRemember)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	revocation := auth.Revocation{TokenID: request.GetTokenId(), User: request.GetUser(), At: now, Until: now.Add(remember)}
	sessions, err := a.revokeHere(revocation)
	if err != nil {
		return nil, err
	}
	a.record(ctx, "Revoke", sessions, "token", request.GetTokenId(), "user", request.GetUser(), "remember", remember)
	if err := a.keepRevocation(ctx, revocation); err != nil {
		return nil, err
	}
	return &millracev1.RevokeResponse{Sessions: uint32(sessions)}, nil
}
