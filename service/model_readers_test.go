package service_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"millrace.dev/channel"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/service"
)

// modelReader is a session of a trial. Its views are in the order in which they were
// asked for. They may overlap: what comes says which of them it is of.
type modelReader struct {
	w       *trial
	c       *client
	name    string
	views   []*view
	stalled bool
	wasSlow bool // it has been stalled once, or wanted to be slow
	at      int  // items looked at
}

func (r *modelReader) String() string { return r.name }

// open opens a session.
func (w *trial) open() {
	if len(w.readers) >= 10 {
		w.lose()
		return
	}
	r := &modelReader{w: w, name: fmt.Sprint("session", w.counts.sessions)}
	w.counts.sessions++
	dial := w.n.dial
	if w.pick(2) == 0 {
		dial = w.n.dialSink
		r.name += "(sink)"
	}
	w.settle()
	r.c = dial("", &millracev1.SubscribeRequest{})
	w.notef("open %s", r)
	w.readers = append(w.readers, r)
	w.settle()
	for range 1 + w.pick(2) {
		r.add()
	}
}

func (w *trial) add() {
	if r := w.someReader(); r != nil {
		r.add()
	}
}

// add subscribes to something that the session does not show.
func (r *modelReader) add() {
	names := modelNames
	if r.w.pick(4) == 0 {
		names = modelPatterns
	}
	name := names[r.w.pick(len(names))]
	if slices.ContainsFunc(r.views, func(v *view) bool { return !v.removed && v.request.GetChannel() == name }) {
		return
	}
	wish := r.w.wish(name)
	v, refusal := newView(r.w.model, r.c.ready().GetSession(), len(r.w.all), wish)
	response, err := r.w.n.rpc.UpdateSubscription(r.c.ctx(), &millracev1.UpdateSubscriptionRequest{Add: []*millracev1.Subscription{wish}})
	r.w.notef("%s subscribes %v: %s", r, wish, refusal)
	if r.gone(err) || endedMeanwhile(response) {
		return
	}
	if refusal != "" {
		if len(response.GetErrors()) != 1 || reasonOf(response.GetErrors()[0]) != refusal {
			r.w.faultf("%s: subscribe %v is answered %v, want %s", r, wish, response, refusal)
		}
		return
	}
	r.views = append(r.views, v)
	r.wasSlow = r.wasSlow || wish.GetMinInterval() != nil
	if len(response.GetSubscribed()) != 1 || !proto.Equal(response.GetSubscribed()[0], v.want) {
		r.w.faultf("%s: subscribe %v is answered %v, want %v", r, wish, response, v.want)
	}
}

// endedMeanwhile reports whether the session was there when the call came, and not
// any more when the subscription was to be made.
func endedMeanwhile(response *millracev1.UpdateSubscriptionResponse) bool {
	errs := response.GetErrors()
	return len(errs) == 1 && errs[0].GetReason() == millracev1.ErrorReason_ERROR_REASON_SESSION_NOT_FOUND
}

// gone reports whether a command found no session: it ended while it was slow.
func (r *modelReader) gone(err error) bool {
	if err != nil && reasonOf(service.ErrorInfo(err)) != "SESSION_NOT_FOUND" {
		r.w.faultf("%s: command: %v", r, err)
	}
	return err != nil
}

func (w *trial) remove() {
	r := w.someReader()
	if r == nil || len(r.views) == 0 {
		return
	}
	v := r.views[w.pick(len(r.views))]
	if v.removed {
		return
	}
	_, err := w.n.rpc.UpdateSubscription(r.c.ctx(), &millracev1.UpdateSubscriptionRequest{Remove: []string{v.request.GetChannel()}})
	w.notef("%s unsubscribes %s", r, v.request.GetChannel())
	v.removed = !r.gone(err)
}

// lose breaks a connection.
func (w *trial) lose() {
	r := w.someReader()
	if r == nil {
		return
	}
	w.notef("%s is lost", r)
	r.c.lose()
	r.look()
	r.ended(errLost)
	w.readers = slices.DeleteFunc(w.readers, func(other *modelReader) bool { return other == r })
}

func (w *trial) stall() {
	if r := w.someReader(); r != nil {
		w.notef("%s stalls", r)
		r.c.stall()
		r.stalled, r.wasSlow = true, true
	}
}

func (w *trial) release() {
	if r := w.someReader(); r != nil {
		w.notef("%s goes on", r)
		r.c.goOn()
		r.stalled = false
	}
}

// isOver reports whether the session has ended, and checks why.
func (r *modelReader) isOver() bool {
	err := r.c.failure()
	if err == nil {
		if !r.stalled {
			for _, v := range r.views {
				r.check(v.debts(), "once all is quiet")
			}
		}
		return false
	}
	r.ended(err)
	return true
}

// ended checks the reason of an end, and keeps the places to resume from.
func (r *modelReader) ended(err error) {
	reason := reasonOf(service.ErrorInfo(err))
	select {
	case <-r.c.cut: // it was stalled for 10 s
	default:
		isDue := errors.Is(err, errLost) || errors.Is(err, errRestart) || reason == "SLOW_CONSUMER" && r.mayBeTooSlow()
		if !isDue {
			r.w.faultf("%s ended: %v", r, err)
		}
	}
	if reason == "SLOW_CONSUMER" {
		r.w.counts.slow++
	}
	for _, v := range r.views {
		r.leave(v)
	}
	r.views = nil
}

// mayBeTooSlow reports whether the session has a channel that it can only follow
// if it is quick.
func (r *modelReader) mayBeTooSlow() bool {
	return slices.ContainsFunc(r.views, func(v *view) bool {
		s := v.spots[v.request.GetChannel()]
		return s != nil && s.keep.Messages == 0 && !v.dropsOldest(s) && !v.isLatest(s)
	})
}

// leave keeps where a view has been.
func (r *modelReader) leave(v *view) {
	if !v.opened || v.gap != nil {
		return
	}
	s := to(v.request.GetChannel())
	if v.isPattern() {
		s.Since = v.place
		for _, seen := range v.spots {
			if !seen.unknown {
				s.Seen = append(s.Seen, &millracev1.ChannelPosition{Channel: seen.name, Position: seen.at})
			}
		}
	} else {
		s.Since = v.spots[s.GetChannel()].at
	}
	r.w.left = append(r.w.left, s)
	r.w.left = r.w.left[max(0, len(r.w.left)-20):]
}

// look checks what has come since the last look.
func (r *modelReader) look() {
	items := r.c.after(r.at)
	r.at += len(items)
	for _, it := range items {
		r.w.counts.taken++
		r.check(r.one(it), say(it))
	}
}

func (r *modelReader) check(fault, what string) {
	if fault != "" {
		r.w.faultf("%s: %s: %s", r, what, fault)
	}
}

// one checks one frame.
func (r *modelReader) one(it item) string {
	if m := it.frame.Message; m != nil {
		v := r.viewOf(it.frame.Pattern, m.Channel)
		if v == nil || !v.opened || v.gap != nil {
			return "a message of no subscription"
		}
		return v.message(m, r.w.all, it.at)
	}
	switch n := it.frame.Notice.GetNotice().(type) {
	case *millracev1.SubscribeResponse_Ready, *millracev1.SubscribeResponse_Heartbeat, *millracev1.SubscribeResponse_Draining:
		return ""
	case *millracev1.SubscribeResponse_Subscribed:
		v := r.viewOf("", n.Subscribed.GetChannel())
		if v == nil || v.opened || !proto.Equal(n.Subscribed, v.want) {
			return fmt.Sprintf("not expected: %v", v)
		}
		v.opened = true
		return ""
	case *millracev1.SubscribeResponse_Unsubscribed:
		return r.unsubscribed(n.Unsubscribed)
	case *millracev1.SubscribeResponse_Gap:
		return r.gap(n.Gap, it.at)
	case *millracev1.SubscribeResponse_Checkpoint:
		r.w.counts.checkpoints++
		v := r.viewOf(n.Checkpoint.GetPattern(), n.Checkpoint.GetChannel())
		if v == nil || !v.opened || v.gap != nil {
			return "a checkpoint of no subscription"
		}
		if channel.IsPattern(n.Checkpoint.GetChannel()) {
			r.w.counts.settled++
			return v.settled(n.Checkpoint, it.at)
		}
		return v.checkpoint(n.Checkpoint, it.at)
	}
	return "not expected"
}

// viewOf is the oldest view that what names a pattern and a channel can be of.
func (r *modelReader) viewOf(pattern, name string) *view {
	for _, v := range r.views {
		if v.request.GetChannel() == cmp.Or(pattern, name) {
			return v
		}
	}
	return nil
}

func (r *modelReader) gap(g *millracev1.Gap, at time.Time) string {
	r.w.counts.gaps++
	v := r.viewOf(g.GetPattern(), g.GetChannel())
	if v == nil || !v.opened {
		return "a gap of no subscription"
	}
	if v.gap == nil {
		return v.missed(g, at)
	}
	if !proto.Equal(g, v.gap) {
		return fmt.Sprintf("want %v, got %v", v.gap, g)
	}
	v.gap = nil
	if s := v.spots[g.GetChannel()]; s != nil {
		s.at = g.GetPosition() // a pattern's place is where the gap ends from the first
	}
	return ""
}

func (r *modelReader) unsubscribed(n *millracev1.Unsubscribed) string {
	v := r.viewOf("", n.GetChannel())
	if v == nil {
		return "unsubscribed from nothing"
	}
	isGap := n.GetError() != nil && reasonOf(n.GetError()) == "GAP" && v.request.GetOnGap() == millracev1.OnGap_ON_GAP_CLOSE
	if n.GetError() == nil != v.removed && !isGap || n.GetError() != nil && !isGap {
		return fmt.Sprintf("unsubscribed because of %v", n.GetError())
	}
	r.leave(v)
	r.views = slices.DeleteFunc(r.views, func(other *view) bool { return other == v })
	return ""
}
