package service_test

import (
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// publication is a message on its way, and what must be answered.
type publication struct {
	request   *millracev1.PublishRequest
	exclude   string
	number    int // its payload
	offset    uint64
	after     uint64 // head of the channel at its time
	duplicate bool
	reason    string
}

// compose makes a message of some kind. The payload is its number among all, so that
// whoever is shown it knows which it is.
func (w *trial) compose(channel string) *publication {
	p := &publication{request: &millracev1.PublishRequest{Channel: channel}, number: len(w.all)}
	w.all = append(w.all, nil) // until it is published
	p.request.Data = text("", strconv.Itoa(p.number)).GetData()
	p.request.Key = []string{"", "", "x", "y", "z"}[w.pick(5)]
	p.request.Type = []string{"", "t", "u"}[w.pick(3)]
	if w.pick(4) == 0 {
		p.request.Headers = map[string]string{"h": []string{"1", "2"}[w.pick(2)]}
	}
	if w.pick(8) == 0 {
		p.exclude = w.excludeSome(p.request)
	}
	w.flavour(p.request, w.model.channels[channel])
	return p
}

// expect asks the model for the answer.
func (w *trial) expect(p *publication) {
	p.after = w.model.channels[p.request.GetChannel()].head()
	p.offset, p.duplicate, p.reason = w.model.publish(p.request, p.exclude)
	w.counts.published++
	w.notef("publish %v: %d %v %s", p.request, p.offset, p.duplicate, p.reason)
}

func (w *trial) publish(channel string) {
	p := w.compose(channel)
	w.expect(p)
	response, err := w.n.rpc.Publish(w.t.Context(), p.request)
	var info *millracev1.ErrorInfo
	if err != nil {
		info = service.ErrorInfo(err)
	}
	w.answered(p, response, info)
	if p.request.GetEphemeral() && p.reason == "" {
		w.heard(p.request, p.number)
	}
}

// publishBatch publishes a few messages to some channels with one call.
func (w *trial) publishBatch() {
	var batch []*publication
	request := &millracev1.PublishBatchRequest{}
	for range 1 + w.pick(6) {
		p := w.compose(modelNames[w.pick(len(modelNames))])
		batch = append(batch, p)
		request.Requests = append(request.Requests, p.request)
	}
	for _, p := range batch {
		w.expect(p)
	}
	response, err := w.n.rpc.PublishBatch(w.t.Context(), request)
	if err != nil || len(response.GetResults()) != len(batch) {
		w.faultf("publish %v: answered %v, %v", request, response, err)
		return
	}
	for i, result := range response.GetResults() {
		w.answered(batch[i], result.GetResponse(), result.GetError())
	}
}

// answered checks an answer, and notes what was published.
func (w *trial) answered(p *publication, response *millracev1.PublishResponse, refused *millracev1.ErrorInfo) {
	c := w.model.channels[p.request.GetChannel()]
	at := response.GetPosition()
	switch {
	case refused != nil || p.reason != "":
		if refused == nil || reasonOf(refused) != p.reason {
			w.faultf("publish %v: %v, want %q", p.request, refused, p.reason)
		}
	case at.GetOffset() != p.offset || response.GetDuplicate() != p.duplicate || p.offset > 0 && at.GetEpoch() != c.epoch:
		w.faultf("publish %v: answered %v, want %d, %v", p.request, response, p.offset, p.duplicate)
	case p.request.GetEphemeral():
		w.all[p.number] = &modelMessage{request: p.request, offset: p.after, at: time.Now(), exclude: p.exclude}
	case !p.duplicate:
		w.all[p.number] = c.messages[p.offset-1]
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
	switch w.pick(8) {
	case 0, 1:
		s.Filter = &millracev1.Filter{Types: []string{"t"}}
	case 2:
		s.Filter = &millracev1.Filter{Headers: map[string]string{"h": "1"}}
	case 3:
		s.Filter = &millracev1.Filter{Types: []string{"t", "u"}, Headers: map[string]string{"h": "2"}}
	}
	if w.pick(8) == 0 {
		s.MinInterval = seconds(2)
	}
	s.LatestPerKey = w.pick(8) == 0
	return s
}
