package service

import (
	"context"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// note is a notice, or the question where a subscription is, which only the
// reader knows.
type note struct {
	frame *Frame
	where *subscription // nil unless the frame is still to be told where that is
}

// notice sends frames before everything that is not yet taken by the reader.
func (s *Session) notice(frames ...*Frame) {
	notes := make([]note, len(frames))
	for i, f := range frames {
		notes[i].frame = f
	}
	s.note(notes...)
}

func (s *Session) note(notes ...note) {
	s.mu.Lock()
	s.notices = append(s.notices, notes...)
	s.mu.Unlock()
	s.awake()
}

// confirm has the reader say where a subscription is that was there already.
// Called under commands.
func (s *Session) confirm(ctx context.Context, name string) {
	s.mu.Lock()
	where := s.subs.get(subKey{name: name})
	s.mu.Unlock()
	s.note(note{subscribedNotice(&millracev1.Subscribed{Channel: name, Already: true}).from(ctx), where})
}

// fill says where the subscription is that the notice is about. Only the reader
// calls it.
func (n note) fill() {
	if n.where != nil {
		n.frame.Notice.GetSubscribed().Position = positionToProto(n.where.feed.place())
	}
}

func subscribedNotice(subscribed *millracev1.Subscribed) *Frame {
	return newNotice(&millracev1.SubscribeResponse{Notice: &millracev1.SubscribeResponse_Subscribed{Subscribed: subscribed}})
}

func unsubscribedNotice(name string, why *millracev1.ErrorInfo) *Frame {
	return newNotice(&millracev1.SubscribeResponse{Notice: &millracev1.SubscribeResponse_Unsubscribed{
		Unsubscribed: &millracev1.Unsubscribed{Channel: name, Error: why},
	}})
}
