package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Keys accepts API keys, for backends, and JSON Web Tokens signed with a shared
// secret, for users. Its zero value accepts nobody.
type Keys struct {
	// Secret verifies tokens signed with HS256, HS384 or HS512. At least 32
	// bytes; empty accepts no tokens.
	Secret []byte
	// APIKeys allow everything, as nobody in particular. Each at least 16 bytes.
	APIKeys []string
	// Anonymous are the grants of callers without credentials. Default none:
	// such callers are refused.
	Anonymous []Grant
}

const (
	minSecret = 32 // RFC 7518 section 3.2: as long as the hash
	minAPIKey = 16
	leeway    = 30 * time.Second // of clocks that differ
)

var methods = []string{"HS256", "HS384", "HS512"}

// Claims are the claims of a token: `sub` is the user, `exp` the end.
type Claims struct {
	jwt.RegisteredClaims
	Grants []Grant `json:"grants"`
}

// Check reports keys that are too weak to accept.
func (k Keys) Check() error {
	if len(k.Secret) > 0 && len(k.Secret) < minSecret {
		return fmt.Errorf("the secret has %d bytes and needs at least %d", len(k.Secret), minSecret)
	}
	for i, key := range k.APIKeys {
		if len(key) < minAPIKey {
			return fmt.Errorf("api key %d has %d bytes and needs at least %d", i+1, len(key), minAPIKey)
		}
	}
	return CheckGrants(k.Anonymous)
}

// Authenticate implements [Authenticator].
func (k Keys) Authenticate(_ context.Context, token string) (Identity, error) {
	switch {
	case token == "" && len(k.Anonymous) > 0:
		return Identity{Grants: k.Anonymous}, nil
	case token == "":
		return Identity{}, fmt.Errorf("%w: credentials are missing", ErrUnauthenticated)
	case k.isAPIKey(token):
		return Identity{Grants: []Grant{Everything}}, nil
	case len(k.Secret) == 0:
		return Identity{}, fmt.Errorf("%w: the key is not known", ErrUnauthenticated)
	}
	return k.verify(token)
}

// isAPIKey compares digests, so that the time it takes says nothing about how
// much of a guess was right.
func (k Keys) isAPIKey(token string) bool {
	digest, found := sha256.Sum256([]byte(token)), false
	for _, key := range k.APIKeys {
		found = sha256.Sum256([]byte(key)) == digest || found
	}
	return found
}

func (k Keys) verify(token string) (Identity, error) {
	var claims Claims
	_, err := jwt.ParseWithClaims(token, &claims,
		func(*jwt.Token) (any, error) { return k.Secret, nil },
		jwt.WithValidMethods(methods), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway))
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Identity{}, fmt.Errorf("%w: the token has expired", ErrUnauthenticated)
	case err != nil:
		return Identity{}, fmt.Errorf("%w: the token is not valid", ErrUnauthenticated)
	}
	if err := CheckGrants(claims.Grants); err != nil {
		return Identity{}, fmt.Errorf("%w: the token has bad claims: %w", ErrUnauthenticated, err)
	}
	return Identity{User: claims.Subject, Grants: claims.Grants, Expires: claims.ExpiresAt.Add(leeway)}, nil
}

// Sign makes a token for user with HS256.
func (k Keys) Sign(user string, grants []Grant, ttl time.Duration) (string, error) {
	if err := CheckGrants(grants); err != nil {
		return "", err
	}
	if len(k.Secret) < minSecret {
		return "", fmt.Errorf("the secret has %d bytes and needs at least %d", len(k.Secret), minSecret)
	}
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   user,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Grants: grants,
	}).SignedString(k.Secret)
}
