package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/engine"
)

func BenchmarkDurableAppend(b *testing.B) {
	for _, fsync := range []time.Duration{time.Second, Always} {
		for _, channels := range []int{1, 32, 1024} {
			b.Run(fmt.Sprintf("fsync=%s/channels=%d", fsync, channels), func(b *testing.B) {
				e := mustOpen(b, b.TempDir(), fsync)
				var next atomic.Int64
				appendNext := func() {
					m := message("room."+strconv.Itoa(int(next.Add(1))%channels), "")
					if _, err := e.Append(b.Context(), m, engine.AppendOptions{Retention: engine.Retention{Messages: 100, Age: time.Minute}}); err != nil {
						b.Error(err)
					}
				}
				var warming sync.WaitGroup
				for range channels { // the node has read each
					warming.Go(appendNext)
				}
				warming.Wait()
				b.SetParallelism(512)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						appendNext()
					}
				})
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
				if err := e.Close(); err != nil {
					b.Error(err)
				}
			})
		}
	}
}

// BenchmarkFsyncEach is what durability costs that waits for the disk for each
// message alone: the least that a log without group commit does.
func BenchmarkFsyncEach(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	message := []byte(strings.Repeat("x", 256))
	for b.Loop() {
		if _, err := f.Write(message); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}
