package ws

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"

	"google.golang.org/protobuf/proto"

	"millrace.dev/adapters/internal/browser"
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

func FuzzAPlainCommandIsReadOrRefused(f *testing.F) {
	for _, seed := range []string{
		`{"type":"subscribe","channel":"c"}`, `{"type":"unsubscribe","channel":"c"}`, `{"type":"ping"}`, `{"channel":"c","data":{"a":[0,false,"",null]}}`,
		`{"type":"subscribe","id":1,"channel":"c.*","since":"42@k3f9","seen":{"c.1":{"offset":1,"epoch":"k3f9"}},"onGap":"oldest"}`,
		`{"type":"subscribe","id":"x","channel":"c","recent":3,"presence":true,"cursor":"AAAA","filter":{"types":["a"],"headers":{"b":"c"}},"minInterval":5,"latestPerKey":true,"onSlow":"dropOldest"}`,
		`{"type":"publish","channel":"c","data":"AAEC","encoding":"base64","contentType":"a/b","messageId":"1","messageType":"t","key":"k","headers":{"a":"b"},"ttl":1000,"expect":{"offset":0,"epoch":""}}`,
		`{"type":"publish","channel":"c","data":"text","encoding":"text","ephemeral":true,"excludeSelf":true,"producer":{"id":"p","epoch":1,"seq":2}}`,
		`{"type":"update","entity":"user","id":"1","channel":"c","data":{},"timestamp":"now","queryKeys":[["user","1"]]}`,
		`{"type":"history","channel":"c","limit":10,"newest":true,"page":"p","since":{"offset":1,"epoch":"e"}}`,
		"", "hello", "null", "[]", "{\"id\":{}}", "{\"data\":\"\u2028\"}", `{"data":1e999}`, "\xff", `{"channel":"\ud800","data":"\ud800"}`, `{"since":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodePlain(data)
		if c == nil {
			t.Fatal("no command, which an answer needs")
		}
		checkAnswer(t, c)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if _, err := c.subscription(service.Limits{Channels: 512, PatternChannels: 32}); err != nil {
			checkRefusal(t, err)
		}
		request, err := c.publication()
		if err != nil {
			checkRefusal(t, err)
			return
		}
		checkDelivery(t, request)
	})
}

// checkRefusal checks that a client can be told what is wrong.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	info := service.ErrorInfo(err)
	isTooMany := info.GetReason() == millracev1.ErrorReason_ERROR_REASON_TOO_MANY && info.GetLimit() > 0
	if info.GetReason() != millracev1.ErrorReason_ERROR_REASON_INVALID_REQUEST && !isTooMany || info.GetField() == "" || info.GetMessage() == "" {
		t.Errorf("refused with {%s}, want a field and an explanation", info)
	}
}

// checkAnswer checks that the client's id can be sent back to it.
func checkAnswer(t *testing.T, c *plainCommand) {
	t.Helper()
	var answer struct {
		Type    string          `json:"type"`
		ID      json.RawMessage `json:"id"`
		Channel *string         `json:"channel"`
	}
	b := frame("pong", c.ID, struct{}{})
	if err := json.Unmarshal(b, &answer); err != nil || answer.Type != "pong" || answer.Channel != nil || !bytes.Equal(answer.ID, c.ID) {
		t.Errorf("the answer to the id %q is %s (%v)", c.ID, b, err)
	}
}

// checkDelivery checks that what is published comes out as the same when it is
// delivered and read again.
func checkDelivery(t *testing.T, request *millracev1.PublishRequest) {
	t.Helper()
	m := &engine.Message{
		Channel: request.GetChannel(), ID: request.GetId(), Type: request.GetType(), Key: request.GetKey(), Headers: request.GetHeaders(),
		Payload: service.PayloadFromProto(request.GetPayload()),
	}
	if e := request.GetEntity(); e != nil {
		m.Entity = &engine.Entity{Name: e.GetName(), ID: e.GetId(), Timestamp: e.GetTimestamp(), QueryKeys: e.GetQueryKeysJson()}
	}
	delivery := browser.AppendMessage(nil, m, "")
	if bytes.ContainsAny(delivery, "\r\n") || !json.Valid(delivery) {
		t.Fatalf("the delivery is not JSON on one line: %q", delivery)
	}
	c, err := decodePlain(delivery)
	if err != nil {
		t.Fatalf("%s cannot be read: %v", delivery, err)
	}
	payload, err := c.payload()
	if err != nil {
		t.Fatalf("%s: payload: %v", delivery, err)
	}
	if want := onOneLine(t, request.GetPayload()); !proto.Equal(payload, want) {
		t.Errorf("%s has the payload {%s}, want {%s}", delivery, payload, want)
	}
	if c.Channel != m.Channel || c.MessageID != m.ID || c.Type != m.Type || c.Key != m.Key || !maps.Equal(c.Headers, m.Headers) {
		t.Errorf("%s is read as %+v", delivery, c)
	}
	if e := m.Entity; e != nil && e.Name != "" && (c.Entity == nil || *c.Entity != e.Name || c.Timestamp != e.Timestamp || textOf(c.ID) != e.ID) {
		t.Errorf("%s has the entity %+v, want %+v", delivery, c, e)
	}
}

// onOneLine is the payload as the wire shows it.
func onOneLine(t *testing.T, p *millracev1.Payload) *millracev1.Payload {
	t.Helper()
	p = proto.CloneOf(p)
	switch kind := p.GetKind().(type) {
	case nil:
		return &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: "null"}}
	case *millracev1.Payload_Json:
		var b bytes.Buffer
		if err := json.Compact(&b, []byte(kind.Json)); err != nil {
			t.Errorf("the payload %q is no JSON: %v", kind.Json, err)
		}
		kind.Json = b.String()
	}
	return p
}
