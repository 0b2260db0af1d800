package load

import (
	"errors"
	"io"
	"testing"
	"time"
)

func TestChunksAreTakenAsAWhole(t *testing.T) {
	data := []byte("1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n")
	for i := range 31 {
		if _, size, err := nextChunk(data[:i]); size != 0 || err != nil {
			t.Fatalf("of %d bytes: size %d, error %v", i, size, err)
		}
	}
	chunk, size, err := nextChunk(data)
	if string(chunk) != "abcdefghijklmnopqrstuvwxyz" || err != nil {
		t.Fatalf("got %q, %v", chunk, err)
	}
	if _, _, err := nextChunk(data[size:]); !errors.Is(err, io.EOF) {
		t.Fatalf("the last chunk is %v, want the end", err)
	}
	if _, _, err := nextChunk([]byte("xyz\r\n")); err == nil {
		t.Fatal("not a size is no error")
	}
}

func TestFramesAreTakenAsAWhole(t *testing.T) {
	for _, n := range []int{0, 125, 126, 1000} {
		data := appendFrame(nil, opText, make([]byte, n))
		data[1] &^= masked
		data = append(data[:len(data)-n-4], data[len(data)-n:]...) // as a server sends it
		for i := range data {
			if _, _, size := nextFrame(data[:i]); size != 0 {
				t.Fatalf("a frame of %d bytes was found in %d", len(data), i)
			}
		}
		op, payload, size := nextFrame(append(data, "next"...))
		if op != opText || len(payload) != n || size != len(data) {
			t.Fatalf("got %d, %d bytes in %d, want %d in %d", op, len(payload), size, n, len(data))
		}
	}
}

func TestPingsAreFoundAmongMessages(t *testing.T) {
	for text, want := range map[string]bool{"{}": true, "{}\n": true, "a\n{}": true, "a\n{}\nb": true, "": false, "a{}": false, "{}a\nb": false} {
		if got := hasLine([]byte(text), "{}"); got != want {
			t.Errorf("%q: got %t", text, got)
		}
	}
}

func TestQuantilesAreWithinTwoPercent(t *testing.T) {
	var h Histogram
	for i := range 100_000 {
		h.add(time.Duration(i) * time.Microsecond)
	}
	for _, q := range []float64{0.001, 0.5, 0.99, 0.999} {
		got, want := h.Quantile(q), time.Duration(q*1e5)*time.Microsecond
		if off := float64(got-want) / float64(want); off < -0.02 || off > 0.02 {
			t.Errorf("%g: got %v, want %v", q, got, want)
		}
	}
	if got := new(Histogram).Quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
