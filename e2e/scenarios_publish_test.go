package e2e_test

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// jsonTexts are values that are easily changed on the way.
var jsonTexts = []string{
	`0`, `-0`, `false`, `true`, `""`, `null`, `{}`, `[]`, `[null]`,
	`{"b":1,"a":[{"c":[[[]]]},0,false,"",null],"b":2}`,
	"\"\u2028 and \u2029\"", `"\u2028 \u0000 \ud83e\udebf"`, `"<script>&amp;</script>"`, `"zwölf 🪿 \" \\ \/"`,
	`12345678901234567890123456789`, `0.1000`, `1e400`, `1E-2`, `[9007199254740993,-9007199254740993]`,
	" {\t\"a\" :\r\n 1 } ", `"` + strings.Repeat("x", 70_000) + `"`,
	strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
}

func keepPayloads(s *scene) {
	c := s.join(subscribe("payload"))
	var payloads []*millracev1.Payload
	for _, text := range jsonTexts {
		payloads = append(payloads, payloadJSON([]byte(text)))
	}
	for _, text := range []string{"", "null", "two\nlines\r\n and a tab\t", "\u2028 <&> \"quoted\" \\", "\x00\x01\x7f", "🪿"} {
		payloads = append(payloads, &millracev1.Payload{Kind: &millracev1.Payload_Text{Text: text}})
	}
	for _, binary := range []string{"", "\x00\xff\xfe\n", strings.Repeat("\x80", 1000)} {
		payloads = append(payloads, &millracev1.Payload{Kind: &millracev1.Payload_Binary{Binary: []byte(binary)}, ContentType: "application/x-test; v=1"})
	}
	payloads = append(payloads, nil)
	for _, p := range payloads {
		request := &millracev1.PublishRequest{Channel: "payload"}
		if p != nil {
			request.Data = &millracev1.PublishRequest_Payload{Payload: p}
		}
		c.sees(c.publish(request))
	}
	// The convenience for calls written by hand.
	value, err := structpb.NewValue(map[string]any{"a": []any{1, "x", nil}})
	if err != nil {
		s.Fatal(err)
	}
	request := &millracev1.PublishRequest{Channel: "payload", Data: &millracev1.PublishRequest_Value{Value: value}}
	response := ask[*millracev1.PublishResponse](s.on(rpc{}).arrive(""), request)
	want := published(request, response)
	want.Payload = payloadJSON([]byte(`{"a":[1,"x",null]}`))
	got := c.toldOf("message").message
	got.Payload = payloadJSON([]byte(compact(got.GetPayload().GetJson()))) // protojson has spaces as it likes
	if !same(got, c.wire.shows(want)) {
		s.Errorf("got {%s}, want {%s}", got, want)
	}
}

func keepFields(s *scene) {
	c := s.join(subscribe("fields"))
	headers := map[string]string{"traceparent": "00-ab-cd-01", "x": "ä \"quoted\"", "empty": ""}
	for _, r := range []*millracev1.PublishRequest{
		{Type: "order.created"},
		{Id: "id-1 \"quoted\" ä"},
		{Key: "cursor:ada"},
		{Headers: headers},
		{Type: "t", Id: "id-2", Key: "k", Headers: headers, Ttl: durationpb.New(time.Hour)},
		{Type: "update", Entity: &millracev1.Entity{Name: "user", Id: "1", Timestamp: "2026-01-02T03:04:05Z", QueryKeysJson: `[["users"],["user","1"]]`}},
		{Type: "invalidate", Entity: &millracev1.Entity{Name: "user", Timestamp: "yesterday"}},
		{Type: "create", Entity: &millracev1.Entity{Name: "user", Id: "2"}}, // the server fills in the time
	} {
		r.Channel, r.Data = "fields", jsonData(`{"name":"Ada"}`)
		c.sees(c.publish(r))
	}
	ada, err := s.open("ada", &millracev1.SubscribeRequest{})
	if err != nil {
		s.Fatal(err)
	}
	want := ada.say("fields", `"who says this"`)
	want.Publisher = "ada"
	c.sees(want)
}

func deliverEphemeral(s *scene) {
	const name = "typing"
	publisher, c := s.arrive(""), s.join(subscribe(name))
	before := publisher.say(name, `1`)
	c.sees(before) // on another node than the publisher's, either may be the first
	ephemeral := publisher.publish(&millracev1.PublishRequest{Channel: name, Data: jsonData(`"ada types"`), Ephemeral: true, Type: "typing", Key: "ada"})
	if ephemeral.GetPosition() != nil {
		s.Errorf("an ephemeral message is at %s", ephemeral.GetPosition())
	}
	c.sees(ephemeral)
	after := publisher.say(name, `2`)
	c.sees(after)
	if at := after.GetPosition().GetOffset(); at != 2 {
		s.Errorf("the message after it is at offset %d, want 2", at)
	}
	again := s.arrive("", &millracev1.Subscription{Channel: name, Recent: 10})
	again.seesSubscribed(name)
	again.sees(before, after)
	again.seesNoMore()
	third := s.arrive("", since(name, before.GetPosition()))
	third.seesResumed(name)
	third.sees(after)
	third.seesNoMore()

	kept := &millracev1.PublishRequest{Channel: name, Data: jsonData(`1`), Ephemeral: true, Id: "x"}
	publisher.isRefused(kept, millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST, "id")
}

func publishOnce(s *scene) {
	c := s.join(subscribe("once"))
	request := &millracev1.PublishRequest{Channel: "once", Id: "order-1", Data: jsonData(`{"n":1}`)}
	first := c.publish(request)
	again := ask[*millracev1.PublishResponse](c, request)
	if !again.GetDuplicate() || !proto.Equal(again.GetPosition(), first.GetPosition()) {
		s.Errorf("published again: %s, want a duplicate at %s", again, first.GetPosition())
	}
	other := &millracev1.PublishRequest{Channel: "once", Id: "order-1", Data: jsonData(`{"n":2}`)}
	c.isRefused(other, millracev1.ErrorReason_ERROR_REASON_ID_REUSED, "id")
	elsewhere := c.publish(&millracev1.PublishRequest{Channel: "once.more", Id: "order-1", Data: jsonData(`{"n":2}`)})
	if elsewhere.GetPosition().GetOffset() != 1 {
		s.Errorf("the id in another channel: %s", elsewhere)
	}
	c.sees(first, c.say("once", `"next"`))
	c.seesNoMore()
}

func publishAtPosition(s *scene) {
	const name = "document.1"
	c := s.join(subscribe(name))
	at := func(p *millracev1.Position) *millracev1.PublishRequest {
		return &millracev1.PublishRequest{Channel: name, Data: jsonData(`"edit"`), ExpectedPosition: p}
	}
	first := c.publish(at(&millracev1.Position{}))
	second := c.publish(at(first.GetPosition()))
	for _, wrong := range []*millracev1.Position{{}, first.GetPosition(), {Offset: 2, Epoch: "beforenow"}} {
		info := c.isRefused(at(wrong), millracev1.ErrorReason_ERROR_REASON_POSITION_MISMATCH, "expected_position")
		if !proto.Equal(info.GetPosition(), second.GetPosition()) {
			s.Errorf("expected at {%s}: the refusal says it is at {%s}, want {%s}", wrong, info.GetPosition(), second.GetPosition())
		}
	}
	c.sees(first, second, c.publish(at(second.GetPosition())))
	c.seesNoMore()
}

func publishBatch(s *scene) {
	c := s.join(subscribe("batch.a"), subscribe("batch.b"))
	batch := &millracev1.PublishBatchRequest{}
	for i := range 6 {
		name := []string{"batch.a", "batch.b", "no channel"}[i%3]
		batch.Requests = append(batch.Requests, &millracev1.PublishRequest{Channel: name, Data: jsonData(fmt.Sprint(i))})
	}
	response := ask[*millracev1.PublishBatchResponse](c, batch)
	if len(response.GetResults()) != 6 {
		s.Fatalf("%d results, want 6", len(response.GetResults()))
	}
	var want []*millracev1.Message
	for i, result := range response.GetResults() {
		request := batch.GetRequests()[i]
		if i%3 == 2 {
			info := checkRefusal(s.T, &refusal{info: result.GetError()}, millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel")
			if info.GetChannel() != "no channel" {
				s.Errorf("the refusal is about %q", info.GetChannel())
			}
			continue
		}
		if result.GetResponse().GetPosition().GetOffset() != uint64(i/3+1) {
			s.Errorf("result %d: %s, want offset %d", i, result, i/3+1)
		}
		want = append(want, published(request, result.GetResponse()))
	}
	c.seesEach(want...)
	c.seesNoMore()

	batch = &millracev1.PublishBatchRequest{Requests: make([]*millracev1.PublishRequest, 1001)}
	for i := range batch.GetRequests() {
		batch.Requests[i] = &millracev1.PublishRequest{Channel: "batch.a"}
	}
	info := c.isRefused(batch, millracev1.ErrorReason_ERROR_REASON_TOO_MANY, "requests")
	if info.GetLimit() != 1000 {
		s.Errorf("the limit is %d, want 1000", info.GetLimit())
	}
	c.seesNoMore()
}

func readHistory(s *scene) {
	const name = "history.1"
	c := s.arrive("")
	if empty := ask[*millracev1.HistoryResponse](c, &millracev1.HistoryRequest{Channel: name}); len(empty.GetMessages()) > 0 || empty.GetNextPageToken() != "" {
		s.Errorf("history of an empty channel: %s", empty)
	}
	messages := c.sayAll(name, 25)
	newest := make([]*millracev1.Message, 0, 25)
	for i := range messages {
		newest = append(newest, messages[24-i])
	}
	oldestFirst, newestFirst := millracev1.HistoryOrder_HISTORY_ORDER_OLDEST_FIRST, millracev1.HistoryOrder_HISTORY_ORDER_NEWEST_FIRST
	c.reads(&millracev1.HistoryRequest{Channel: name, PageSize: 10}, 3, messages)
	c.reads(&millracev1.HistoryRequest{Channel: name, PageSize: 10, Order: newestFirst}, 3, newest)
	c.reads(&millracev1.HistoryRequest{Channel: name}, 1, messages)
	c.reads(&millracev1.HistoryRequest{Channel: name, PageSize: 5, Since: messages[9].GetPosition(), Order: oldestFirst}, 3, messages[10:])
	c.reads(&millracev1.HistoryRequest{Channel: name, PageSize: 5, Since: messages[9].GetPosition(), Order: newestFirst}, 2, newest[16:])
	c.reads(&millracev1.HistoryRequest{Channel: name, Since: messages[24].GetPosition()}, 1, nil)

	info := c.isRefused(&millracev1.HistoryRequest{Channel: name, PageSize: 1001}, millracev1.ErrorReason_ERROR_REASON_TOO_MANY, "page_size")
	if info.GetLimit() != 1000 {
		s.Errorf("the limit is %d, want 1000", info.GetLimit())
	}
	c.isRefused(&millracev1.HistoryRequest{Channel: name, PageToken: "!"}, millracev1.ErrorReason_ERROR_REASON_INVALID_CURSOR, "page_token")
	c.isRefused(&millracev1.HistoryRequest{Channel: name, Since: lastEpoch}, millracev1.ErrorReason_ERROR_REASON_GAP, "since")
	c.isRefused(&millracev1.HistoryRequest{Channel: nothing + ".1"}, millracev1.ErrorReason_ERROR_REASON_NOT_ENABLED, "channel")
	c.isRefused(&millracev1.HistoryRequest{Channel: "history.*"}, millracev1.ErrorReason_ERROR_REASON_INVALID_CHANNEL, "channel")
}

// reads pages through history.
func (c *client) reads(request *millracev1.HistoryRequest, pages int, want []*millracev1.Message) {
	c.Helper()
	var got []*millracev1.Message
	for page := 1; ; page++ {
		response := ask[*millracev1.HistoryResponse](c, request)
		if at := response.GetPosition().GetOffset(); at != 25 {
			c.Errorf("history says that the channel is at %d, want 25", at)
		}
		got = append(got, response.GetMessages()...)
		if request.PageToken = response.GetNextPageToken(); request.GetPageToken() == "" {
			if page != pages {
				c.Errorf("history has %d pages, want %d", page, pages)
			}
			break
		}
	}
	if len(got) != len(want) {
		c.Fatalf("history {%s} has %d messages, want %d", request, len(got), len(want))
	}
	for i := range got {
		if !same(got[i], showsInBrowsers(want[i])) {
			c.Fatalf("message %d of history is {%s}, want {%s}", i, got[i], want[i])
		}
	}
}
