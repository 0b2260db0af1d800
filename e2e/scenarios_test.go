package e2e_test

import (
	"slices"
	"testing"
)

// scenarios are what clients live through. Each knows neither the wire that its
// clients use nor the engine behind the server. The numbers are those of the rules
// in docs/PROTOCOL.md.
var scenarios = []struct {
	name string
	play func(*scene)
}{
	{"D-3 what is published is received by all, the publisher included", publishAndReceive},
	{"D-2 messages keep their order", keepOrder},
	{"a message reaches the subscribers of its channel only", isolateChannels},
	{"one stream carries many channels", carryManyChannels},
	{"D-12 a pattern stands for the channels that match", followPatterns},
	{"D-10 subscribing twice is subscribing once", subscribeTwice},
	{"D-11 after unsubscribed no message follows", unsubscribe},
	{"D-7 changes are confirmed in order while messages flow", changeWhileMessagesFlow},

	{"D-4 a position resumes with what was missed, once", resumeFromPosition},
	{"D-4 a position before any message resumes", resumeFromNothing},
	{"D-5 a position at the head resumes with nothing", resumeAtHead},
	{"D-5 every place of the resume table has its outcome, and D-6 a gap what was chosen", resumeByTable},
	{"D-13 a cursor that says nothing to the server is a gap or refused", resumeFromUnknownCursor},
	{"D-4 a resume misses nothing while messages flow", resumeWhileMessagesFlow},
	{"D-9 recent messages come first", askForRecent},
	{"D-12 a pattern resumes each of its channels", resumePattern},
	{"D-12 a pattern of many channels has a small cursor", resumeWidePattern},
	{"D-17 what a pattern is past, the channel's own subscription still has", resumeOverlapping},
	{"D-13 a cursor of several channels resumes each", resumeFromCursor},
	{"D-13 a cursor of a stream resumes it", resumeFromStreamCursor},
	{"D-5 a session that opens at a gap is told", openAtGap},

	{"D-14 payloads arrive as they were sent", keepPayloads},
	{"all fields arrive as they were sent", keepFields},
	{"B-4 an ephemeral message is delivered and not kept", deliverEphemeral},
	{"B-1 an id is published once", publishOnce},
	{"B-2 a message is published only at the expected position", publishAtPosition},
	{"B-2 of two editors one wins and the other is told where the document is", editTogether},
	{"B-6 a batch keeps its order and refuses one by one", publishBatch},
	{"H-1 history is read in both orders, page by page", readHistory},

	{"B-7 a refusal names the reason, the field and the limit", refuse},
	{"N-3 a channel that cannot be is refused, the session lives on", refuseChannels},
	{"N-3 an unknown session is refused", refuseUnknownSession},

	{"P-1 a user is present with all sessions", bePresent},
	{"P-9 presence is refused where it cannot be", refusePresence},

	{"S-7 what a filter hides moves the position", filterMessages},
	{"B-5 a publisher can be spared its own message", excludeSelf},
	{"B-3 a producer's numbers are accepted once and in order", numberMessages},
	{"P-3 a lost session is taken over without a leave", takeOver},
	{"P-4 an administrator ends subscriptions and sessions", administer},
	{"N-5 a server that goes says when to go on elsewhere, and when to come back", drain},

	{"health and reflection answer", answerHealth},
}

func TestEveryScenarioOnEveryWireAndEngine(t *testing.T) {
	t.Parallel()
	for _, on := range columns(t) {
		for _, w := range wires {
			if on.wires != nil && !slices.Contains(on.wires, w.name) {
				continue
			}
			for _, s := range scenarios {
				t.Run(on.name+"/"+w.name+"/"+s.name, func(t *testing.T) {
					t.Parallel()
					s.play(on.set(t, w.wire))
				})
			}
		}
	}
}

// set is a scene with the nodes of the column.
func (on column) set(t *testing.T, w wire) *scene {
	t.Helper()
	open := on.open(t)
	s := &scene{T: t, wire: w, engine: on.open, nodes: &nodes{}}
	for range on.nodes {
		s.nodes.all = append(s.nodes.all, start(t, open))
	}
	s.at = s.nodes.all[0]
	return s
}
