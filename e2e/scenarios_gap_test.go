package e2e_test

import (
	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// lost is a position that cannot be continued.
type lost struct {
	why    millracev1.GapReason
	name   string
	at     *millracev1.Position
	kept   []*millracev1.Message // all that can still be had
	before *millracev1.Position  // the place before the first of these
	head   *millracev1.Position
}

var lastEpoch = &millracev1.Position{Offset: 3, Epoch: "beforenow"}

// lose makes a channel for each reason of a gap.
func lose(s *scene, publisher *client) []lost {
	s.Helper()
	losses := []lost{
		{why: millracev1.GapReason_GAP_REASON_TRUNCATED, name: small + ".truncated"},
		{why: millracev1.GapReason_GAP_REASON_DIVERGED, name: small + ".diverged"},
		{why: millracev1.GapReason_GAP_REASON_EPOCH_CHANGED, name: small + ".changed"},
		{why: millracev1.GapReason_GAP_REASON_NO_HISTORY, name: nothing + ".kept"},
	}
	for i := range losses {
		l := &losses[i]
		messages := publisher.sayAll(l.name, 9)
		l.head = messages[8].GetPosition()
		l.before, l.at = proto.CloneOf(l.head), proto.CloneOf(l.head)
		if l.why != millracev1.GapReason_GAP_REASON_NO_HISTORY {
			l.kept, l.before.Offset = messages[4:], 4
		}
		switch l.why {
		case millracev1.GapReason_GAP_REASON_TRUNCATED:
			l.at.Offset = 3 // 4 is lost, 5 to 9 are kept
		case millracev1.GapReason_GAP_REASON_DIVERGED:
			l.at.Offset = 10
		case millracev1.GapReason_GAP_REASON_EPOCH_CHANGED:
			l.at = lastEpoch
		case millracev1.GapReason_GAP_REASON_NO_HISTORY:
			l.at.Offset = 8
		default:
			s.Fatalf("no channel is made for %s", l.why)
		}
	}
	return losses
}

func announceGaps(s *scene) {
	publisher, c := s.arrive(""), s.arrive("")
	for _, l := range lose(s, publisher) {
		for _, onGap := range []millracev1.OnGap{
			millracev1.OnGap_ON_GAP_UNSPECIFIED, millracev1.OnGap_ON_GAP_LATEST, millracev1.OnGap_ON_GAP_OLDEST,
		} {
			c.add(&millracev1.Subscription{Channel: l.name, Since: l.at, OnGap: onGap})
			c.seesLost(l, onGap)
			l.after(publisher.say(l.name, `"later"`))
			c.sees(l.kept[len(l.kept)-1:]...)
			c.remove(l.name)
			c.seesUnsubscribed(l.name)
		}
		closing := &millracev1.Subscription{Channel: l.name, Since: l.at, OnGap: millracev1.OnGap_ON_GAP_CLOSE}
		info := c.isRefusedSubscription(closing, millracev1.ErrorReason_ERROR_REASON_GAP, "since")
		if info.GetChannel() != l.name {
			s.Errorf("the refusal is about %q, want %q", info.GetChannel(), l.name)
		}
		c.seesNoMore()
	}
	// One that can be continued is, whatever follows a gap.
	name := small + ".continued"
	messages := publisher.sayAll(name, 9)
	at := proto.CloneOf(messages[3].GetPosition())
	c.add(&millracev1.Subscription{Channel: name, Since: at, OnGap: millracev1.OnGap_ON_GAP_CLOSE})
	c.seesResumed(name)
	c.sees(messages[4:]...)
}

// after notes a further message, which may cost the oldest its place.
func (l *lost) after(m *millracev1.Message) {
	l.head = m.GetPosition()
	if l.why == millracev1.GapReason_GAP_REASON_NO_HISTORY {
		l.kept, l.before = []*millracev1.Message{m}, l.head
		return
	}
	if l.why == millracev1.GapReason_GAP_REASON_DIVERGED {
		l.at.Offset++
	}
	l.before.Offset++
	l.kept = append(l.kept[1:], m)
}

// seesLost expects that the subscription is not resumed, the gap with its
// bounds, and what is kept if that was asked for.
func (c *client) seesLost(l lost, onGap millracev1.OnGap) {
	c.Helper()
	// Whoever is cut before the gap arrives is told of it when he comes back.
	if got := c.seesSubscribed(l.name); got.GetResumed() || !proto.Equal(got.GetPosition(), l.at) || !proto.Equal(got.GetHead(), l.head) {
		c.Errorf("%s: subscribed {%s}, want it at %s of %s and not resumed", l.why, got, l.at, l.head)
	}
	want := &millracev1.Gap{Channel: l.name, Reason: l.why, Requested: l.at, Position: l.head}
	if onGap == millracev1.OnGap_ON_GAP_OLDEST {
		want.Position = l.before
	}
	if got := c.toldOf("gap").gap; !proto.Equal(got, want) {
		c.Fatalf("the gap is\n{%s}, want\n{%s}", got, want)
	}
	if onGap == millracev1.OnGap_ON_GAP_OLDEST && l.why != millracev1.GapReason_GAP_REASON_NO_HISTORY {
		c.sees(l.kept...)
	}
}

// openAtGap comes to a server that knows nothing of the one before.
func openAtGap(s *scene) {
	publisher := s.arrive("")
	last := publisher.sayAll("news", 3)[2].GetPosition()
	pattern := s.arrive("", subscribe("n.*")).seesSubscribed("n.*").GetPosition()

	s = s.restart()
	publisher = s.arrive("")
	publisher.sayAll("news", 2)
	publisher.say("n.1", `"before"`)
	c := s.arrive("", since("news", last), since("n.*", pattern))
	for range 2 {
		name := c.toldOf("subscribed").subscribed.GetChannel()
		gap := c.toldOf("gap").gap
		if gap.GetChannel() != name || gap.GetReason() != millracev1.GapReason_GAP_REASON_EPOCH_CHANGED {
			s.Errorf("the gap is {%s}, want one of %s because the epoch has changed", gap, name)
		}
	}
	c.seesEach(publisher.say("news", `"live"`), publisher.say("n.1", `"live"`))
	c.seesNoMore()

	closing := &millracev1.Subscription{Channel: "news", Since: last, OnGap: millracev1.OnGap_ON_GAP_CLOSE}
	_, err := s.open("", &millracev1.SubscribeRequest{Subscriptions: []*millracev1.Subscription{closing}})
	checkRefusal(s.T, err, millracev1.ErrorReason_ERROR_REASON_GAP, "since")
}
