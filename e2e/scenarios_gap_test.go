package e2e_test

import (
	millracev1 "millrace.dev/gen/millrace/v1"
)

var lastEpoch = &millracev1.Position{Offset: 3, Epoch: "beforenow"}

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
