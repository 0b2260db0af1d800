package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// room is where everybody meets.
const room = "room.1"

func bePresent(s *scene) {
	watcher := s.arrive("", &millracev1.Subscription{Channel: room, Presence: true})
	first, second := watcher.told(), watcher.told() // in either order
	if first.snapshot == nil {
		first, second = second, first
	}
	if first.snapshot.GetTotal() != 0 || first.snapshot.GetChannel() != room || second.subscribed.GetChannel() != room {
		s.Fatalf("told of %s and %s, want an empty room and the subscription", first, second)
	}
	phone, laptop, bob := s.arrive("ada"), s.arrive("ada"), s.arrive("bob")

	phone.do(&millracev1.EnterPresenceRequest{Channel: room, Data: payloadJSON([]byte(`{"at":"phone"}`))})
	watcher.seesChange("enter ada 1 {\"at\":\"phone\"} of 1")
	laptop.do(&millracev1.EnterPresenceRequest{Channel: room, Data: payloadJSON([]byte(`{"at":"laptop"}`))})
	watcher.seesChange("update ada 2 {\"at\":\"laptop\"} of 1")
	bob.do(&millracev1.EnterPresenceRequest{Channel: room})
	watcher.seesChange("enter bob 1  of 2")
	phone.do(&millracev1.UpdatePresenceRequest{Channel: room, Data: payloadJSON([]byte(`{"at":"door"}`))})
	watcher.seesChange("update ada 2 {\"at\":\"door\"} of 2")
	watcher.finds(room, `ada 2 {"at":"door"}`, "bob 1 ")

	// Who comes later is told who is there.
	late := s.arrive("", &millracev1.Subscription{Channel: room, Presence: true})
	e := late.told()
	if e.snapshot == nil {
		e = late.told()
	}
	if got := fmt.Sprint(membersOf(e.snapshot.GetMembers())); got != `[ada 2 {"at":"door"} bob 1 ]` || e.snapshot.GetTotal() != 2 {
		s.Errorf("the snapshot is %s of %d", got, e.snapshot.GetTotal())
	}

	// The data of the session that is left counts again; the member stays.
	phone.leave()
	watcher.seesChange("update ada 1 {\"at\":\"laptop\"} of 2")
	laptop.do(&millracev1.LeavePresenceRequest{Channel: room})
	watcher.seesChange("leave ada 1 {\"at\":\"laptop\"} of 1")
	laptop.do(&millracev1.LeavePresenceRequest{Channel: room}) // does nothing
	bob.leave()
	watcher.seesChange("leave bob 1  of 0")
	watcher.finds(room)
	watcher.seesNoMore()

	// Presence goes with the subscription.
	watcher.remove(room)
	watcher.seesUnsubscribed(room)
	laptop.do(&millracev1.EnterPresenceRequest{Channel: room})
	watcher.seesNoMore()
}

// seesChange expects one change, with the number of members after it.
func (c *client) seesChange(want string) {
	c.Helper()
	changes := c.toldOf("presence changes").changes
	if changes.GetChannel() != room || len(changes.GetChanges()) != 1 {
		c.Fatalf("the changes are {%s}, want one: %s", changes, want)
	}
	change := changes.GetChanges()[0]
	action := strings.ToLower(strings.TrimPrefix(change.GetAction().String(), "PRESENCE_ACTION_"))
	got := fmt.Sprintf("%s %s of %d", action, membersOf([]*millracev1.Member{change.GetMember()})[0], changes.GetTotal())
	if got != want {
		c.Errorf("the change is %q, want %q", got, want)
	}
}

// finds checks who is present.
func (c *client) finds(channel string, want ...string) {
	c.Helper()
	page := ask[*millracev1.PresenceResponse](c, &millracev1.PresenceRequest{Channel: channel})
	if got := membersOf(page.GetMembers()); !slices.Equal(got, want) || int(page.GetTotal()) != len(want) {
		c.Errorf("present are %q of %d, want %q", got, page.GetTotal(), want)
	}
}

func membersOf(members []*millracev1.Member) []string {
	var list []string
	for _, m := range members {
		list = append(list, fmt.Sprintf("%s %d %s", m.GetUser(), m.GetSessions(), m.GetData().GetJson()))
	}
	return list
}

func refusePresence(s *scene) {
	c := s.join(subscribe("fine"))
	limit := strings.Repeat("x", 2<<10-1) // with its quotes one byte too many
	notEnabled, invalid := millracev1.ErrorReason_ERROR_REASON_NOT_ENABLED, millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST
	c.isRefused(&millracev1.EnterPresenceRequest{Channel: unwatched + ".1"}, notEnabled, "channel")
	c.isRefused(&millracev1.PresenceRequest{Channel: unwatched + ".1"}, notEnabled, "channel")
	c.isRefused(&millracev1.EnterPresenceRequest{Channel: "a b"}, millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel")
	c.isRefused(&millracev1.EnterPresenceRequest{Channel: "a.*"}, millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel")
	c.isRefused(&millracev1.UpdatePresenceRequest{Channel: "fine"}, invalid, "channel")
	info := c.isRefused(&millracev1.EnterPresenceRequest{Channel: "fine", Data: payloadJSON([]byte(`"` + limit + `"`))}, millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, "data")
	if info.GetLimit() != 2<<10 {
		s.Errorf("the limit is %d, want 2 KiB", info.GetLimit())
	}
	c.isRefusedSubscription(&millracev1.Subscription{Channel: unwatched + ".1", Presence: true}, notEnabled, "channel")
	c.isRefusedSubscription(&millracev1.Subscription{Channel: "p.*", Presence: true}, invalid, "presence")
	c.finds("fine")
	c.sees(c.say("fine", `"and on it goes"`))
	c.seesNoMore()
}

// eventually waits for what cannot be waited for otherwise.
func (s *scene) eventually(what string, is func() bool) {
	s.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !is(); <-ticker.C {
		if time.Now().After(deadline) {
			s.Fatalf("not so after %s: %s", patience, what)
		}
	}
}
