package service_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// payloads are such as a server that parses them would change.
func payloads() []*millracev1.Payload {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	inJSON := func(text string) *millracev1.Payload {
		return &millracev1.Payload{Kind: &millracev1.Payload_Json{Json: text}}
	}
	return []*millracev1.Payload{
		inJSON(`{"z":1,"a":2,"z":3}`),
		inJSON(` [ 1 , 9007199254740993, 1e400, -0.0 ]` + "\r\n\t"),
		inJSON(`"\u0041\/\ud83d\ude00 <>&` + "\u2028" + `"`),
		inJSON(`null`),
		{Kind: &millracev1.Payload_Binary{Binary: every}, ContentType: "application/cbor"},
		{Kind: &millracev1.Payload_Binary{Binary: []byte{}}},
		textPayload("line\r\n\x00\u2028 \U0001F600"),
		textPayload(""),
		nil,
	}
}

func TestD14APayloadArrivesByteForByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(100))
		live := n.subscribe(to("a"))
		for _, payload := range payloads() {
			n.send(&millracev1.PublishRequest{Channel: "a", Data: &millracev1.PublishRequest_Payload{Payload: payload}})
		}
		replayed := n.subscribe(since("a", n.at("a", 0)))
		synctest.Wait()
		history, err := n.rpc.History(t.Context(), &millracev1.HistoryRequest{Channel: "a"})
		if err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string][]*millracev1.Message{
			"live, protobuf": decoded(t, live, (*service.Batch).WriteProto, proto.Unmarshal),
			"live, JSON":     decoded(t, live, (*service.Batch).WriteJSON, protojson.Unmarshal),
			"replayed":       decoded(t, replayed, (*service.Batch).WriteProto, proto.Unmarshal),
			"history":        history.GetMessages(),
		} {
			if len(got) != len(payloads()) {
				t.Fatalf("%s: %d messages", name, len(got))
			}
			for i, want := range payloads() {
				if !proto.Equal(got[i].GetPayload(), want) {
					t.Errorf("%s: %v came as %v", name, want, got[i].GetPayload())
				}
			}
		}
	})
}

// decoded are the messages that a client took, as a wire writes and reads them:
// all in one batch.
func decoded(t *testing.T, c *client, write func(*service.Batch, io.Writer) error, read func([]byte, proto.Message) error) []*millracev1.Message {
	t.Helper()
	batch := &service.Batch{}
	for _, it := range c.all() {
		if it.frame.Message != nil {
			batch.Frames = append(batch.Frames, it.frame)
		}
	}
	var wire bytes.Buffer
	var response millracev1.SubscribeResponse
	if err := errors.Join(write(batch, &wire), read(wire.Bytes(), &response)); err != nil {
		t.Fatal(err)
	}
	return response.GetMessages()
}
