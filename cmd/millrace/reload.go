package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"millrace.dev/service"
)

// isLive reports whether a change of the setting counts without a restart: those
// of rules, keys and limits do, but for limits that the listener was made with.
func (s setting) isLive() bool {
	if strings.HasPrefix(s.key, "limits.") {
		return !slices.Contains([]string{"limits.header_bytes", "limits.handshake", "limits.linger"}, s.key)
	}
	return slices.Contains([]string{
		"rules", "secret", "secret_file", "public_key_file", "jwks_url", "issuer", "audience", "api_keys", "anonymous", "authenticated", "certificates",
	}, s.key)
}

// watchInterval is how often the files are looked at. They are small, and looking
// sees what notices of a file system miss: a link that is replaced, as in a mounted
// secret.
const watchInterval = time.Second

// watch reads the configuration again when a file of it changes and on SIGHUP (hangup),
// until ctx ends.
func (s *server) watch(ctx context.Context, hangup <-chan os.Signal, read func() (config, error), files []string) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	seen, current := digest(files), s.config
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			seen = digest(files)
		case <-ticker.C:
			now := digest(files)
			if now == seen {
				continue
			}
			seen = now
		}
		current = s.reload(ctx, current, read)
	}
}

// digest tells contents of files apart; one that cannot be read has none.
func digest(files []string) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, name := range files {
		data, err := os.ReadFile(name)
		fmt.Fprintf(h, "%d %t;", len(data), err == nil)
		h.Write(data)
	}
	h.Sum(sum[:0])
	return sum
}

// reload puts in force what of a new configuration may change, and returns the one
// that was read last. One that does not check changes nothing.
func (s *server) reload(ctx context.Context, current config, read func() (config, error)) config {
	next, err := read()
	if err == nil {
		err = s.apply(current, next)
	}
	if err != nil {
		s.log.ErrorContext(ctx, "the configuration was not reloaded", "error", err)
		return current
	}
	changed, waiting := current.differences(next)
	s.log.InfoContext(ctx, "the configuration was reloaded", "changed", changed)
	if len(waiting) > 0 {
		s.log.WarnContext(ctx, "these settings count after a restart", "settings", waiting)
	}
	return next
}

func (s *server) apply(current, c config) error {
	authenticator, err := c.authenticator()
	if err != nil {
		return err
	}
	if current.hasCredentials() != c.hasCredentials() {
		return errors.New("whether there are credentials at all cannot change while the server runs")
	}
	if err := s.service.Reload(service.Config{Authenticator: authenticator, Rules: c.serviceRules(), Limits: c.Limits.service()}); err != nil {
		return err
	}
	for _, p := range []*port{s.main, s.admin} {
		if p != nil && p.entrance != nil {
			p.entrance.limit.Store(int64(c.Limits.Connections))
		}
	}
	return nil
}

// differences are the settings that differ: those that are live, and others.
func (c config) differences(next config) (live, others []string) {
	for _, s := range settings {
		switch {
		case reflect.DeepEqual(s.field(&c), s.field(&next)):
		case s.isLive():
			live = append(live, s.key)
		default:
			others = append(others, s.key)
		}
	}
	return live, others
}

// files are those that a change of counts without a restart.
func (c *loaded) files() []string {
	names := []string{c.SecretFile, c.PublicKeyFile}
	if c.file != nil {
		names = append(names, c.file.name)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}
