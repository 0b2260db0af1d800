package service_test

import (
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

func (w *trial) publish(channel string) {
	request := &millracev1.PublishRequest{Channel: channel}
	number := len(w.all)
	request.Data = text("", strconv.Itoa(number)).GetData()
	request.Key = []string{"", "", "x", "y", "z"}[w.pick(5)]
	request.Type = []string{"", "t", "u"}[w.pick(3)]
	exclude := ""
	if w.pick(8) == 0 {
		exclude = w.excludeSome(request)
	}
	c := w.model.channels[request.GetChannel()]
	w.flavour(request, c)
	offset, duplicate, reason := w.model.publish(request, exclude)
	response, err := w.n.rpc.Publish(w.t.Context(), request)
	w.counts.published++
	w.notef("publish %v: %d %v %s", request, offset, duplicate, reason)
	if got := reasonOf(service.ErrorInfo(err)); err != nil && got != reason || err == nil && reason != "" {
		w.faultf("publish %v: %v, want %q", request, err, reason)
		return
	}
	if at := response.GetPosition(); err == nil && (at.GetOffset() != offset || response.GetDuplicate() != duplicate || offset > 0 && at.GetEpoch() != c.epoch) {
		w.faultf("publish %v: answered %v, want %d, %v", request, response, offset, duplicate)
	}
	switch {
	case request.GetEphemeral():
		w.all = append(w.all, &modelMessage{request: request, offset: c.head(), at: time.Now(), exclude: exclude})
		w.heard(request, number)
	case err == nil && !duplicate:
		w.all = append(w.all, c.messages[offset-1])
	}
}

// excludeSome makes a session the one that publishes.
func (w *trial) excludeSome(request *millracev1.PublishRequest) string {
	w.settle() // who was too slow is gone
	r := w.someReader()
	if r == nil {
		return ""
	}
	request.ExcludeSelf, request.SessionToken = true, r.c.ready().GetSessionToken()
	return r.c.ready().GetSession()
}

// flavour makes a publish one of several kinds.
func (w *trial) flavour(request *millracev1.PublishRequest, c *modelChannel) {
	switch w.pick(16) {
	case 0, 1, 2:
		request.Ephemeral = true
	case 3, 4:
		request.Ttl = seconds([]float64{1, 5, 30}[w.pick(3)])
	case 5, 6:
		request.Id = "id" + strconv.Itoa(w.pick(6))
		if was := c.ids[request.GetId()]; was != nil && time.Since(was.at) < dedupWindow && w.pick(3) > 0 {
			request.Data, request.Key, request.Type = was.request.GetData(), was.request.GetKey(), was.request.GetType()
		}
	case 7:
		request.ExpectedPosition = c.position()
		if w.pick(3) == 0 {
			request.ExpectedPosition = w.nonsense(c)
		}
	case 8:
		request.Producer = &millracev1.Producer{Id: "p" + strconv.Itoa(w.pick(2)), Epoch: uint64(w.pick(2)), Seq: uint64(1 + w.pick(3))}
		if was := c.producers[request.GetProducer().GetId()]; was != nil && w.pick(3) > 0 {
			last := was.request.GetProducer()
			request.Producer.Epoch, request.Producer.Seq = last.GetEpoch(), last.GetSeq()+1
		}
	}
}

// nonsense is a position that is rarely a good one.
func (w *trial) nonsense(c *modelChannel) *millracev1.Position {
	p := c.position()
	switch w.pick(5) {
	case 0:
		p.Offset -= min(p.GetOffset(), uint64(w.pick(60)))
	case 1:
		p.Offset += uint64(w.pick(3))
	case 2:
		p.Offset = 0
	case 3:
		p.Offset = ^uint64(0) - uint64(w.pick(2))
	case 4:
		p.Epoch = "other"
	}
	return p
}

// heard fails in a calm trial where an ephemeral message is not shown at once to
// a session that takes everything.
func (w *trial) heard(request *millracev1.PublishRequest, number int) {
	if !w.calm {
		return
	}
	w.settle()
	for _, r := range w.readers {
		for _, v := range r.views {
			s := v.spots[request.GetChannel()]
			if s == nil || r.wasSlow || v.removed || !v.chooses(w.all[number]) {
				continue
			}
			if s.whisper != number {
				w.faultf("%s did not hear %d", r, number)
			}
		}
	}
}

func (w *trial) history() {
	c := w.model.channels[modelNames[w.pick(len(modelNames))]]
	if c.keep.Messages == 0 {
		return
	}
	var kept []int
	for _, m := range c.kept() {
		kept = append(kept, int(m.offset))
	}
	request := &millracev1.HistoryRequest{Channel: c.name, PageSize: uint32(1 + w.pick(50))}
	if w.pick(2) == 0 {
		request.Order = newestFirst
		slices.Reverse(kept)
	}
	w.notef("history %v", request)
	if got := w.n.pages(request, func() {}); !slices.Equal(got, kept) {
		w.faultf("history %v is %v, want %v", request, got, kept)
	}
}

// wish is a subscription to a name with wishes at random.
func (w *trial) wish(name string) *millracev1.Subscription {
	s := to(name)
	if i := w.pick(len(w.left) + 1); i < len(w.left) && w.left[i].GetChannel() == name && w.pick(4) > 0 {
		s = proto.CloneOf(w.left[i])
		for _, seen := range s.GetSeen() {
			if w.pick(8) == 0 {
				seen.Position = w.nonsense(w.model.channels[seen.GetChannel()])
			}
		}
	}
	c := w.model.channels[name]
	switch p := w.pick(10); {
	case s.GetSince() != nil || p < 4:
	case c == nil && p == 5:
		s.Since = &millracev1.Position{Offset: uint64(w.pick(200)), Epoch: []string{w.model.epoch, "other"}[w.pick(2)]}
	case c == nil:
	case p < 7:
		s.Recent = uint32(1 + w.pick(50))
	default:
		s.Since = w.nonsense(c)
	}
	s.OnGap = millracev1.OnGap(w.pick(4))
	if c != nil {
		s.OnSlow = millracev1.OnSlow(w.pick(4))
	}
	if w.pick(4) == 0 {
		s.Filter = &millracev1.Filter{Types: []string{"t"}}
	}
	if w.pick(8) == 0 {
		s.MinInterval = seconds(2)
	}
	s.LatestPerKey = w.pick(8) == 0
	return s
}
