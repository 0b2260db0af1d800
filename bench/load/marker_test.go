package load

import (
	"slices"
	"strings"
	"testing"
)

func TestMarkersAreFoundHoweverTheStreamIsCut(t *testing.T) {
	want := []marker{{0, 1, 1}, {31, 2, 1 << 60}, {7, 1 << 31, 1757000000000000000}}
	var text strings.Builder
	text.WriteString(`$ $m $mk$mkk "$`)
	for _, m := range want {
		var b [markerSize]byte
		m.put(b[:])
		text.WriteString(`{"m":"` + string(b[:]) + `","p":"$$mkpp$"}` + "\n$")
	}
	data := []byte(text.String())
	for size := 1; size <= len(data); size++ {
		var got []marker
		var s scanner
		for piece := range slices.Chunk(data, size) {
			s.scan(piece, func(m marker) { got = append(got, m) })
		}
		if !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d: got %v, want %v", size, got, want)
		}
	}
}

func FuzzMarkersAreFoundWhereverTheyAreCut(f *testing.F) {
	f.Add([]byte("$mk$"), []byte("$m"), 3)
	f.Fuzz(func(t *testing.T, before, after []byte, cut int) {
		want := marker{3, 4, 5}
		var b [markerSize]byte
		want.put(b[:])
		data := append(append(slices.Clone(before), b[:]...), after...)
		cut = min(max(cut, 0), len(data))
		found := 0
		var s scanner
		for _, piece := range [][]byte{data[:cut], data[cut:]} {
			s.scan(piece, func(m marker) {
				if m == want {
					found++
				}
			})
		}
		if found == 0 {
			t.Fatalf("not found in %q cut at %d", data, cut)
		}
	})
}
