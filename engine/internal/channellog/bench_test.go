package channellog

import (
	"strconv"
	"testing"
	"time"

	"millrace.dev/engine"
)

// longLog is a log that keeps n messages.
func longLog(n int) *Log {
	l, m := New("e", 0, 0, Limits{}), &engine.Message{}
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
				l.Read(engine.ReadOptions{After: l.head - 10, Limit: 256}, now)
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
		cost := func(l *Log) float64 {
			return testing.AllocsPerRun(100, func() { l.Read(options, now) })
		}
		if s, l := cost(short), cost(long); s != l {
			t.Errorf("read %+v: %v allocations of 1,000 messages, %v of 1,000,000", options, s, l)
		}
	}
}
