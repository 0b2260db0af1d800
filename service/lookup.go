package service

import (
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/auth"
	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// History implements the API.
func (s *Service) History(ctx context.Context, request *millracev1.HistoryRequest) (*millracev1.HistoryResponse, error) {
	name := request.GetChannel()
	identity := identityOf(ctx)
	granted, err := s.access(ctx, identity, auth.History, name)
	if err != nil {
		return nil, err
	}
	if err := channel.Check(name); err != nil {
		return nil, asRefusal(err).on(name)
	}
	if s.rules.of(name).History.Messages == 0 {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_NOT_ENABLED, "channel", "the channel keeps no history").on(name)
	}
	limit, err := pageSize(request.GetPageSize())
	if err != nil {
		return nil, err
	}
	since, err := historyStart(request)
	if err != nil {
		return nil, err
	}
	next := ""
	options := engine.ReadOptions{After: since.Offset, Limit: limit}
	if request.GetOrder() == millracev1.HistoryOrder_HISTORY_ORDER_NEWEST_FIRST {
		options = engine.ReadOptions{Before: since.Offset, NewestFirst: true, Limit: limit}
	}
	page, err := s.engine.Read(ctx, name, options)
	if err != nil {
		return nil, err
	}
	if !since.IsZero() && since.Epoch != page.State.Epoch {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_GAP, "since", "since: the position is of another epoch of the channel").on(name)
	}
	if page.More {
		next = pageToken(page.Messages[len(page.Messages)-1].Position.String())
	}
	if granted == ownAccess {
		page.Messages = slices.DeleteFunc(slices.Clone(page.Messages), func(m *engine.Message) bool { return m.Publisher != identity.User })
	}
	response := &millracev1.HistoryResponse{Messages: toProtos(page.Messages), NextPageToken: next, Position: positionToProto(page.State.Position())}
	return response, nil
}

func historyStart(request *millracev1.HistoryRequest) (engine.Position, error) {
	if request.GetPageToken() == "" {
		return positionFromProto(request.GetSince()), nil
	}
	text, err := parsePageToken(request.GetPageToken())
	if err != nil {
		return engine.Position{}, err
	}
	position, err := engine.ParsePosition(text)
	if err != nil {
		return engine.Position{}, invalidPageToken()
	}
	return position, nil
}

// pageSize is how many entries a page has.
func pageSize(asked uint32) (int, error) {
	switch {
	case asked == 0:
		return defaultPageSize, nil
	case asked > maxPageSize:
		return 0, over(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, "page_size", int(asked), maxPageSize, "entries")
	}
	return int(asked), nil
}

// A page token is the place after which the next page begins, made opaque.
func pageToken(place string) string { return base64.RawURLEncoding.EncodeToString([]byte("p" + place)) }

func parsePageToken(token string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || !strings.HasPrefix(string(b), "p") {
		return "", invalidPageToken()
	}
	return string(b[1:]), nil
}

func invalidPageToken() error {
	return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_CURSOR, "page_token", "page_token: not one of this service")
}

// page cuts a sorted list to the page that a token asks for.
func page[T any](all []T, key func(T) string, token string, size uint32) (items []T, next string, err error) {
	limit, err := pageSize(size)
	if err != nil {
		return nil, "", err
	}
	if token != "" {
		after, err := parsePageToken(token)
		if err != nil {
			return nil, "", err
		}
		for len(all) > 0 && key(all[0]) <= after {
			all = all[1:]
		}
	}
	if len(all) > limit {
		next = pageToken(key(all[limit-1]))
		all = all[:limit]
	}
	return all, next, nil
}

// GetPositions implements the API.
func (s *Service) GetPositions(ctx context.Context, request *millracev1.GetPositionsRequest) (*millracev1.GetPositionsResponse, error) {
	if err := s.checkCount("channels", len(request.GetChannels())); err != nil {
		return nil, err
	}
	response, cursor := &millracev1.GetPositionsResponse{}, &Cursor{}
	for i, name := range request.GetChannels() {
		if _, err := s.checkSubscription(ctx, identityOf(ctx), &millracev1.Subscription{Channel: name}); err != nil {
			r := asRefusal(err)
			r.info.Field = "channels[" + strconv.Itoa(i) + "]"
			return nil, r
		}
		position, err := s.position(ctx, name)
		if err != nil {
			return nil, err
		}
		cursor.Set(name, position)
		response.Positions = append(response.Positions, &millracev1.ChannelPosition{Channel: name, Position: positionToProto(position)})
	}
	response.Cursor = cursor.String()
	return response, nil
}

func (s *Service) position(ctx context.Context, name string) (engine.Position, error) {
	if channel.IsPattern(name) {
		return s.engine.Sequence(ctx)
	}
	state, err := s.engine.State(ctx, name)
	return state.Position(), err
}

// GetServerInfo implements the API.
func (s *Service) GetServerInfo(context.Context, *millracev1.GetServerInfoRequest) (*millracev1.GetServerInfoResponse, error) {
	limits := s.limits()
	return &millracev1.GetServerInfoResponse{
		Version: s.config.Version,
		Node:    s.node,
		Time:    timestamppb.Now(),
		Limits: &millracev1.ServerLimits{
			MaxPayloadBytes:   uint64(limits.PayloadBytes),
			MaxChannels:       uint32(limits.Channels),
			MaxBatchMessages:  uint32(limits.BatchMessages),
			MaxChannelBytes:   channel.MaxBytes,
			MaxPendingBytes:   uint64(limits.PendingBytes),
			MaxReplayMessages: uint64(limits.ReplayMessages),
			MaxPublishRate:    uint32(limits.PublishRate),
			MaxUserSessions:   uint32(limits.UserSessions),
		},
	}, nil
}
