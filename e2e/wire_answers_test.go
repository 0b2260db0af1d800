package e2e_test

import (
	"encoding/json"

	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// response is the frame as the API's answer, nil if it has none in it.
func (f *frameJSON) response() proto.Message {
	switch f.Type {
	case "subscribed":
		if f.Epoch != "" {
			return &millracev1.Subscribed{Channel: f.For, Position: f.place(), Resumed: f.Resumed, Head: f.Head.proto()}
		}
	case "unsubscribed":
		return &millracev1.Unsubscribed{Channel: f.For}
	case "published":
		return f.published()
	case "history":
		return f.history()
	case "presence":
		return f.page()
	case "present":
		version := &millracev1.PresenceVersion{Number: f.Version, Epoch: f.Epoch}
		return &millracev1.EnterPresenceResponse{Version: version}
	case "positions":
		response := &millracev1.GetPositionsResponse{Cursor: f.Cursor}
		for name, p := range f.Positions {
			response.Positions = append(response.Positions, &millracev1.ChannelPosition{Channel: name, Position: p.proto()})
		}
		return response
	}
	return nil
}

func (f *frameJSON) published() *millracev1.PublishResponse {
	return &millracev1.PublishResponse{Position: f.place(), Duplicate: f.Duplicate}
}

func (f *frameJSON) history() *millracev1.HistoryResponse {
	response := &millracev1.HistoryResponse{NextPageToken: f.Next, Position: f.place()}
	for _, data := range f.Messages {
		var one frameJSON
		if json.Unmarshal(data, &one) != nil || one.Channel == nil {
			continue // a message less is seen by who counts them
		}
		if m, err := one.message(); err == nil {
			response.Messages = append(response.Messages, m)
		}
	}
	return response
}

func (f *frameJSON) page() *millracev1.PresenceResponse {
	response := &millracev1.PresenceResponse{
		Total: f.Total, NextPageToken: f.Next, Version: &millracev1.PresenceVersion{Number: f.Version, Epoch: f.Epoch},
	}
	for _, m := range f.Members {
		response.Members = append(response.Members, m.proto())
	}
	return response
}
