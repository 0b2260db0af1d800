package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"millrace.dev/auth"
	"millrace.dev/channel"
	"millrace.dev/service"
)

// problem is a setting that cannot work. It is found in the values alone, so
// that it is the same for a file, a variable and a flag.
type problem struct {
	path string // such as `rules[0].pattern`
	text string
}

func (p problem) Error() string { return p.path + ": " + p.text }

// setting is the key of the setting that the problem is in.
func (p problem) setting() string {
	for _, s := range settings {
		if p.path == s.key || strings.HasPrefix(p.path, s.key+".") || strings.HasPrefix(p.path, s.key+"[") {
			return s.key
		}
	}
	return ""
}

// problems is all that is wrong with the configuration.
func (c config) problems() []problem {
	return slices.Concat(
		c.listenProblems(), c.credentialProblems(), c.exposureProblems(), c.ruleProblems(),
		c.engineProblems(), c.limitProblems(), c.originProblems(), c.pathProblems(), c.logProblems(),
	)
}

func (c config) listenProblems() (found []problem) {
	for key, address := range map[string]string{"listen": c.Listen, "admin_listen": cmp.Or(c.AdminListen, ":0")} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			found = append(found, problem{key, "wants host:port, such as 127.0.0.1:8080 or :443"})
		}
	}
	switch {
	case c.TLSCert == "" && c.TLSKey == "":
	case c.TLSCert == "":
		found = append(found, problem{"tls_key", "needs tls_cert as well"})
	case c.TLSKey == "":
		found = append(found, problem{"tls_cert", "needs tls_key as well"})
	default:
		if _, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey); err != nil {
			found = append(found, problem{"tls_cert", err.Error()})
		}
	}
	return found
}

func (c config) credentialProblems() (found []problem) {
	path := "secret"
	if c.SecretFile != "" {
		path = "secret_file"
	}
	if c.PublicKeyFile != "" {
		_, err := readPublicKeys(c.PublicKeyFile)
		found = append(found, problems("public_key_file", err)...)
	}
	if c.ClientCA != "" {
		_, err := c.clientAuthorities()
		found = append(found, problems("client_ca", err)...)
	}
	secret, err := c.secret()
	switch {
	case c.Secret != "" && c.SecretFile != "":
		found = append(found, problem{path, "contradicts secret: set one of them"})
	case err != nil:
		found = append(found, problem{path, err.Error()})
	case c.SecretFile != "" && len(secret) == 0:
		found = append(found, problem{path, "the file is empty"})
	default:
		found = append(found, problems(path, auth.Keys{Secret: secret}.Check())...)
	}
	for i, key := range c.APIKeys {
		// One at a time: Check reports the first, and its number is not ours.
		if err := (auth.Keys{APIKeys: []string{key}}).Check(); err != nil || key == "" {
			found = append(found, problem{fmt.Sprintf("api_keys[%d]", i), "wants at least 16 bytes"})
		}
	}
	return slices.Concat(found,
		problems("anonymous", auth.CheckGrants(c.Anonymous)), problems("authenticated", auth.CheckGrants(c.Authenticated)),
		problems("certificates", auth.CheckGrants(c.Certificates)), c.remoteProblems())
}

// remoteProblems are those of what is elsewhere: keys, the application, proxies.
func (c config) remoteProblems() (found []problem) {
	found = slices.Concat(urlProblems("jwks_url", c.JWKSURL), urlProblems("authorizer.url", c.Authorizer.URL))
	if u, err := url.Parse(c.JWKSURL); err == nil && u.Scheme == "http" && !isLoopbackHost(u.Hostname()) {
		found = append(found, problem{"jwks_url", "wants https: whoever is on the way could put his own keys in"})
	}
	if c.ClientCA != "" && c.TLSCert == "" {
		found = append(found, problem{"client_ca", "needs tls_cert and tls_key: certificates are shown in the handshake of TLS"})
	}
	if c.Authorizer.Timeout <= 0 || c.Authorizer.Cache <= 0 {
		found = append(found, problem{"authorizer", "timeout and cache must be more than 0"})
	}
	_, err := parseProxies(c.TrustedProxies)
	return append(found, problems("trusted_proxies", err)...)
}

func urlProblems(path, text string) []problem {
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		return []problem{{path, "wants a URL such as https://app.example.com"}}
	}
	return nil
}

const refusesToBeOpen = "anybody who reaches %s could read and publish everything. " +
	"Set secret, secret_file, public_key_file, jwks_url, client_ca or api_keys; or listen on 127.0.0.1; or, if it is meant, set open (--open)"

// exposureProblems refuse to serve the world without knowing that it is meant.
func (c config) exposureProblems() []problem {
	switch {
	case c.Open && c.hasCredentials():
		return []problem{{"open", "contradicts credentials: everybody would be let in with or without them"}}
	case len(c.Anonymous) > 0 && !c.hasCredentials():
		return []problem{{"anonymous", "needs secret, secret_file, public_key_file, jwks_url, client_ca or api_keys: without them everything is allowed anyway"}}
	case !c.Open && !c.hasCredentials() && !c.isLoopback():
		return []problem{{"listen", fmt.Sprintf(refusesToBeOpen, c.Listen)}}
	case !c.Open && !c.hasCredentials() && c.AdminListen != "" && !isLoopbackAddress(c.AdminListen):
		return []problem{{"admin_listen", fmt.Sprintf(refusesToBeOpen, c.AdminListen)}}
	}
	return nil
}

func (c config) ruleProblems() []problem {
	found := problems("rules", service.Config{Rules: c.serviceRules()}.Check())
	for i, r := range c.Rules {
		if keep := r.retention(); keep.Messages == 0 && keep.Age > 0 {
			found = append(found, problem{fmt.Sprintf("rules[%d].history", i), "age without messages keeps nothing"})
		}
		if r.Announce && r.NoPresence {
			found = append(found, problem{fmt.Sprintf("rules[%d].announce", i), "contradicts no_presence"})
		}
		if r.PresenceMembers < 0 {
			found = append(found, problem{fmt.Sprintf("rules[%d].presence_members", i), "must not be negative"})
		}
	}
	return found
}

func (c config) limitProblems() (found []problem) {
	for _, s := range settings {
		if !strings.HasPrefix(s.key, "limits.") {
			continue
		}
		if value := reflect.ValueOf(s.field(&c)).Elem(); value.Int() <= 0 {
			found = append(found, problem{s.key, "must be more than 0"})
		}
	}
	if c.DrainWindow < 0 {
		found = append(found, problem{"drain_window", "must not be negative"})
	}
	return found
}

func (c config) originProblems() (found []problem) {
	for i, origin := range c.Origins {
		path := fmt.Sprintf("origins[%d]", i)
		u, err := url.Parse(origin)
		switch {
		case origin == "*" && c.hasCredentials():
			found = append(found, problem{path, `"*" would let any web site use a visitor's credentials: name the origins`})
		case origin == "*":
		case err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin:
			found = append(found, problem{path, "wants scheme://host[:port], such as https://app.example.com"})
		}
	}
	return found
}

func (c config) logProblems() (found []problem) {
	if err := new(slog.Level).UnmarshalText([]byte(c.Log.Level)); err != nil {
		found = append(found, problem{"log.level", "wants debug, info, warn or error"})
	}
	found = append(found, urlProblems("tracing.endpoint", c.Tracing.Endpoint)...)
	if !(c.Tracing.Sample >= 0 && c.Tracing.Sample <= 1) {
		found = append(found, problem{"tracing.sample", "must be from 0 to 1"})
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		found = append(found, problem{"log.format", "wants text or json"})
	}
	return found
}

func (c config) pathProblems() []problem {
	found, taken := []problem(nil), map[string]bool{}
	check := func(key string, paths []string) {
		for i, path := range paths {
			at := fmt.Sprintf("%s[%d]", key, i)
			switch {
			case !isPath(path):
				found = append(found, problem{at, `wants a path such as "/ws"`})
			case taken[path] || isReserved(path):
				found = append(found, problem{at, "the path is taken"})
			}
			taken[path] = true
		}
	}
	check("ws_paths", c.WSPaths)
	check("sse_paths", c.SSEPaths)
	return append(found, c.channelProblems()...)
}

// channelProblems are those of the channels that a path brings with it.
func (c config) channelProblems() (found []problem) {
	for _, path := range slices.Sorted(maps.Keys(c.Join)) {
		key := fmt.Sprintf("join[%s]", path)
		if !slices.ContainsFunc(c.WSPaths, func(ws string) bool { return path == ws || strings.HasPrefix(path, ws+"/") }) {
			found = append(found, problem{key, "is not below one of ws_paths"})
		}
		for i, name := range c.Join[path] {
			found = append(found, problems(fmt.Sprintf("%s[%d]", key, i), channel.CheckPattern(name))...)
		}
	}
	for i, name := range c.SSEChannels {
		found = append(found, problems(fmt.Sprintf("sse_channels[%d]", i), channel.CheckPattern(name))...)
	}
	return found
}

var pathForm = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func isPath(path string) bool { return pathForm.MatchString(path) }

// isReserved reports whether the server has its own use for a path.
func isReserved(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return slices.Contains([]string{"publish", "history", "presence", "healthz", "readyz", "metrics", "debug", "console"}, first) || strings.Contains(first, ".")
}

var errorPath = regexp.MustCompile(`(?s)^[a-z]+((?:\[\d+\])?(?:\.[a-z_]+)*): (.*)$`)

// problems makes a problem of an error that may begin with its own path, such
// as "grants[0].pattern: ...", whose first word is ours to choose.
func problems(path string, err error) []problem {
	if err == nil {
		return nil
	}
	if m := errorPath.FindStringSubmatch(err.Error()); len(m) == 3 && m[1] != "" {
		return []problem{{path + m[1], m[2]}}
	}
	return []problem{{path, err.Error()}}
}
