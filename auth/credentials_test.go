package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"millrace.dev/auth"
)

// pair is a key pair and the algorithms that it is for.
type pair struct {
	signer  crypto.Signer
	methods []jwt.SigningMethod
}

// pairs has one of each kind.
func pairs(t *testing.T) map[string]pair {
	t.Helper()
	_, edwards, err1 := ed25519.GenerateKey(rand.Reader)
	rsaKey, err2 := rsa.GenerateKey(rand.Reader, 2048)
	p256, err3 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err4 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, err5 := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	return map[string]pair{
		"RSA": {rsaKey, []jwt.SigningMethod{
			jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512,
			jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512,
		}},
		"P-256":   {p256, []jwt.SigningMethod{jwt.SigningMethodES256}},
		"P-384":   {p384, []jwt.SigningMethod{jwt.SigningMethodES384}},
		"P-521":   {p521, []jwt.SigningMethod{jwt.SigningMethodES512}},
		"Ed25519": {edwards, []jwt.SigningMethod{jwt.SigningMethodEdDSA}},
	}
}

// inPEM is the public half of a key pair.
func inPEM(t *testing.T, signer crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func public(t *testing.T, text []byte) []auth.PublicKey {
	t.Helper()
	found, err := auth.ParsePublicKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestA1APublicKeyVerifiesTokensOfItsOwnAlgorithmsOnly(t *testing.T) {
	t.Parallel()
	all := pairs(t)
	for name, p := range all {
		k := auth.Keys{Public: public(t, inPEM(t, p.signer))}
		for _, method := range p.methods {
			id, err := k.Authenticate(t.Context(), shows(sign(t, method, p.signer, claims(nil))))
			if err != nil || id.User != "ada" || !id.May(auth.Subscribe, "chat.1") {
				t.Errorf("%s with a key of %s: %+v, %v", method.Alg(), name, id, err)
			}
		}
		for other, q := range all {
			if other == name {
				continue
			}
			for _, method := range q.methods {
				if _, err := k.Authenticate(t.Context(), shows(sign(t, method, q.signer, claims(nil)))); !errors.Is(err, auth.ErrUnauthenticated) {
					t.Errorf("%s of %s with a key of %s: %v", method.Alg(), other, name, err)
				}
			}
		}
		another := pairs(t)[name]
		if _, err := k.Authenticate(t.Context(), shows(sign(t, p.methods[0], another.signer, claims(nil)))); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s signed by another key: %v", name, err)
		}
	}
}

// The classic confusion: what is public is used as the secret of an HMAC.
func TestA1APublicKeyIsNoSecret(t *testing.T) {
	t.Parallel()
	for name, p := range pairs(t) {
		text := inPEM(t, p.signer)
		block, _ := pem.Decode(text)
		for _, k := range []auth.Keys{{Public: public(t, text)}, {Public: public(t, text), Secret: secret}} {
			for _, guess := range [][]byte{text, []byte(strings.TrimSpace(string(text))), block.Bytes} {
				for _, method := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
					id, err := k.Authenticate(t.Context(), shows(sign(t, method, guess, claims(nil))))
					if !errors.Is(err, auth.ErrUnauthenticated) || id.Grants != nil {
						t.Errorf("%s with the public key of %s: %+v, %v", method.Alg(), name, id, err)
					}
				}
			}
			none := sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(nil))
			if _, err := k.Authenticate(t.Context(), shows(none)); !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("a token without a signature, with a key of %s: %v", name, err)
			}
		}
	}
}

func TestPublicKeysThatAreNotGoodAreReported(t *testing.T) {
	t.Parallel()
	small, err1 := rsa.GenerateKey(rand.Reader, 1024)
	odd, err2 := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(small)})
	for name, test := range map[string]struct {
		text []byte
		want string
	}{
		"a short RSA key":   {inPEM(t, small), "public key 1: the RSA key has 1024 bits and needs at least 2048"},
		"an unusual curve":  {inPEM(t, odd), "public key 1: a *ecdsa.PublicKey cannot verify tokens"},
		"a private key":     {private, `public key 1: "RSA PRIVATE KEY" is no public key`},
		"nothing in PEM":    {[]byte("hello"), "no public key in PEM"},
		"nothing whatever":  {nil, "no public key in PEM"},
		"a second bad one":  {append(inPEM(t, pairs(t)["P-256"].signer), private...), `public key 2: "RSA PRIVATE KEY" is no public key`},
		"a broken DER text": {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")}), "public key 1: asn1: "},
	} {
		if _, err := auth.ParsePublicKeys(test.text); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

func TestA1IssuerAndAudienceMustBeThoseThatAreConfigured(t *testing.T) {
	t.Parallel()
	k := auth.Keys{Secret: secret, Issuer: "https://login.example", Audience: "millrace"}
	good := jwt.MapClaims{"iss": "https://login.example", "aud": []string{"other", "millrace"}}
	for name, test := range map[string]struct {
		changes jwt.MapClaims
		want    string
	}{
		"as configured":       {nil, ""},
		"the audience alone":  {jwt.MapClaims{"aud": "millrace"}, ""},
		"another audience":    {jwt.MapClaims{"aud": "other"}, "unauthenticated: the token is for another audience"},
		"no audience":         {jwt.MapClaims{"aud": nil}, "unauthenticated: the token is not valid"},
		"another issuer":      {jwt.MapClaims{"iss": "https://evil.example"}, "unauthenticated: the token is of another issuer"},
		"an issuer that goes": {jwt.MapClaims{"iss": "https://login.example.evil"}, "unauthenticated: the token is of another issuer"},
		"no issuer":           {jwt.MapClaims{"iss": nil}, "unauthenticated: the token is not valid"},
		"issued in future":    {jwt.MapClaims{"iat": time.Now().Add(time.Hour).Unix()}, "unauthenticated: the token is not valid"},
		"issued just now":     {jwt.MapClaims{"iat": time.Now().Add(20 * time.Second).Unix()}, ""},
	} {
		c := claims(good)
		for claim, value := range test.changes {
			if c[claim] = value; value == nil {
				delete(c, claim)
			}
		}
		_, err := k.Authenticate(t.Context(), shows(sign(t, jwt.SigningMethodHS256, secret, c)))
		if got := messageOf(err); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	token, err := k.Sign("ada", chat, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Authenticate(t.Context(), shows(token)); err != nil {
		t.Errorf("the server's own token: %v", err)
	}
}

func messageOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestTokensThatCouldBreakALineOrAreTooLongAreRefused(t *testing.T) {
	t.Parallel()
	const bad = "unauthenticated: the token has bad claims: the user has a control character or is not valid UTF-8"
	for user, want := range map[string]string{
		"ada\r\nSet-Cookie: x":    bad,
		"ada\x00":                 bad,
		"ada\x7f":                 bad,
		"ada\u0085":               bad,
		strings.Repeat("a", 256):  "unauthenticated: the token has bad claims: the user has 256 bytes, and the limit is 255",
		strings.Repeat("a", 9000): "unauthenticated: the token has more than 8192 bytes",
		"Ada Lovelace <ada@x.y>":  "",
	} {
		_, err := keys.Authenticate(t.Context(), shows(sign(t, jwt.SigningMethodHS256, secret, claims(jwt.MapClaims{"sub": user}))))
		if got := messageOf(err); got != want {
			t.Errorf("%.20q: %q, want %q", user, got, want)
		}
	}
}

func TestATokenWithExtensionsThatMustBeUnderstoodIsRefused(t *testing.T) {
	t.Parallel()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(nil))
	token.Header["crit"] = []string{"b64"}
	signed, err := token.SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Authenticate(t.Context(), shows(signed)); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("crit: %v", err)
	}
}

func TestUsersHaveTheGrantsOfAllUsers(t *testing.T) {
	t.Parallel()
	k := auth.Keys{Secret: secret, Authenticated: []auth.Grant{{Pattern: "user.{user}.>", Actions: []auth.Action{auth.Subscribe}}}}
	for user, want := range map[string]bool{"ada": true, "": false} {
		id, err := k.Authenticate(t.Context(), shows(sign(t, jwt.SigningMethodHS256, secret, claims(jwt.MapClaims{"sub": user}))))
		if err != nil || id.May(auth.Subscribe, "user.ada.x") != want || !id.May(auth.Subscribe, "chat.1") {
			t.Errorf("%q: %+v, %v", user, id, err)
		}
	}
}

func TestACertificateSaysWhoCalls(t *testing.T) {
	t.Parallel()
	begins, ends := time.Now().Add(-time.Hour).Truncate(time.Second), time.Now().Add(time.Hour).Truncate(time.Second)
	k := auth.Keys{Secret: secret, Certificates: []auth.Grant{{Pattern: "service.{user}.>", Actions: []auth.Action{auth.Publish}}}}
	for name, test := range map[string]struct {
		certificate x509.Certificate
		user        string
	}{
		"by its common name":  {x509.Certificate{Subject: pkix.Name{CommonName: "billing"}, DNSNames: []string{"other"}}, "billing"},
		"by its DNS name":     {x509.Certificate{DNSNames: []string{"billing", "other"}}, "billing"},
		"without a name":      {x509.Certificate{}, ""},
		"with a bad name":     {x509.Certificate{Subject: pkix.Name{CommonName: "a\nb"}}, ""},
		"with a name of dots": {x509.Certificate{Subject: pkix.Name{CommonName: "a.b"}}, "a.b"},
	} {
		test.certificate.NotBefore, test.certificate.NotAfter = begins, ends
		id, err := k.Authenticate(t.Context(), auth.Credentials{Certificate: &test.certificate})
		if test.user == "" {
			if !errors.Is(err, auth.ErrUnauthenticated) {
				t.Errorf("%s: %+v, %v", name, id, err)
			}
			continue
		}
		if err != nil || id.User != test.user || !id.Expires.Equal(ends) || !id.Issued.Equal(begins) || id.May(auth.Publish, "service.billing.x") != (test.user == "billing") {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	// Who shows a token as well is who the token says.
	token, err := k.Sign("ada", chat, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	both := auth.Credentials{Token: token, Certificate: &x509.Certificate{Subject: pkix.Name{CommonName: "billing"}}}
	if id, err := k.Authenticate(t.Context(), both); err != nil || id.User != "ada" || id.May(auth.Publish, "service.billing.x") {
		t.Errorf("both: %+v, %v", id, err)
	}
	both.Token = "forged"
	if _, err := k.Authenticate(t.Context(), both); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a forged token beside a certificate: %v", err)
	}
}

func TestBoundsHoldForEveryGrant(t *testing.T) {
	t.Parallel()
	id := auth.Identity{User: "ada", Grants: []auth.Grant{auth.Everything}, Within: []string{"chat.1", "user.>"}}
	for name, want := range map[string]bool{"chat.1": true, "chat.2": false, "user.ada": true, "user.*": true, ">": false} {
		if got := id.May(auth.Subscribe, name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if id.IsAdmin() {
		t.Error("bounded, and an administrator")
	}
}

func TestADecisionIsExplained(t *testing.T) {
	t.Parallel()
	id := auth.Identity{User: "ada", Grants: []auth.Grant{
		{Pattern: "user.{user}.>", Actions: []auth.Action{auth.Subscribe}},
		{Pattern: "chat.*", Actions: []auth.Action{auth.Subscribe, auth.Publish}},
	}}
	got := id.Explain(auth.Publish, "user.ada.x")
	want := []string{
		"the grant user.{user}.> for [subscribe] covers user.ada.x, but does not allow publish",
		"the grant chat.* for [subscribe publish] does not cover user.ada.x",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	dotted := auth.Identity{User: "a.b", Grants: id.Grants[:1], Within: []string{"x"}}
	got = dotted.Explain(auth.Subscribe, "user.a.b")
	want = []string{
		`the grant user.{user}.> for [subscribe] cannot be for the user "a.b", whose name is not one token of a channel`,
		"the credentials are bound to [x], which does not cover user.a.b",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := (auth.Identity{}).Explain(auth.Watch, "x"); !slices.Equal(got, []string{"there is no grant"}) {
		t.Errorf("got %q", got)
	}
}

func TestATicketIsGoodOnceAndForAShortTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tickets auth.Tickets
		ada := auth.Identity{User: "ada", Expires: time.Now().Add(time.Minute)}
		issue := func(origin string, ttl time.Duration) string {
			text, expires, err := tickets.Issue(ada, origin, ttl)
			if err != nil || expires.After(ada.Expires) {
				t.Fatalf("until %v, %v", expires, err)
			}
			return text
		}
		good := issue("", 30*time.Second)
		if id, err := tickets.Redeem(good, "https://any.example"); err != nil || id.User != "ada" || !id.Expires.Equal(ada.Expires) {
			t.Errorf("%+v, %v", id, err)
		}
		late, bound, long := issue("", 30*time.Second), issue("https://a.example", 30*time.Second), issue("", time.Hour)
		refused := func(what, text, origin string) {
			t.Helper()
			if id, err := tickets.Redeem(text, origin); !errors.Is(err, auth.ErrUnauthenticated) || id.User != "" {
				t.Errorf("%s: %+v, %v", what, id, err)
			}
		}
		refused("used", good, "")
		refused("unknown", "x", "")
		refused("empty", "", "")
		refused("of another origin", bound, "https://b.example")
		refused("that another origin has tried", bound, "https://a.example")
		time.Sleep(30 * time.Second)
		refused("late", late, "")
		time.Sleep(30 * time.Second)
		refused("that outlives its credentials", long, "")
	})
}

func TestRevocationsAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var revoked auth.Revocations
		now := time.Now()
		add := func(r auth.Revocation) {
			if err := revoked.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		add(auth.Revocation{TokenID: "t1", At: now, Until: now.Add(time.Hour)})
		add(auth.Revocation{User: "ada", At: now, Until: now.Add(time.Hour)})
		for name, test := range map[string]struct {
			id   auth.Identity
			good bool
		}{
			"the token":              {auth.Identity{User: "bob", TokenID: "t1"}, false},
			"another token":          {auth.Identity{User: "bob", TokenID: "t2"}, true},
			"the user before":        {auth.Identity{User: "ada", TokenID: "t2", Issued: now.Add(-time.Hour)}, false},
			"the user just then":     {auth.Identity{User: "ada", TokenID: "t2", Issued: now}, false},
			"the user at no time":    {auth.Identity{User: "ada"}, false},
			"the user afterwards":    {auth.Identity{User: "ada", Issued: now.Add(time.Second)}, true},
			"nobody in particular":   {auth.Identity{}, true},
			"somebody named like it": {auth.Identity{User: "ada2"}, true},
		} {
			if err := revoked.Check(test.id); (err == nil) != test.good {
				t.Errorf("%s: %v", name, err)
			}
		}
		time.Sleep(time.Hour)
		if err := revoked.Check(auth.Identity{User: "ada"}); err != nil {
			t.Errorf("after its time: %v", err)
		}
	})
}
