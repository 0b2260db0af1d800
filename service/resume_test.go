package service

import (
	"testing"

	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// The rows of the table of docs/PROTOCOL.md, each with every choice of what
// follows a gap: resume from (e, o) against a log (E, low, head), low = head+1
// when it keeps nothing.
func TestResumeDecisionTable(t *testing.T) {
	t.Parallel()
	const (
		none      = millracev1.GapReason_GAP_REASON_UNSPECIFIED
		changed   = millracev1.GapReason_GAP_REASON_EPOCH_CHANGED
		diverged  = millracev1.GapReason_GAP_REASON_DIVERGED
		noHistory = millracev1.GapReason_GAP_REASON_NO_HISTORY
		truncated = millracev1.GapReason_GAP_REASON_TRUNCATED
		tooFar    = millracev1.GapReason_GAP_REASON_TOO_FAR
	)
	keeps, keepsNothing := engine.Retention{Messages: 100}, engine.Retention{}
	full := engine.State{Epoch: "E", Low: 11, Head: 20}
	expired := engine.State{Epoch: "E", Low: 21, Head: 20}
	unused := engine.State{Epoch: "E", Low: 1, Head: 0}
	at := func(offset uint64) engine.Position { return engine.Position{Epoch: "E", Offset: offset} }
	for _, row := range []struct {
		name   string
		since  engine.Position
		log    engine.State
		keep   engine.Retention
		limit  int // of messages replayed
		gap    millracev1.GapReason
		oldest uint64 // where a gap is followed by OLDEST; LATEST is the head
	}{
		{"e = E, o = head: resumed, nothing to send", at(20), full, keeps, 100, none, 0},
		{"e = E, o = head: resumed, even if all data has expired", at(20), expired, keeps, 100, none, 0},
		{"e = E, o = head: resumed, even if nothing is kept", at(20), expired, keepsNothing, 100, none, 0},
		{"e = E, o = head: resumed, even if nothing was ever published", at(0), unused, keeps, 100, none, 0},
		{"e = E, o = head: resumed, even if nothing may be replayed", at(20), full, keeps, 0, none, 0},

		{"e = E, low-1 ≤ o < head: resumed, o+1..head follow", at(15), full, keeps, 100, none, 0},
		{"e = E, low-1 = o: resumed, all that is kept follows", at(10), full, keeps, 100, none, 0},
		{"e = E, o = head-1: resumed, one follows", at(19), full, keeps, 100, none, 0},
		{"e = E, o < head by exactly the limit: resumed", at(15), full, keeps, 5, none, 0},

		{"e = E, o = low-2: TRUNCATED, missed low-1", at(9), full, keeps, 100, truncated, 10},
		{"e = E, o < low-1: TRUNCATED, missed o+1..low-1", at(0), full, keeps, 100, truncated, 10},
		{"e = E, o < low-1: TRUNCATED, where nothing is left", at(19), expired, keeps, 100, truncated, 20},
		{"e = E, o < low-1 and beyond the limit: TRUNCATED, and no more than the limit", at(0), full, keeps, 5, truncated, 15},

		{"e = E, o > head: DIVERGED", at(21), full, keeps, 100, diverged, 10},
		{"e = E, o > head: DIVERGED, by however much", at(1<<64 - 1), full, keeps, 100, diverged, 10},
		{"e = E, o > head: DIVERGED, where nothing is left", at(21), expired, keeps, 100, diverged, 20},
		{"e = E, o > head: DIVERGED, where nothing is kept", at(21), expired, keepsNothing, 100, diverged, 20},
		{"e = E, o > head: DIVERGED, where nothing was ever published", at(1), unused, keeps, 100, diverged, 0},

		{"e ≠ E: EPOCH_CHANGED", engine.Position{Epoch: "e", Offset: 15}, full, keeps, 100, changed, 10},
		{"e ≠ E: EPOCH_CHANGED, though o = head", engine.Position{Epoch: "e", Offset: 20}, full, keeps, 100, changed, 10},
		{"e ≠ E: EPOCH_CHANGED, though nothing was published in either", engine.Position{Epoch: "e"}, unused, keeps, 100, changed, 0},
		{"e ≠ E: EPOCH_CHANGED, where nothing is kept", engine.Position{Epoch: "e", Offset: 15}, expired, keepsNothing, 100, changed, 20},
		{"e ≠ E: EPOCH_CHANGED, for a position of nowhere", engine.Position{}, full, keeps, 100, changed, 10},

		{"the channel keeps no history: NO_HISTORY", at(19), expired, keepsNothing, 100, noHistory, 20},
		{"the channel keeps no history any more: NO_HISTORY, whatever is left of it", at(15), full, keepsNothing, 100, noHistory, 10},

		{"the backlog is beyond the limit by one: TOO_FAR, with its bounds", at(14), full, keeps, 5, tooFar, 15},
		{"the backlog is beyond the limit: TOO_FAR, though all of it is kept", at(10), full, keeps, 1, tooFar, 19},
		{"nothing may be replayed: TOO_FAR", at(19), full, keeps, 0, tooFar, 20},
	} {
		for _, onGap := range []millracev1.OnGap{
			millracev1.OnGap_ON_GAP_UNSPECIFIED, millracev1.OnGap_ON_GAP_LATEST,
			millracev1.OnGap_ON_GAP_OLDEST, millracev1.OnGap_ON_GAP_CLOSE,
		} {
			t.Run(row.name+"/"+onGap.String(), func(t *testing.T) {
				t.Parallel()
				got := resume("chat", row.since, row.log, row.keep, row.limit, onGap)
				want := row.since
				if row.gap != none {
					want = row.log.Position()
					if onGap == millracev1.OnGap_ON_GAP_OLDEST {
						want.Offset = row.oldest
					}
				}
				if got.position != want || got.gap.GetReason() != row.gap || (got.gap != nil) != (row.gap != none) {
					t.Fatalf("continues after %v, gap %v; want %v, %v", got.position, got.gap, want, row.gap)
				}
				checkBounds(t, got, row.since)
			})
		}
	}
}

// checkBounds checks that a gap says from where to where.
func checkBounds(t *testing.T, got start, since engine.Position) {
	t.Helper()
	if got.gap == nil {
		return
	}
	requested, position := got.gap.GetRequested(), got.gap.GetPosition()
	if got.gap.GetChannel() != "chat" || requested == nil || positionFromProto(requested) != since ||
		position == nil || positionFromProto(position) != got.position {
		t.Errorf("from %v to %v, the gap says %v", since, got.position, got.gap)
	}
}

func TestTheOldestThatCanBeReplayed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		log   engine.State
		limit int
		want  uint64
	}{
		{"all that is kept", engine.State{Low: 11, Head: 20}, 100, 10},
		{"no more than the limit", engine.State{Low: 11, Head: 20}, 3, 17},
		{"exactly the limit", engine.State{Low: 11, Head: 20}, 10, 10},
		{"nothing, where nothing is kept", engine.State{Low: 21, Head: 20}, 100, 20},
		{"nothing, where nothing was published", engine.State{Low: 1, Head: 0}, 100, 0},
		{"all, where fewer were published than the limit", engine.State{Low: 1, Head: 3}, 100, 0},
		{"nothing, where nothing may be", engine.State{Low: 1, Head: 3}, 0, 3},
	} {
		if got := oldest(test.log, test.limit); got != test.want {
			t.Errorf("%s: after %d, want %d", test.name, got, test.want)
		}
	}
}
