package service_test

import (
	"fmt"
	"os"

	"connectrpc.com/connect/v2"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// sized is how large a test is: small in a run of all tests, full where the
// environment has SCALE=full.
func sized(small, full int) int {
	if os.Getenv("SCALE") == "full" {
		return full
	}
	return small
}

// tally is a client of one channel that keeps nothing: it counts, and checks that
// each message follows on the one before. It is read once nothing moves.
type tally struct {
	*client
	last   uint64 // offset
	taken  int    // with those before the place that it resumes from
	gaps   []*millracev1.Gap
	faults []string
}

// count opens a session that counts the messages of a channel.
func (n *node) count(subscription *millracev1.Subscription) *tally {
	before := subscription.GetSince().GetOffset()
	s := &tally{last: before, taken: int(before)}
	request := &millracev1.SubscribeRequest{HeartbeatInterval: seconds(300), Subscriptions: []*millracev1.Subscription{subscription}}
	n.dialAs(nil, request, func(c *client) connect.ServerStream {
		s.client = c
		return s
	})
	return s
}

// Send implements [connect.ServerStream].
func (s *tally) Send(message any) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if err := s.wait(gate); err != nil {
		return err
	}
	batch := message.(*service.Batch) //nolint:errcheck // anything else is a bug that may panic
	for _, f := range batch.Frames {
		s.look(f)
	}
	return nil
}

func (s *tally) look(f *service.Frame) {
	if f.Message == nil {
		if gap := f.Notice.GetGap(); gap != nil {
			s.gaps = append(s.gaps, gap)
			s.last = gap.GetPosition().GetOffset()
		}
		return
	}
	if offset := f.Message.Position.Offset; offset != s.last+1 {
		s.faults = append(s.faults, fmt.Sprintf("%d after %d", offset, s.last))
	}
	s.last = f.Message.Position.Offset
	s.taken++
}

// complains says what is wrong with a client that should have so many messages.
func (s *tally) complains(want int) string {
	if s.taken != want || len(s.faults) > 0 || len(s.gaps) > 0 || s.failure() != nil {
		return fmt.Sprintf("took %d messages of %d; faults %.5q, gaps %v; ended with %v", s.taken, want, s.faults, s.gaps, s.failure())
	}
	return ""
}
