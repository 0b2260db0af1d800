package service_test

import (
	"fmt"
	"strings"

	millracev1 "millrace.dev/gen/millrace/v1"
)

// inWords says what a client took, one line a frame, so that tests read as what
// their user sees:
//
//	ready
//	subscribed a/5 resumed      position where live messages begin
//	subscribed already a/7      where the subscription is
//	a/6 hello                   a message with its offset
//	a/- typing                  an ephemeral message
//	gap a 2..5 TRUNCATED        position that was asked for, position that it goes on from
//	checkpoint a/7
//	here a v3: amy=away bob     members with their data
//	changed a v4: +cal ~amy=back -bob (2)
//	unsubscribed a GAP
//	heartbeat
func inWords(items []item) []string {
	words := make([]string, len(items))
	for i, it := range items {
		words[i] = say(it)
	}
	return words
}

func say(it item) string {
	if m := it.frame.Message; m != nil {
		offset := "-"
		if !m.Ephemeral {
			offset = fmt.Sprint(m.Position.Offset)
		}
		return strings.TrimSpace(m.Channel + "/" + offset + " " + string(m.Payload.Data))
	}
	return sayNotice(it.frame.Notice)
}

func sayNotice(notice *millracev1.SubscribeResponse) string {
	switch n := notice.GetNotice().(type) {
	case *millracev1.SubscribeResponse_Ready:
		return "ready"
	case *millracev1.SubscribeResponse_Subscribed:
		if n.Subscribed.GetAlready() {
			return "subscribed already " + place(n.Subscribed.GetChannel(), n.Subscribed.GetPosition())
		}
		words := "subscribed " + place(n.Subscribed.GetChannel(), n.Subscribed.GetHead())
		if n.Subscribed.GetResumed() {
			words += " resumed"
		}
		return words
	case *millracev1.SubscribeResponse_Unsubscribed:
		words := "unsubscribed " + n.Unsubscribed.GetChannel()
		if why := n.Unsubscribed.GetError(); why != nil {
			words += " " + reasonOf(why)
		}
		return words
	case *millracev1.SubscribeResponse_Gap:
		return fmt.Sprintf("gap %s %d..%d %s", n.Gap.GetChannel(), n.Gap.GetRequested().GetOffset(), n.Gap.GetPosition().GetOffset(),
			strings.TrimPrefix(n.Gap.GetReason().String(), "GAP_REASON_"))
	case *millracev1.SubscribeResponse_Checkpoint:
		return "checkpoint " + place(n.Checkpoint.GetChannel(), n.Checkpoint.GetPosition())
	case *millracev1.SubscribeResponse_Heartbeat:
		return "heartbeat"
	case *millracev1.SubscribeResponse_Draining:
		return "draining"
	case *millracev1.SubscribeResponse_PresenceSnapshot:
		return sayMembers(n.PresenceSnapshot)
	case *millracev1.SubscribeResponse_PresenceChanges:
		return sayChanges(n.PresenceChanges)
	}
	return notice.String()
}

func place(channel string, p *millracev1.Position) string {
	return fmt.Sprintf("%s/%d", channel, p.GetOffset())
}

func sayMembers(snapshot *millracev1.PresenceSnapshot) string {
	words := fmt.Sprintf("here %s v%d:", snapshot.GetChannel(), snapshot.GetVersion().GetNumber())
	for _, m := range snapshot.GetMembers() {
		words += " " + sayMember(m)
	}
	if total := int(snapshot.GetTotal()); total != len(snapshot.GetMembers()) {
		words += fmt.Sprintf(" (of %d)", total)
	}
	return words
}

func sayChanges(changes *millracev1.PresenceChanges) string {
	words := fmt.Sprintf("changed %s v%d:", changes.GetChannel(), changes.GetVersion().GetNumber())
	signs := map[millracev1.PresenceAction]string{
		millracev1.PresenceAction_PRESENCE_ACTION_ENTER:  " +",
		millracev1.PresenceAction_PRESENCE_ACTION_UPDATE: " ~",
		millracev1.PresenceAction_PRESENCE_ACTION_LEAVE:  " -",
	}
	for _, change := range changes.GetChanges() {
		words += signs[change.GetAction()] + sayMember(change.GetMember())
	}
	return words + fmt.Sprintf(" (%d)", changes.GetTotal())
}

func sayMember(m *millracev1.Member) string {
	if data := m.GetData().GetText(); data != "" {
		return m.GetUser() + "=" + data
	}
	return m.GetUser()
}

// reasonOf is a reason without the prefix of its enum.
func reasonOf(info *millracev1.ErrorInfo) string {
	return strings.TrimPrefix(info.GetReason().String(), "ERROR_REASON_")
}
