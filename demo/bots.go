package demo

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	millracev1 "millrace.dev/gen/millrace/v1"
)

const (
	metricsEvery = 500 * time.Millisecond
	// The cursors of the board move 60 times a second, ten at once.
	cursorsEvery = time.Second / 60
	cursorCount  = 10
	// retryEvery is how soon a stream that ended is opened again.
	retryEvery = 200 * time.Millisecond
	callTime   = 2 * time.Second
)

// parrot is a user who answers direct messages.
const parrot = "parrot"

// Run is what happens without visitors: bots publish, until ctx ends.
func (d *Demo) Run(ctx context.Context) {
	var bots sync.WaitGroup
	metrics := newWalk()
	bots.Go(func() {
		d.every(ctx, metricsEvery, func(ctx context.Context) error { return d.tellMetrics(ctx, metrics) })
	})
	bots.Go(func() { d.every(ctx, retryEvery, d.tellStats) })
	bots.Go(func() { d.every(ctx, cursorsEvery, d.moveCursors) })
	bots.Go(func() { d.every(ctx, retryEvery, d.listen) })
	bots.Wait()
	d.transport.CloseIdleConnections()
}

// every does something again and again. What fails, as everything does while
// the server restarts, has its next chance soon.
func (d *Demo) every(ctx context.Context, interval time.Duration, do func(context.Context) error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := do(ctx); err != nil && ctx.Err() == nil {
			d.log.DebugContext(ctx, "demo bot", "error", err)
		}
	}
}

// walk is figures of a business that goes up and down.
type walk struct {
	steps                  int
	revenue, users, orders float64
}

func newWalk() *walk { return &walk{revenue: 48_200, users: 312, orders: 1204} }

func (w *walk) step() {
	w.steps++
	sold := rand.IntN(4)
	w.orders += float64(sold)
	w.revenue += float64(sold) * (20 + 60*rand.Float64())
	w.users = math.Max(40, w.users+math.Round(rand.NormFloat64()*6))
}

func (d *Demo) tellMetrics(ctx context.Context, w *walk) error {
	w.step()
	revenue := math.Round(w.revenue)
	return d.batch(ctx,
		&millracev1.PublishRequest{Channel: "dashboard.metrics", Data: payload(map[string]any{"revenue": revenue, "users": w.users, "orders": w.orders})},
		&millracev1.PublishRequest{Channel: "demo.pulse", Data: payload(w.steps)},
		&millracev1.PublishRequest{Channel: "metrics", Data: payload(map[string]any{"activeUsers": w.users, "revenue": revenue})},
	)
}

// tellStats publishes what the server says of itself, once a second.
func (d *Demo) tellStats(ctx context.Context) error {
	stream, err := d.server.WatchSamples(ctx, &millracev1.WatchSamplesRequest{Recent: 1})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		response, err := stream.Receive()
		if err != nil {
			return err
		}
		for _, sample := range response.GetSamples() {
			if err := d.tellSample(ctx, sample); err != nil {
				return err
			}
		}
	}
}

func (d *Demo) tellSample(ctx context.Context, sample *millracev1.Sample) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	board, err := d.server.ListChannels(ctx, &millracev1.ListChannelsRequest{Pattern: "board.cursors"})
	if err != nil {
		return err
	}
	d.watched.Store(len(board.GetChannels()) > 0 && board.GetChannels()[0].GetSubscribers() > 0)
	sessions := uint32(0)
	for _, n := range sample.GetSessions() {
		sessions += n
	}
	return d.publish(ctx, &millracev1.PublishRequest{Channel: "demo.stats", Data: payload(map[string]any{
		"sessions": sessions, "channels": sample.GetChannels(),
		"published": math.Round(sample.GetPublishedRate()), "delivered": math.Round(sample.GetDeliveredRate()),
	})})
}

// moveCursors moves ten cursors in Lissajous figures, if anybody looks.
func (d *Demo) moveCursors(ctx context.Context) error {
	if !d.watched.Load() {
		return nil
	}
	now := float64(time.Now().UnixMilli()) / 1000
	var moves []*millracev1.PublishRequest
	for i := range cursorCount {
		phase, name := float64(i)*2*math.Pi/cursorCount, "bot-"+string(rune('a'+i))
		moves = append(moves, &millracev1.PublishRequest{
			Channel: "board.cursors", Ephemeral: true, Key: name,
			Data: payload(map[string]any{
				"id": name,
				"x":  round(0.5 + 0.42*math.Sin(now*(0.35+0.03*float64(i))+phase)),
				"y":  round(0.5 + 0.40*math.Sin(now*(0.5+0.02*float64(i))+2*phase)),
			}),
		})
	}
	return d.batch(ctx, moves...)
}

func round(x float64) float64 { return math.Round(x*10_000) / 10_000 }

func (d *Demo) batch(ctx context.Context, messages ...*millracev1.PublishRequest) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err := d.messages.PublishBatch(ctx, &millracev1.PublishBatchRequest{Requests: messages})
	return err
}

// listen is the parrot: it hears what is said to it, and says it again.
func (d *Demo) listen(ctx context.Context) error {
	stream, err := d.messages.Subscribe(ctx, &millracev1.SubscribeRequest{
		Subscriptions: []*millracev1.Subscription{{Channel: inbox(parrot)}}, Client: "millrace-demo",
	})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		response, err := stream.Receive()
		if err != nil {
			return err
		}
		for _, m := range response.GetMessages() {
			if err := d.repeat(ctx, m); err != nil {
				return err
			}
		}
	}
}

// repeat answers a direct message in its sender's own inbox.
func (d *Demo) repeat(ctx context.Context, m *millracev1.Message) error {
	var said struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal([]byte(m.GetPayload().GetJson()), &said); err != nil || m.GetPublisher() == "" {
		return nil //nolint:nilerr // a parrot repeats only what it understands
	}
	return d.publish(ctx, &millracev1.PublishRequest{
		Channel: inbox(m.GetPublisher()),
		Data: payload(map[string]any{
			"text": said.Text + "! " + said.Text + "!", "from": parrot, "timestamp": time.Now().UnixMilli(),
		}),
	})
}

func inbox(user string) string { return "user." + user + ".messages" }
