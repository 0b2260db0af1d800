package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Keys accepts API keys, for backends; JSON Web Tokens, for users; and client
// certificates. Its zero value accepts nobody.
type Keys struct {
	// Secret verifies tokens signed with HS256, HS384 or HS512. At least 32
	// bytes; empty accepts no such tokens.
	Secret []byte
	// Public verify tokens signed with the algorithms that each is for.
	Public []PublicKey
	// JWKS has more of these, kept elsewhere. Nil for none.
	JWKS *JWKS
	// Issuer and Audience are what `iss` must be, and what `aud` must name.
	// Empty for anything.
	Issuer, Audience string
	// Leeway is by how much clocks may differ. Default 30 s.
	Leeway time.Duration
	// APIKeys allow everything, as nobody in particular. Each at least 16 bytes.
	APIKeys []string
	// Anonymous are the grants of callers without credentials. Default none:
	// such callers are refused.
	Anonymous []Grant
	// Authenticated are grants of every user, beside those of the token.
	Authenticated []Grant
	// Certificates are grants of who shows a client certificate, beside those of
	// every user.
	Certificates []Grant
}

const (
	minSecret     = 32 // RFC 7518 section 3.2: as long as the hash
	minAPIKey     = 16
	defaultLeeway = 30 * time.Second
	maxTokenBytes = 8 << 10
	maxUserBytes  = 255 // as long as a channel
)

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
	return CheckGrants(slices.Concat(k.Anonymous, k.Authenticated, k.Certificates))
}

// Authenticate implements [Authenticator].
func (k Keys) Authenticate(ctx context.Context, credentials Credentials) (Identity, error) {
	token := credentials.Token
	switch {
	case credentials.Certificate != nil && token == "":
		return k.certified(credentials.Certificate)
	case token == "" && len(k.Anonymous) > 0:
		return Identity{Grants: k.Anonymous}, nil
	case token == "":
		return Identity{}, fmt.Errorf("%w: credentials are missing", ErrUnauthenticated)
	case k.isAPIKey(token):
		return Identity{Grants: []Grant{Everything}}, nil
	case len(k.Secret) == 0 && len(k.Public) == 0 && k.JWKS == nil:
		return Identity{}, fmt.Errorf("%w: the key is not known", ErrUnauthenticated)
	case len(token) > maxTokenBytes:
		return Identity{}, fmt.Errorf("%w: the token has more than %d bytes", ErrUnauthenticated, maxTokenBytes)
	}
	return k.verify(ctx, token)
}

// isAPIKey compares digests, all of them, so that the time it takes says nothing
// about how much of a guess was right.
func (k Keys) isAPIKey(token string) bool {
	digest, found := sha256.Sum256([]byte(token)), 0
	for _, key := range k.APIKeys {
		expected := sha256.Sum256([]byte(key))
		found |= subtle.ConstantTimeCompare(digest[:], expected[:])
	}
	return found == 1
}

func (k Keys) verify(ctx context.Context, token string) (Identity, error) {
	var claims Claims
	leeway := cmp.Or(k.Leeway, defaultLeeway)
	options := []jwt.ParserOption{
		jwt.WithValidMethods(algorithms), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(leeway),
	}
	if k.Issuer != "" {
		options = append(options, jwt.WithIssuer(k.Issuer))
	}
	if k.Audience != "" {
		options = append(options, jwt.WithAudience(k.Audience))
	}
	_, err := jwt.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) { return k.keysFor(ctx, t) }, options...)
	if err != nil {
		return Identity{}, refusal(err)
	}
	if err := checkUser(claims.Subject); err != nil {
		return Identity{}, fmt.Errorf("%w: the token has bad claims: %w", ErrUnauthenticated, err)
	}
	if err := CheckGrants(claims.Grants); err != nil {
		return Identity{}, fmt.Errorf("%w: the token has bad claims: %w", ErrUnauthenticated, err)
	}
	id := Identity{
		User: claims.Subject, Grants: k.ofUser(claims.Subject, claims.Grants),
		Expires: claims.ExpiresAt.Add(leeway), TokenID: claims.ID,
	}
	if claims.IssuedAt != nil {
		id.Issued = claims.IssuedAt.Time
	}
	return id, nil
}

// refusal says as much of why a token is not accepted as helps who has a good
// one.
func refusal(err error) error {
	switch {
	case errors.Is(err, ErrUnavailable):
		return fmt.Errorf("%w: the keys could not be fetched", ErrUnavailable)
	case errors.Is(err, jwt.ErrTokenExpired):
		return fmt.Errorf("%w: the token has expired", ErrUnauthenticated)
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return fmt.Errorf("%w: the token is for another audience", ErrUnauthenticated)
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return fmt.Errorf("%w: the token is of another issuer", ErrUnauthenticated)
	}
	return fmt.Errorf("%w: the token is not valid", ErrUnauthenticated)
}

// ofUser are the grants of a user with those of its credentials.
func (k Keys) ofUser(user string, own []Grant) []Grant {
	if user == "" || len(k.Authenticated) == 0 {
		return own
	}
	return slices.Concat(own, k.Authenticated)
}

// checkUser reports a name that would break a line or a header where it is shown.
func checkUser(user string) error {
	if len(user) > maxUserBytes {
		return fmt.Errorf("the user has %d bytes, and the limit is %d", len(user), maxUserBytes)
	}
	if !utf8.ValidString(user) || strings.ContainsFunc(user, unicode.IsControl) {
		return errors.New("the user has a control character or is not valid UTF-8")
	}
	return nil
}

// keysFor are the keys that may have signed a token: those that are bound to its
// algorithm.
func (k Keys) keysFor(ctx context.Context, token *jwt.Token) (any, error) {
	if _, has := token.Header["crit"]; has {
		return nil, errors.New("the token has extensions that must be understood") // RFC 7515 section 4.1.11
	}
	algorithm := token.Method.Alg()
	if _, isHMAC := token.Method.(*jwt.SigningMethodHMAC); isHMAC {
		if len(k.Secret) == 0 {
			return nil, errors.New("there is no secret")
		}
		return k.Secret, nil
	}
	keyID, _ := token.Header["kid"].(string)
	found := k.Public
	if k.JWKS != nil {
		fetched, err := k.JWKS.keys(ctx, keyID)
		if err != nil {
			return nil, err
		}
		found = slices.Concat(found, fetched)
	}
	var set jwt.VerificationKeySet
	for _, key := range found {
		if key.fits(algorithm, keyID) {
			set.Keys = append(set.Keys, key.key)
		}
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("no key is for this algorithm")
	}
	return set, nil
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
	claims := Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    k.Issuer,
			Subject:   user,
			ID:        newID(),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
		},
		Grants: grants,
	}
	if k.Audience != "" {
		claims.Audience = jwt.ClaimStrings{k.Audience}
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(k.Secret)
}
