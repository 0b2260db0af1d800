package nats

import (
	"strconv"
	"time"

	"millrace.dev/engine/internal/channellog"
)

// replica is this node's copy of one channel. It is built by applying the
// channel's records in their order, so the replicas of all nodes are alike.
type replica struct {
	*channellog.Log
	epoch uint64 // number of the channel's epoch
	at    uint64 // sequence of the record applied last; 0 if there is none
	used  time.Time
	kept  []keptRecord // that are in the stream, oldest first

	// While it is being read from the stream.
	ready chan struct{} // closed when it has been, or could not be
	early []*record     // that came in the meantime
	err   error         // why it could not
}

// keptRecord is what must be known of a record to delete it.
type keptRecord struct {
	sequence   uint64
	last       uint64 // offset of its last message
	time       time.Time
	remembered bool
}

func newReplica() *replica { return &replica{ready: make(chan struct{})} }

func (r *replica) isReady() bool {
	select {
	case <-r.ready:
		return r.err == nil
	default:
		return false
	}
}

// reset makes the replica one of a channel whose records begin with the first.
func (r *replica) reset(epochs string, first *record, limits channellog.Limits) {
	r.epoch, r.at, r.kept = first.epoch, first.previous, nil
	r.Log = channellog.New(channelEpoch(epochs, first.epoch), first.head, first.newest, limits)
}

// resetEmpty makes the replica one of a channel without records.
func (r *replica) resetEmpty(epochs string, epoch uint64, limits channellog.Limits) {
	r.epoch, r.at, r.kept = epoch, 0, nil
	r.Log = channellog.New(channelEpoch(epochs, epoch), 0, 0, limits)
}

// apply appends a record that follows on those before. It returns false if it
// does not, so that the replica is of no use.
func (r *replica) apply(rec *record) bool {
	if rec.sequence <= r.at {
		return true // was read already
	}
	if rec.previous != r.at || rec.epoch != r.epoch {
		return false
	}
	for _, m := range rec.messages {
		r.Append(m, channellog.Fingerprint(m), rec.keep, rec.time)
	}
	r.at = rec.sequence
	r.kept = append(r.kept, keptRecord{rec.sequence, r.State().Head, rec.time, rec.isRemembered()})
	return true
}

// obsoleteRecords is how many records of a channel may wait to be deleted: one
// request deletes them all.
const obsoleteRecords = 64

// trim forgets the oldest records that nobody needs any more, if they are many.
// It returns the sequence of the first one that is needed, or 0.
func (r *replica) trim(window time.Duration) (needed uint64) {
	if len(r.kept) < obsoleteRecords {
		return 0
	}
	low, now := r.State().Low, r.kept[len(r.kept)-1].time
	n := 0
	for n < len(r.kept)-1 && r.kept[n].last < low && (!r.kept[n].remembered || now.Sub(r.kept[n].time) > window) {
		n++
	}
	if n < obsoleteRecords || n < len(r.kept)/4 {
		return 0
	}
	r.kept = append([]keptRecord(nil), r.kept[n:]...)
	return r.kept[0].sequence
}

// channelEpoch names an epoch of a channel.
func channelEpoch(epochs string, n uint64) string { return epochs + strconv.FormatUint(n, 36) }
