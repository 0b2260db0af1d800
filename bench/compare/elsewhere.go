package compare

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"millrace.dev/bench/load"
)

// otherChannel is one that is not broadcast to.
const otherChannel = "elsewhere"

const (
	broadcasts    = 4  // a second
	otherMessages = 50 // a second, to the other channel
)

// elsewhere is how long it takes to publish to and subscribe to one channel while
// another, of many, is broadcast to. The many do not read: the latency would be
// that of this client.
func (h *harness) elsewhere(ctx context.Context, c Contender) (sample, error) {
	s, err := h.start(ctx, c.program)
	if err != nil {
		return sample{}, err
	}
	defer s.stop()
	target := s.target(c.wire)
	many := target
	many.Wire.Frames = slices.Clone(many.Wire.Frames)
	for i, frame := range many.Wire.Frames {
		many.Wire.Frames[i] = strings.ReplaceAll(frame, otherChannel, "bench")
	}
	crowd, err := load.Open(ctx, many, h.Crowd)
	if err != nil {
		return sample{}, err
	}
	defer crowd.Close()
	if _, err := crowd.Stall(h.Crowd); err != nil {
		return sample{}, err
	}
	target.PublishPath = "/publish/" + otherChannel
	w, err := openWindow(s)
	if err != nil {
		return sample{}, err
	}
	broadcasting, stop := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() { failed <- s.broadcast(broadcasting) }()
	values, flaw, err := h.beside(ctx, target)
	stop()
	if err := <-failed; err != nil {
		return sample{}, err
	}
	if err != nil {
		return sample{}, err
	}
	cost, err := w.close()
	values["broadcast busy"] = cost.cpu.Seconds() / cost.elapsed.Seconds()
	return sample{values: values, foreign: cost.foreign, flaw: flaw}, err
}

// beside publishes, and then subscribes one after the other.
func (h *harness) beside(ctx context.Context, target load.Target) (values map[string]float64, flaw, err error) {
	client, err := load.Open(ctx, target, 1)
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	result, err := client.Run(ctx, load.Plan{Duration: 2 * h.Duration, Rate: otherMessages})
	if err != nil {
		return nil, nil, err
	}
	var took []time.Duration
	for began := time.Now(); time.Since(began) < 2*h.Duration || len(took) == 0; {
		start := time.Now()
		another, err := load.Open(ctx, target, 1)
		if err != nil {
			return nil, nil, err
		}
		took = append(took, time.Since(start))
		if err := another.Close(); err != nil {
			return nil, nil, err
		}
	}
	slices.Sort(took)
	return map[string]float64{
		"elsewhere p99": milliseconds(result.Latency.Quantile(0.99)),
		"subscribe p99": milliseconds(took[len(took)*99/100]),
	}, result.Clean(), nil
}

// broadcast publishes to the channel of many until ctx ends.
func (s *server) broadcast(ctx context.Context) error {
	ticker := time.NewTicker(time.Second / broadcasts)
	defer ticker.Stop()
	client := http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	for {
		if err := s.publishOnce(&client); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *server) publishOnce(client *http.Client) error {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+s.address+"/publish/bench", strings.NewReader(`{"to":"many"}`))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	for _, field := range s.program.header {
		request.Header.Set(field.Name, field.Value)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("broadcast: status %d", response.StatusCode)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
