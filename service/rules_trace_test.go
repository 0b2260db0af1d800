package service_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
)

// trace begins to trace a channel, and reads the first response.
func (n *node) trace(ctx context.Context, name string) millracev1connect.AdminServiceTraceChannelClientStream {
	n.t.Helper()
	stream, err := n.admin.TraceChannel(ctx, &millracev1.TraceChannelRequest{Channel: name})
	if err != nil {
		n.t.Fatal(err)
	}
	if first, err := stream.Receive(); err != nil || len(first.GetSteps()) > 0 {
		n.t.Fatalf("it begins with %v, %v", first, err)
	}
	return stream
}

// stages are those of the steps that were told, in the order in which they were.
func stages(response *millracev1.TraceChannelResponse) []string {
	var all []string
	for _, step := range response.GetSteps() {
		all = append(all, strings.ToLower(strings.TrimPrefix(step.GetStage().String(), "TRACE_STAGE_")))
	}
	return all
}

func TestO6ATraceTellsEachStepOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		ctx, cancel := context.WithCancel(as(t.Context(), "an-administrators-key"))
		defer cancel()
		n.publish("a", "before anybody traces")
		stream := n.trace(ctx, "a")
		n.publish("b", "another channel")
		n.publish("a", "for nobody")
		synctest.Wait()
		response, err := stream.Receive()
		if got := stages(response); err != nil || !slices.Equal(got, []string{"placed"}) || response.GetSteps()[0].GetPosition().GetOffset() != 2 {
			t.Errorf("for nobody: %v, %v", response, err)
		}
		n.subscribe(to("a"))
		n.subscribe(to("*"))
		n.publish("a", "for two")
		synctest.Wait()
		var got []string
		for len(got) < 4 && err == nil {
			response, err = stream.Receive()
			got = append(got, stages(response)...)
		}
		slices.Sort(got)
		if err != nil || !slices.Equal(got, []string{"delivered", "placed", "sent", "sent"}) {
			t.Errorf("for two: %q, %v", got, err)
		}
	})
}

func TestO6WhoTracesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		ctx, cancel := context.WithCancel(as(t.Context(), "an-administrators-key"))
		defer cancel()
		stream := n.trace(ctx, ">")
		const messages = 5000
		for i := range messages {
			n.publish("a", fmt.Sprint(i))
		}
		synctest.Wait()
		told, missed := 0, uint64(0)
		for told+int(missed) < messages {
			response, err := stream.Receive()
			if err != nil {
				t.Fatal(err)
			}
			told, missed = told+len(response.GetSteps()), missed+response.GetMissed()
			if len(response.GetSteps()) == 0 {
				n.publish("a", "what is missed is told with the next step")
				synctest.Wait()
			}
		}
		if missed == 0 || told == 0 {
			t.Errorf("%d steps told and %d missed of %d", told, missed, messages)
		}
	})
}

func TestO6TracesAreFewAndNeedTheirGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(10))
		ctx, cancel := context.WithCancel(as(t.Context(), n.token("amy", auth.Grant{Pattern: "a", Actions: []auth.Action{auth.Inspect}})))
		defer cancel()
		for range 16 {
			n.trace(ctx, "a")
		}
		refusal := func(ctx context.Context, name string) error {
			stream, err := n.admin.TraceChannel(ctx, &millracev1.TraceChannelRequest{Channel: name})
			if err == nil {
				_, err = stream.Receive()
			}
			return err
		}
		refused(t, refusal(ctx, "a"), "RATE_LIMITED")
		refused(t, refusal(ctx, "b"), "FORBIDDEN")
		refused(t, refusal(ctx, "no channel"), "INVALID_CHANNEL")
		cancel()
		synctest.Wait()
		again, end := context.WithCancel(as(t.Context(), "an-administrators-key"))
		defer end()
		stream := n.trace(again, "a")
		if err := n.Drain(t.Context(), 0); err != nil {
			t.Error(err)
		}
		_, err := stream.Receive()
		refused(t, err, "DRAINING")
	})
}
