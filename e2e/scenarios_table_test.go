package e2e_test

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// row is a place to resume from, and what the table of rule D-5 says of it.
type row struct {
	name, channel string
	offset        uint64
	epoch         string // the channel's own, if empty
	gap           millracev1.GapReason
	oldest        uint64 // place that a gap leads to for who wants the oldest
}

// The channels of the table have five messages each, kept as their names say, and
// four may be replayed.
const (
	keepsNone  = "keep.0"
	keepsThree = "keep.3"
	keepsAll   = "keep.9"
	keepsDead  = "keep.dead" // nine, but all have expired
	keepsEmpty = "keep.none" // never had a message
	inTable    = 5
)

// resumeTable has every outcome of the table, at its bounds.
var resumeTable = []row{
	{"another epoch", keepsAll, 3, "beforenow", millracev1.GapReason_GAP_REASON_EPOCH_CHANGED, 1},
	{"another epoch, at the head", keepsThree, 5, "beforenow", millracev1.GapReason_GAP_REASON_EPOCH_CHANGED, 2},
	{"another epoch, of a channel without messages", keepsEmpty, 0, "beforenow", millracev1.GapReason_GAP_REASON_EPOCH_CHANGED, 0},
	{"at the head", keepsAll, 5, "", 0, 0},
	{"at the head, all expired", keepsDead, 5, "", 0, 0},
	{"at the head, no history", keepsNone, 5, "", 0, 0},
	{"before any message", keepsEmpty, 0, "", 0, 0},
	{"beyond the head", keepsAll, 6, "", millracev1.GapReason_GAP_REASON_DIVERGED, 1},
	{"beyond the head, no history", keepsNone, 6, "", millracev1.GapReason_GAP_REASON_DIVERGED, 5},
	{"far beyond the head, all expired", keepsDead, ^uint64(0), "", millracev1.GapReason_GAP_REASON_DIVERGED, 5},
	{"no history", keepsNone, 4, "", millracev1.GapReason_GAP_REASON_NO_HISTORY, 5},
	{"at low-2", keepsThree, 1, "", millracev1.GapReason_GAP_REASON_TRUNCATED, 2},
	{"at low-2, all expired", keepsDead, 4, "", millracev1.GapReason_GAP_REASON_TRUNCATED, 5},
	{"at low-1", keepsThree, 2, "", 0, 0},
	{"one more than is replayed", keepsAll, 0, "", millracev1.GapReason_GAP_REASON_TOO_FAR, 1},
	{"as many as are replayed", keepsAll, 1, "", 0, 0},
	{"within what is kept", keepsThree, 4, "", 0, 0},
}

// tableConfig are the rules and the limit of the table.
func tableConfig(c *service.Config) {
	keep := func(name string, messages int) service.Rule {
		return service.Rule{Pattern: name, History: engine.Retention{Messages: messages, Age: time.Hour}}
	}
	c.Rules = append([]service.Rule{
		keep(keepsNone, 0), keep(keepsThree, 3), keep(keepsAll, 9), keep(keepsDead, 9), keep(keepsEmpty, 9),
	}, c.Rules...)
	c.Limits.ReplayMessages = 4
}

// resumeByTable comes back at every place of the table, as its wire opens sessions
// and on a live one, with every choice of what follows a gap.
func resumeByTable(s *scene) {
	s = &scene{T: s.T, wire: s.wire, engine: s.engine, at: start(s.T, s.engine(s.T), tableConfig)}
	log := s.fillTable()
	live := s.arrive("")
	var opened []*client
	for _, r := range resumeTable {
		c := s.arrive("", since(r.channel, r.at(log)))
		c.seesRow(r, log, millracev1.OnGap_ON_GAP_UNSPECIFIED)
		opened = append(opened, c)
		for _, onGap := range []millracev1.OnGap{
			millracev1.OnGap_ON_GAP_LATEST, millracev1.OnGap_ON_GAP_OLDEST, millracev1.OnGap_ON_GAP_CLOSE,
		} {
			live.tries(r, log, onGap)
		}
	}
	// That each now sees what comes next is that it has seen nothing else.
	next := map[string]*millracev1.Message{}
	for name := range log {
		next[name] = s.on(rpc{}).arrive("").say(name, `"next"`)
	}
	for i, c := range opened {
		c.sees(next[resumeTable[i].channel])
	}
	live.seesNoMore()
}

// tries adds and removes a subscription that resumes.
func (c *client) tries(r row, log map[string][]*millracev1.Message, onGap millracev1.OnGap) {
	c.Helper()
	wish := &millracev1.Subscription{Channel: r.channel, Since: r.at(log), OnGap: onGap}
	if r.gap != 0 && onGap == millracev1.OnGap_ON_GAP_CLOSE {
		if info := c.isRefusedSubscription(wish, millracev1.ErrorReason_ERROR_REASON_GAP, "since"); info.GetChannel() != r.channel {
			c.Errorf("%s: the refusal is about %q", r.name, info.GetChannel())
		}
		return
	}
	c.add(wish)
	c.seesRow(r, log, onGap)
	c.remove(r.channel)
	c.seesUnsubscribed(r.channel)
}

// fillTable publishes what the table is about, and returns it by channel. The one
// of a channel that never had any has its position before the first.
func (s *scene) fillTable() map[string][]*millracev1.Message {
	s.Helper()
	publisher, log := s.arrive(""), map[string][]*millracev1.Message{}
	for _, name := range []string{keepsNone, keepsThree, keepsAll} {
		log[name] = publisher.sayAll(name, inTable)
	}
	for range inTable {
		log[keepsDead] = append(log[keepsDead], publisher.publish(&millracev1.PublishRequest{
			Channel: keepsDead, Data: jsonData(`"brief"`), Ttl: durationpb.New(time.Millisecond),
		}))
	}
	s.eventually("all have expired", func() bool {
		return len(ask[*millracev1.HistoryResponse](publisher, &millracev1.HistoryRequest{Channel: keepsDead}).GetMessages()) == 0
	})
	places := ask[*millracev1.GetPositionsResponse](publisher, &millracev1.GetPositionsRequest{Channels: []string{keepsEmpty}})
	log[keepsEmpty] = []*millracev1.Message{{Channel: keepsEmpty, Position: places.GetPositions()[0].GetPosition()}}
	return log
}

// head is where the row's channel is.
func (r row) head(log map[string][]*millracev1.Message) *millracev1.Position {
	messages := log[r.channel]
	return messages[len(messages)-1].GetPosition()
}

// at is the place to resume from.
func (r row) at(log map[string][]*millracev1.Message) *millracev1.Position {
	at := proto.CloneOf(r.head(log))
	at.Offset = r.offset
	if r.epoch != "" {
		at.Epoch = r.epoch
	}
	return at
}

// seesRow expects the outcome of a row, and what follows it.
func (c *client) seesRow(r row, log map[string][]*millracev1.Message, onGap millracev1.OnGap) {
	c.Helper()
	head, at := r.head(log), r.at(log)
	got := c.seesSubscribed(r.channel)
	if got.GetResumed() != (r.gap == 0) || !proto.Equal(got.GetPosition(), at) || !proto.Equal(got.GetHead(), head) {
		c.Errorf("%s: subscribed {%s}, want it at {%s} of {%s}, resumed %v", r.name, got, at, head, r.gap == 0)
	}
	from := at
	if r.gap != 0 {
		from = proto.CloneOf(head)
		if onGap == millracev1.OnGap_ON_GAP_OLDEST {
			from.Offset = r.oldest
		}
		want := &millracev1.Gap{Channel: r.channel, Reason: r.gap, Requested: at, Position: from}
		if gap := c.toldOf("gap").gap; !proto.Equal(gap, want) {
			c.Fatalf("%s: the gap is\n{%s}, want\n{%s}", r.name, gap, want)
		}
	}
	if from.GetOffset() < head.GetOffset() {
		c.sees(log[r.channel][from.GetOffset():]...)
	}
}

// resumeFromUnknownCursor comes with cursors that say nothing to this server: one
// of another, which is a gap in each channel, and one of nobody's.
func resumeFromUnknownCursor(s *scene) {
	cursor := ask[*millracev1.GetPositionsResponse](s.arrive(""), &millracev1.GetPositionsRequest{Channels: []string{"a", "b"}}).GetCursor()
	s = s.restart()
	publisher, names := s.arrive(""), []string{"a", "b"}
	publisher.sayAll("a", 2)
	opening := func(cursor string) (*client, error) {
		return s.open("", &millracev1.SubscribeRequest{Cursor: cursor, Subscriptions: []*millracev1.Subscription{subscribe("a"), subscribe("b")}})
	}
	foreign, err := opening(cursor)
	if err != nil {
		s.Fatal(err)
	}
	foreign.seesLostAll(names)

	nobodys, err := opening("nobody's")
	if _, isStream := s.wire.(eventStream); isStream { // it would never come back from a refusal
		if err != nil {
			s.Fatal(err)
		}
		nobodys.seesLostAll(names)
	} else {
		checkRefusal(s.T, err, millracev1.ErrorReason_ERROR_REASON_INVALID_CURSOR, "cursor")
	}
	foreign.seesEach(publisher.say("b", `"live"`), publisher.say("a", `"live"`))
	foreign.seesNoMore()
}

// seesLostAll expects a gap in each channel, right after it is subscribed.
func (c *client) seesLostAll(names []string) {
	c.Helper()
	for range names {
		subscribed := c.toldOf("subscribed").subscribed
		gap := c.toldOf("gap").gap
		if subscribed.GetResumed() || gap.GetChannel() != subscribed.GetChannel() ||
			gap.GetReason() != millracev1.GapReason_GAP_REASON_EPOCH_CHANGED || !proto.Equal(gap.GetPosition(), subscribed.GetHead()) {
			c.Errorf("subscribed {%s}, and the gap is {%s}: want the epoch changed", subscribed, gap)
		}
	}
}
