package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	natsclient "github.com/nats-io/nats.go"

	"millrace.dev/engine"
	"millrace.dev/engine/memory"
	"millrace.dev/engine/nats"
	"millrace.dev/engine/nats/embedded"
)

// engine is where channels live: in NATS, in a directory of this machine, or in
// this process.
func (c config) engine(log *slog.Logger) engine.Open {
	options := nats.Options{MessageBytes: c.messageBytes(), Log: log}
	switch {
	case c.NATS.URL != "":
		options.URL, options.Prefix, options.Replicas = c.NATS.URL, c.NATS.Prefix, c.NATS.Replicas
		options.Connection = c.NATS.options()
		return nats.Open(options)
	case c.DataDir != "":
		fsync, _ := parseFsync(c.Fsync) // a problem of the configuration otherwise
		return embedded.Open(embedded.Options{Dir: c.DataDir, Fsync: fsync, Log: log}, options)
	}
	return memory.Open(memory.Options{})
}

// messageBytes is the largest message there can be: with its headers, names and
// what an engine adds.
func (c config) messageBytes() int { return c.Limits.PayloadBytes + 16<<10 }

func (c config) engineName() string {
	switch {
	case c.NATS.URL != "":
		return "nats"
	case c.DataDir != "":
		return "embedded"
	}
	return "memory"
}

// engineText says to people where messages are and what they survive.
func (c config) engineText() string {
	switch {
	case c.NATS.URL != "":
		return fmt.Sprintf("NATS JetStream at %s, stream %s; messages and presence are shared by all nodes there", redactURLs(c.NATS.URL), c.NATS.Prefix)
	case c.DataDir != "":
		fsync := "every " + c.Fsync
		if _, err := time.ParseDuration(c.Fsync); err != nil {
			fsync = c.Fsync
		}
		return fmt.Sprintf("in %s (embedded NATS JetStream); messages outlive this process; fsync: %s", c.DataDir, fsync)
	}
	return "memory; messages end with this process (--data-dir keeps them)"
}

func (s natsServers) options() []natsclient.Option {
	var options []natsclient.Option
	if s.Credentials != "" {
		options = append(options, natsclient.UserCredentials(s.Credentials))
	}
	if s.CA != "" {
		options = append(options, natsclient.RootCAs(s.CA))
	}
	if s.Cert != "" {
		options = append(options, natsclient.ClientCert(s.Cert, s.Key))
	}
	return options
}

// redactURLs hides the passwords and tokens of comma-separated URLs.
func redactURLs(text string) string {
	urls := strings.Split(text, ",")
	for i, one := range urls {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.User == nil {
			continue
		}
		urls[i] = u.Redacted() // of a password
		if _, ok := u.User.Password(); !ok {
			u.User = url.User("xxxxx") // a token
			urls[i] = u.String()
		}
	}
	return strings.Join(urls, ",")
}

func parseFsync(text string) (time.Duration, error) {
	switch text {
	case "always":
		return embedded.Always, nil
	case "never":
		return embedded.Never, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d, nil
	}
	return 0, errors.New(`wants "always", "never" or a duration such as "1s"`)
}

func (c config) engineProblems() (found []problem) {
	if c.DataDir != "" && c.NATS.URL != "" {
		found = append(found, problem{"data_dir", "contradicts nats.url: channels live in one of them"})
	}
	_, err := parseFsync(c.Fsync)
	return slices.Concat(found, problems("fsync", err), c.NATS.problems())
}

var streamName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (s natsServers) problems() (found []problem) {
	for one := range strings.SplitSeq(s.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if s.URL != "" && (err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)) {
			found = append(found, problem{"nats.url", "wants URLs such as nats://127.0.0.1:4222"})
		}
	}
	if !streamName.MatchString(s.Prefix) {
		found = append(found, problem{"nats.prefix", "wants 1 to 64 letters, digits, - and _"})
	}
	if !slices.Contains([]int{0, 1, 3, 5}, s.Replicas) {
		found = append(found, problem{"nats.replicas", "wants 0, 1, 3 or 5"})
	}
	return append(found, s.fileProblems()...)
}

// fileProblems are those of the files that the connection needs.
func (s natsServers) fileProblems() (found []problem) {
	if s.Credentials != "" {
		_, err := os.ReadFile(s.Credentials)
		found = append(found, problems("nats.credentials", err)...)
	}
	if s.CA != "" {
		found = append(found, problems("nats.ca", natsclient.RootCAs(s.CA)(new(natsclient.Options)))...)
	}
	switch {
	case s.Cert == "" && s.Key == "":
	case s.Cert == "":
		found = append(found, problem{"nats.key", "needs nats.cert as well"})
	case s.Key == "":
		found = append(found, problem{"nats.cert", "needs nats.key as well"})
	default:
		_, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		found = append(found, problems("nats.cert", err)...)
	}
	if s.URL == "" {
		for _, key := range []struct{ name, value string }{{"nats.credentials", s.Credentials}, {"nats.ca", s.CA}, {"nats.cert", s.Cert}} {
			if key.value != "" {
				found = append(found, problem{key.name, "needs nats.url as well"})
			}
		}
	}
	return found
}
