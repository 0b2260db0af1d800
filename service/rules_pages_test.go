package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
)

func TestO5SessionsAreListedByWhatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		n.subscribeAs("amy", to("a"))
		time.Sleep(time.Second)
		slow := n.subscribeAs("bob", to("a"), to("b"))
		time.Sleep(time.Second)
		n.subscribeAs("amy", to("b"))
		slow.stall()
		n.publish("b", "x")
		synctest.Wait() // on its way to who does not take it
		n.publish("b", strings.Repeat("x", 1000))
		synctest.Wait()
		for name, test := range map[string]struct {
			request *millracev1.ListSessionsRequest
			want    string
		}{
			"newest first":       {&millracev1.ListSessionsRequest{Order: millracev1.SessionOrder_SESSION_ORDER_NEWEST}, "amy/1 bob/2 amy/1"},
			"most pending first": {&millracev1.ListSessionsRequest{Order: millracev1.SessionOrder_SESSION_ORDER_PENDING, PageSize: 1}, "bob/2"},
			"of a user":          {&millracev1.ListSessionsRequest{User: "bob"}, "bob/2"},
			"of a channel":       {&millracev1.ListSessionsRequest{Channel: "b", Order: millracev1.SessionOrder_SESSION_ORDER_NEWEST}, "amy/1 bob/2"},
			"of another wire":    {&millracev1.ListSessionsRequest{Protocol: "ws"}, ""},
			"of an address":      {&millracev1.ListSessionsRequest{Address: "10.0.0.0/8"}, ""},
		} {
			response, err := n.admin.ListSessions(n.asAdmin(), test.request)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range response.GetSessions() {
				got = append(got, fmt.Sprintf("%s/%d", s.GetUser(), s.GetSubscriptions()))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s: %q, want %q", name, got, test.want)
			}
		}
		_, err := n.admin.ListSessions(n.asAdmin(), &millracev1.ListSessionsRequest{Address: "nowhere"})
		if info := refused(t, err, "INVALID_REQUEST"); info.GetField() != "address" {
			t.Errorf("refused with %v", info)
		}
	})
}

func TestO5PagesHaveEachSessionOnceInEveryOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		for range 25 {
			n.subscribe(to("a"))
			time.Sleep(time.Millisecond)
		}
		for order := range millracev1.SessionOrder_name {
			seen := map[string]int{}
			request := &millracev1.ListSessionsRequest{PageSize: 7, Order: millracev1.SessionOrder(order)}
			for pages := 1; ; pages++ {
				response, err := n.admin.ListSessions(n.asAdmin(), request)
				if err != nil || response.GetTotal() != 25 {
					t.Fatalf("%v, %v", response, err)
				}
				for _, s := range response.GetSessions() {
					seen[s.GetId()]++
				}
				if request.PageToken = response.GetNextPageToken(); request.GetPageToken() == "" {
					if pages != 4 {
						t.Errorf("%d pages in order %d", pages, order)
					}
					break
				}
			}
			if len(seen) != 25 {
				t.Errorf("%d sessions in order %d", len(seen), order)
			}
		}
	})
}

func TestO5ASessionShowsHowFarItsSubscriptionsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		c := n.subscribeAs("amy", to("a"), to("b.*"), &millracev1.Subscription{Channel: "room", Presence: true})
		c.enter("room", "")
		n.publish("a", "1", "2")
		synctest.Wait()
		c.stall()
		n.publish("a", "3") // on its way
		synctest.Wait()
		n.publish("a", "4", "5")
		n.publish("b.1", "1")
		time.Sleep(1500 * time.Millisecond)
		response, err := n.admin.GetSession(n.asAdmin(), &millracev1.GetSessionRequest{Session: c.ready().GetSession()})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range response.GetSubscriptions() {
			got = append(got, fmt.Sprintf("%s presence=%t %d/%d pending=%t behind=%t",
				s.GetChannel(), s.GetPresence(), s.GetPosition().GetOffset(), s.GetHead().GetOffset(), s.GetPendingBytes() > 0, s.GetBehind()))
		}
		slices.Sort(got)
		want := []string{
			"a presence=false 3/5 pending=true behind=false",
			"b.* presence=false 0/0 pending=true behind=false",
			"room presence=false 0/0 pending=false behind=false",
			"room presence=true 0/0 pending=false behind=false",
		}
		if !slices.Equal(got, want) {
			t.Errorf("subscriptions:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
		if s := response.GetSession(); !s.GetSlow() || s.GetPendingBytes() == 0 || s.GetSubscriptions() != 3 {
			t.Errorf("the session is %v", s)
		}
		if !slices.Equal(response.GetPresent(), []string{"room"}) || response.GetStalled().AsDuration() != 1500*time.Millisecond {
			t.Errorf("present in %v, stalled for %v", response.GetPresent(), response.GetStalled().AsDuration())
		}
		c.goOn()
		_, err = n.admin.GetSession(n.asAdmin(), &millracev1.GetSessionRequest{Session: "none"})
		refused(t, err, "SESSION_NOT_FOUND")
	})
}

func TestO5ChannelsAreListedWithTheirRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		n.subscribe(to("quiet"), to("busy"), to("busy.*"))
		n.subscribe(to("quiet"))
		for range 200 { // twenty seconds
			n.publish("busy", "0123456789")
			time.Sleep(100 * time.Millisecond)
		}
		for order, want := range map[millracev1.ChannelOrder]string{
			millracev1.ChannelOrder_CHANNEL_ORDER_UNSPECIFIED: "busy busy.* quiet",
			millracev1.ChannelOrder_CHANNEL_ORDER_SUBSCRIBERS: "quiet busy busy.*",
			millracev1.ChannelOrder_CHANNEL_ORDER_RATE:        "busy busy.* quiet",
		} {
			response, err := n.admin.ListChannels(n.asAdmin(), &millracev1.ListChannelsRequest{Order: order})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range response.GetChannels() {
				got = append(got, c.GetName())
			}
			if strings.Join(got, " ") != want || response.GetTotal() != 3 {
				t.Errorf("in order %v: %q of %d, want %q", order, got, response.GetTotal(), want)
			}
		}
		response, err := n.admin.GetChannel(n.asAdmin(), &millracev1.GetChannelRequest{Channel: "busy"})
		if err != nil {
			t.Fatal(err)
		}
		c := response.GetChannel()
		if rate := c.GetMessageRate(); rate < 9 || rate > 11 || c.GetByteRate() < 10*rate {
			t.Errorf("ten messages a second are %v and %v bytes", rate, c.GetByteRate())
		}
		if c.GetHead().GetOffset() != 200 || response.GetOldest().GetOffset() != 101 || response.GetHistoryMessages() != 100 || response.GetRule() != ">" {
			t.Errorf("the channel is %v", response)
		}
		time.Sleep(20 * time.Second)
		response, err = n.admin.GetChannel(n.asAdmin(), &millracev1.GetChannelRequest{Channel: "busy"})
		if err != nil || response.GetChannel().GetMessageRate() != 0 {
			t.Errorf("after twenty quiet seconds: %v, %v", response, err)
		}
	})
}
