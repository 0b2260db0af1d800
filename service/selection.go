package service

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

const maxInterval = time.Minute

// selection is which messages of a channel a subscription shows.
type selection struct {
	session string // public id; messages may exclude it
	from    string // the only publisher that is shown; empty for all
	types   map[string]bool
	headers map[string]string
}

func newSelection(sub *subscription, filter *millracev1.Filter) selection {
	s := selection{session: sub.session.id, headers: filter.GetHeaders()}
	if sub.onlyOwn {
		s.from = sub.session.who().User
	}
	if types := filter.GetTypes(); len(types) > 0 {
		s.types = map[string]bool{}
		for _, t := range types {
			s.types[t] = true
		}
	}
	return s
}

func (s selection) includes(m *engine.Message) bool {
	if s.from != "" && m.Publisher != s.from {
		return false
	}
	if m.Exclude != "" && m.Exclude == s.session || s.types != nil && !s.types[m.Type] {
		return false
	}
	for name, value := range s.headers {
		if has, found := m.Headers[name]; !found || has != value {
			return false
		}
	}
	return true
}

// newPace reads how a subscription wants its messages. Only a channel without
// history is ever too slow to catch up.
func newPace(request *millracev1.Subscription, keep engine.Retention) pace {
	p := pace{interval: request.GetMinInterval().AsDuration(), latestPerKey: request.GetLatestPerKey()}
	if keep.Messages == 0 {
		p.onSlow = request.GetOnSlow()
	}
	return p
}

// checkPace reports what of a subscription's wishes cannot be.
func checkPace(request *millracev1.Subscription, isPattern bool) error {
	if d := request.GetMinInterval(); d != nil && !isInterval(d) {
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "min_interval", "min_interval: must be from 0 to %s", maxInterval)
	}
	if isPattern && request.GetOnSlow() != millracev1.OnSlow_ON_SLOW_UNSPECIFIED {
		return refuse(millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "on_slow", "on_slow: not for a pattern")
	}
	if n := len(request.GetFilter().GetTypes()); n > MaxFilterTypes {
		return over(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, "filter.types", n, MaxFilterTypes, "types")
	}
	return checkHeaders("filter.headers", request.GetFilter().GetHeaders())
}

func isInterval(d *durationpb.Duration) bool {
	return d.CheckValid() == nil && d.AsDuration() >= 0 && d.AsDuration() <= maxInterval
}
