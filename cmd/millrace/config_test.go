package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"millrace.dev/engine/memory"
	"millrace.dev/service"
)

const (
	testSecret = "0123456789abcdef0123456789abcdef"
	testAPIKey = "an api key for tests"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFlagCountsBeforeAVariableBeforeTheFileBeforeTheDefault(t *testing.T) {
	file := "limits: {channels: 2}\nsse_channels: [from.file]\n"
	tests := []struct {
		name, file, variable, flag string
		want                       string
	}{
		{"nothing", "", "", "", "channels: 512"},
		{"file", file, "", "", "channels: 2"},
		{"variable", "", "3", "", "channels: 3"},
		{"flag", "", "", "4", "channels: 4"},
		{"variable over file", file, "3", "", "channels: 3"},
		{"flag over file", file, "", "4", "channels: 4"},
		{"flag over all", file, "3", "4", "channels: 4"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"config", "show"}
			if test.file != "" {
				args = append(args, "--config", writeFile(t, "millrace.yaml", test.file))
			}
			if test.flag != "" {
				args = append(args, "--limits-channels", test.flag)
			}
			t.Setenv("MILLRACE_LIMITS_CHANNELS", test.variable)
			if got := mustCall(t, "", args...); !strings.Contains(got, test.want) {
				t.Errorf("%q is not in\n%s", test.want, got)
			}
		})
	}
}

func TestEverySettingIsAFlagAVariableAndAKey(t *testing.T) {
	values := map[string]string{
		"tls_cert": "", "tls_key": "", "open": "true", "secret": "", "secret_file": "", "api_keys": "", "anonymous": "",
		"public_key_file": "", "client_ca": "", "authenticated": "", "certificates": "",
		"jwks_url": "https://a.example/keys", "authorizer.url": "http://127.0.0.1:9", "trusted_proxies": "10.0.0.0/8,::1",
		"listen": "127.0.0.1:9", "tracing.endpoint": "http://127.0.0.1:11", "tracing.sample": "0.5", "admin_listen": "127.0.0.1:10", "log.level": "debug", "log.format": "json", "io_uring": "false", "drain_window": "7s",
		"rules": "[{pattern: a.>, no_presence: true}]", "join": "{/ws/a: [b]}", "origins": "https://a.example,https://b.example",
		"fsync": "always", "nats.url": "nats://127.0.0.1:9", "nats.prefix": "other", "nats.replicas": "3",
		"nats.credentials": "", "nats.ca": "", "nats.cert": "", "nats.key": "",
		"ws_paths": "/ws,/socket", "sse_paths": "/stream", "sse_channels": "a,b",
	}
	for _, s := range settings {
		value, known := values[s.key]
		switch {
		case known && value == "": // needs others beside it
			continue
		case !known && strings.HasPrefix(kindOf(s.field(new(config))), "a duration"):
			value = "7s"
		case !known:
			value = "77"
		}
		t.Run(s.key, func(t *testing.T) {
			shown := mustCall(t, "", "config", "show", "--"+s.flag()+"="+value)
			if shown == mustCall(t, "", "config", "show") {
				t.Errorf("the flag changes nothing in\n%s", shown)
			}
			again := mustCall(t, "", "config", "show", "--config", writeFile(t, "shown.yaml", shown))
			if uncommented(again) != uncommented(shown) {
				t.Errorf("as a file it says\n%s\nrather than\n%s", again, shown)
			}
			t.Setenv(s.env(), value)
			if byVariable := mustCall(t, "", "config", "show"); uncommented(byVariable) != uncommented(shown) {
				t.Errorf("as a variable it says\n%s\nrather than\n%s", byVariable, shown)
			}
		})
	}
	if len(settings) > 60 {
		t.Errorf("%d settings are more than anybody can read", len(settings))
	}
}

// uncommented is a configuration without where it comes from.
func uncommented(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, " #")
		lines = append(lines, strings.TrimRight(line, "\n"))
	}
	return strings.Join(lines, "\n")
}

func TestAFileIsRefusedWithTheLineOfEachError(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file string
		want       []string
	}{
		{"unknown key", "listen: 127.0.0.1:1\nlisten_on: x\n", []string{`:2: unknown key "listen_on"`}},
		{"address without a port", "listen: 127.0.0.1\nadmin_listen: nowhere\n", []string{":1: listen: wants host:port", ":2: admin_listen: wants host:port"}},
		{"unknown key in a list", "rules:\n  - pattern: a\n    patern: b\n", []string{`:3: unknown key "patern"`}},
		{"two of them", "a: 1\nb: 2\n", []string{`:1: unknown key "a"`, `:2: unknown key "b"`}},
		{"key twice", "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", []string{`:2: mapping key "listen" already defined at line 1`}},
		{"not a number", "limits:\n  channels: many\n", []string{":2: wants a whole number"}},
		{"not a duration", "limits:\n  heartbeat: 15\n", []string{":2: wants a duration"}},
		{"not a list", "api_keys: " + testAPIKey + "\n", []string{":1: wants a list"}},
		{"no YAML", "listen: [\n", []string{":2: "}},
		{"two documents", "open: true\n---\nopen: false\n", []string{"more than one YAML document"}},
		{"bad pattern", "rules:\n- pattern: a\n- pattern: a..b\n", []string{":3: rules[1].pattern: "}},
		{"bad history", "rules:\n- pattern: a\n  history: {messages: -1}\n", []string{":3: rules[0].history: "}},
		{"age alone", "rules:\n- pattern: a\n  history:\n    age: 1h\n", []string{":3: rules[0].history: age without messages"}},
		{"announcing nobody", "rules:\n- pattern: a\n  announce: true\n  no_presence: true\n", []string{":3: rules[0].announce: contradicts no_presence"}},
		{"bad action", "api_keys: [" + testAPIKey + "]\nanonymous:\n- pattern: a\n  actions: [read]\n", []string{":4: anonymous[0].actions: "}},
		{"weak secret", "secret: short\n", []string{":1: secret: the secret has 5 bytes"}},
		{"weak API key", "api_keys:\n- " + testAPIKey + "\n- short\n", []string{":3: api_keys[1]: wants at least 16 bytes"}},
		{"secret file that is not there", "\nsecret_file: /nowhere/at/all\n", []string{":2: secret_file: "}},
		{"certificate without key", "tls_cert: a.pem\n", []string{":1: tls_cert: needs tls_key"}},
		{"two places for channels", "nats:\n  url: nats://127.0.0.1\ndata_dir: /tmp\n", []string{":3: data_dir: contradicts nats.url"}},
		{"fsync of nonsense", "fsync: sometimes\n", []string{`:1: fsync: wants "always"`}},
		{"no URL of NATS", "nats:\n  url: 127.0.0.1:4222\n", []string{":2: nats.url: wants URLs"}},
		{"a stream with a dot", "nats:\n  prefix: a.b\n", []string{":2: nats.prefix: wants"}},
		{"two replicas", "nats:\n  replicas: 2\n", []string{":2: nats.replicas: wants 0, 1, 3 or 5"}},
		{"credentials that are not there", "nats:\n  url: nats://127.0.0.1\n  credentials: /nowhere.creds\n", []string{":3: nats.credentials: "}},
		{"credentials for nobody", "nats:\n  cert: a.pem\n", []string{":2: nats.cert: needs nats.key", ":2: nats.cert: needs nats.url"}},
		{"not a part", "tracing:\n  sample: 2\n", []string{":2: tracing.sample: must be from 0 to 1"}},
		{"no number", "tracing:\n  sample: half\n", []string{":2: wants a number"}},
		{"collector without a URL", "tracing: {endpoint: localhost}\n", []string{":1: tracing.endpoint: wants a URL"}},
		{"limit of nothing", "limits:\n  channels: 0\n", []string{":2: limits.channels: must be more than 0"}},
		{"origin with a path", "origins: [https://a.example/app]\n", []string{":1: origins[0]: wants scheme://host"}},
		{"every origin, with credentials", "api_keys: [" + testAPIKey + "]\norigins:\n- '*'\n", []string{`:3: origins[0]: "*"`}},
		{"path taken twice", "ws_paths: [/live]\nsse_paths:\n- /live\n", []string{":3: sse_paths[0]: the path is taken"}},
		{"path of the server's own", "ws_paths: [/publish]\n", []string{":1: ws_paths[0]: the path is taken"}},
		{"join elsewhere", "join:\n  /else: [a]\n", []string{":2: join[/else]: is not below one of ws_paths"}},
		{"join a bad channel", "join:\n  /ws/a: [a, 'b c']\n", []string{":2: join[/ws/a][1]: "}},
		{"log level", "log:\n  level: loud\n", []string{":2: log.level: wants debug"}},
		{"open and closed", "open: true\napi_keys: [" + testAPIKey + "]\n", []string{":1: open: contradicts credentials"}},
		{"all at once", "listen: nowhere\nlog: {format: xml}\n", []string{":1: listen: wants host:port", ":2: log.format: wants text or json"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			file := writeFile(t, "millrace.yaml", test.file)
			r := call(t, "", "config", "check", file)
			if r.code != exitFailure {
				t.Errorf("exit code %d, want %d", r.code, exitFailure)
			}
			for _, want := range test.want {
				if !strings.Contains(r.stderr, want) {
					t.Errorf("%q is not in %s", want, r.stderr)
				}
			}
			if strings.Contains(r.stderr, "main.") || strings.Contains(r.stderr, testAPIKey) {
				t.Errorf("names of Go types, or a secret, in %s", r.stderr)
			}
		})
	}
}

func TestAFileThatWorksIsOK(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":  "",
		"comments": "# later\n",
		"all kinds": "listen: :8080\nsecret: " + testSecret + "\nanonymous: [{pattern: news.>, actions: [subscribe]}]\n" +
			"rules:\n- {pattern: chat.>, history: {messages: 10, age: 1h}}\n- {pattern: typing.>, history: {messages: 0}}\n" +
			"origins: ['https://app.example.com', 'https://*.example.com']\njoin: {/ws/dashboard: [dashboard.metrics]}\n",
	} {
		file := writeFile(t, "millrace.yaml", text)
		if got, want := mustCall(t, "", "config", "check", file), file+": ok\n"; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestServeRefusesToBeOpenToOthersUnlessToldTo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		args    []string
		refused bool
	}{
		{"every address", []string{"--listen", ":8080"}, true},
		{"a public address", []string{"--listen", "192.0.2.1:8080"}, true},
		{"a name", []string{"--listen", "example.com:8080"}, true},
		{"loopback", []string{"--listen", "127.0.0.1:8080"}, false},
		{"loopback of IPv6", []string{"--listen", "[::1]:8080"}, false},
		{"localhost", []string{"--listen", "localhost:8080"}, false},
		{"operators on every address", []string{"--admin-listen", ":8081"}, true},
		{"operators on loopback", []string{"--admin-listen", "[::1]:8081"}, false},
		{"operators on every address, with an API key", []string{"--admin-listen", ":8081", "--api-keys", testAPIKey}, false},
		{"with a secret", []string{"--listen", ":8080", "--secret", testSecret}, false},
		{"with an API key", []string{"--listen", ":8080", "--api-keys", testAPIKey}, false},
		{"on purpose", []string{"--listen", ":8080", "--open"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if r := call(t, "", append([]string{"config", "show"}, test.args...)...); (r.code != exitOK) != test.refused {
				t.Errorf("config show: exit code %d: %s", r.code, r.stderr)
			}
			if !test.refused {
				return
			}
			r := call(t, "", append([]string{"serve"}, test.args...)...)
			if r.code != exitFailure || !strings.Contains(r.stderr, "Set secret, secret_file, public_key_file, jwks_url, client_ca or api_keys") || !strings.Contains(r.stderr, "--open") {
				t.Errorf("serve: exit code %d: %s", r.code, r.stderr)
			}
		})
	}
}

func TestConfigShowMasksSecretsAndSaysWhereSettingsComeFrom(t *testing.T) {
	file := writeFile(t, "millrace.yaml", "secret: "+testSecret+"\n\nrules:\n- pattern: a.>\n")
	t.Setenv("MILLRACE_API_KEYS", testAPIKey+", another key for the tests")
	got := mustCall(t, "", "config", "show", "--config", file, "--log-level", "warn")
	for _, want := range []string{
		"secret: '********' # " + file + ":1\n", "api_keys: # MILLRACE_API_KEYS\n- '********'\n- '********'\n",
		"rules: # " + file + ":3\n", "messages: 100\n", "pattern: presence:*\n", "level: warn # --log-level\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	asJSON := mustCall(t, "", "config", "show", "--config", file, "--json")
	for _, text := range []string{got, asJSON} {
		if strings.Contains(text, testSecret) || strings.Contains(text, testAPIKey) {
			t.Errorf("a secret is in\n%s", text)
		}
	}
}

func TestTheDefaultLimitsAreThoseOfTheService(t *testing.T) {
	t.Parallel()
	node, err := service.New(t.Context(), memory.Open(memory.Options{}), service.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := defaultConfig().Limits.service(), node.Limits(); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := node.Close(); err != nil {
		t.Error(err)
	}
}

func TestABadVariableOrFlagIsNamed(t *testing.T) {
	t.Setenv("MILLRACE_LIMITS_CHANNELS", "many")
	if r := call(t, "", "config", "show"); r.code != exitFailure || !strings.Contains(r.stderr, "MILLRACE_LIMITS_CHANNELS: wants a whole number") {
		t.Errorf("variable: exit code %d: %s", r.code, r.stderr)
	}
	if r := call(t, "", "serve", "--rules", "[{patern: a}]"); r.code != exitUsage || !strings.Contains(r.stderr, `unknown key "patern"`) {
		t.Errorf("flag: exit code %d: %s", r.code, r.stderr)
	}
}
