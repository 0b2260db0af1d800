package enginetest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"millrace.dev/engine"
	"millrace.dev/engine/enginetest"
	"millrace.dev/engine/memory"
)

// faults are ways in which an engine breaks its contract, each with the promise
// that it breaks.
var faults = map[string]struct {
	promise string
	wrap    func(f *faulty)
}{
	"delivers out of order": {
		"deliveries come in one unbroken chain of rising offsets",
		func(f *faulty) {
			var held *engine.Message // guarded by the channel's lock
			f.onDeliver = func(m *engine.Message) {
				switch {
				case m.Channel == "crowd.a" && held == nil:
					held = m
				case m.Channel == "crowd.a":
					f.deliver(m)
					f.deliver(held)
					held = nil
				default:
					f.deliver(m)
				}
			}
		},
	},
	"loses a header": {
		"a message is delivered and read as it was published",
		func(f *faulty) {
			f.onDeliver = func(m *engine.Message) {
				m = &engine.Message{Channel: m.Channel, Position: m.Position, Previous: m.Previous, Sequence: m.Sequence, Payload: m.Payload}
				f.deliver(m)
			}
		},
	},
	"acknowledges before it delivers": {
		"a message is delivered before its Append returns",
		func(f *faulty) {
			f.onDeliver = func(m *engine.Message) { go f.deliver(m) }
		},
	},
	"keeps less than it acknowledges": {
		"an acknowledged message can be read at once, at the position of its receipt",
		func(f *faulty) {
			f.onAppend = func(_ *engine.Message, o *engine.AppendOptions) { o.Retention.Messages = 1 }
		},
	},
	"does not know ids": {
		"an id that was appended answers the first receipt and is not delivered again",
		func(f *faulty) { f.onAppend = func(m *engine.Message, _ *engine.AppendOptions) { m.ID = "" } },
	},
	"does not compare contents": {
		"an id with another content is refused and leaves nothing behind",
		func(f *faulty) {
			f.onReceipt = func(_ engine.Receipt, err error) error {
				if errors.Is(err, engine.ErrIDReused) {
					return nil
				}
				return err
			}
		},
	},
	"remembers fewer ids": {
		"a channel remembers its newest ids",
		func(f *faulty) { f.settings.DedupIDs = dedupIDs - 1 },
	},
	"remembers ids for a shorter time": {
		"an id is free again after the deduplication window",
		func(f *faulty) { f.settings.DedupWindow = dedupWindow / 3 },
	},
	"remembers ids for a longer time": {
		"an id is free again after the deduplication window",
		func(f *faulty) { f.settings.DedupWindow = 2 * dedupWindow },
	},
	"does not count producers": {
		"a producer's number that ten append at once is appended once",
		func(f *faulty) { f.onAppend = func(m *engine.Message, _ *engine.AppendOptions) { m.Producer = nil } },
	},
	"does not check expectations": {
		"of many that expect the same position one wins",
		func(f *faulty) { f.onAppend = func(_ *engine.Message, o *engine.AppendOptions) { o.Expect = nil } },
	},
	"keeps one too many": {
		"a channel keeps its newest messages, as many as the retention says",
		func(f *faulty) {
			f.onAppend = func(_ *engine.Message, o *engine.AppendOptions) { o.Retention.Messages++ }
		},
	},
	"keeps for ever": {
		"a channel keeps no message beyond the age that the retention says",
		func(f *faulty) { f.onAppend = func(_ *engine.Message, o *engine.AppendOptions) { o.Retention.Age = 0 } },
	},
	"forgets the head with the messages": {
		"epoch and head outlive the messages",
		func(f *faulty) {
			f.onState = func(s *engine.State) {
				if s.Low > s.Head {
					s.Low, s.Head = 1, 0
				}
			}
		},
	},
	"does not know times to live": {
		"a message with a time to live is passed over once it is dead, and is no hole",
		func(f *faulty) { f.onAppend = func(m *engine.Message, _ *engine.AppendOptions) { m.TTL = 0 } },
	},
	"always says that there is more": {
		"pages from both ends put together are the log, whatever their size",
		func(f *faulty) { f.onRead = func(p *engine.Page) { p.More = len(p.Messages) > 0 } },
	},
	"reads messages and state one after the other": {
		"a read is of one moment, while many append",
		func(f *faulty) { f.tornReads = true },
	},
	"stores broadcasts": {
		"a broadcast is delivered without a position and stored nowhere",
		func(f *faulty) { f.broadcastsAppend = true },
	},
	"counts ahead": {
		"what is appended after Sequence was read has a greater one",
		func(f *faulty) { f.countsAhead = true },
	},
	"says too early what is settled": {
		"what a message says is settled was delivered before it",
		func(f *faulty) {
			deliver := f.onDeliver
			f.onDeliver = func(m *engine.Message) {
				late := *m
				late.Settled = m.Sequence + 1
				deliver(&late)
			}
		},
	},
	"does not know what was before": {
		"a message's previous sequence is that of the one before it, or not known",
		func(f *faulty) {
			deliver := f.onDeliver
			f.onDeliver = func(m *engine.Message) {
				wrong := *m
				wrong.PreviousSequence++
				deliver(&wrong)
			}
		},
	},
	"lists only some channels": {
		"whoever reads Sequence, and lists the channels later, misses nothing",
		func(f *faulty) {
			f.onList = func(names []string) []string { return names[:len(names)/2] }
		},
	},
	"answers after its end": {
		"every call after Close answers ErrClosed",
		func(f *faulty) {
			f.onReceipt = func(_ engine.Receipt, err error) error {
				if errors.Is(err, engine.ErrClosed) {
					return nil
				}
				return err
			}
		},
	},
	"delivers after its end": {
		"Close ends all deliveries before it returns, and loses none that was acknowledged",
		func(f *faulty) { f.closesLate = true },
	},
	"leaves a goroutine": {
		"a closed engine leaves no goroutine behind",
		func(f *faulty) {
			stop := f.stop
			go func() { <-stop }()
		},
	},
	"has the same epochs again": {
		"an engine that is opened anew has new epochs",
		func(f *faulty) { f.onState = func(s *engine.State) { s.Epoch = "always" } },
	},
}

const (
	dedupIDs    = 100
	dedupWindow = time.Minute
	faultOf     = "MILLRACE_FAULT"
)

// faulty is the memory engine with a fault.
type faulty struct {
	engine.Engine
	settings memory.Options
	deliver  engine.Deliver
	stop     <-chan struct{} // closed with the test

	onDeliver engine.Deliver
	onAppend  func(*engine.Message, *engine.AppendOptions)
	onReceipt func(engine.Receipt, error) error
	onState   func(*engine.State)
	onRead    func(*engine.Page)
	onList    func([]string) []string

	tornReads, broadcastsAppend, countsAhead, closesLate bool
}

func (f *faulty) Append(ctx context.Context, m *engine.Message, options engine.AppendOptions) (engine.Receipt, error) {
	if f.onAppend != nil {
		f.onAppend(m, &options)
	}
	receipt, err := f.Engine.Append(ctx, m, options)
	if f.onReceipt != nil {
		err = f.onReceipt(receipt, err)
	}
	return receipt, err
}

func (f *faulty) Broadcast(ctx context.Context, m *engine.Message) error {
	if f.broadcastsAppend {
		_, err := f.Engine.Append(ctx, m, engine.AppendOptions{Retention: engine.Retention{Messages: 10}})
		return err
	}
	return f.Engine.Broadcast(ctx, m)
}

func (f *faulty) State(ctx context.Context, channel string) (engine.State, error) {
	state, err := f.Engine.State(ctx, channel)
	if f.onState != nil {
		f.onState(&state)
	}
	return state, err
}

func (f *faulty) Read(ctx context.Context, channel string, options engine.ReadOptions) (engine.Page, error) {
	page, err := f.Engine.Read(ctx, channel, options)
	if f.onRead != nil {
		f.onRead(&page)
	}
	if f.tornReads && err == nil {
		page.State, err = f.Engine.State(ctx, channel)
	}
	return page, err
}

func (f *faulty) Sequence(ctx context.Context) (engine.Position, error) {
	p, err := f.Engine.Sequence(ctx)
	if f.countsAhead {
		p.Offset++
	}
	return p, err
}

func (f *faulty) Channels(ctx context.Context, match func(string) bool, after uint64) ([]string, error) {
	names, err := f.Engine.Channels(ctx, match, after)
	if f.onList != nil {
		names = f.onList(names)
	}
	return names, err
}

func (f *faulty) Close() error {
	if !f.closesLate {
		return f.Engine.Close()
	}
	go func() {
		for range 1000 {
			runtime.Gosched()
		}
		f.Engine.Close() //nolint:errcheck // a fault
	}()
	return nil
}

// open is an [engine.Open] with a fault.
func open(t *testing.T, fault func(*faulty)) engine.Open {
	t.Helper()
	return func(ctx context.Context, deliver engine.Deliver) (engine.Engine, error) {
		f := &faulty{
			settings: memory.Options{DedupIDs: dedupIDs, DedupWindow: dedupWindow},
			deliver:  deliver, onDeliver: deliver, stop: t.Context().Done(),
		}
		fault(f)
		var err error
		f.Engine, err = memory.Open(f.settings)(ctx, f.onDeliver)
		return f, err
	}
}

// The suite must fail where an engine does, which a test cannot do without
// failing itself: so this one runs in processes of its own.
func TestAFaultyEngine(t *testing.T) {
	fault, ok := faults[os.Getenv(faultOf)]
	if !ok {
		t.Skip("for TestEveryFaultIsFound")
	}
	enginetest.Run(t, func(t *testing.T) engine.Open { t.Helper(); return open(t, fault.wrap) }, enginetest.Options{
		FakeClock: true, DedupIDs: dedupIDs, DedupWindow: dedupWindow,
	})
}

func TestEveryFaultIsFound(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pattern := "^TestAFaultyEngine$/^" + regexp.QuoteMeta(strings.ReplaceAll(fault.promise, " ", "_")) + "$"
			// A fault that only a race shows is there in most runs, not in each.
			cmd := exec.CommandContext(t.Context(), os.Args[0], //nolint:gosec // this binary
				"-test.run="+pattern, "-test.count=50", "-test.failfast", "-test.timeout=1m", "-test.v")
			cmd.Env = append(os.Environ(), faultOf+"="+name)
			output, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(output), "--- FAIL: TestAFaultyEngine/") {
				t.Errorf("the suite finds nothing wrong (%v) in:\n%s", err, output)
			}
		})
	}
}
