package service

import (
	"millrace.dev/engine"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// start is where a subscription begins: it continues after position, and gap
// says what could not be had before that.
type start struct {
	position engine.Position
	gap      *millracev1.Gap
}

// resume is the decision table of docs/PROTOCOL.md: how a subscriber at since
// continues on a log, and why not if it cannot.
func resume(name string, since engine.Position, log engine.State, keep engine.Retention, maxReplay int, onGap millracev1.OnGap) start {
	var reason millracev1.GapReason
	switch {
	case since.Epoch != log.Epoch:
		reason = millracev1.GapReason_GAP_REASON_EPOCH_CHANGED
	case since.Offset == log.Head:
		return start{position: since}
	case since.Offset > log.Head:
		reason = millracev1.GapReason_GAP_REASON_DIVERGED
	case keep.Messages == 0:
		reason = millracev1.GapReason_GAP_REASON_NO_HISTORY
	case since.Offset+1 < log.Low:
		reason = millracev1.GapReason_GAP_REASON_TRUNCATED
	case log.Head-since.Offset > uint64(maxReplay):
		reason = millracev1.GapReason_GAP_REASON_TOO_FAR
	default:
		return start{position: since}
	}
	position := log.Position()
	if onGap == millracev1.OnGap_ON_GAP_OLDEST {
		position.Offset = oldest(log, maxReplay)
	}
	return start{position: position, gap: newGap(name, reason, since, position)}
}

func newGap(name string, reason millracev1.GapReason, requested, position engine.Position) *millracev1.Gap {
	return &millracev1.Gap{
		Channel:   name,
		Reason:    reason,
		Requested: &millracev1.Position{Offset: requested.Offset, Epoch: requested.Epoch},
		Position:  positionToProto(position),
	}
}

// oldest is the offset before the oldest message that can be replayed.
func oldest(log engine.State, maxReplay int) uint64 {
	return max(log.Low-1, log.Head-min(log.Head, uint64(maxReplay)))
}

func checkpointNotice(checkpoint *millracev1.Checkpoint) *Frame {
	return newNotice(&millracev1.SubscribeResponse{Notice: &millracev1.SubscribeResponse_Checkpoint{Checkpoint: checkpoint}})
}

// gapRefusal ends a subscription that asked to be closed at a gap.
func gapRefusal(gap *millracev1.Gap) *refusal {
	return refuse(millracev1.ErrorReason_ERROR_REASON_GAP, "since", "messages after the position cannot be had: %s", gap.GetReason()).on(gap.GetChannel())
}
