package service

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"millrace.dev/auth"
	nodev1 "millrace.dev/gen/millrace/node/v1"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// What operators have decided outlives the nodes that they told: the engine keeps it
// for those that come later. Hearing of it again changes nothing. And what is kept is
// heard by nodes that do not hear each other.

// keepRevocation has all nodes know what is revoked, those that come later as well.
func (s *Service) keepRevocation(ctx context.Context, r auth.Revocation) error {
	key := "user." + r.User
	if r.TokenID != "" {
		key = "token." + r.TokenID
	}
	return s.keep(ctx, "revoked."+key, r.Until, &nodev1.Kept{Kept: &nodev1.Kept_Revocation{Revocation: &nodev1.Revocation{
		TokenId: r.TokenID, User: r.User, At: timestamppb.New(r.At), Until: timestamppb.New(r.Until),
	}}})
}

// keepKick has all nodes know who is kept out, those that come later as well.
func (s *Service) keepKick(ctx context.Context, user string, until time.Time) error {
	return s.keep(ctx, "kicked."+user, until, &nodev1.Kept{Kept: &nodev1.Kept_Kick{Kick: &nodev1.Kick{User: user, Until: timestamppb.New(until)}}})
}

// keep keeps something until a time. Of the nodes that run a call the one that was
// called does it.
func (s *Service) keep(ctx context.Context, key string, until time.Time, what *nodev1.Kept) error {
	if _, isPassed := ctx.Value(passedKey{}).(caller); isPassed || s.keeper == nil {
		return nil
	}
	data, err := proto.Marshal(what)
	mustEncode(err)
	do := func() error { return s.keepNow(ctx, key, until, data) }
	if after, ok := ctx.Value(afterKey{}).(*afterwards); ok {
		*after = append(*after, do) // so that each node counts its own sessions
		return nil
	}
	return do()
}

func (s *Service) keepNow(ctx context.Context, key string, until time.Time, data []byte) error {
	if err := s.keeper.Keep(ctx, key, data, time.Until(until)); err != nil {
		s.log.WarnContext(ctx, "keep what an operator has decided", "error", err)
		return refuse(millracev1.ErrorReason_ERROR_REASON_UNAVAILABLE, "", "it is done, but not kept for nodes that start later: try again").retryAfter(time.Second)
	}
	return nil
}

// keepAlive has the other nodes know that this one lives, without waiting for it.
func (s *Service) keepAlive(ctx context.Context) {
	if s.keeper == nil || s.surviving.Swap(true) {
		return
	}
	s.goWhile(ctx, func() {
		defer s.surviving.Store(false)
		alive := s.presence.alive()
		data, err := proto.Marshal(&nodev1.Kept{Kept: &nodev1.Kept_Alive{Alive: alive}})
		mustEncode(err)
		ctx, cancel := context.WithTimeout(ctx, beatInterval)
		defer cancel()
		if err := s.keeper.Keep(ctx, "alive."+alive.GetNode(), data, lease+deadLinger); err != nil {
			s.log.DebugContext(ctx, "say that this node lives", "error", err)
		}
	})
}

// hearKept takes what was kept.
func (s *Service) hearKept(data []byte) {
	if err := s.applyKept(data); err != nil {
		s.log.Warn("hear what was kept", "error", err)
	}
}

func (s *Service) applyKept(data []byte) error {
	var kept nodev1.Kept
	if err := proto.Unmarshal(data, &kept); err != nil {
		return err
	}
	switch what := kept.GetKept().(type) {
	case *nodev1.Kept_Revocation:
		r := what.Revocation
		_, err := s.revokeHere(auth.Revocation{TokenID: r.GetTokenId(), User: r.GetUser(), At: r.GetAt().AsTime(), Until: r.GetUntil().AsTime()})
		return err
	case *nodev1.Kept_Kick:
		return s.kicked.add(what.Kick.GetUser(), what.Kick.GetUntil().AsTime())
	case *nodev1.Kept_Alive:
		s.presence.hearAlive(what.Alive)
		return nil
	}
	return fmt.Errorf("of another version: %v", &kept)
}
