package memory

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/engine"
)

func BenchmarkAppend(b *testing.B) {
	for _, channels := range []int{1, 100_000} {
		b.Run(strconv.Itoa(channels)+" channels", func(b *testing.B) {
			e := open(Options{}.withDefaults(), ignore)
			defer e.Close()
			options := engine.AppendOptions{Retention: engine.Retention{Messages: 100, Age: 10 * time.Minute}}
			names := make([]string, channels)
			for i := range names {
				names[i] = "bench." + strconv.Itoa(i)
				if _, err := e.Append(b.Context(), &engine.Message{Channel: names[i], Time: time.Now()}, options); err != nil {
					b.Fatal(err)
				}
			}
			data := make([]byte, 256)
			b.ResetTimer()
			var n atomic.Uint64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := n.Add(1)
					m := &engine.Message{
						Channel: names[i*7919%uint64(channels)], ID: strconv.FormatUint(i, 10), Time: time.Now(),
						Payload: engine.Payload{Kind: engine.Binary, Data: data},
					}
					if _, err := e.Append(b.Context(), m, options); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// longLog is a log that keeps n messages.
func longLog(n int) *log {
	l, m := &log{epoch: "e", low: 1}, &engine.Message{}
	for range n {
		l.push(m, engine.Retention{Messages: n})
	}
	return l
}

func BenchmarkReadNearTheHead(b *testing.B) {
	now := time.Now()
	for _, kept := range []int{1_000, 1_000_000} {
		l := longLog(kept)
		b.Run(strconv.Itoa(kept)+" kept", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.read(engine.ReadOptions{After: l.head - 10, Limit: 256}, now)
			}
		})
	}
}

func TestReadingNearTheHeadCostsTheSameHoweverMuchIsKept(t *testing.T) {
	now := time.Now()
	short, long := longLog(1_000), longLog(1_000_000)
	for _, options := range []engine.ReadOptions{
		{Limit: 256, NewestFirst: true}, {Limit: 10}, {Limit: 256, After: 1 << 62},
	} {
		cost := func(l *log) float64 {
			return testing.AllocsPerRun(100, func() { l.read(options, now) })
		}
		if s, l := cost(short), cost(long); s != l {
			t.Errorf("read %+v: %v allocations of 1,000 messages, %v of 1,000,000", options, s, l)
		}
	}
}
