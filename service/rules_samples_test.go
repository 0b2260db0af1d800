package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// firstSamples is how a stream of samples begins.
func (n *node) firstSamples(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := n.admin.WatchSamples(ctx, &millracev1.WatchSamplesRequest{})
	if err != nil {
		return err
	}
	defer stream.Close()
	_, err = stream.Receive()
	return err
}

func TestO4SamplesTellWhatHappenedInEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(1000))
		n.subscribe(to("a"))
		n.subscribe(to("a"), to("b.*"))
		time.Sleep(time.Second / 2) // not at the same moment as a sample
		for range 20 {
			for range 5 {
				n.publish("a", "x")
			}
			time.Sleep(time.Second)
		}
		samples := n.samples(n.asAdmin(), 3)
		if len(samples) != 3 {
			t.Fatalf("asked for 3 recent samples, got %d", len(samples))
		}
		for _, s := range samples {
			got := fmt.Sprint(s.GetPublishedRate(), s.GetDeliveredRate(), s.GetSessions(), s.GetChannels(), s.GetSlowSessions())
			if got != "5 10 map[test:2] 2 0" || s.GetMemoryBytes() == 0 || s.GetDeliveredByteRate() < 10 {
				t.Errorf("a sample says %v", s)
			}
		}
	})
}

// samples are the first of a stream of samples.
func (n *node) samples(ctx context.Context, recent uint32) []*millracev1.Sample {
	n.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := n.admin.WatchSamples(ctx, &millracev1.WatchSamplesRequest{Recent: recent})
	if err != nil {
		n.t.Fatal(err)
	}
	defer stream.Close()
	response, err := stream.Receive()
	if err != nil {
		n.t.Fatal(err)
	}
	return response.GetSamples()
}

func TestO4TenMinutesOfSamplesAreKeptAndTheStreamGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		time.Sleep(11 * time.Minute)
		ctx, cancel := context.WithCancel(n.asAdmin())
		defer cancel()
		stream, err := n.admin.WatchSamples(ctx, &millracev1.WatchSamplesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		var last time.Time
		for i, want := range []int{600, 1, 1, 1} {
			response, err := stream.Receive()
			if err != nil || len(response.GetSamples()) != want {
				t.Fatalf("response %d has %d samples, %v", i, len(response.GetSamples()), err)
			}
			for _, s := range response.GetSamples() {
				if at := s.GetTime().AsTime(); !last.IsZero() && at.Sub(last) != time.Second {
					t.Errorf("a sample is %v after the one before", at.Sub(last))
				}
				last = s.GetTime().AsTime()
			}
		}
	})
}

func TestO4WatchingEndsWithTheServerAndWithTheCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, keeping(0))
		watch := func(token string) error {
			stream, err := n.admin.WatchSamples(as(t.Context(), token), &millracev1.WatchSamplesRequest{})
			for err == nil {
				_, err = stream.Receive()
			}
			if errors.Is(err, io.EOF) {
				t.Error("the stream ends without a reason")
			}
			return err
		}
		short, err := n.keys.Sign("ops", []auth.Grant{may(">", auth.Inspect)}, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		refused(t, watch(short), "EXPIRED")
		ended := make(chan error, 1)
		go func() { ended <- watch(n.keys.APIKeys[0]) }()
		synctest.Wait()
		if err := n.Drain(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		refused(t, <-ended, "DRAINING")
		refused(t, watch(n.keys.APIKeys[0]), "DRAINING") // who comes too late
	})
}
