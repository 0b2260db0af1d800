package service

import (
	"context"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// checkPresence reports why a caller may not do action to a channel's presence.
func (s *Service) checkPresence(ctx context.Context, identity auth.Identity, action auth.Action, name string) error {
	if err := s.allow(ctx, identity, action, name); err != nil {
		return err
	}
	if s.rules.of(name).NoPresence {
		return refuse(millracev1.ErrorReason_ERROR_REASON_NOT_ENABLED, "channel", "the channel has no presence").on(name)
	}
	return nil
}

func (s *Service) checkWatch(ctx context.Context, identity auth.Identity, name string) error {
	return s.checkPresence(ctx, identity, auth.Watch, name)
}

// Presence implements the API.
func (s *Service) Presence(ctx context.Context, request *millracev1.PresenceRequest) (*millracev1.PresenceResponse, error) {
	name := request.GetChannel()
	if err := s.checkWatch(ctx, identityOf(ctx), name); err != nil {
		return nil, err
	}
	limit, err := pageSize(request.GetPageSize())
	if err != nil {
		return nil, err
	}
	after := ""
	if token := request.GetPageToken(); token != "" {
		if after, err = parsePageToken(token); err != nil {
			return nil, err
		}
	}
	members, more, total, version := s.presence.page(name, after, limit)
	response := &millracev1.PresenceResponse{Members: members, Total: uint32(total), Version: version}
	if more {
		response.NextPageToken = pageToken(members[len(members)-1].GetUser())
	}
	return response, nil
}

// WatchPresence implements the API: a session that has only presence.
func (s *Service) WatchPresence(ctx context.Context, request *millracev1.WatchPresenceRequest, stream millracev1connect.RealtimeServiceWatchPresenceServerStream) error {
	if len(request.GetChannels()) == 0 {
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "channels", "channels: none given")
	}
	if err := s.checkCount("channels", len(request.GetChannels())); err != nil {
		return err
	}
	session, err := s.openSession(ctx, &millracev1.SubscribeRequest{}, false)
	if err != nil {
		return err
	}
	session.notices = nil // a watcher is not told its token: it has no commands
	err = session.watchAll(ctx, request.GetChannels())
	if err == nil {
		err = session.run(ctx, func(batch *Batch) error { return stream.Send(toWatchResponse(batch.Frames[0].Notice)) })
	}
	return s.end(session, err)
}

// watchAll adds the presence of channels.
func (s *Session) watchAll(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := s.service.checkWatch(ctx, s.who(), name); err != nil {
			return err
		}
	}
	s.commands.Lock()
	defer s.commands.Unlock()
	for _, name := range names {
		keys, err := s.missing(subKey{name: name, presence: true})
		if err != nil {
			return err
		}
		for _, key := range keys {
			if err := s.watch(key); err != nil {
				return err
			}
		}
	}
	return nil
}

func toWatchResponse(notice *millracev1.SubscribeResponse) *millracev1.WatchPresenceResponse {
	switch n := notice.GetNotice().(type) {
	case *millracev1.SubscribeResponse_PresenceSnapshot:
		return &millracev1.WatchPresenceResponse{Notice: &millracev1.WatchPresenceResponse_Snapshot{Snapshot: n.PresenceSnapshot}}
	case *millracev1.SubscribeResponse_PresenceChanges:
		return &millracev1.WatchPresenceResponse{Notice: &millracev1.WatchPresenceResponse_Changes{Changes: n.PresenceChanges}}
	}
	return &millracev1.WatchPresenceResponse{Notice: &millracev1.WatchPresenceResponse_Heartbeat{Heartbeat: &millracev1.Heartbeat{}}}
}

// EnterPresence implements the API.
func (s *Service) EnterPresence(ctx context.Context, request *millracev1.EnterPresenceRequest) (*millracev1.EnterPresenceResponse, error) {
	session, err := s.presentSession(ctx, request.GetSessionToken(), request.GetChannel(), request.GetData())
	if err != nil {
		return nil, err
	}
	version, err := session.enter(request.GetChannel(), request.GetData())
	if err != nil {
		return nil, err
	}
	return &millracev1.EnterPresenceResponse{Version: version}, nil
}

// UpdatePresence implements the API.
func (s *Service) UpdatePresence(ctx context.Context, request *millracev1.UpdatePresenceRequest) (*millracev1.UpdatePresenceResponse, error) {
	session, err := s.presentSession(ctx, request.GetSessionToken(), request.GetChannel(), request.GetData())
	if err != nil {
		return nil, err
	}
	if !session.isPresent(request.GetChannel()) {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "channel", "the session is not present in the channel").on(request.GetChannel())
	}
	version, err := session.enter(request.GetChannel(), request.GetData())
	if err != nil {
		return nil, err
	}
	return &millracev1.UpdatePresenceResponse{Version: version}, nil
}

// LeavePresence implements the API.
func (s *Service) LeavePresence(ctx context.Context, request *millracev1.LeavePresenceRequest) (*millracev1.LeavePresenceResponse, error) {
	session, err := s.presentSession(ctx, request.GetSessionToken(), request.GetChannel(), nil)
	if err != nil {
		return nil, err
	}
	return &millracev1.LeavePresenceResponse{Version: session.leave(request.GetChannel())}, nil
}

// presentSession finds the session and checks what it asks for.
func (s *Service) presentSession(ctx context.Context, token, name string, data *millracev1.Payload) (*Session, error) {
	session, err := s.sessionOf(ctx, token)
	if err != nil {
		return nil, err
	}
	if err := s.checkPresence(ctx, session.who(), auth.Presence, name); err != nil {
		return nil, err
	}
	p := PayloadFromProto(data)
	if n := len(p.Data); n > maxPresenceBytes {
		return nil, over(millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, "data", n, maxPresenceBytes, "bytes").on(name)
	}
	if err := checkForm("data", p); err != nil {
		return nil, asRefusal(err).on(name)
	}
	return session, nil
}
