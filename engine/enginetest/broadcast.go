package enginetest

import (
	"fmt"
	"slices"
	"strconv"

	"millrace.dev/engine"
)

var broadcastPromises = []promise{
	{"a broadcast is delivered without a position and stored nowhere", broadcastsPass},
	{"a publisher's broadcasts and appends keep their order", broadcastsKeepTheirOrder},
}

// ephemeral makes a message to broadcast.
func ephemeral(channel, data string) *engine.Message {
	m := text(channel, data)
	m.Ephemeral = true
	return m
}

func (s *subject) broadcast(m *engine.Message) {
	s.Helper()
	if err := s.Broadcast(s.Context(), m); err != nil {
		s.Errorf("broadcast: %v", err)
	}
}

func broadcastsPass(s *subject) {
	for _, channel := range []string{"empty", "full"} {
		if channel == "full" {
			s.fill(channel, 2)
		}
		before, count, sequence := s.state(channel), len(s.delivered(channel)), s.sequence()
		s.broadcast(ephemeral(channel, "typing"))
		s.eventually(func() string {
			if n := len(s.delivered(channel)); n != count+1 {
				return fmt.Sprintf("%d broadcasts were delivered", n-count)
			}
			return ""
		})
		m := s.delivered(channel)[count]
		if !m.Ephemeral || !m.Position.IsZero() || m.Previous != 0 || string(m.Payload.Data) != "typing" {
			s.Errorf("delivered %+v", m)
		}
		if after := s.state(channel); after != before {
			s.Errorf("the channel was at %+v and is at %+v", before, after)
		}
		if after := s.sequence(); after != sequence {
			s.Errorf("the sequence was %v and is %v", sequence, after)
		}
		if slices.Contains(texts(s.kept(channel)), "typing") {
			s.Errorf("a broadcast was stored")
		}
	}
}

func broadcastsKeepTheirOrder(s *subject) {
	const each1 = 60
	each(4, func(i int) {
		for k := range each1 {
			m := text("mixed", strconv.Itoa(k+1))
			m.Publisher = strconv.Itoa(i)
			if m.Ephemeral = k%3 > 0; m.Ephemeral {
				s.broadcast(m)
			} else if _, err := s.Append(s.Context(), m, keep); err != nil {
				s.Errorf("append: %v", err)
			}
		}
	})
	s.eventually(func() string {
		if n := len(s.delivered("mixed")); n != 4*each1 {
			return fmt.Sprintf("%d of %d were delivered", n, 4*each1)
		}
		return ""
	})
	by := map[string][]*engine.Message{}
	for _, m := range s.delivered("mixed") {
		by[m.Publisher] = append(by[m.Publisher], m)
	}
	for publisher, messages := range by {
		if got := texts(messages); !slices.Equal(got, numbers(1, each1)) {
			s.Errorf("publisher %s: delivered %q", publisher, got)
		}
	}
}
