package service

import (
	"errors"
	"time"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// ErrLeft is the end of a session whose client said that it leaves, rather than
// lost its connection.
var ErrLeft = errors.New("the client left")

// remains is what stays of a session that ended without leaving: for a while
// nobody sees it go, and the client can take it over.
type remains struct {
	id, token string
	identity  auth.Identity
	present   map[string]struct{}
	timer     *time.Timer // makes the session leave
}

// linger keeps the presence of a session for a while. Called under mu.
func (s *Service) linger(session *Session, present map[string]struct{}) {
	if s.draining != nil {
		return // a node that goes makes nobody leave
	}
	r := &remains{id: session.id, token: session.token, identity: session.who(), present: present}
	r.timer = time.AfterFunc(s.config.Limits.Linger, func() { s.expire(r) })
	s.lost[r.token] = r
}

// expire makes a lost session leave, if it was not taken over.
func (s *Service) expire(r *remains) {
	s.mu.Lock()
	current := s.lost[r.token] == r && s.draining == nil
	if current {
		delete(s.lost, r.token)
	}
	s.mu.Unlock()
	if current {
		s.leaveAll(r.id, r.identity, r.present)
	}
}

// forgetLost makes lost sessions leave before their time: the one with an id, or all
// of a user.
func (s *Service) forgetLost(id, user string) {
	s.mu.Lock()
	var forgotten []*remains
	for token, r := range s.lost {
		if r.id == id || user != "" && r.identity.User == user {
			r.timer.Stop()
			delete(s.lost, token)
			forgotten = append(forgotten, r)
		}
	}
	s.mu.Unlock()
	for _, r := range forgotten {
		s.leaveAll(r.id, r.identity, r.present)
	}
}

func (s *Service) leaveAll(id string, identity auth.Identity, present map[string]struct{}) {
	for name := range present {
		s.presence.leave(name, memberName(id, identity), id)
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
// one: of one that was lost, or whose connection nobody has missed yet.
func (s *Service) takeOver(session *Session, token string) {
	if token == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.lost[token]; r != nil && r.identity.User == session.who().User {
		r.timer.Stop()
		delete(s.lost, token)
		session.id, session.token, session.present = r.id, r.token, r.present
		return
	}
	if old := s.sessions[token]; old != nil && old.who().User == session.who().User {
		session.id, session.token, session.present = old.id, old.token, old.handOver()
		delete(s.sessions, token)
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
		s.service.leaveAll(s.id, s.who(), present)
	}
}
