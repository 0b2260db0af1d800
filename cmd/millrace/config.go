package main

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"millrace.dev/auth"
	"millrace.dev/engine"
	"millrace.dev/service"
)

// config is what the server can be told, with the keys of the YAML file.
// [defaultConfig] has the defaults; settings.go has a line for each key.
type config struct {
	Listen  string `yaml:"listen"`
	TLSCert string `yaml:"tls_cert"`
	TLSKey  string `yaml:"tls_key"`

	Open       bool         `yaml:"open"`
	Secret     string       `yaml:"secret"`
	SecretFile string       `yaml:"secret_file"`
	APIKeys    []string     `yaml:"api_keys"`
	Anonymous  []auth.Grant `yaml:"anonymous"`

	Rules  []rule `yaml:"rules"`
	Limits limits `yaml:"limits"`

	Origins     []string            `yaml:"origins"`
	WSPaths     []string            `yaml:"ws_paths"`
	Join        map[string][]string `yaml:"join"`
	SSEPaths    []string            `yaml:"sse_paths"`
	SSEChannels []string            `yaml:"sse_channels"`

	DrainWindow time.Duration `yaml:"drain_window"`
	Log         logging       `yaml:"log"`
}

// rule is a [service.Rule] as it is written in a file.
type rule struct {
	Pattern string `yaml:"pattern"`
	// History is as in [service.DefaultRule] where it is left out, so that a
	// rule about presence does not lose messages.
	History  *history `yaml:"history"`
	Announce bool     `yaml:"announce"`
	// PresenceMembers is the service's default where it is left out.
	PresenceMembers int  `yaml:"presence_members"`
	NoPresence      bool `yaml:"no_presence"`
	NoPatterns      bool `yaml:"no_patterns"`
}

type history struct {
	Messages int           `yaml:"messages"`
	Age      time.Duration `yaml:"age"`
}

type limits struct {
	PayloadBytes    int           `yaml:"payload_bytes"`
	Channels        int           `yaml:"channels"`
	BatchMessages   int           `yaml:"batch_messages"`
	PendingBytes    int           `yaml:"pending_bytes"`
	ReplayMessages  int           `yaml:"replay_messages"`
	PatternChannels int           `yaml:"pattern_channels"`
	Handshake       time.Duration `yaml:"handshake"`
	Heartbeat       time.Duration `yaml:"heartbeat"`
	WriteTimeout    time.Duration `yaml:"write_timeout"`
	Linger          time.Duration `yaml:"linger"`
}

type logging struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// defaultConfig is the server without a file, a variable or a flag. The limits
// are the service's own, written out so that `config show` can show them.
func defaultConfig() config {
	return config{
		Listen: "127.0.0.1:8080",
		Limits: limits{
			PayloadBytes:    512 << 10,
			Channels:        512,
			BatchMessages:   1000,
			PendingBytes:    1 << 20,
			ReplayMessages:  1_000_000,
			PatternChannels: 32,
			Handshake:       10 * time.Second,
			Heartbeat:       15 * time.Second,
			WriteTimeout:    10 * time.Second,
			Linger:          15 * time.Second,
		},
		WSPaths:     []string{"/ws"},
		SSEPaths:    []string{"/events"},
		DrainWindow: 2 * time.Second,
		Log:         logging{Level: "info", Format: "text"},
	}
}

// hasCredentials reports whether callers can prove who they are.
func (c config) hasCredentials() bool {
	return c.Secret != "" || c.SecretFile != "" || len(c.APIKeys) > 0
}

// isLoopback reports whether only this machine can reach the address.
func (c config) isLoopback() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return err == nil && isLoopbackHost(host)
}

func isLoopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}

// secret returns the secret that signs tokens, wherever it is written.
func (c config) secret() ([]byte, error) {
	if c.SecretFile == "" {
		return []byte(c.Secret), nil
	}
	data, err := os.ReadFile(c.SecretFile)
	return []byte(strings.TrimSpace(string(data))), err
}

// authenticator decides who calls: everybody is let in where there are no
// credentials, which [config.problems] allows only on purpose.
func (c config) authenticator() (auth.Authenticator, error) {
	if !c.hasCredentials() {
		return auth.Open{}, nil
	}
	secret, err := c.secret()
	return auth.Keys{Secret: secret, APIKeys: c.APIKeys, Anonymous: c.Anonymous}, err
}

// presenceRule is for the rooms of existing clients, which are told who comes
// and goes by messages in a channel named after the room.
var presenceRule = rule{Pattern: "presence:*", History: &history{}, Announce: true}

// allRules are the rules and, after them, the one of the server's own.
func (c config) allRules() []rule {
	if slices.ContainsFunc(c.Rules, func(r rule) bool { return r.Pattern == presenceRule.Pattern }) {
		return c.Rules
	}
	return append(slices.Clone(c.Rules), presenceRule)
}

func (c config) serviceRules() []service.Rule {
	var rules []service.Rule
	for _, r := range c.allRules() {
		rules = append(rules, service.Rule{
			Pattern:         r.Pattern,
			History:         r.retention(),
			Announce:        r.Announce,
			PresenceMembers: r.PresenceMembers,
			NoPresence:      r.NoPresence,
			NoPatterns:      r.NoPatterns,
		})
	}
	return rules
}

func (r rule) retention() engine.Retention {
	if r.History == nil {
		return service.DefaultRule.History
	}
	return engine.Retention{Messages: r.History.Messages, Age: r.History.Age}
}

func (l limits) service() service.Limits {
	return service.Limits{
		PayloadBytes:    l.PayloadBytes,
		Channels:        l.Channels,
		BatchMessages:   l.BatchMessages,
		PendingBytes:    l.PendingBytes,
		ReplayMessages:  l.ReplayMessages,
		PatternChannels: l.PatternChannels,
		Handshake:       l.Handshake,
		Heartbeat:       l.Heartbeat,
		WriteTimeout:    l.WriteTimeout,
		Linger:          l.Linger,
	}
}
