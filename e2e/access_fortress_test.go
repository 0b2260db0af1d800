package e2e_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"millrace.dev/auth"
	millracev1 "millrace.dev/gen/millrace/v1"
	"millrace.dev/gen/millrace/v1/millracev1connect"
	"millrace.dev/service"
)

// fortress is a server that lets nobody in without credentials, and what it
// takes to make some.
type fortress struct {
	*testing.T
	*server
	keys    auth.Keys
	private *rsa.PrivateKey
	public  []byte // in PEM
}

const backendKey = "the-key-of-the-backend"

func besiege(t *testing.T) *fortress {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	f := &fortress{T: t, private: private, public: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
	public, err := auth.ParsePublicKeys(f.public)
	if err != nil {
		t.Fatal(err)
	}
	f.keys = auth.Keys{
		Secret: []byte(strings.Repeat("s", 32)), Public: public, APIKeys: []string{backendKey},
		Issuer: "https://login.example", Audience: "millrace",
	}
	for _, granted := range auth.Actions {
		f.keys.Certificates = append(f.keys.Certificates, one(granted)...)
	}
	f.server = start(t, engines[0].open(t), func(c *service.Config) {
		c.Authenticator = f.keys
		c.Limits.CallRate, c.Limits.PublishRate = 1_000_000, 1_000_000 // ada does much here
	})
	return f
}

// claims are those of a good token of a user, with some changed; nil takes one
// out.
func (f *fortress) claims(changes jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{
		"sub": "ada", "iss": f.keys.Issuer, "aud": f.keys.Audience, "jti": rand.Text(),
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "grants": []auth.Grant{auth.Everything},
	}
	for name, value := range changes {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func (f *fortress) sign(method jwt.SigningMethod, key any, changes jwt.MapClaims) string {
	f.Helper()
	token, err := jwt.NewWithClaims(method, f.claims(changes)).SignedString(key)
	if err != nil {
		f.Fatal(err)
	}
	return token
}

// good is a token of a user with some grants.
func (f *fortress) good(user string, grants ...auth.Grant) string {
	f.Helper()
	return f.sign(jwt.SigningMethodRS256, f.private, jwt.MapClaims{"sub": user, "grants": grants})
}

// admin is a client with the key of the backend.
func (f *fortress) admin() (context.Context, millracev1connect.AdminServiceClient) {
	return withToken(f.Context(), backendKey), millracev1connect.NewAdminServiceClient(f.connect())
}

// ticket makes one for whom a token stands for.
func (f *fortress) ticket(token string, request *millracev1.CreateTicketRequest) string {
	f.Helper()
	client := millracev1connect.NewRealtimeServiceClient(f.connect())
	response, err := client.CreateTicket(withToken(f.Context(), token), request)
	if err != nil {
		f.Fatal(err)
	}
	return response.GetTicket()
}

// bad are credentials that nobody must get in with.
func (f *fortress) bad() map[string]string {
	f.Helper()
	hs, secret := jwt.SigningMethodHS256, f.keys.Secret
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	revoked := f.sign(hs, secret, jwt.MapClaims{"jti": "revoked"})
	ctx, admin := f.admin()
	if _, err := admin.Revoke(ctx, &millracev1.RevokeRequest{Target: &millracev1.RevokeRequest_TokenId{TokenId: "revoked"}}); err != nil {
		f.Fatal(err)
	}
	header, rest, _ := strings.Cut(f.good("ada", auth.Everything), ".")
	_, signature, _ := strings.Cut(rest, ".")
	return map[string]string{
		"none":                          "",
		"garbage":                       "garbage",
		"signed by a stranger":          f.sign(jwt.SigningMethodRS256, stranger, nil),
		"with another body":             header + ".eyJzdWIiOiJyb290IiwiZXhwIjo5OTk5OTk5OTk5fQ." + signature,
		"signed by nobody":              f.sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"signed with the public key":    f.sign(hs, f.public, nil),
		"expired":                       f.sign(hs, secret, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}),
		"without an end":                f.sign(hs, secret, jwt.MapClaims{"exp": nil}),
		"not valid yet":                 f.sign(hs, secret, jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}),
		"for another audience":          f.sign(hs, secret, jwt.MapClaims{"aud": "others"}),
		"for no audience":               f.sign(hs, secret, jwt.MapClaims{"aud": nil}),
		"of another issuer":             f.sign(hs, secret, jwt.MapClaims{"iss": "https://evil.example"}),
		"revoked":                       revoked,
		"with a line break in the name": f.sign(hs, secret, jwt.MapClaims{"sub": "ada\r\nX-Evil: 1"}),
		"an API key, cut":               backendKey[1:],
	}
}
