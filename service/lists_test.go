package service_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"millrace.dev/engine/memory"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// long are requests with a list of so many entries, and what names the list.
func long(n int) map[string]proto.Message {
	var names []string
	var subscriptions []*millracev1.Subscription
	var publishes []*millracev1.PublishRequest
	for i := range n {
		name := fmt.Sprintf("c%d", i)
		names = append(names, name)
		subscriptions = append(subscriptions, &millracev1.Subscription{Channel: name})
		publishes = append(publishes, &millracev1.PublishRequest{Channel: name})
	}
	update := &millracev1.UpdateSubscriptionRequest{Add: subscriptions}
	return map[string]proto.Message{
		"subscriptions":     &millracev1.SubscribeRequest{Subscriptions: subscriptions},
		"add":               update,
		"add of a command":  &millracev1.Command{Id: 7, Command: &millracev1.Command_UpdateSubscription{UpdateSubscription: update}},
		"remove":            &millracev1.UpdateSubscriptionRequest{Remove: names},
		"requests":          &millracev1.PublishBatchRequest{Requests: publishes},
		"channels":          &millracev1.GetPositionsRequest{Channels: names},
		"channels to watch": &millracev1.WatchPresenceRequest{Channels: names},
	}
}

func TestL4AListThatIsTooLongIsRefusedBeforeItsEntriesAreRead(t *testing.T) {
	node, err := service.New(t.Context(), memory.Open(memory.Options{}), service.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	for name, request := range long(10_000) {
		for format, read := range map[string]func() error{
			"protobuf": readerOf(t, request, proto.Marshal, node.DecodeProto),
			"JSON":     readerOf(t, request, protojson.Marshal, node.DecodeJSON),
		} {
			field, _, _ := strings.Cut(name, " ")
			info := service.ErrorInfo(read())
			if info.GetReason() != millracev1.ErrorReason_ERROR_REASON_TOO_MANY || info.GetField() != field || info.GetLimit() == 0 {
				t.Errorf("%s in %s: refused with %v", name, format, info)
			}
			if objects := testing.AllocsPerRun(5, func() { _ = read() }); objects > 50 {
				t.Errorf("%s in %s: to refuse it took %v objects", name, format, objects)
			}
		}
	}
	for name, request := range long(512) {
		for format, read := range map[string]func() error{
			"protobuf": readerOf(t, request, proto.Marshal, node.DecodeProto),
			"JSON":     readerOf(t, request, protojson.Marshal, node.DecodeJSON),
		} {
			if err := read(); err != nil {
				t.Errorf("as many as there may be, %s in %s: %v", name, format, err)
			}
		}
	}
}

// seen is a request whose patterns say together that they have seen so many
// channels.
func seen(patterns, channels int) proto.Message {
	request := &millracev1.SubscribeRequest{}
	for i := range patterns {
		pattern := &millracev1.Subscription{Channel: fmt.Sprintf("p%d.*", i)}
		for j := range channels / patterns {
			pattern.Seen = append(pattern.Seen, &millracev1.ChannelPosition{Channel: fmt.Sprintf("p%d.%d", i, j), Position: &millracev1.Position{Offset: 1, Epoch: "e"}})
		}
		request.Subscriptions = append(request.Subscriptions, pattern)
	}
	return request
}

// withTypes is a request that wants so many types of each of its channels.
func withTypes(channels, types int) proto.Message {
	request := &millracev1.SubscribeRequest{}
	for range channels {
		request.Subscriptions = append(request.Subscriptions, &millracev1.Subscription{Channel: "a", Filter: &millracev1.Filter{Types: make([]string, types)}})
	}
	return request
}

func withHeaders(n int) proto.Message {
	request := &millracev1.PublishRequest{Channel: "a", Headers: map[string]string{}}
	for i := range n {
		request.Headers[fmt.Sprint(i)] = ""
	}
	return request
}

// A list in an entry of a list costs as much as one that is not.
func TestL4WhatEntriesHaveIsCountedBeforeItIsRead(t *testing.T) {
	node, err := service.New(t.Context(), memory.Open(memory.Options{}), service.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	const most = 512 * 32 // of channels, and of channels seen or types of each
	for name, c := range map[string]struct {
		request proto.Message
		field   string // empty if it may be
	}{
		"as many channels seen as there may be":         {seen(1, most), ""},
		"as many channels seen by 512 patterns":         {seen(512, most), ""},
		"one channel seen too many":                     {seen(1, most+1), "seen"},
		"channels seen by 512 patterns, one more each":  {seen(512, most+512), "seen"},
		"as many types as there may be":                 {withTypes(512, 32), ""},
		"types of 512 channels, one more each":          {withTypes(512, 33), "types"},
		"as many headers as all messages together have": {withHeaders(1000 * 16), ""},
		"one header too many":                           {withHeaders(1000*16 + 1), "headers"},
	} {
		for format, read := range map[string]func() error{
			"protobuf": readerOf(t, c.request, proto.Marshal, node.DecodeProto),
			"JSON":     readerOf(t, c.request, protojson.Marshal, node.DecodeJSON),
		} {
			err := read()
			if c.field == "" {
				if err != nil {
					t.Errorf("%s in %s: %v", name, format, err)
				}
				continue
			}
			info := service.ErrorInfo(err)
			if info.GetReason() != millracev1.ErrorReason_ERROR_REASON_TOO_MANY || info.GetField() != c.field {
				t.Errorf("%s in %s: refused with %v", name, format, info)
			}
			if objects := testing.AllocsPerRun(5, func() { _ = read() }); objects > 50 {
				t.Errorf("%s in %s: to refuse it took %v objects", name, format, objects)
			}
		}
	}
}

// readerOf reads a request of a kind, again and again.
func readerOf(t *testing.T, request proto.Message, marshal func(proto.Message) ([]byte, error), read func([]byte, proto.Message) error) func() error {
	t.Helper()
	data, err := marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return func() error { return read(data, request.ProtoReflect().New().Interface()) }
}

// What looks like a long list in what somebody publishes is his own affair.
func TestALongListInAPayloadIsNoListOfTheRequest(t *testing.T) {
	t.Parallel()
	node, err := service.New(t.Context(), memory.Open(memory.Options{}), service.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	data := fmt.Appendf(nil, `{"requests":[{"channel":"a","value":{"add":[0%s]}}]}`, strings.Repeat(",0", 2000))
	if err := node.DecodeJSON(data, &millracev1.PublishBatchRequest{}); err != nil {
		t.Error(err)
	}
}

func BenchmarkTenThousandSubscriptions(b *testing.B) {
	node, err := service.New(context.Background(), memory.Open(memory.Options{}), service.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer node.Close()
	request := long(10_000)["add of a command"]
	inJSON, _ := protojson.Marshal(request)
	inProto, _ := proto.Marshal(request)
	for name, read := range map[string]func() error{
		"JSON":               func() error { return node.DecodeJSON(inJSON, &millracev1.Command{}) },
		"JSON unbounded":     func() error { return protojson.Unmarshal(inJSON, &millracev1.Command{}) },
		"protobuf":           func() error { return node.DecodeProto(inProto, &millracev1.Command{}) },
		"protobuf unbounded": func() error { return proto.Unmarshal(inProto, &millracev1.Command{}) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_ = read()
			}
		})
	}
}
