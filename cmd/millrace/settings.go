package main

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
)

// setting is one key of the configuration: `limits.channels` in the file,
// --limits-channels as a flag, MILLRACE_LIMITS_CHANNELS in the environment.
type setting struct {
	key   string
	usage string
	field func(*config) any // pointer to where its value is kept
}

// settings are all keys, in the order of `serve --help` and docs/OPERATIONS.md.
var settings = []setting{
	{"listen", "`address` to listen on", func(c *config) any { return &c.Listen }},
	{"admin_listen", "`address` for operators: metrics, profiles, and all that the main one has; empty for none", func(c *config) any { return &c.AdminListen }},
	{"tls_cert", "certificate `file` (PEM), to serve HTTPS", func(c *config) any { return &c.TLSCert }},
	{"tls_key", "`file` with the certificate's key (PEM)", func(c *config) any { return &c.TLSKey }},
	{"open", "allow everybody everything, on any address", func(c *config) any { return &c.Open }},
	{"secret", "`secret` that signs tokens, at least 32 bytes", func(c *config) any { return &c.Secret }},
	{"secret_file", "`file` with the secret", func(c *config) any { return &c.SecretFile }},
	{"public_key_file", "`file` with public keys (PEM) that verify tokens: RSA, ECDSA, Ed25519", func(c *config) any { return &c.PublicKeyFile }},
	{"jwks_url", "`URL` of a key set that verifies tokens", func(c *config) any { return &c.JWKSURL }},
	{"issuer", "`iss` that tokens must have", func(c *config) any { return &c.Issuer }},
	{"audience", "`aud` that tokens must name", func(c *config) any { return &c.Audience }},
	{"api_keys", "`keys` that allow everything, for backends; each at least 16 bytes", func(c *config) any { return &c.APIKeys }},
	{"client_ca", "`file` with the authorities (PEM) of client certificates; needs tls_cert", func(c *config) any { return &c.ClientCA }},
	{"trusted_proxies", "`networks` whose X-Forwarded-For is believed and whose connections are not counted", func(c *config) any { return &c.TrustedProxies }},
	{"anonymous", "grants of callers without credentials, as `YAML`: [{pattern: news.>, actions: [subscribe]}]", func(c *config) any { return &c.Anonymous }},
	{"authenticated", "grants of every user, beside those of the token, as `YAML`: [{pattern: user.{user}.>, actions: [subscribe]}]", func(c *config) any { return &c.Authenticated }},
	{"certificates", "grants of who shows a client certificate, as `YAML`: [{pattern: \">\", actions: [publish]}]", func(c *config) any { return &c.Certificates }},
	{"authorizer.url", "`URL` of the application's AuthorizerService, which is asked where no grant decides", func(c *config) any { return &c.Authorizer.URL }},
	{"authorizer.timeout", "longest `time` that a caller waits for the application", func(c *config) any { return &c.Authorizer.Timeout }},
	{"authorizer.cache", "`time` that an answer of the application counts", func(c *config) any { return &c.Authorizer.Cache }},
	{"rules", "what channels do, first match first, as `YAML`: [{pattern: chat.>, history: {messages: 1000, age: 24h}}]", func(c *config) any { return &c.Rules }},
	{"data_dir", "`directory` to keep channels in, so that they outlive the process; without it and nats.url they live in memory", func(c *config) any { return &c.DataDir }},
	{"fsync", "how often data_dir is forced to the disk: an `interval`, always (before each acknowledgement) or never", func(c *config) any { return &c.Fsync }},
	{"nats.url", "`URLs` of NATS servers with JetStream, comma-separated, to keep channels in and share them with other nodes", func(c *config) any { return &c.NATS.URL }},
	{"nats.credentials", "`file` with the credentials for NATS (.creds)", func(c *config) any { return &c.NATS.Credentials }},
	{"nats.ca", "`file` with the authorities (PEM) of the NATS servers' certificates", func(c *config) any { return &c.NATS.CA }},
	{"nats.cert", "`file` with the certificate (PEM) to show to NATS", func(c *config) any { return &c.NATS.Cert }},
	{"nats.key", "`file` with that certificate's key (PEM)", func(c *config) any { return &c.NATS.Key }},
	{"nats.prefix", "`name` of the stream, and first token of all subjects, in NATS", func(c *config) any { return &c.NATS.Prefix }},
	{"nats.replicas", "`copies` of each message in NATS: 1, 3 or 5; 0 keeps what the stream has, and makes a new one with 3 in a cluster", func(c *config) any { return &c.NATS.Replicas }},
	{"limits.payload_bytes", "most `bytes` of one message", func(c *config) any { return &c.Limits.PayloadBytes }},
	{"limits.channels", "most `channels` and patterns of one session", func(c *config) any { return &c.Limits.Channels }},
	{"limits.user_sessions", "most `sessions` of one user", func(c *config) any { return &c.Limits.UserSessions }},
	{"limits.address_sessions", "most `sessions` from one address, or from one /64 of IPv6", func(c *config) any { return &c.Limits.AddressSessions }},
	{"limits.address_connections", "most `connections` from one address, or from one /64 of IPv6", func(c *config) any { return &c.Limits.Connections }},
	{"limits.publish_rate", "most `messages` that one user publishes in a second", func(c *config) any { return &c.Limits.PublishRate }},
	{"limits.call_rate", "most `calls` and commands of one user in a second", func(c *config) any { return &c.Limits.CallRate }},
	{"limits.header_bytes", "most `bytes` of a request's header", func(c *config) any { return &c.Limits.HeaderBytes }},
	{"limits.batch_messages", "most `messages` of one batch, and commands of one request", func(c *config) any { return &c.Limits.BatchMessages }},
	{"limits.pending_bytes", "most undelivered `bytes` of one session", func(c *config) any { return &c.Limits.PendingBytes }},
	{"limits.replay_messages", "most `messages` replayed to one subscription", func(c *config) any { return &c.Limits.ReplayMessages }},
	{"limits.pattern_channels", "`channels` that a cursor names for one pattern before the pattern moves past them", func(c *config) any { return &c.Limits.PatternChannels }},
	{"limits.max_age", "longest `life` of a session, which then resumes elsewhere", func(c *config) any { return &c.Limits.MaxAge }},
	{"limits.idle", "longest `life` of a session that is subscribed to nothing and asks for nothing", func(c *config) any { return &c.Limits.Idle }},
	{"limits.handshake", "longest `time` to say what is wanted: headers, body, first frame", func(c *config) any { return &c.Limits.Handshake }},
	{"limits.heartbeat", "longest `silence` on a stream, where the client asks for none", func(c *config) any { return &c.Limits.Heartbeat }},
	{"limits.write_timeout", "longest `time` that a client may take nothing of what is sent", func(c *config) any { return &c.Limits.WriteTimeout }},
	{"limits.linger", "`time` that a lost session stays present", func(c *config) any { return &c.Limits.Linger }},
	{"origins", "browser `origins` that may call, such as https://app.example.com; \"*\" for all", func(c *config) any { return &c.Origins }},
	{"ws_paths", "`paths` of the WebSocket wire", func(c *config) any { return &c.WSPaths }},
	{"join", "channels that the sessions of a WebSocket path join by themselves, as `YAML`: {/ws/dashboard: [dashboard.metrics]}", func(c *config) any { return &c.Join }},
	{"sse_paths", "`paths` of the Server-Sent Events wire", func(c *config) any { return &c.SSEPaths }},
	{"sse_channels", "`channels` of an event stream that asks for none", func(c *config) any { return &c.SSEChannels }},
	{"drain_window", "`time` that clients have to go on elsewhere before a shutdown", func(c *config) any { return &c.DrainWindow }},
	{"io_uring", "send to many clients with one system call, where the system lets the process", func(c *config) any { return &c.IOURing }},
	{"log.level", "debug, info, warn or error: least `level` that is logged", func(c *config) any { return &c.Log.Level }},
	{"tracing.endpoint", "`URL` of a collector that takes traces (OTLP over HTTP), such as http://127.0.0.1:4318; empty for none", func(c *config) any { return &c.Tracing.Endpoint }},
	{"tracing.sample", "`part` of the calls that is traced, 0 to 1, where no trusted caller has decided", func(c *config) any { return &c.Tracing.Sample }},
	{"log.format", "text or json: `form` of the log", func(c *config) any { return &c.Log.Format }},
}

func (s setting) flag() string { return strings.NewReplacer("_", "-", ".", "-").Replace(s.key) }

func (s setting) env() string {
	return "MILLRACE_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// set gives the setting the value of texts, each one flag or variable. All but
// lists take the last.
func (s setting) set(c *config, texts []string) (err error) {
	text := texts[len(texts)-1]
	switch field := s.field(c).(type) {
	case *string:
		*field = text
	case *bool:
		*field, err = strconv.ParseBool(text)
	case *int:
		*field, err = strconv.Atoi(text)
	case *float64:
		*field, err = strconv.ParseFloat(text, 64)
	case *time.Duration:
		*field, err = time.ParseDuration(text)
	case *[]string:
		*field = splitLists(texts)
	default:
		reflect.ValueOf(field).Elem().SetZero()
		return yamlError(yaml.Load([]byte(text), field, yaml.WithKnownFields()))
	}
	if err != nil {
		return fmt.Errorf("wants %s", kindOf(s.field(c)))
	}
	return nil
}

// splitLists joins comma-separated lists into one.
func splitLists(texts []string) []string {
	var items []string
	for item := range strings.SplitSeq(strings.Join(texts, ","), ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// kindOf is what a field holds, in words.
func kindOf(field any) string {
	switch field.(type) {
	case *string:
		return "a text"
	case *bool:
		return "true or false"
	case *int:
		return "a whole number"
	case *float64:
		return "a number"
	case *time.Duration:
		return `a duration such as "10s" or "24h"`
	case *[]string:
		return "a list"
	default:
		return "YAML"
	}
}

// settingFlag is the flag of a setting: it keeps the texts until the file and
// the environment, which it overrides, have been read.
type settingFlag struct {
	setting
	texts []string
}

func (f *settingFlag) Set(text string) error {
	var scratch config
	if err := f.set(&scratch, []string{text}); err != nil {
		return err
	}
	f.texts = append(f.texts, text)
	return nil
}

// String is the default, for the help text.
func (f *settingFlag) String() string {
	if f == nil || f.field == nil {
		return ""
	}
	c := defaultConfig()
	switch field := f.field(&c).(type) {
	case *[]string:
		return strings.Join(*field, ",")
	case *string, *int, *float64, *time.Duration:
		return fmt.Sprint(reflect.ValueOf(field).Elem())
	default: // the zero value, which help does not show
		return ""
	}
}

func (f *settingFlag) Type() string {
	if f.isBool() {
		return "bool" // for which the help text has no placeholder
	}
	return kindOf(f.field(new(config)))
}

func (s setting) isBool() bool {
	_, ok := s.field(new(config)).(*bool)
	return ok
}

// addSettingFlags gives flags one for each setting, and --config.
func addSettingFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "configuration `file` (YAML; also MILLRACE_CONFIG)")
	for _, s := range settings {
		flag := flags.VarPF(&settingFlag{setting: s}, s.flag(), "", s.usage)
		if s.isBool() {
			flag.NoOptDefVal = "true"
		}
	}
	flags.SortFlags = false
}

// configFile is the file that --config or MILLRACE_CONFIG names.
func configFile(flags *pflag.FlagSet) string {
	if name, err := flags.GetString("config"); err == nil && name != "" {
		return name
	}
	return os.Getenv("MILLRACE_CONFIG")
}
