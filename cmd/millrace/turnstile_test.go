package main

import (
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// Whom the server has hung up on may come back at once for a while, then later and
// later, and never later than in eleven seconds. Others do not wait for him.
func TestWhoFloodsComesBackLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		entrance := newTurnstile(nil, 100, nil, slog.New(slog.DiscardHandler), false) // nobody is accepted
		flooder, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		flood := func() bool {
			if !entrance.enter(flooder) {
				return false
			}
			ours, theirs := net.Pipe()
			defer theirs.Close()
			conn := &countedConn{Conn: ours, entrance: entrance, from: flooder}
			conn.hangUp()
			conn.hangUp() // it counts once
			return true
		}
		floods := 0
		for flood() {
			floods++
		}
		if floods != 10 { // 100 connections may come at once, and each flood counts for eleven of them
			t.Errorf("%d floods in no time, want 10", floods)
		}
		for range 99 {
			entrance.flooded(flooder) // by other connections of his
		}
		if !entrance.enter(other) {
			t.Error("another address is refused")
		}
		began := time.Now()
		for !entrance.enter(flooder) {
			time.Sleep(100 * time.Millisecond)
		}
		if waited := time.Since(began); waited < 10*time.Second || waited > 12*time.Second {
			t.Errorf("he was kept out for %v, want 11 s", waited)
		}
		entrance.leave(flooder)
		entrance.leave(other)
		if len(entrance.from) != 0 {
			t.Errorf("counted as there: %v", entrance.from)
		}
	})
}
