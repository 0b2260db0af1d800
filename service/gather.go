package service

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// merges are the methods that all nodes run, and how the response of another node
// is added to one. What comes of it goes to the caller once all are in.
var merges = map[string]merge{
	millracev1connect.AdminServiceListSessionsProcedure: mergeOf(func(_ *millracev1.ListSessionsRequest, to, from *millracev1.ListSessionsResponse) {
		to.Sessions = append(to.Sessions, from.GetSessions()...)
		to.Total += from.GetTotal()
		to.NextPageToken = cmp.Or(to.GetNextPageToken(), from.GetNextPageToken())
	}, finishSessions),
	millracev1connect.AdminServiceListChannelsProcedure: mergeOf(func(_ *millracev1.ListChannelsRequest, to, from *millracev1.ListChannelsResponse) {
		to.Channels = append(to.Channels, from.GetChannels()...)
		to.Total += from.GetTotal()
		to.NextPageToken = cmp.Or(to.GetNextPageToken(), from.GetNextPageToken())
	}, finishChannels),
	millracev1connect.AdminServiceGetSessionProcedure: mergeOf(func(_ *millracev1.GetSessionRequest, _, _ *millracev1.GetSessionResponse) {}, nil),
	millracev1connect.AdminServiceGetChannelProcedure: mergeOf(func(_ *millracev1.GetChannelRequest, to, from *millracev1.GetChannelResponse) {
		addChannel(to.GetChannel(), from.GetChannel())
	}, nil),
	millracev1connect.AdminServiceDisconnectProcedure: mergeOf(func(_ *millracev1.DisconnectRequest, to, from *millracev1.DisconnectResponse) {
		to.Sessions += from.GetSessions()
	}, nil),
	millracev1connect.AdminServiceUnsubscribeProcedure: mergeOf(func(_ *millracev1.UnsubscribeRequest, to, from *millracev1.UnsubscribeResponse) {
		to.Sessions += from.GetSessions()
	}, nil),
	millracev1connect.AdminServiceKickProcedure: mergeOf(func(_ *millracev1.KickRequest, to, from *millracev1.KickResponse) {
		to.Sessions += from.GetSessions()
	}, nil),
	millracev1connect.AdminServiceRevokeProcedure: mergeOf(func(_ *millracev1.RevokeRequest, to, from *millracev1.RevokeResponse) {
		to.Sessions += from.GetSessions()
	}, nil),
}

// addChannel adds what another node has of a channel.
func addChannel(to, from *millracev1.Channel) {
	to.Subscribers += from.GetSubscribers()
	to.MessageRate = max(to.GetMessageRate(), from.GetMessageRate()) // each node sees the same messages
	to.ByteRate = max(to.GetByteRate(), from.GetByteRate())
	if to.GetHead() == nil {
		to.Head = from.GetHead()
	}
}

// merge makes one response of those of all nodes, the first of which is this one's.
type merge func(request proto.Message, responses []proto.Message) (proto.Message, error)

func mergeOf[Request, Response proto.Message](add func(request Request, to, from Response), finish func(Request, Response) error) merge {
	return func(request proto.Message, responses []proto.Message) (proto.Message, error) {
		asked, _ := request.(Request)
		all, _ := responses[0].(Response)
		for _, response := range responses[1:] {
			if from, ok := response.(Response); ok {
				add(asked, all, from)
			}
		}
		if finish == nil || len(responses) == 1 {
			return all, nil
		}
		return all, finish(asked, all)
	}
}

// finishSessions cuts the pages of all nodes to one. Each has what comes first of
// its own, so that what comes first of all is among them.
func finishSessions(request *millracev1.ListSessionsRequest, all *millracev1.ListSessionsResponse) (err error) {
	all.Sessions, all.NextPageToken, err = cutPage(all.GetSessions(), listedPlace(request.GetOrder()), request.GetPageSize(), all.GetNextPageToken())
	return err
}

// listedPlace is sessionPlace for sessions of other nodes.
func listedPlace(order millracev1.SessionOrder) func(*millracev1.Session) string {
	switch order {
	case millracev1.SessionOrder_SESSION_ORDER_NEWEST:
		return func(s *millracev1.Session) string {
			return descending(s.GetStartTime().AsTime().UnixNano()) + s.GetId()
		}
	case millracev1.SessionOrder_SESSION_ORDER_PENDING:
		return func(s *millracev1.Session) string { return descending(int64(s.GetPendingBytes())) + s.GetId() }
	case millracev1.SessionOrder_SESSION_ORDER_UNSPECIFIED:
	}
	return (*millracev1.Session).GetId
}

// finishChannels makes one entry of those of a channel on several nodes. The total
// counts a channel once for each node beyond the page.
func finishChannels(request *millracev1.ListChannelsRequest, all *millracev1.ListChannelsResponse) (err error) {
	byName := map[string]*millracev1.Channel{}
	var channels []*millracev1.Channel
	for _, c := range all.GetChannels() {
		if known := byName[c.GetName()]; known != nil {
			addChannel(known, c)
			all.Total--
			continue
		}
		byName[c.GetName()] = c
		channels = append(channels, c)
	}
	all.Channels, all.NextPageToken, err = cutPage(channels, channelPlace(request.GetOrder()), request.GetPageSize(), all.GetNextPageToken())
	return err
}

// cutPage is one page of the first entries; more says that there are others that
// are not even here.
func cutPage[T any](entries []T, place func(T) string, size uint32, more string) (items []T, next string, err error) {
	found, next, err := page(ranked(entries, place), ranking[T].key, "", size)
	for _, item := range found {
		items = append(items, item.of)
	}
	if next == "" && more != "" && len(found) > 0 {
		next = pageToken(found[len(found)-1].key())
	}
	return items, next, err
}

type afterKey struct{} // for the afterwards of a call that all nodes run

// afterwards is what the node that was called does once all nodes have run the call.
type afterwards []func() error

func (a *afterwards) do() (err error) {
	for _, do := range *a {
		err = errors.Join(err, do())
	}
	return err
}

// gather has all nodes run a method, and sends what comes of it.
func (s *Service) gather(ctx context.Context, spec connect.Spec, request proto.Message, stream connect.ServerStream, next connect.ServerFunc, merge merge) error {
	here := &replay{ServerStream: stream, request: proto.Clone(request), keep: true}
	after := &afterwards{}
	err := next(context.WithValue(ctx, afterKey{}, after), spec, here)
	if err != nil && !isUnknown(err) {
		return err
	}
	others := s.presence.live()
	responses, errs := make([]proto.Message, len(others)), make([]error, len(others))
	var asking sync.WaitGroup
	for i, node := range others {
		asking.Go(func() { responses[i], errs[i] = s.runOn(ctx, node, spec, request) })
	}
	asking.Wait()
	if err := after.do(); err != nil {
		return err
	}
	responses = append([]proto.Message{here.response}, responses...)
	var known []proto.Message
	for i, err := range append([]error{err}, errs...) {
		switch {
		case err == nil:
			known = append(known, responses[i])
		case !isUnknown(err):
			return err
		}
	}
	if len(known) == 0 {
		return err
	}
	merged, err := merge(request, known)
	if err != nil {
		return err
	}
	return stream.Send(merged)
}

// isUnknown reports that a node does not have what it is asked about.
func isUnknown(err error) bool {
	return ErrorInfo(err).GetReason() == millracev1.ErrorReason_ERROR_REASON_SESSION_NOT_FOUND
}
