package service

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"millrace.dev/auth"
	"millrace.dev/channel"
	"millrace.dev/engine"
)

// Config configures a [Service]. Its zero value works: everybody may do
// everything, and every channel keeps a short history.
type Config struct {
	// Version of the server, for GetServerInfo. Default "dev".
	Version string
	// Authenticator decides who calls. Default [auth.Open].
	Authenticator auth.Authenticator
	// Rules set what channels do; the first whose pattern matches counts.
	// Channels without one have [DefaultRule].
	Rules []Rule
	// Limits bound what one caller can spend.
	Limits Limits
	// Authorizer is asked where neither grants nor rules allow something. The
	// zero value is nobody.
	Authorizer Authorizer
	// Log is told what happens, at the level debug each decision about access
	// and each session. Default nowhere.
	Log *slog.Logger
	// Meters and Tracers take what the node measures and what it traces. Default
	// nowhere.
	Meters  metric.MeterProvider
	Tracers trace.TracerProvider
	// Outbox makes a place where sinks put what is sent together; each writer has
	// its own. Default none: each sink sends for itself.
	Outbox func() Outbox
}

func (c Config) outbox() Outbox {
	if c.Outbox == nil {
		return nil
	}
	return c.Outbox()
}

// Rule is the settings of the channels that match a pattern.
type Rule struct {
	// Pattern is the channels that the rule is for. A final "*" that follows
	// other characters of a token stands for any rest of the name: `presence:*`.
	Pattern string
	// History is what the channels keep for later subscribers. The zero value
	// keeps nothing.
	History engine.Retention
	// Announce says who comes and goes in the channel itself, in the form of
	// existing clients, and makes whoever subscribes present. It needs Presence.
	Announce bool
	// PresenceMembers is how many members are listed to watchers; in a larger
	// room only their number is told. Default 1,000.
	PresenceMembers int
	// NoPresence refuses to say who is present.
	NoPresence bool
	// NoPatterns refuses subscriptions to patterns that include the channels.
	NoPatterns bool
	// Inbox makes each channel the inbox of the user whose name is where the
	// pattern has its first "*", such as `user.*.messages`: beside what grants
	// allow, every user may publish to it, its owner may read it, and others may
	// read what they published themselves.
	Inbox bool
}

// DefaultRule is the rule of channels that no other rule matches.
var DefaultRule = Rule{
	Pattern: ">",
	History: engine.Retention{Messages: 100, Age: 10 * time.Minute},
}

// Limits bound what one caller can spend. A zero field has its default.
type Limits struct {
	PayloadBytes int // of one message. Default 512 KiB
	Channels     int // channels and patterns of one session. Default 512
	// Sessions of one user, and from one address. Administrators are not
	// counted. Default 256 and 10,000.
	UserSessions, AddressSessions int
	// Messages that one user may publish, and calls and commands that he may make,
	// in a second; at once, those of two seconds. Who has no name is counted by
	// address; administrators are not. Default 100 and 200.
	PublishRate, CallRate int
	BatchMessages         int // messages of one PublishBatch, commands of one POST of the plain WebSocket wire. Default 1,000
	PendingBytes          int // undelivered bytes of one session. Default 1 MiB
	ReplayMessages        int // messages replayed to one subscription. Default 1,000,000
	// PatternChannels is how many channels a cursor names for one pattern before
	// the position of the pattern moves past them. Default 32.
	PatternChannels int
	// MaxAge is how long a session lives: it then ends with EXPIRED, up to a tenth
	// earlier, and resumes elsewhere. Default 24 h.
	MaxAge time.Duration
	// Idle is how long a session lives that has no subscription, is present
	// nowhere and asks for nothing. Default 1 h.
	Idle time.Duration
	// Handshake is how long a client may take to say what it wants: the headers,
	// the body of a request, the first frame. Default 10 s.
	Handshake time.Duration
	// Heartbeat is how long a stream may be silent, where the client does not
	// say. Default 15 s.
	Heartbeat time.Duration
	// WriteTimeout is how long a client may take nothing of what is sent to it
	// before it is cut. Default 10 s.
	WriteTimeout time.Duration
	// Linger is how long a session that was lost stays present. Default 15 s.
	Linger time.Duration
}

// Limits that are the same everywhere: they keep messages small enough to copy
// without thought, and are part of the API's comments.
const (
	maxIDBytes       = 128
	maxTypeBytes     = 128
	maxKeyBytes      = 128
	maxHeaderBytes   = 4 << 10
	maxMediaType     = 255
	maxEntityBytes   = 128
	maxQueryKeyBytes = 4 << 10
	maxPresenceBytes = 2 << 10
	maxClientBytes   = 128
	maxPageSize      = 1000
	defaultPageSize  = 100
	maxSnapshot      = 1000
)

// Those that adapters need: they read no more than there may be.
const (
	MaxHeaders     = 16 // of a message, or of a filter
	MaxFilterTypes = 32
)

// Seen is how many channels the patterns of one request may say that they have
// seen: as many as a session's cursor names before its patterns move past them.
func (l Limits) Seen() int { return l.Channels * l.PatternChannels }

func (c Config) withDefaults() Config {
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.Authenticator == nil {
		c.Authenticator = auth.Open{}
	}
	if c.Meters == nil {
		c.Meters = noop.NewMeterProvider()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	setDefault(&c.Authorizer.Timeout, 2*time.Second)
	setDefault(&c.Authorizer.Cache, 5*time.Second)
	setDefault(&c.Limits.PayloadBytes, 512<<10)
	setDefault(&c.Limits.Channels, 512)
	setDefault(&c.Limits.UserSessions, 256)
	setDefault(&c.Limits.AddressSessions, 10_000)
	setDefault(&c.Limits.PublishRate, 100)
	setDefault(&c.Limits.CallRate, 200)
	setDefault(&c.Limits.MaxAge, 24*time.Hour)
	setDefault(&c.Limits.Idle, time.Hour)
	setDefault(&c.Limits.BatchMessages, 1000)
	setDefault(&c.Limits.PendingBytes, 1<<20)
	setDefault(&c.Limits.ReplayMessages, 1_000_000)
	setDefault(&c.Limits.PatternChannels, 32)
	setDefault(&c.Limits.Handshake, 10*time.Second)
	setDefault(&c.Limits.Heartbeat, 15*time.Second)
	setDefault(&c.Limits.WriteTimeout, 10*time.Second)
	setDefault(&c.Limits.Linger, 15*time.Second)
	return c
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Check reports the first setting that cannot work, by its name.
func (c Config) Check() error {
	for i, rule := range c.Rules {
		prefix, _ := rule.prefix()
		if err := channel.CheckPattern(prefix); err != nil {
			return fmt.Errorf("rules[%d].pattern: %w", i, err)
		}
		if rule.History.Messages < 0 || rule.History.Age < 0 {
			return fmt.Errorf("rules[%d].history: must not be negative", i)
		}
		if rule.Inbox && !slices.Contains(strings.Split(rule.Pattern, "."), "*") {
			return fmt.Errorf("rules[%d].inbox: the pattern has no \"*\" that is the owner", i)
		}
	}
	return nil
}

// prefix is what a rule's channels begin with, if its pattern is such a one;
// else its pattern.
func (r Rule) prefix() (text string, isPrefix bool) {
	text, isPrefix = strings.CutSuffix(r.Pattern, "*")
	if !isPrefix || text == "" || strings.HasSuffix(text, ".") {
		return r.Pattern, false
	}
	return text, true
}

func (r Rule) matches(name string) bool {
	if prefix, isPrefix := r.prefix(); isPrefix {
		return strings.HasPrefix(name, prefix)
	}
	return channel.Match(r.Pattern, name)
}

// overlaps reports whether a channel that matches the pattern may be one of the
// rule's. It may err on the side of yes.
func (r Rule) overlaps(pattern string) bool {
	if prefix, isPrefix := r.prefix(); isPrefix {
		fixed, _, _ := strings.Cut(pattern, "*")
		fixed = strings.TrimSuffix(fixed, ">")
		return strings.HasPrefix(fixed, prefix) || strings.HasPrefix(prefix, fixed)
	}
	return channel.Overlaps(r.Pattern, pattern)
}

// rules finds the rule of a channel.
type rules []Rule

func (r rules) of(name string) Rule {
	for _, rule := range r {
		if rule.matches(name) {
			return rule
		}
	}
	return DefaultRule
}

// allowsPattern reports whether no channel that matches the pattern has a rule
// against patterns. A rule counts only where no earlier one covers all of it.
func (r rules) allowsPattern(pattern string) bool {
	for _, rule := range r {
		if rule.NoPatterns && rule.overlaps(pattern) {
			return false
		}
		if channel.Covers(rule.Pattern, pattern) {
			return true
		}
	}
	return true
}
