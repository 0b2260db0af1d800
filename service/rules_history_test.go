package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

const (
	oldestFirst = millracev1.HistoryOrder_HISTORY_ORDER_OLDEST_FIRST
	newestFirst = millracev1.HistoryOrder_HISTORY_ORDER_NEWEST_FIRST
)

// pages reads history page by page. between happens after each page.
func (n *node) pages(request *millracev1.HistoryRequest, between func()) []int {
	n.t.Helper()
	var found []int
	for {
		response, err := n.rpc.History(n.t.Context(), request)
		if err != nil {
			n.t.Fatal(err)
		}
		for _, m := range response.GetMessages() {
			found = append(found, int(m.GetPosition().GetOffset()))
		}
		if request.PageToken = response.GetNextPageToken(); request.GetPageToken() == "" {
			return found
		}
		between()
	}
}

func backwards(numbers []int) []int {
	numbers = slices.Clone(numbers)
	slices.Reverse(numbers)
	return numbers
}

func TestH1HistoryIsReadBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(50))
		n.flood("a", 60)
		nothing := func() {}
		for _, size := range []uint32{1, 7, 50, 51, 1000} {
			if got := n.pages(&millracev1.HistoryRequest{Channel: "a", PageSize: size}, nothing); !slices.Equal(got, upTo(11, 60)) {
				t.Errorf("pages of %d: %v", size, got)
			}
			newest := &millracev1.HistoryRequest{Channel: "a", PageSize: size, Order: newestFirst}
			if got := n.pages(newest, nothing); !slices.Equal(got, backwards(upTo(11, 60))) {
				t.Errorf("pages of %d, newest first: %v", size, got)
			}
		}
		for _, test := range []struct {
			order millracev1.HistoryOrder
			since uint64
			want  []int
		}{
			{oldestFirst, 58, upTo(59, 60)}, {oldestFirst, 60, nil}, {oldestFirst, 10, upTo(11, 60)},
			{newestFirst, 13, []int{12, 11}}, {newestFirst, 11, nil}, {newestFirst, 1, nil},
		} {
			request := &millracev1.HistoryRequest{Channel: "a", Since: n.at("a", test.since), Order: test.order}
			if got := n.pages(request, nothing); !slices.Equal(got, test.want) {
				t.Errorf("%v since %d: %v, want %v", test.order, test.since, got, test.want)
			}
		}
	})
}

func TestH1EachMessageComesOnceWhileOthersArePublishedAndExpire(t *testing.T) {
	for _, order := range []millracev1.HistoryOrder{oldestFirst, newestFirst} {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, keeping(50))
			for i := range 50 {
				m := text("a", fmt.Sprint(i))
				if i%5 == 0 {
					m.Ttl = seconds(3)
				}
				n.send(m)
			}
			got := n.pages(&millracev1.HistoryRequest{Channel: "a", PageSize: 4, Order: order}, func() {
				n.publish("a", "later", "later")
				time.Sleep(time.Second)
			})
			if order == newestFirst {
				got = backwards(got)
			}
			if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Fatalf("%v: repeated or out of order: %v", order, got)
			}
			first, last := got[0], got[len(got)-1]
			if order == oldestFirst && last < 60 || order == newestFirst && (last != 50 || first > 50) {
				t.Errorf("%v: from %d to %d", order, first, last)
			}
			for i := first; i <= last; i++ { // what is missing has expired
				if !slices.Contains(got, i) && (i%5 != 1 || i > 50) && i > int(n.head("a").GetOffset())-50 {
					t.Errorf("%v: %d is missing in %v", order, i, got)
				}
			}
		})
	}
}

func TestH1APageOfAnotherEpochOrMakerIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(50))
		n.publish("a", "x")
		_, err := n.rpc.History(t.Context(), &millracev1.HistoryRequest{Channel: "a", Since: &millracev1.Position{Offset: 1, Epoch: "other"}})
		refused(t, err, "GAP")
		_, err = n.rpc.History(t.Context(), &millracev1.HistoryRequest{Channel: "a", PageToken: "nonsense"})
		refused(t, err, "INVALID_CURSOR")
		_, err = n.rpc.History(t.Context(), &millracev1.HistoryRequest{Channel: "a", PageSize: 1001})
		if info := refused(t, err, "TOO_MANY"); info.GetLimit() != 1000 {
			t.Errorf("refused with %v", info)
		}
	})
}

func TestH2MessagesAreKeptBySizeAndAge(t *testing.T) {
	config := service.Config{Rules: []service.Rule{
		{Pattern: "none"},
		{Pattern: "three", History: engine.Retention{Messages: 3}},
		{Pattern: "minute", History: engine.Retention{Messages: 1000, Age: time.Minute}},
	}}
	synctest.Test(t, func(t *testing.T) {
		n := start(t, config)
		kept := func(channel string) string {
			response, err := n.rpc.History(t.Context(), &millracev1.HistoryRequest{Channel: channel, PageSize: 1000})
			if err != nil {
				return reasonOf(service.ErrorInfo(err))
			}
			return fmt.Sprint(len(response.GetMessages()))
		}
		all := func() string {
			return strings.Join([]string{kept("none"), kept("three"), kept("minute"), kept("other")}, " ")
		}
		for _, channel := range []string{"none", "three", "minute", "other"} {
			n.flood(channel, 150)
		}
		for _, step := range []struct {
			wait time.Duration
			want string
		}{
			{0, "NOT_ENABLED 3 150 100"},
			{59 * time.Second, "NOT_ENABLED 3 150 100"},
			{time.Second, "NOT_ENABLED 3 0 100"},
			{9*time.Minute - time.Second, "NOT_ENABLED 3 0 100"},
			{time.Second, "NOT_ENABLED 3 0 0"},
			{20 * time.Hour, "NOT_ENABLED 3 0 0"},
		} {
			time.Sleep(step.wait)
			if got := all(); got != step.want {
				t.Errorf("after another %v, kept are %s, want %s", step.wait, got, step.want)
			}
		}
	})
}
