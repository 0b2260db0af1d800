package service

import (
	"context"
	"slices"

	"google.golang.org/protobuf/proto"

	"millrace.dev/channel"
	millracev1 "millrace.dev/gen/millrace/v1"
)

// subscribe adds a channel or pattern. A nil answer without an error means that
// it was there already.
func (s *Session) subscribe(ctx context.Context, request *millracev1.Subscription) (subscribed *millracev1.Subscribed, err error) {
	name := request.GetChannel()
	granted, err := s.permit(ctx, request)
	if err != nil {
		return nil, err
	}
	defer s.commands.Unlock()
	s.yield(request)
	keys := []subKey{{name: name}, {name: name, presence: true}}
	if !request.GetPresence() {
		keys = keys[:1]
	}
	keys, err = s.missing(keys...)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 || keys[0].presence {
		s.confirm(ctx, name)
	}
	for _, key := range keys {
		if key.presence {
			err = s.watch(key)
		} else {
			subscribed, err = s.open(ctx, key, request, granted)
		}
		if err != nil {
			return nil, err
		}
	}
	return subscribed, nil
}

// yield removes what the session was given without asking, for one that it asks
// for and that is more than the same. What it has shown was before. Called under
// commands.
func (s *Session) yield(request *millracev1.Subscription) {
	key := subKey{name: request.GetChannel()}
	s.mu.Lock()
	given := s.subs.get(key)
	s.mu.Unlock()
	if given == nil || !given.joined {
		return
	}
	same := &millracev1.Subscription{Channel: request.GetChannel(), Presence: request.GetPresence()}
	if !proto.Equal(request, same) {
		s.remove(key)
	}
}

// permit checks a subscription, and returns how much it shows with commands
// locked: the credentials are still those that were checked.
func (s *Session) permit(ctx context.Context, request *millracev1.Subscription) (access, error) {
	for {
		checked := s.identity.Load()
		granted, err := s.service.checkSubscription(ctx, *checked, request)
		if err != nil {
			return noAccess, err
		}
		s.commands.Lock()
		if s.identity.Load() == checked {
			return granted, nil
		}
		s.commands.Unlock()
	}
}

// open adds a channel or pattern that is not there. Called under commands.
func (s *Session) open(ctx context.Context, key subKey, request *millracev1.Subscription, granted access) (*millracev1.Subscribed, error) {
	sub := newSubscription(s, key)
	sub.onlyOwn, sub.joined = granted == ownAccess, isJoined(ctx, key.name)
	open := s.service.openChannel
	if channel.IsPattern(key.name) {
		open = s.service.openPattern
	}
	subscribed, gap, err := open(ctx, sub, request)
	if err != nil {
		return nil, err
	}
	opening := []*Frame{subscribedNotice(subscribed).from(ctx)}
	if gap != nil {
		opening = append(opening, s.service.gapNotice(gap))
	}
	if !channel.IsPattern(key.name) && s.service.rules.of(key.name).Announce {
		sync, err := s.announce(key.name)
		if err != nil {
			sub.feed.leave()
			return nil, err
		}
		opening = append(opening, sync)
	}
	s.notice(opening...) // before the reader has the subscription
	return subscribed, s.insert(sub)
}

// watch adds the presence of a channel. Called under commands.
func (s *Session) watch(key subKey) error {
	sub := newSubscription(s, key)
	s.service.presence.watch(sub, key.name)
	return s.insert(sub)
}

// newSubscription makes a subscription that waits to be inserted: until then it
// counts as queued, so that its topic does not queue it.
func newSubscription(s *Session, key subKey) *subscription {
	sub := &subscription{key: key, session: s}
	sub.queued.Store(true)
	return sub
}

// missing are those of some subscriptions that the session does not have, or why
// it cannot have them.
func (s *Session) missing(keys ...subKey) ([]subKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	missing := slices.DeleteFunc(keys, func(key subKey) bool { return s.subs.get(key) != nil })
	has, limit := len(s.subs)+len(missing), s.service.limits().Channels
	if len(missing) > 0 && has > limit {
		return nil, over(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, "subscriptions", has, limit, "channels").on(missing[0].name)
	}
	return missing, nil
}

// insert hands a new subscription to the reader.
func (s *Session) insert(sub *subscription) error {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		sub.feed.leave()
		return s.reason()
	}
	s.subs.put(sub)
	s.mu.Unlock()
	s.enqueue(sub)
	return nil
}

// unsubscribe removes a channel or pattern, and its presence. It returns false
// if it was not there.
func (s *Session) unsubscribe(ctx context.Context, name string) bool {
	s.commands.Lock()
	defer s.commands.Unlock()
	s.remove(subKey{name: name, presence: true})
	if !s.remove(subKey{name: name}) {
		return false
	}
	s.notice(unsubscribedNotice(name, nil).from(ctx))
	if s.service.rules.of(name).Announce {
		s.leaveNow(name)
	}
	return true
}

// drop ends one subscription for a reason that the client did not give.
func (s *Session) drop(sub *subscription, why *millracev1.ErrorInfo) {
	s.commands.Lock()
	defer s.commands.Unlock()
	if !sub.removed.Load() && s.remove(sub.key) { // not another one of the name
		s.notice(unsubscribedNotice(sub.key.name, why))
	}
}

// remove takes a subscription out. Called under commands.
func (s *Session) remove(key subKey) bool {
	s.mu.Lock()
	sub := s.subs.take(key)
	s.mu.Unlock()
	if sub != nil {
		sub.close()
	}
	return sub != nil
}

// close ends a subscription: its feed sees nothing more, and what waited for it
// waits no longer.
func (sub *subscription) close() {
	sub.removed.Store(true)
	sub.feed.leave()
	sub.letGo()
}

// enter makes the session present in a channel.
func (s *Session) enter(name string, data *millracev1.Payload) (*millracev1.PresenceVersion, error) {
	s.commands.Lock()
	defer s.commands.Unlock()
	if err := s.markPresent(name); err != nil {
		return nil, err
	}
	return s.service.presence.enter(name, s.entrant(), data), nil
}

// markPresent notes what the session has to leave when it ends.
func (s *Session) markPresent(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return s.end
	}
	if s.present == nil {
		s.present = map[string]struct{}{}
	}
	_, already := s.present[name]
	if limit := s.service.limits().Channels; !already && len(s.present) >= limit {
		return over(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, "channel", len(s.present)+1, limit, "channels").on(name)
	}
	s.present[name] = struct{}{}
	return nil
}

// isPresent reports whether the session entered a channel.
func (s *Session) isPresent(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.present[name]
	return found
}

// leave ends the session's presence in a channel.
func (s *Session) leave(name string) *millracev1.PresenceVersion {
	s.commands.Lock()
	defer s.commands.Unlock()
	return s.leaveNow(name)
}

// leaveNow is leave, called under commands.
func (s *Session) leaveNow(name string) *millracev1.PresenceVersion {
	s.mu.Lock()
	delete(s.present, name)
	s.mu.Unlock()
	return s.service.presence.leave(name, s.entrant())
}

// announce makes the session present where the rule says that subscribers are,
// and returns who else is, in the form of existing clients.
func (s *Session) announce(name string) (sync *Frame, err error) {
	if err := s.markPresent(name); err != nil {
		return nil, err
	}
	s.service.presence.enter(name, s.entrant(), nil)
	who := map[string]any{"type": "sync", "userId": s.entrant().member, "users": s.service.presence.users(name)}
	return newMessageFrame(announcement(name, who)), nil
}
