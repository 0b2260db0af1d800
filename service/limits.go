package service

import (
	mathrand "math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	millracev1 "millrace.dev/gen/millrace/v1"
)

const (
	burstSeconds = 2       // of its rate that a caller may spend at once
	rateAccounts = 100_000 // whose spending is remembered
	// retrySessions is when a caller with too many sessions may come back: the
	// time that lost ones need to be noticed.
	retrySessions = 10 * time.Second
	networkBits   = 64 // of an IPv6 address are its network's
)

// rates bounds how often each caller does something.
type rates struct {
	setting  string
	limit    atomic.Int64 // a second
	accounts *lru.Cache[string, *rate.Limiter]
}

func newRates(setting string, limit int) *rates {
	accounts, err := lru.New[string, *rate.Limiter](rateAccounts)
	if err != nil {
		panic(err) // the size is more than 0
	}
	r := &rates{setting: setting, accounts: accounts}
	r.limit.Store(int64(limit))
	return r
}

// change makes another limit that of everybody, as if nobody had spent anything.
func (r *rates) change(limit int) {
	if r.limit.Swap(int64(limit)) != int64(limit) {
		r.accounts.Purge()
	}
}

// spend counts one more of a caller, or says when there may be. Who administers
// the server, and who calls from this process, is not counted.
func (r *rates) spend(c caller) error {
	account := c.account()
	if account == "" || c.identity.IsAdmin() {
		return nil
	}
	limiter, found := r.accounts.Get(account)
	if !found {
		// Two that come at once may both start anew; that is one burst more.
		limit := int(r.limit.Load())
		limiter = rate.NewLimiter(rate.Limit(limit), burstSeconds*limit)
		r.accounts.Add(account, limiter)
	}
	now := time.Now()
	reserved := limiter.ReserveN(now, 1)
	after := reserved.DelayFrom(now)
	if after == 0 {
		return nil
	}
	reserved.CancelAt(now)
	return limited(r.setting, int(r.limit.Load()), "a second").retryAfter(after)
}

// limited says that a caller has more of something than a setting allows.
func limited(setting string, limit int, unit string) *refusal {
	r := refuse(millracev1.ErrorReason_ERROR_REASON_RATE_LIMITED, setting, "%s: the limit is %d %s", setting, limit, unit)
	r.info.Limit = uint64(limit)
	return r
}

// NetworkOf is what counts as one address: in IPv6 a client has a whole /64, and
// may use another address of it for each thing that it does.
func NetworkOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	prefix, err := addr.Prefix(networkBits)
	if err != nil {
		panic(err) // an address of IPv6 has more bits than that
	}
	return prefix.Addr()
}

// networkOf is NetworkOf for the address of a caller; what is not an address
// counts as it is.
func networkOf(host string) string {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	return NetworkOf(addr).String()
}

// tally counts the sessions of each user, network and wire. The service's mu
// guards it.
type tally struct{ users, networks, wires map[string]int }

func newTally() tally { return tally{map[string]int{}, map[string]int{}, map[string]int{}} }

// add counts a session, or says why there may not be one more.
func (t tally) add(s *Session, limits Limits) error {
	user, network, counted := s.who().User, networkOf(s.host), !s.who().IsAdmin()
	switch {
	case counted && user != "" && t.users[user] >= limits.UserSessions:
		return limited("limits.user_sessions", limits.UserSessions, "sessions of one user").retryAfter(retrySessions)
	case counted && network != "" && t.networks[network] >= limits.AddressSessions:
		return limited("limits.address_sessions", limits.AddressSessions, "sessions from one address").retryAfter(retrySessions)
	}
	t.users[user]++
	t.networks[network]++
	t.wires[s.protocol]++
	return nil
}

func (t tally) remove(s *Session) {
	for _, counted := range []struct {
		in  map[string]int
		key string
	}{{t.users, s.who().User}, {t.networks, networkOf(s.host)}, {t.wires, s.protocol}} {
		counted.in[counted.key]--
		if counted.in[counted.key] <= 0 {
			delete(counted.in, counted.key)
		}
	}
}

// ageOf is how long a session lives at most: a little less than the limit, each
// its own, so that those that came together do not come back together.
func ageOf(limit time.Duration) time.Duration { return limit - mathrand.N(limit/10+1) }

// overdue is why the session has to end, as time goes.
func (s *Session) overdue(now time.Time) error {
	if expires := s.identity.Load().Expires; !expires.IsZero() && !now.Before(expires) {
		return errExpired()
	}
	if !now.Before(s.ends) {
		return refuse(millracev1.ErrorReason_ERROR_REASON_EXPIRED, "limits.max_age", "limits.max_age: the session has lived for %s", s.service.limits().MaxAge).retryAfter(0)
	}
	return nil
}

// neglected is why a session has to end that nobody uses: it is subscribed to
// nothing, present nowhere, and has not asked for anything in a long time.
func (s *Session) neglected(now time.Time) error {
	limit := s.service.limits().Idle
	if s.service.elapsed(now)-s.used.Load() < int64(limit) {
		return nil
	}
	s.mu.Lock()
	used := len(s.subs) > 0 || len(s.present) > 0
	s.mu.Unlock()
	if used {
		return nil
	}
	return refuse(millracev1.ErrorReason_ERROR_REASON_EXPIRED, "limits.idle", "limits.idle: the session was not used for %s", limit).retryAfter(0)
}

// checkCount reports more entries than a session could have.
func (s *Service) checkCount(field string, n int) error {
	if limit := s.limits().Channels; n > limit {
		return over(millracev1.ErrorReason_ERROR_REASON_TOO_MANY, field, n, limit, "channels")
	}
	return nil
}
