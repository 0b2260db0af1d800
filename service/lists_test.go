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
