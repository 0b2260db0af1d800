package service

import (
	"cmp"
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/auth"
	"millrace.dev/channel"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// admin implements AdminService for this node.
type admin struct{ *Service }

func checkAdmin(ctx context.Context) error {
	if !identityOf(ctx).May(auth.Admin, ">") {
		return refuse(millracev1.ErrorReason_ERROR_REASON_FORBIDDEN, "", "the credentials do not allow administration")
	}
	return nil
}

// ListSessions implements the API.
func (a *admin) ListSessions(ctx context.Context, request *millracev1.ListSessionsRequest) (*millracev1.ListSessionsResponse, error) {
	if err := checkAdmin(ctx); err != nil {
		return nil, err
	}
	sessions := a.find("", request.GetUser())
	slices.SortFunc(sessions, func(x, y *Session) int { return cmp.Compare(x.id, y.id) })
	items, next, err := page(sessions, func(s *Session) string { return s.id }, request.GetPageToken(), request.GetPageSize())
	if err != nil {
		return nil, err
	}
	response := &millracev1.ListSessionsResponse{NextPageToken: next, Total: uint32(len(sessions))}
	for _, s := range items {
		response.Sessions = append(response.Sessions, s.toProto())
	}
	return response, nil
}

func (s *Session) toProto() *millracev1.Session {
	names := s.names()
	slices.Sort(names)
	return &millracev1.Session{
		Id: s.id, User: s.who().User, Protocol: s.protocol, Peer: s.peer, Client: s.client,
		StartTime: timestamppb.New(s.started), Channels: names, PendingBytes: uint64(max(s.pending.Load(), 0)),
	}
}

// find returns the sessions with an id, or of a user; all for neither.
func (a *admin) find(id, user string) []*Session {
	a.mu.RLock()
	sessions := a.all()
	a.mu.RUnlock()
	return slices.DeleteFunc(sessions, func(s *Session) bool {
		return id != "" && s.id != id || user != "" && s.who().User != user
	})
}

// ListChannels implements the API.
func (a *admin) ListChannels(ctx context.Context, request *millracev1.ListChannelsRequest) (*millracev1.ListChannelsResponse, error) {
	if err := checkAdmin(ctx); err != nil {
		return nil, err
	}
	pattern := cmp.Or(request.GetPattern(), ">")
	if err := channel.CheckPattern(pattern); err != nil {
		return nil, err
	}
	var channels []*millracev1.Channel
	a.hub.each(func(t *topic) {
		if channel.Covers(pattern, t.name) {
			channels = append(channels, &millracev1.Channel{Name: t.name, Subscribers: uint32(t.subscribers())})
		}
	})
	slices.SortFunc(channels, func(x, y *millracev1.Channel) int { return cmp.Compare(x.GetName(), y.GetName()) })
	items, next, err := page(channels, (*millracev1.Channel).GetName, request.GetPageToken(), request.GetPageSize())
	return &millracev1.ListChannelsResponse{Channels: items, NextPageToken: next, Total: uint32(len(channels))}, err
}

// Disconnect implements the API.
func (a *admin) Disconnect(ctx context.Context, request *millracev1.DisconnectRequest) (*millracev1.DisconnectResponse, error) {
	if err := checkAdmin(ctx); err != nil {
		return nil, err
	}
	if err := checkText("message", request.GetMessage(), maxMediaType); err != nil {
		return nil, err
	}
	sessions, err := a.target(request.GetSession(), request.GetUser())
	if err != nil {
		return nil, err
	}
	for _, s := range sessions {
		s.finish(refuse(millracev1.ErrorReason_ERROR_REASON_DISCONNECTED, "", "%s",
			cmp.Or(request.GetMessage(), "disconnected by an administrator")))
	}
	a.forgetLost(request.GetSession(), request.GetUser())
	return &millracev1.DisconnectResponse{Sessions: uint32(len(sessions))}, nil
}

// target finds the sessions that a request names; it must name some.
func (a *admin) target(id, user string) ([]*Session, error) {
	if id == "" && user == "" {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "target", "target: neither a session nor a user is given")
	}
	return a.find(id, user), nil
}

// Unsubscribe implements the API.
func (a *admin) Unsubscribe(ctx context.Context, request *millracev1.UnsubscribeRequest) (*millracev1.UnsubscribeResponse, error) {
	if err := checkAdmin(ctx); err != nil {
		return nil, err
	}
	sessions, err := a.target(request.GetSession(), request.GetUser())
	if err != nil {
		return nil, err
	}
	name, removed := request.GetChannel(), uint32(0)
	why := refuse(millracev1.ErrorReason_ERROR_REASON_DISCONNECTED, "", "unsubscribed by an administrator").on(name).info
	for _, s := range sessions {
		if s.evict(name, why) {
			removed++
		}
	}
	return &millracev1.UnsubscribeResponse{Sessions: removed}, nil
}

// evict removes a channel for a reason that the client is told.
func (s *Session) evict(name string, why *millracev1.ErrorInfo) bool {
	s.commands.Lock()
	defer s.commands.Unlock()
	removed := s.remove(subKey{name: name})
	if removed {
		s.notice(unsubscribedNotice(name, why))
	}
	return removed
}
