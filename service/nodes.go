package service

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"millrace.dev/engine"
	nodev1 "millrace.dev/gen/millrace/node/v1"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// nodes is how this node talks with those that share its engine's channels. Where
// there is no other one, it says nothing.
type nodes struct {
	// Set once.
	name     string
	bus      engine.Bus // nil for an engine of one node
	presence *presence
	log      *slog.Logger
	survive  func() // says that this node lives, where all nodes hear what is kept

	mu      sync.Mutex
	next    uint64                         // number of the next call
	waiting map[uint64]chan *nodev1.Answer // for the answers of calls
}

const (
	callTimeout = 2 * time.Second
	// settleFor is how long a new node waits for others to say what they have, and
	// settleAlone how long for any to say something; settleQuiet is a silence after
	// which it says again that it is there.
	settleFor   = 3 * time.Second
	settleAlone = 700 * time.Millisecond
	settleQuiet = 150 * time.Millisecond
	lookEvery   = 500 * time.Millisecond
)

// join makes this node known to the others, and learns what they have.
func (s *Service) join(running context.Context) error {
	s.nodes = &nodes{name: s.node, bus: s.engine.Bus(), presence: s.presence, log: s.log, waiting: map[uint64]chan *nodev1.Answer{}}
	n := s.nodes
	if n.bus == nil {
		return nil
	}
	n.survive = func() { s.keepAlive(running) }
	heard := make(chan struct{}, 1)
	err := n.bus.Join(n.name, func(data []byte) {
		s.hear(running, data)
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	s.stopped.Go(func() { n.talk(running) })
	n.settle(running, heard)
	return nil
}

// settle says that this node has come, and waits until the others have said what
// they have. What they say may be lost, or late, so a short silence proves nothing.
func (n *nodes) settle(ctx context.Context, heard <-chan struct{}) {
	end := time.NewTimer(settleFor)
	defer end.Stop()
	for began := time.Now(); ; {
		n.tell(n.presence.hello())
		n.tell(n.presence.askForMissing()...)
		if !isQuiet(ctx, heard, end.C) || n.presence.isSettled(time.Since(began)) {
			return
		}
	}
}

// isQuiet waits until nothing was heard for a while; false if there is no time for it.
func isQuiet(ctx context.Context, heard <-chan struct{}, end <-chan time.Time) bool {
	for {
		select {
		case <-heard:
		case <-time.After(settleQuiet):
			return true
		case <-end:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// talk says what changes here, and that this node is there.
func (n *nodes) talk(ctx context.Context) {
	beat, look := time.NewTicker(beatInterval), time.NewTicker(lookEvery)
	defer beat.Stop()
	defer look.Stop()
	n.tell(n.presence.beat(false))
	for last := time.Now(); ; {
		select {
		case <-n.presence.changed:
			select { // others may come with it
			case <-time.After(flushInterval):
			case <-ctx.Done():
			}
			n.tell(n.presence.flush()...)
		case <-beat.C:
			n.tell(n.presence.beat(false))
			if n.presence.misses() {
				n.survive()
			}
		case <-look.C:
			now := time.Now()
			for _, node := range n.presence.look(!n.bus.IsUp() || now.Sub(last) > pause) {
				n.log.WarnContext(ctx, "a node is not heard any more: its members leave", "node", node)
			}
			n.tell(n.presence.askForMissing()...)
			last = now
		case <-ctx.Done():
			return
		}
	}
}

// leave says that this node goes.
func (n *nodes) leave() {
	if n != nil && n.bus != nil {
		n.tell(n.presence.flush()...)
		n.tell(n.presence.beat(true))
	}
}

// tell says things. What cannot be said now is found to be missing later.
func (n *nodes) tell(all ...told) {
	for _, t := range all {
		data, err := proto.Marshal(t.note)
		if err == nil {
			err = n.bus.Tell(t.to, data)
		}
		if err != nil {
			n.log.Debug("tell other nodes", "to", t.to, "error", err)
		}
	}
}

// hear takes what another node has said.
func (s *Service) hear(ctx context.Context, data []byte) {
	var note nodev1.Note
	if err := proto.Unmarshal(data, &note); err != nil {
		s.log.WarnContext(ctx, "hear another node", "error", err)
		return
	}
	switch what := note.GetNote().(type) {
	case *nodev1.Note_Call:
		s.goWhile(ctx, func() { s.answer(ctx, note.GetFrom(), what.Call) })
	case *nodev1.Note_Answer:
		s.nodes.hearAnswer(what.Answer)
	default:
		result := s.presence.hear(&note)
		s.nodes.tell(result.replies...)
		for _, id := range result.superseded {
			s.supersede(id)
		}
	}
}

// goWhile runs fn in a goroutine that Close waits for, unless it has begun to.
func (s *Service) goWhile(ctx context.Context, fn func()) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if ctx.Err() == nil {
		s.stopped.Go(fn)
	}
}

// call asks a node to do something, and waits for its answer.
func (n *nodes) call(ctx context.Context, node string, call *nodev1.Call) (*nodev1.Answer, error) {
	answered := make(chan *nodev1.Answer, 1)
	n.mu.Lock()
	n.next++
	call.Id = n.next
	n.waiting[call.Id] = answered
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.waiting, call.Id)
		n.mu.Unlock()
	}()
	n.tell(told{node, &nodev1.Note{From: n.name, Note: &nodev1.Note_Call{Call: call}}})
	timeout := time.NewTimer(callTimeout)
	defer timeout.Stop()
	select {
	case answer := <-answered:
		if info := answer.GetError(); info != nil {
			return nil, &refusal{info: info}
		}
		return answer, nil
	case <-timeout.C:
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_UNAVAILABLE, "", "the node %s does not answer", node).retryAfter(time.Second)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (n *nodes) hearAnswer(answer *nodev1.Answer) {
	n.mu.Lock()
	waiting := n.waiting[answer.GetId()]
	n.mu.Unlock()
	if waiting != nil {
		select {
		case waiting <- answer:
		default: // it has one
		}
	}
}

// answer does what another node asks for.
func (s *Service) answer(ctx context.Context, to string, call *nodev1.Call) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := s.perform(ctx, call)
	if err != nil {
		answer = &nodev1.Answer{Outcome: &nodev1.Answer_Error{Error: ErrorInfo(err)}}
	}
	answer.Id = call.GetId()
	note := &nodev1.Note{From: s.node, Note: &nodev1.Note_Answer{Answer: answer}}
	if size := proto.Size(note); size > maxAnswer {
		answer.Outcome = &nodev1.Answer_Error{Error: over(millracev1.ErrorReason_ERROR_REASON_TOO_LARGE, "page_size", size, maxAnswer, "bytes").info}
	}
	s.nodes.tell(told{to, note})
}

// maxAnswer is the largest answer: what a NATS server takes by default, with some
// room.
const maxAnswer = 1<<20 - 4<<10

func (s *Service) perform(ctx context.Context, call *nodev1.Call) (*nodev1.Answer, error) {
	switch what := call.GetCall().(type) {
	case *nodev1.Call_Who:
		session, err := s.session(what.Who.GetToken())
		if err != nil {
			return nil, err
		}
		session.used.Store(s.elapsed(time.Now()))
		c := caller{identity: session.who(), scope: session.scope, host: session.host}
		return &nodev1.Answer{Outcome: &nodev1.Answer_Caller{Caller: c.toNode()}}, nil
	case *nodev1.Call_Redeem:
		identity, err := s.tickets.Redeem(what.Redeem.GetTicket(), what.Redeem.GetOrigin())
		return &nodev1.Answer{Outcome: &nodev1.Answer_Caller{Caller: caller{identity: identity}.toNode()}}, err
	case *nodev1.Call_TakeOver:
		legacy, err := s.giveAway(what.TakeOver.GetToken(), what.TakeOver.GetUser())
		return &nodev1.Answer{Outcome: &nodev1.Answer_Legacy{Legacy: legacy}}, err
	case *nodev1.Call_Run:
		response, err := s.runHere(ctx, what.Run)
		return &nodev1.Answer{Outcome: &nodev1.Answer_Response{Response: response}}, err
	}
	return nil, refuse(millracev1.ErrorReason_ERROR_REASON_NOT_ENABLED, "", "the node %s is of another version, which does not know what it is asked for", s.node)
}

// toNode is a caller as other nodes are told of him.
func (c caller) toNode() *nodev1.Caller {
	identity, err := json.Marshal(c.identity)
	mustEncode(err)
	return &nodev1.Caller{Identity: identity, Host: c.host, Scope: c.scope, Protocol: c.protocol}
}

func callerFromNode(from *nodev1.Caller) (caller, error) {
	c := caller{host: from.GetHost(), scope: from.GetScope(), protocol: from.GetProtocol()}
	if err := json.Unmarshal(from.GetIdentity(), &c.identity); err != nil {
		return caller{}, fmt.Errorf("identity from another node: %w", err)
	}
	return c, nil
}
