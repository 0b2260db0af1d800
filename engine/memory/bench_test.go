package memory

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/engine"
)

// BenchmarkSweepOfIdleChannels sweeps while so many channels have a position and
// nothing else: it must cost the same.
func BenchmarkSweepOfIdleChannels(b *testing.B) {
	for _, channels := range []int{100, 100_000} {
		b.Run(strconv.Itoa(channels)+" channels", func(b *testing.B) {
			e := open(Options{}.withDefaults(), ignore)
			defer e.Close()
			for i := range channels {
				m := &engine.Message{Channel: "bench." + strconv.Itoa(i), Time: time.Now()}
				if _, err := e.Append(b.Context(), m, engine.AppendOptions{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				now := time.Now().Add(sweepInterval)
				for i := range e.shards {
					e.sweepShard(&e.shards[i], now)
				}
			}
		})
	}
}

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
