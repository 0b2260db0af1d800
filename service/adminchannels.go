package service

import (
	"cmp"
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/auth"
	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// ListChannels implements the API.
func (a *admin) ListChannels(ctx context.Context, request *millracev1.ListChannelsRequest) (*millracev1.ListChannelsResponse, error) {
	pattern := cmp.Or(request.GetPattern(), everywhere)
	if err := checkAdmin(ctx, auth.Inspect, pattern); err != nil {
		return nil, err
	}
	if err := channel.CheckPattern(pattern); err != nil {
		return nil, err
	}
	now := time.Now()
	var channels []*millracev1.Channel
	a.hub.each(func(t *topic) {
		if channel.Covers(pattern, t.name) {
			channels = append(channels, t.toProto(now))
		}
	})
	all := ranked(channels, channelPlace(request.GetOrder()))
	items, next, err := page(all, ranking[*millracev1.Channel].key, request.GetPageToken(), request.GetPageSize())
	if err != nil {
		return nil, err
	}
	response := &millracev1.ListChannelsResponse{NextPageToken: next, Total: uint32(len(all))}
	for _, item := range items {
		if !channel.IsPattern(item.of.GetName()) {
			item.of.Head = positionToProto(a.headOf(ctx, item.of.GetName()))
		}
		response.Channels = append(response.Channels, item.of)
	}
	return response, nil
}

// channelPlace is the text that an order sorts channels by, before their names.
func channelPlace(order millracev1.ChannelOrder) func(*millracev1.Channel) string {
	switch order {
	case millracev1.ChannelOrder_CHANNEL_ORDER_SUBSCRIBERS:
		return func(c *millracev1.Channel) string { return descending(int64(c.GetSubscribers())) + c.GetName() }
	case millracev1.ChannelOrder_CHANNEL_ORDER_RATE:
		return func(c *millracev1.Channel) string { return descending(int64(1000*c.GetMessageRate())) + c.GetName() }
	case millracev1.ChannelOrder_CHANNEL_ORDER_UNSPECIFIED:
	}
	return (*millracev1.Channel).GetName
}

func (t *topic) toProto(now time.Time) *millracev1.Channel {
	t.mu.Lock()
	defer t.mu.Unlock()
	messages, bytes := t.meter.rates(now.UnixNano())
	return &millracev1.Channel{Name: t.name, Subscribers: uint32(t.size), MessageRate: messages, ByteRate: bytes}
}

// GetChannel implements the API.
func (a *admin) GetChannel(ctx context.Context, request *millracev1.GetChannelRequest) (*millracev1.GetChannelResponse, error) {
	name := request.GetChannel()
	if err := checkAdmin(ctx, auth.Inspect, name); err != nil {
		return nil, err
	}
	if err := channel.CheckPattern(name); err != nil {
		return nil, err
	}
	response := &millracev1.GetChannelResponse{Channel: &millracev1.Channel{Name: name}}
	if t := a.hub.find(name); t != nil {
		response.Channel = t.toProto(time.Now())
	}
	if channel.IsPattern(name) {
		return response, nil
	}
	state, err := a.engine.State(ctx, name)
	if err != nil {
		return nil, err
	}
	response.Channel.Head = positionToProto(state.Position())
	if state.Low <= state.Head {
		response.Oldest = positionToProto(engine.Position{Epoch: state.Epoch, Offset: state.Low})
	}
	rule := a.rules.of(name)
	response.Rule, response.HistoryMessages = rule.Pattern, uint32(rule.History.Messages)
	if rule.History.Age > 0 {
		response.HistoryAge = durationpb.New(rule.History.Age)
	}
	response.Members = uint32(a.presence.count(name))
	return response, nil
}
