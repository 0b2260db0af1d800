package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"golang.org/x/time/rate"
)

// JWKS is a set of public keys that somebody else keeps at a URL (RFC 7517). It
// is fetched when a token needs it, and kept:
//
//   - It is fetched again when it is older than 10 minutes, so that a key that was
//     taken out is soon not accepted.
//   - A token with a `kid` that is not known fetches it at once, so that a new key
//     is accepted when it is first used; but not more than twice in 20 seconds, so
//     that who makes up key ids does not attack its server through us.
//   - If it cannot be fetched, what there is counts for a day.
//
// Symmetric keys in it are passed over.
type JWKS struct {
	url   string
	fetch func(ctx context.Context, url string) ([]byte, error)

	fetching sync.Mutex    // held while fetching
	limit    *rate.Limiter // of fetches; guarded by fetching

	mu      sync.Mutex
	set     []PublicKey
	fetched time.Time // when set was
}

const (
	jwksFresh    = 10 * time.Minute
	jwksStale    = 24 * time.Hour
	jwksInterval = 10 * time.Second
	jwksBurst    = 2
	jwksTimeout  = 5 * time.Second
	jwksMaxBytes = 1 << 20
)

// NewJWKS makes the set of a URL. Nothing is fetched yet. A nil client is one
// that follows no redirects.
func NewJWKS(url string, client *http.Client) *JWKS {
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	return &JWKS{
		url:   url,
		limit: rate.NewLimiter(rate.Every(jwksInterval), jwksBurst),
		fetch: func(ctx context.Context, url string) ([]byte, error) { return get(ctx, client, url) },
	}
}

// keys are those that may have signed a token with this key id.
func (j *JWKS) keys(ctx context.Context, keyID string) ([]PublicKey, error) {
	set, age := j.known()
	switch {
	case age > jwksStale || !has(set, keyID):
		// Whoever waits here finds what the one before has fetched.
		j.fetching.Lock()
		if set, age = j.known(); age > jwksStale || !has(set, keyID) {
			j.refresh(ctx)
		}
		j.fetching.Unlock()
	case age > jwksFresh && j.fetching.TryLock():
		j.refresh(ctx)
		j.fetching.Unlock()
	}
	set, age = j.known()
	if age > jwksStale {
		return nil, fmt.Errorf("%w: %s", ErrUnavailable, j.url)
	}
	return set, nil
}

// known is the set as it was fetched, and how long ago.
func (j *JWKS) known() (set []PublicKey, age time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.set, time.Since(j.fetched)
}

func has(set []PublicKey, keyID string) bool {
	return slices.ContainsFunc(set, func(key PublicKey) bool { return keyID == "" || key.id == keyID })
}

// refresh fetches the set, if it was not just fetched. Called under fetching. A
// set that cannot be had or read leaves the one before.
func (j *JWKS) refresh(ctx context.Context) {
	if !j.limit.Allow() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jwksTimeout) // others wait for it too
	defer cancel()
	data, err := j.fetch(ctx, j.url)
	if err != nil {
		return
	}
	set, err := parseJWKS(data)
	if err != nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.set, j.fetched = set, time.Now()
}

func parseJWKS(data []byte) ([]PublicKey, error) {
	var marshalled jwkset.JWKSMarshal
	if err := json.Unmarshal(data, &marshalled); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	var set []PublicKey
	for _, one := range marshalled.Keys {
		if one.KTY == jwkset.KtyOct || one.USE != "" && one.USE != jwkset.UseSig {
			continue
		}
		one.X5C, one.X5U, one.X5T, one.X5TS256 = nil, "", "", "" // the key alone counts
		parsed, err := jwkset.NewJWKFromMarshal(one, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue // one that we do not know does not spoil the others
		}
		if key, err := newPublicKey(parsed.Key(), one.KID, string(one.ALG)); err == nil {
			set = append(set, key)
		}
	}
	if len(set) == 0 {
		return nil, errors.New("key set: no key that verifies tokens")
	}
	return set, nil
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, jwksMaxBytes))
}
