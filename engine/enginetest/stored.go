package enginetest

import (
	"strconv"

	"millrace.dev/engine"
)

var storedPromises = []promise{
	{"a message is delivered before its Append returns", deliveredFirst},
	{"an acknowledged message can be read at once, at the position of its receipt", readableAtOnce},
}

func deliveredFirst(s *subject) {
	each(publishers, func(i int) {
		channel := "delivered." + strconv.Itoa(i%4)
		for range perOne {
			receipt, err := s.Append(s.Context(), text(channel, ""), keep)
			if err != nil {
				s.Errorf("append: %v", err)
			}
			if !contains(s.delivered(channel), receipt.Position) {
				s.Errorf("%v of %s was acknowledged before it was delivered", receipt.Position, channel)
			}
		}
	})
}

func readableAtOnce(s *subject) {
	each(publishers, func(i int) {
		channel := "stored." + strconv.Itoa(i%4)
		for k := range perOne {
			data := strconv.Itoa(i) + "/" + strconv.Itoa(k)
			receipt, err := s.Append(s.Context(), text(channel, data), keep)
			if err != nil {
				s.Errorf("append: %v", err)
				return
			}
			page, err := s.Read(s.Context(), channel, engine.ReadOptions{After: receipt.Position.Offset - 1, Limit: 1})
			if err != nil || len(page.Messages) != 1 || string(page.Messages[0].Payload.Data) != data ||
				page.Messages[0].Position != receipt.Position {
				s.Errorf("%q was acknowledged at %v, where %+v is read (%v)", data, receipt.Position, page, err)
				return
			}
		}
	})
}

func contains(messages []*engine.Message, p engine.Position) bool {
	for _, m := range messages {
		if m.Position == p {
			return true
		}
	}
	return false
}
