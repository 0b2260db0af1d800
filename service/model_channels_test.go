package service_test

import (
	"cmp"
	"slices"
	"time"

	"millrace.dev/channel"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// The model is what the rules of docs/PROTOCOL.md say of a node's channels, as
// simple as it can be: every message that ever was, in a list.

const (
	modelBudget = 1500 // bytes that wait for a session: about 12 messages
	modelReplay = 40   // messages that are replayed
	dedupWindow = 5 * time.Minute
)

// modelChannels are the channels of the model, with what they keep.
var modelChannels = map[string]engine.Retention{
	"log.a":  {Messages: 8},
	"log.b":  {Messages: 60, Age: time.Minute},
	"live.a": {},
	"live.b": {},
	"big.a":  {Messages: 1000, Age: 10 * time.Minute},
}

var (
	modelNames    = []string{"log.a", "log.b", "live.a", "live.b", "big.a"}
	modelPatterns = []string{"log.*", "*.a", ">"}
)

// model is what must be so.
type model struct {
	epoch    string // of the sequence
	sequence uint64
	channels map[string]*modelChannel
}

// modelChannel is one channel.
type modelChannel struct {
	name      string
	keep      engine.Retention
	epoch     string
	messages  []*modelMessage // the one with offset n is at n-1
	ids       map[string]*modelMessage
	producers map[string]*modelMessage // last message of each
}

// modelMessage is a message as it was published.
type modelMessage struct {
	request  *millracev1.PublishRequest
	offset   uint64 // of an ephemeral message, the head at its time
	sequence uint64
	at       time.Time
	exclude  string // session that does not receive it
}

func newModel(n *node) *model {
	m := &model{epoch: n.head(">").GetEpoch(), channels: map[string]*modelChannel{}}
	for _, name := range modelNames {
		m.channels[name] = &modelChannel{
			name: name, keep: modelChannels[name], epoch: n.head(name).GetEpoch(),
			ids: map[string]*modelMessage{}, producers: map[string]*modelMessage{},
		}
	}
	return m
}

// matching are the channels that a name or pattern stands for.
func (m *model) matching(pattern string) []*modelChannel {
	var found []*modelChannel
	for _, name := range modelNames {
		if channel.Match(pattern, name) {
			found = append(found, m.channels[name])
		}
	}
	return found
}

func (c *modelChannel) head() uint64 { return uint64(len(c.messages)) }

func (c *modelChannel) position() *millracev1.Position {
	return &millracev1.Position{Offset: c.head(), Epoch: c.epoch}
}

// isDead reports whether a message has expired at a time.
func (c *modelChannel) isDead(m *modelMessage, at time.Time) bool {
	age, ttl := at.Sub(m.at), m.request.GetTtl().AsDuration()
	return c.keep.Age > 0 && age >= c.keep.Age || ttl > 0 && age >= ttl
}

// low is the offset of the oldest message that is kept now, head + 1 for none.
func (c *modelChannel) low() uint64 {
	low := c.head() + 1 - min(c.head(), uint64(c.keep.Messages))
	for low <= c.head() && c.isDead(c.messages[low-1], time.Now()) {
		low++
	}
	return low
}

// kept are the messages that can be read now.
func (c *modelChannel) kept() []*modelMessage {
	var kept []*modelMessage
	for _, m := range c.messages[c.low()-1:] {
		if !c.isDead(m, time.Now()) {
			kept = append(kept, m)
		}
	}
	return kept
}

// publish places a message, as far as the rules let it be. It returns what must
// be answered: the offset, whether it is a duplicate, and the reason of a refusal.
func (m *model) publish(request *millracev1.PublishRequest, exclude string) (offset uint64, duplicate bool, reason string) {
	c := m.channels[request.GetChannel()]
	if request.GetEphemeral() {
		return 0, false, ""
	}
	message := &modelMessage{request: request, offset: c.head() + 1, sequence: m.sequence + 1, at: time.Now(), exclude: exclude}
	if was := c.ids[request.GetId()]; was != nil && time.Since(was.at) < dedupWindow {
		if !isSame(was.request, request) {
			return 0, false, "ID_REUSED"
		}
		return was.offset, true, ""
	}
	if offset, duplicate, reason, decided := c.produce(request.GetProducer()); decided {
		return offset, duplicate, reason
	}
	if expect := request.GetExpectedPosition(); expect != nil && !c.isAt(expect) {
		return 0, false, "POSITION_MISMATCH"
	}
	m.sequence++
	c.messages = append(c.messages, message)
	if request.GetId() != "" {
		c.ids[request.GetId()] = message
	}
	if p := request.GetProducer(); p != nil {
		c.producers[p.GetId()] = message
	}
	return message.offset, false, ""
}

// isSame reports whether two messages with one id have one content.
func isSame(a, b *millracev1.PublishRequest) bool {
	return a.GetPayload().GetText() == b.GetPayload().GetText() && a.GetType() == b.GetType() && a.GetKey() == b.GetKey()
}

func (c *modelChannel) isAt(p *millracev1.Position) bool {
	return p.GetOffset() == c.head() && (p.GetEpoch() == c.epoch || p.GetEpoch() == "" && c.head() == 0)
}

// produce is what a producer's number decides.
func (c *modelChannel) produce(p *millracev1.Producer) (offset uint64, duplicate bool, reason string, decided bool) {
	was := c.producers[p.GetId()]
	if p == nil || was == nil {
		return 0, false, "", false
	}
	last := was.request.GetProducer()
	switch order := cmp.Compare(p.GetEpoch(), last.GetEpoch()); {
	case order > 0 && p.GetSeq() == 1, order == 0 && p.GetSeq() == last.GetSeq()+1:
		return 0, false, "", false
	case order != 0 || p.GetSeq() > last.GetSeq():
		return 0, false, "SEQUENCE_MISMATCH", true
	case p.GetSeq() == last.GetSeq():
		return was.offset, true, "", true
	}
	return 0, true, "", true
}

// resume is the table of rule D-5: the reason of a gap, empty for none.
func (c *modelChannel) resume(since *millracev1.Position) string {
	switch offset, head := since.GetOffset(), c.head(); {
	case since.GetEpoch() != c.epoch:
		return "EPOCH_CHANGED"
	case offset == head:
		return ""
	case offset > head:
		return "DIVERGED"
	case c.keep.Messages == 0:
		return "NO_HISTORY"
	case offset+1 < c.low():
		return "TRUNCATED"
	case head-offset > modelReplay:
		return "TOO_FAR"
	}
	return ""
}

// afterGap is where a subscription goes on that could not be resumed.
func (c *modelChannel) afterGap(onGap millracev1.OnGap) uint64 {
	if onGap == millracev1.OnGap_ON_GAP_OLDEST {
		return max(c.low()-1, c.head()-min(c.head(), modelReplay))
	}
	return c.head()
}

// beforeNewest is the place before the newest n messages that are kept.
func (c *modelChannel) beforeNewest(n int) uint64 {
	kept := c.kept()
	if len(kept) == 0 {
		return c.head()
	}
	return kept[max(0, len(kept)-min(n, modelReplay))].offset - 1
}

// at is the last message up to a sequence.
func (c *modelChannel) at(sequence uint64) uint64 {
	i, _ := slices.BinarySearchFunc(c.messages, sequence+1, func(m *modelMessage, s uint64) int { return cmp.Compare(m.sequence, s) })
	return uint64(i)
}
