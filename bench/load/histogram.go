package load

import (
	"math/bits"
	"time"
)

const (
	precisionBits = 7 // buckets are at most 1/64 of their value wide
	halfBuckets   = 1 << (precisionBits - 1)
	buckets       = halfBuckets*(64-precisionBits) + 2*halfBuckets
)

// Histogram counts durations in buckets whose width grows with the value. Its
// zero value is empty.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
}

func (h *Histogram) add(d time.Duration) {
	v := uint64(max(d, 0))
	shift := max(bits.Len64(v)-precisionBits, 0)
	h.counts[halfBuckets*shift+int(v>>shift)]++
	h.total++
}

// Quantile is the duration that a share q of the deliveries did not exceed.
func (h *Histogram) Quantile(q float64) time.Duration {
	left := uint64(q * float64(h.total))
	for i, n := range &h.counts {
		if n > left {
			return upperBound(i)
		}
		left -= n
	}
	return 0
}

// upperBound is the largest value of a bucket.
func upperBound(i int) time.Duration {
	shift := max(i/halfBuckets-1, 0)
	return time.Duration((uint64(i-halfBuckets*shift)+1)<<shift - 1)
}
