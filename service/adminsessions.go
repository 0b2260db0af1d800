package service

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/auth"
	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// find returns the sessions that are meant.
func (a *admin) find(isMeant func(*Session) bool) []*Session {
	a.mu.RLock()
	sessions := a.all()
	a.mu.RUnlock()
	return slices.DeleteFunc(sessions, func(s *Session) bool { return !isMeant(s) })
}

// ListSessions implements the API.
func (a *admin) ListSessions(ctx context.Context, request *millracev1.ListSessionsRequest) (*millracev1.ListSessionsResponse, error) {
	if err := checkAdmin(ctx, auth.Inspect, everywhere); err != nil {
		return nil, err
	}
	isMeant, err := sessionFilter(request)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	sessions := ranked(a.find(isMeant), sessionPlace(request.GetOrder()))
	items, next, err := page(sessions, ranking[*Session].key, request.GetPageToken(), request.GetPageSize())
	if err != nil {
		return nil, err
	}
	response := &millracev1.ListSessionsResponse{NextPageToken: next, Total: uint32(len(sessions))}
	for _, item := range items {
		response.Sessions = append(response.Sessions, item.of.toProto(now))
	}
	return response, nil
}

// sessionFilter is which sessions a request is about.
func sessionFilter(request *millracev1.ListSessionsRequest) (func(*Session) bool, error) {
	user, protocol, name := request.GetUser(), request.GetProtocol(), request.GetChannel()
	from, err := parseNetwork(request.GetAddress())
	if err != nil {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "address", "address: neither an address nor a network such as 10.0.0.0/8")
	}
	return func(s *Session) bool {
		return (user == "" || s.who().User == user) && (protocol == "" || s.protocol == protocol) &&
			(!from.IsValid() || contains(from, s.host)) && (name == "" || s.isSubscribed(name))
	}, nil
}

// parseNetwork reads an address or a network. No text is none.
func parseNetwork(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func contains(network netip.Prefix, host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && network.Contains(addr.Unmap().WithZone(""))
}

// sessionPlace is the text that an order sorts sessions by, before their ids.
func sessionPlace(order millracev1.SessionOrder) func(*Session) string {
	switch order {
	case millracev1.SessionOrder_SESSION_ORDER_NEWEST:
		return func(s *Session) string { return descending(s.started.UnixNano()) + s.id }
	case millracev1.SessionOrder_SESSION_ORDER_PENDING:
		return func(s *Session) string { return descending(s.pending.Load()) + s.id }
	case millracev1.SessionOrder_SESSION_ORDER_UNSPECIFIED:
	}
	return func(s *Session) string { return s.id }
}

// descending is a number as text of which that of a greater one is the lesser.
func descending(n int64) string { return fmt.Sprintf("%016x ", math.MaxInt64-max(n, 0)) }

// ranking is something and the text that it is sorted by, as of one moment.
type ranking[T any] struct {
	of    T
	place string
}

func (r ranking[T]) key() string { return r.place }

func ranked[T any](items []T, place func(T) string) []ranking[T] {
	all := make([]ranking[T], len(items))
	for i, item := range items {
		all[i] = ranking[T]{item, place(item)}
	}
	slices.SortFunc(all, func(x, y ranking[T]) int { return cmp.Compare(x.place, y.place) })
	return all
}

func (s *Session) isSubscribed(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subs.get(subKey{name: name}) != nil
}

func (s *Session) toProto(now time.Time) *millracev1.Session {
	return &millracev1.Session{
		Id: s.id, User: s.who().User, Protocol: s.protocol, Peer: s.peer, Client: s.client,
		StartTime: timestamppb.New(s.started), ExpireTime: expireTime(s.who()), Subscriptions: uint32(s.channels()),
		PendingBytes: uint64(max(s.pending.Load(), 0)), Slow: s.isSlow(now),
	}
}

// channels is how many channels and patterns the session is subscribed to.
func (s *Session) channels() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, sub := range s.subs {
		if !sub.key.presence {
			n++
		}
	}
	return n
}

// GetSession implements the API.
func (a *admin) GetSession(ctx context.Context, request *millracev1.GetSessionRequest) (*millracev1.GetSessionResponse, error) {
	if err := checkAdmin(ctx, auth.Inspect, everywhere); err != nil {
		return nil, err
	}
	found := a.find(func(s *Session) bool { return s.id == request.GetSession() })
	if len(found) == 0 {
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_SESSION_NOT_FOUND, "session", "session: no live session of this node has this id")
	}
	s, now := found[0], time.Now()
	response := &millracev1.GetSessionResponse{
		Session: s.toProto(now), Present: s.presentIn(), TokenId: s.who().TokenID, Scope: s.scope,
	}
	slices.Sort(response.Present)
	if stalled := s.stalled(now); stalled > 0 {
		response.Stalled = durationpb.New(stalled)
	}
	for _, sub := range s.subscriptions() {
		response.Subscriptions = append(response.Subscriptions, a.subscriptionState(ctx, sub))
	}
	return response, nil
}

// subscriptions are those of the session, by name.
func (s *Session) subscriptions() []*subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.subs)
}

func (a *admin) subscriptionState(ctx context.Context, sub *subscription) *millracev1.SessionSubscription {
	state := &millracev1.SessionSubscription{Channel: sub.key.name, Presence: sub.key.presence}
	state.PendingBytes, state.Behind = sub.waiting()
	if sub.key.presence || channel.IsPattern(sub.key.name) {
		return state
	}
	shown := sub.shown.Load() // before the head, which is never behind it
	if head := a.headOf(ctx, sub.key.name); !head.IsZero() {
		state.Position = positionToProto(engine.Position{Epoch: head.Epoch, Offset: shown})
		state.Head = positionToProto(head)
	}
	return state
}

// headOf is where a channel is, if that can be had now.
func (a *admin) headOf(ctx context.Context, name string) engine.Position {
	state, err := a.engine.State(ctx, name)
	if err != nil {
		return engine.Position{}
	}
	return state.Position()
}
