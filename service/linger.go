package service

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"

	"millrace.dev/auth"
	nodev1 "millrace.dev/gen/millrace/node/v1"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// ErrLeft is the end of a session whose client said that it leaves, rather than
// lost its connection.
var ErrLeft = errors.New("the client left")

// A session's token names the node that has the session, and the session; the rest
// is its secret.
func (s *Service) newToken(id string) string { return s.node + "." + id + "." + rand.Text() }

type tokenParts struct{ node, id string }

func parseToken(token string) (parts tokenParts) {
	node, rest, _ := strings.Cut(token, ".")
	id, _, found := strings.Cut(rest, ".")
	if found {
		parts = tokenParts{node, id}
	}
	return parts
}

func isSame(secret, given string) bool {
	return subtle.ConstantTimeCompare([]byte(secret), []byte(given)) == 1
}

func digestOf(token string) []byte {
	digest := sha256.Sum256([]byte(token))
	return digest[:]
}

// credential is what a session is taken over with: its token, and the one that it
// was itself taken over from another node with. Its client may not have been told
// the new one.
type credential struct{ token, prior string }

func (c credential) accepts(token string) bool {
	return isSame(c.token, token) || c.prior != "" && isSame(c.prior, token)
}

// digest is what other nodes know of it.
func (c credential) digest() []byte {
	if c.prior == "" {
		return digestOf(c.token)
	}
	return append(digestOf(c.token), digestOf(c.prior)...)
}

// isDigestOf reports whether a credential of the digest accepts the token.
func isDigestOf(digest []byte, token string) bool {
	for one := range slices.Chunk(digest, sha256.Size) {
		if subtle.ConstantTimeCompare(one, digestOf(token)) == 1 {
			return true
		}
	}
	return false
}

func (s *Session) credential() credential { return credential{s.token, s.prior} }

// entrant is who the session is in presence.
func (s *Session) entrant() entrant {
	return entrant{member: memberName(s.id, s.who()), session: s.id, claim: s.claim, digest: s.credential().digest()}
}

// remains is what stays of a session that ended without leaving: for a while
// nobody sees it go, and the client can take it over.
type remains struct {
	who      entrant
	by       credential
	identity auth.Identity
	present  map[string]struct{}
	timer    *time.Timer // makes the session leave
}

// linger keeps the presence of a session for a while. Called under mu.
func (s *Service) linger(session *Session, present map[string]struct{}) {
	if s.draining != nil {
		return // a node that goes makes nobody leave
	}
	r := &remains{who: session.entrant(), by: session.credential(), identity: session.who(), present: present}
	r.timer = time.AfterFunc(s.limits().Linger, func() { s.expire(r) })
	s.lost[r.who.session] = r
}

// expire makes a lost session leave, if it was not taken over.
func (s *Service) expire(r *remains) {
	s.mu.Lock()
	current := s.lost[r.who.session] == r && s.draining == nil
	if current {
		delete(s.lost, r.who.session)
	}
	s.mu.Unlock()
	if current {
		s.leaveAll(r.who, r.present)
	}
}

// forgetLost makes lost sessions leave before their time: the one with an id, or all
// of a user.
func (s *Service) forgetLost(id, user string) {
	s.mu.Lock()
	var forgotten []*remains
	for key, r := range s.lost {
		if key == id || user != "" && r.identity.User == user {
			r.timer.Stop()
			delete(s.lost, key)
			forgotten = append(forgotten, r)
		}
	}
	s.mu.Unlock()
	for _, r := range forgotten {
		s.leaveAll(r.who, r.present)
	}
}

func (s *Service) leaveAll(who entrant, present map[string]struct{}) {
	for name := range present {
		s.presence.leave(name, who)
	}
}

// memberName is who a session is in presence.
func memberName(session string, identity auth.Identity) string {
	if identity.User == "" {
		return session
	}
	return identity.User
}

// takeOver gives a new session the id, the token and the presence of an earlier
// one: of one that was lost, or whose connection nobody has missed yet. One that
// another node had keeps its id and its presence, and has a new token.
func (s *Service) takeOver(ctx context.Context, session *Session, token string) {
	parts := parseToken(token)
	from := cmp.Or(s.presence.ownerOf(parts.id, token), parts.node)
	switch from {
	case "":
	case s.node:
		s.takeOverHere(session, token)
	default:
		s.takeOverFrom(ctx, from, session, token)
	}
}

func (s *Service) takeOverHere(session *Session, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := parseToken(token).id
	if r := s.lost[id]; r != nil && r.by.accepts(token) && r.identity.User == session.who().User {
		r.timer.Stop()
		delete(s.lost, id)
		session.id, session.token, session.prior, session.claim, session.present = id, r.by.token, r.by.prior, r.who.claim, r.present
		return
	}
	if old := s.sessions[id]; old != nil && old.credential().accepts(token) && old.who().User == session.who().User {
		session.id, session.token, session.prior, session.claim, session.present = id, old.token, old.prior, old.claim, old.handOver()
		delete(s.sessions, id)
	}
}

// takeOverFrom takes a session over that another node has, or had before it died.
func (s *Service) takeOverFrom(ctx context.Context, node string, session *Session, token string) {
	id := parseToken(token).id
	given, err := s.askFor(ctx, node, session, token)
	if ctx.Err() != nil {
		return // the client has gone on, and may be with another node now
	}
	legacy := given.GetEntries()
	if given == nil {
		legacy = s.presence.entriesOf(node, id)
	}
	var present map[string]struct{}
	claim := max(given.GetClaim()+1, uint64(time.Now().UnixMilli())) // of two nodes that do this at once the later has it
	for _, e := range legacy {
		if given == nil && (!isDigestOf(e.GetTokenDigest(), token) || e.GetMember() != memberName(id, session.who())) {
			return
		}
		if present == nil {
			present = map[string]struct{}{}
		}
		present[e.GetChannel()] = struct{}{}
		claim = max(claim, e.GetClaim()+1)
	}
	if given == nil && present == nil {
		s.log.DebugContext(ctx, "a session is not taken over: its node does not give it, and presence does not know it", "session", id, "node", node, "error", err)
		return
	}
	session.id, session.token, session.prior, session.claim, session.present = id, s.newToken(id), token, claim, present
	s.presence.adopt(session.entrant(), legacy)
}

// askFor asks a node for a session, if it was there just now: one that does not
// answer keeps the client waiting.
func (s *Service) askFor(ctx context.Context, node string, session *Session, token string) (*nodev1.Legacy, error) {
	if !s.presence.isNear(node) {
		return nil, errNotHeard
	}
	answer, err := s.nodes.call(ctx, node, &nodev1.Call{Call: &nodev1.Call_TakeOver{
		TakeOver: &nodev1.TakeOver{Token: token, User: session.who().User},
	}})
	return answer.GetLegacy(), err
}

var errNotHeard = errors.New("the node was not heard just now")

// giveAway ends a session in favour of one on another node. What it leaves stays
// here until the other node says that it has it.
func (s *Service) giveAway(token, user string) (*nodev1.Legacy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := parseToken(token).id
	var claim uint64
	session := s.sessions[id]
	switch r := s.lost[id]; {
	case session != nil && session.credential().accepts(token) && session.who().User == user:
		claim = session.claim
		s.linger(session, session.handOver())
		delete(s.sessions, id)
	case r != nil && r.by.accepts(token) && r.identity.User == user:
		claim = r.who.claim
	default:
		return nil, refuse(millracev1.ErrorReason_ERROR_REASON_SESSION_NOT_FOUND, "session_token", "no session has this token")
	}
	return &nodev1.Legacy{Entries: s.presence.entriesOf(s.node, id), Claim: claim}, nil
}

// supersede ends what this node has of a session that another node has taken over.
func (s *Service) supersede(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.lost[id]; r != nil {
		r.timer.Stop()
		delete(s.lost, id)
	}
	if old := s.sessions[id]; old != nil {
		old.handOver()
		delete(s.sessions, id)
	}
}

// handOver ends the session in favour of another one, which has its presence.
func (s *Session) handOver() map[string]struct{} {
	s.finish(refuse(millracev1.ErrorReason_ERROR_REASON_DISCONNECTED, "", "another connection has taken over the session"))
	return s.takePresence()
}

// takePresence is where the session is present, which it is no longer.
func (s *Session) takePresence() map[string]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	present := s.present
	s.present = nil
	return present
}

// part decides what becomes of a session's presence when it ends: it goes at once
// if the client left or was disconnected, else it lingers. At each moment it is
// either with the session or with what remains of it, for who takes it over.
func (s *Session) part(end error) {
	isOver := errors.Is(end, ErrLeft) ||
		ErrorInfo(end).GetReason() == millracev1.ErrorReason_ERROR_REASON_DISCONNECTED
	s.service.mu.Lock()
	present := s.takePresence()
	if !isOver && len(present) > 0 {
		s.service.linger(s, present)
	}
	s.service.mu.Unlock()
	if isOver {
		s.service.leaveAll(s.entrant(), present)
	}
}
