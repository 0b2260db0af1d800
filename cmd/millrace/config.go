package main

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"millrace.dev/auth"
	"millrace.dev/engine"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// config is what the server can be told, with the keys of the YAML file.
// [defaultConfig] has the defaults; settings.go has a line for each key.
type config struct {
	Listen      string `yaml:"listen"`
	AdminListen string `yaml:"admin_listen"`
	TLSCert     string `yaml:"tls_cert"`
	TLSKey      string `yaml:"tls_key"`

	Open           bool     `yaml:"open"`
	Secret         string   `yaml:"secret"`
	SecretFile     string   `yaml:"secret_file"`
	PublicKeyFile  string   `yaml:"public_key_file"`
	JWKSURL        string   `yaml:"jwks_url"`
	Issuer         string   `yaml:"issuer"`
	Audience       string   `yaml:"audience"`
	APIKeys        []string `yaml:"api_keys"`
	ClientCA       string   `yaml:"client_ca"`
	TrustedProxies []string `yaml:"trusted_proxies"`

	Anonymous     []auth.Grant `yaml:"anonymous"`
	Authenticated []auth.Grant `yaml:"authenticated"`
	Certificates  []auth.Grant `yaml:"certificates"`
	Authorizer    authorizer   `yaml:"authorizer"`

	Rules  []rule `yaml:"rules"`
	Limits limits `yaml:"limits"`

	DataDir string      `yaml:"data_dir"`
	Fsync   string      `yaml:"fsync"`
	NATS    natsServers `yaml:"nats"`

	Origins     []string            `yaml:"origins"`
	WSPaths     []string            `yaml:"ws_paths"`
	Join        map[string][]string `yaml:"join"`
	SSEPaths    []string            `yaml:"sse_paths"`
	SSEChannels []string            `yaml:"sse_channels"`

	DrainWindow time.Duration `yaml:"drain_window"`
	IOURing     bool          `yaml:"io_uring"`
	Log         logging       `yaml:"log"`
	Tracing     tracing       `yaml:"tracing"`
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
	Inbox           bool `yaml:"inbox"`
}

// authorizer is the application that is asked where no grant decides.
type authorizer struct {
	URL     string        `yaml:"url"`
	Timeout time.Duration `yaml:"timeout"`
	Cache   time.Duration `yaml:"cache"`
}

// natsServers are where channels live that several nodes share.
type natsServers struct {
	URL         string `yaml:"url"`
	Credentials string `yaml:"credentials"`
	CA          string `yaml:"ca"`
	Cert        string `yaml:"cert"`
	Key         string `yaml:"key"`
	Prefix      string `yaml:"prefix"`
	Replicas    int    `yaml:"replicas"`
}

type history struct {
	Messages int           `yaml:"messages"`
	Age      time.Duration `yaml:"age"`
}

type limits struct {
	PayloadBytes    int           `yaml:"payload_bytes"`
	Channels        int           `yaml:"channels"`
	UserSessions    int           `yaml:"user_sessions"`
	AddressSessions int           `yaml:"address_sessions"`
	Connections     int           `yaml:"address_connections"`
	PublishRate     int           `yaml:"publish_rate"`
	CallRate        int           `yaml:"call_rate"`
	HeaderBytes     int           `yaml:"header_bytes"`
	BatchMessages   int           `yaml:"batch_messages"`
	PendingBytes    int           `yaml:"pending_bytes"`
	ReplayMessages  int           `yaml:"replay_messages"`
	PatternChannels int           `yaml:"pattern_channels"`
	MaxAge          time.Duration `yaml:"max_age"`
	Idle            time.Duration `yaml:"idle"`
	Handshake       time.Duration `yaml:"handshake"`
	Heartbeat       time.Duration `yaml:"heartbeat"`
	WriteTimeout    time.Duration `yaml:"write_timeout"`
	Linger          time.Duration `yaml:"linger"`
}

type logging struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// tracing says where spans go, and of how many of the calls.
type tracing struct {
	Endpoint string  `yaml:"endpoint"`
	Sample   float64 `yaml:"sample"`
}

// defaultConfig is the server without a file, a variable or a flag. The limits
// are the service's own, written out so that `config show` can show them.
func defaultConfig() config {
	return config{
		Listen:  "127.0.0.1:8080",
		IOURing: true,
		// What comes from this machine comes through a proxy, or from its owner.
		TrustedProxies: []string{"127.0.0.0/8", "::1"},
		Authorizer:     authorizer{Timeout: 2 * time.Second, Cache: 5 * time.Second},
		Limits: limits{
			PayloadBytes:    512 << 10,
			Channels:        512,
			UserSessions:    256,
			AddressSessions: 10_000,
			Connections:     1000,
			PublishRate:     100,
			CallRate:        200,
			HeaderBytes:     32 << 10,
			BatchMessages:   1000,
			PendingBytes:    1 << 20,
			ReplayMessages:  1_000_000,
			PatternChannels: 32,
			MaxAge:          24 * time.Hour,
			Idle:            time.Hour,
			Handshake:       10 * time.Second,
			Heartbeat:       15 * time.Second,
			WriteTimeout:    10 * time.Second,
			Linger:          15 * time.Second,
		},
		Fsync:       "1s",
		NATS:        natsServers{Prefix: "millrace"},
		WSPaths:     []string{"/ws"},
		SSEPaths:    []string{"/events"},
		DrainWindow: 5 * time.Second,
		Log:         logging{Level: "info", Format: "text"},
		Tracing:     tracing{Sample: 0.01},
	}
}

// hasCredentials reports whether callers can prove who they are.
func (c config) hasCredentials() bool {
	return c.Secret != "" || c.SecretFile != "" || c.PublicKeyFile != "" || c.JWKSURL != "" || c.ClientCA != "" || len(c.APIKeys) > 0
}

// isLoopback reports whether only this machine can reach the main address.
func (c config) isLoopback() bool { return isLoopbackAddress(c.Listen) }

func isLoopbackAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
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
	return c.keys()
}

// keys are what callers prove with who they are.
func (c config) keys() (auth.Keys, error) {
	keys := auth.Keys{
		Issuer: c.Issuer, Audience: c.Audience, APIKeys: c.APIKeys,
		Anonymous: c.Anonymous, Authenticated: c.Authenticated, Certificates: c.Certificates,
	}
	var err1, err2 error
	keys.Secret, err1 = c.secret()
	if c.PublicKeyFile != "" {
		keys.Public, err2 = readPublicKeys(c.PublicKeyFile)
	}
	if c.JWKSURL != "" {
		keys.JWKS = auth.NewJWKS(c.JWKSURL, nil)
	}
	return keys, errors.Join(err1, err2)
}

func readPublicKeys(file string) ([]auth.PublicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return auth.ParsePublicKeys(text)
}

// authorizer is the client of the application that is asked.
func (c config) authorizer() service.Authorizer {
	if c.Authorizer.URL == "" {
		return service.Authorizer{}
	}
	client := connect.NewClient(connecthttp.NewTransport(&http.Client{}, c.Authorizer.URL))
	return service.Authorizer{
		Client:  millracev1connect.NewAuthorizerServiceClient(client),
		Timeout: c.Authorizer.Timeout,
		Cache:   c.Authorizer.Cache,
	}
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
			Inbox:           r.Inbox,
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
		UserSessions:    l.UserSessions,
		AddressSessions: l.AddressSessions,
		PublishRate:     l.PublishRate,
		CallRate:        l.CallRate,
		BatchMessages:   l.BatchMessages,
		PendingBytes:    l.PendingBytes,
		ReplayMessages:  l.ReplayMessages,
		PatternChannels: l.PatternChannels,
		MaxAge:          l.MaxAge,
		Idle:            l.Idle,
		Handshake:       l.Handshake,
		Heartbeat:       l.Heartbeat,
		WriteTimeout:    l.WriteTimeout,
		Linger:          l.Linger,
	}
}
