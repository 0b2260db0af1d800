package auth_test

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"millrace.dev/auth"
)

// keyServer is where a key set is kept. It is an [http.RoundTripper], so that
// time can be the test's.
type keyServer struct {
	t *testing.T

	mu      sync.Mutex
	body    []byte
	status  int
	fetches int
}

func (s *keyServer) RoundTrip(*http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches++
	if s.status == 0 {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: s.status, Status: http.StatusText(s.status), Body: io.NopCloser(bytes.NewReader(s.body))}, nil
}

// serves makes the server answer with these keys, by their ids.
func (s *keyServer) serves(keys map[string]any, alg jwkset.ALG) {
	s.t.Helper()
	var set jwkset.JWKSMarshal
	for id, key := range keys {
		options := jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: id, ALG: alg}}
		options.Marshal.Private = true // for symmetric ones, which are nothing else
		jwk, err := jwkset.NewJWKFromKey(key, options)
		if err != nil {
			s.t.Fatal(err)
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	body, err := json.Marshal(set)
	if err != nil {
		s.t.Fatal(err)
	}
	s.answers(http.StatusOK, body)
}

func (s *keyServer) answers(status int, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, body
}

func (s *keyServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

func (s *keyServer) keys() auth.Keys {
	return auth.Keys{JWKS: auth.NewJWKS("https://keys.example/jwks.json", &http.Client{Transport: s})}
}

func signedBy(t *testing.T, method jwt.SigningMethod, key crypto.Signer, id string) auth.Credentials {
	t.Helper()
	token := jwt.NewWithClaims(method, claims(nil))
	if id != "" {
		token.Header["kid"] = id
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return shows(text)
}

func TestKeysAreFetchedOnceAndAgainWhenTheyRotate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &keyServer{t: t}
		old, fresh := pairs(t)["P-256"].signer, pairs(t)["P-256"].signer
		server.serves(map[string]any{"old": old.Public()}, "")
		k := server.keys()
		accepts := func(what string, key crypto.Signer, id string, want bool, fetches int) {
			t.Helper()
			_, err := k.Authenticate(t.Context(), signedBy(t, jwt.SigningMethodES256, key, id))
			if (err == nil) != want || server.count() != fetches {
				t.Errorf("%s: %v after %d fetches, want %v after %d", what, err, server.count(), want, fetches)
			}
		}
		accepts("the first token", old, "old", true, 1)
		accepts("the second", old, "old", true, 1)
		accepts("one without a key id", old, "", true, 1)
		accepts("one of another key by this id", fresh, "old", false, 1)
		server.serves(map[string]any{"old": old.Public(), "new": fresh.Public()}, "")
		accepts("a key that is new", fresh, "new", true, 2)
		server.serves(map[string]any{"new": fresh.Public()}, "")
		accepts("a key that was taken out just now", old, "old", true, 2)
		time.Sleep(11 * time.Minute)
		accepts("a key that was taken out", old, "old", false, 3)
	})
}

func TestMadeUpKeyIDsDoNotAttackTheKeyServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, key := &keyServer{t: t}, pairs(t)["Ed25519"].signer
		server.serves(map[string]any{"k": key.Public()}, "")
		k := server.keys()
		var running sync.WaitGroup
		for i := range 1000 {
			running.Go(func() {
				if _, err := k.Authenticate(t.Context(), signedBy(t, jwt.SigningMethodEdDSA, key, "made up "+string(rune('a'+i%26)))); err == nil {
					t.Error("a made-up key id is accepted")
				}
			})
		}
		running.Wait()
		if n := server.count(); n > 2 {
			t.Errorf("%d fetches", n)
		}
		if _, err := k.Authenticate(t.Context(), signedBy(t, jwt.SigningMethodEdDSA, key, "k")); err != nil {
			t.Errorf("a good one: %v", err)
		}
	})
}

func TestAKeyServerThatIsDownIsNotTheCallersFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, key := &keyServer{t: t}, pairs(t)["Ed25519"].signer
		k, token := server.keys(), signedBy(t, jwt.SigningMethodEdDSA, key, "k")
		if _, err := k.Authenticate(t.Context(), token); !errors.Is(err, auth.ErrUnavailable) || errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("before there are keys: %v", err)
		}
		server.serves(map[string]any{"k": key.Public()}, "")
		time.Sleep(time.Minute)
		token = signedBy(t, jwt.SigningMethodEdDSA, key, "k")
		if _, err := k.Authenticate(t.Context(), token); err != nil {
			t.Errorf("when it is up: %v", err)
		}
		for _, broken := range []struct {
			status int
			body   string
		}{{0, ""}, {http.StatusInternalServerError, ""}, {http.StatusOK, "<html>"}, {http.StatusOK, `{"keys":[]}`}, {http.StatusFound, ""}} {
			server.answers(broken.status, []byte(broken.body))
			time.Sleep(20 * time.Minute)
			if _, err := k.Authenticate(t.Context(), signedBy(t, jwt.SigningMethodEdDSA, key, "k")); err != nil {
				t.Errorf("while it answers %d %q: %v", broken.status, broken.body, err)
			}
		}
		time.Sleep(25 * time.Hour)
		if _, err := k.Authenticate(t.Context(), signedBy(t, jwt.SigningMethodEdDSA, key, "k")); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("after a day: %v", err)
		}
	})
}

func TestA1AKeyOfTheSetIsBoundToItsAlgorithm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, key := &keyServer{t: t}, pairs(t)["RSA"].signer
		server.serves(map[string]any{"k": key.Public()}, jwkset.AlgPS256)
		k := server.keys()
		for method, want := range map[jwt.SigningMethod]bool{jwt.SigningMethodPS256: true, jwt.SigningMethodRS256: false, jwt.SigningMethodPS512: false} {
			if _, err := k.Authenticate(t.Context(), signedBy(t, method, key, "k")); (err == nil) != want {
				t.Errorf("%s: %v", method.Alg(), err)
			}
		}
	})
}

func TestASecretInTheSetIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, key := &keyServer{t: t}, pairs(t)["Ed25519"].signer
		server.serves(map[string]any{"secret": secret, "k": key.Public()}, "")
		k := server.keys()
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(nil))
		token.Header["kid"] = "secret"
		text, err := token.SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Authenticate(t.Context(), shows(text)); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("HS256 with a key of the set: %v", err)
		}
		if _, err := k.Authenticate(t.Context(), signedBy(t, jwt.SigningMethodEdDSA, key, "k")); err != nil {
			t.Errorf("the other key: %v", err)
		}
	})
}
