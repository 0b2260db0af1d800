package auth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"millrace.dev/auth"
)

var (
	secret = []byte("0123456789abcdef0123456789abcdef")
	apiKey = "backend-key-0123456789"
	keys   = auth.Keys{Secret: secret, APIKeys: []string{"another-key-0123456789", apiKey}}
	chat   = []auth.Grant{{Pattern: "chat.*", Actions: []auth.Action{auth.Subscribe}}}
)

// claims are those of a good token, with some changed; nil takes one out.
func claims(changes jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "ada", "exp": time.Now().Add(time.Hour).Unix(), "grants": chat}
	for name, value := range changes {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func sign(t *testing.T, method jwt.SigningMethod, key any, c jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestASignedTokenSaysWhoCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, err := keys.Sign("ada", chat, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		id, err := keys.Authenticate(t.Context(), shows(token))
		want := auth.Identity{User: "ada", Grants: chat, Expires: time.Now().Add(time.Hour + 30*time.Second)} // clocks may differ
		if err != nil || id.User != want.User || !reflect.DeepEqual(id.Grants, want.Grants) || !id.Expires.Equal(want.Expires) {
			t.Errorf("got %+v, %v; want %+v", id, err, want)
		}
	})
}

func TestTokensOfOtherIssuersAreAccepted(t *testing.T) {
	t.Parallel()
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
		id, err := keys.Authenticate(t.Context(), shows(sign(t, method, secret, claims(jwt.MapClaims{"aud": "x", "extra": 1}))))
		if err != nil || id.User != "ada" || !id.May(auth.Subscribe, "chat.1") || id.May(auth.Publish, "chat.1") {
			t.Errorf("%s: %+v, %v", method.Alg(), id, err)
		}
	}
}

func TestATokenWithoutAUserIsOfNobodyInParticular(t *testing.T) {
	t.Parallel()
	id, err := keys.Authenticate(t.Context(), shows(sign(t, jwt.SigningMethodHS256, secret, claims(jwt.MapClaims{"sub": nil}))))
	if err != nil || id.User != "" {
		t.Errorf("got %+v, %v", id, err)
	}
}

// forged is a token that says what it likes about its signature.
func forged(t *testing.T, header map[string]any, signature string) string {
	t.Helper()
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return encode(header) + "." + encode(claims(nil)) + "." + signature
}

func TestATokenIsRefused(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, jwt.SigningMethodHS256, secret, claims(nil))
	header, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	hs256 := func(changes jwt.MapClaims) string { return sign(t, jwt.SigningMethodHS256, secret, claims(changes)) }
	const notValid, badClaims = "unauthenticated: the token is not valid", "unauthenticated: the token has bad claims: "
	for name, test := range map[string]struct{ token, want string }{
		"that has expired":                         {hs256(jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}), "unauthenticated: the token has expired"},
		"that never ends":                          {hs256(jwt.MapClaims{"exp": nil}), notValid},
		"that ends at no time":                     {hs256(jwt.MapClaims{"exp": "tomorrow"}), notValid},
		"that is not valid yet":                    {hs256(jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}), notValid},
		"of another secret":                        {sign(t, jwt.SigningMethodHS256, []byte(strings.ToUpper(string(secret))), claims(nil)), notValid},
		"of the empty secret":                      {sign(t, jwt.SigningMethodHS256, []byte{}, claims(nil)), notValid},
		"of a key pair":                            {sign(t, jwt.SigningMethodRS256, rsaKey, claims(nil)), notValid},
		"that needs no signature":                  {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(nil)), notValid},
		"that spells none otherwise":               {forged(t, map[string]any{"alg": "NONE"}, ""), notValid},
		"of no algorithm":                          {forged(t, map[string]any{"typ": "JWT"}, signature), notValid},
		"of an unknown algorithm":                  {forged(t, map[string]any{"alg": "HS1"}, signature), notValid},
		"that says HS512 and is signed with HS256": {forged(t, map[string]any{"alg": "HS512"}, signature), notValid},
		"with other claims":                        {header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"root","exp":9999999999}`)) + "." + signature, notValid},
		"with half a signature":                    {header + "." + body + "." + signature[:20], notValid},
		"without a signature":                      {header + "." + body + ".", notValid},
		"without its last part":                    {header + "." + body, notValid},
		"with one part more":                       {good + ".x", notValid},
		"that is no token":                         {"x", notValid},
		"in base64 of the other kind":              {strings.Repeat("+/", 20) + "." + body + "." + signature, notValid},
		"with a grant of no pattern": {hs256(jwt.MapClaims{"grants": []auth.Grant{{Pattern: "a..b", Actions: auth.Actions}}}),
			badClaims + `grants[0].pattern: invalid channel: a token between "." is empty`},
		"with a grant of an unknown action": {hs256(jwt.MapClaims{"grants": []auth.Grant{{Pattern: "a", Actions: []auth.Action{"all"}}}}),
			badClaims + `grants[0].actions: "all" is none of [subscribe publish presence watch history inspect disconnect revoke admin]`},
		"with grants of another form":  {hs256(jwt.MapClaims{"grants": "all"}), notValid},
		"with a user that is a number": {hs256(jwt.MapClaims{"sub": 7}), notValid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := keys.Authenticate(t.Context(), shows(test.token))
			if !errors.Is(err, auth.ErrUnauthenticated) || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if id.User != "" || id.Grants != nil {
				t.Errorf("a refused caller is %+v", id)
			}
		})
	}
	if _, err := keys.Authenticate(t.Context(), shows(good)); err != nil {
		t.Errorf("the token that the others were made from: %v", err)
	}
}

func TestATokenIsGoodForALittleLongerThanItSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, err := keys.Sign("ada", chat, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute + 29*time.Second) // clocks differ
		if _, err := keys.Authenticate(t.Context(), shows(token)); err != nil {
			t.Errorf("29 seconds late: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := keys.Authenticate(t.Context(), shows(token)); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("31 seconds late: %v", err)
		}
	})
}

func TestAPIKeysAllowEverything(t *testing.T) {
	t.Parallel()
	for _, key := range keys.APIKeys {
		id, err := keys.Authenticate(t.Context(), shows(key))
		if err != nil || id.User != "" || !id.Expires.IsZero() || !id.May(auth.Admin, ">") {
			t.Errorf("%q: %+v, %v", key, id, err)
		}
	}
	for _, wrong := range []string{apiKey[:len(apiKey)-1], apiKey + "0", strings.ToUpper(apiKey), " " + apiKey, apiKey + "\x00"} {
		for name, k := range map[string]auth.Keys{"with a secret": keys, "without a secret": {APIKeys: keys.APIKeys}} {
			if id, err := k.Authenticate(t.Context(), shows(wrong)); !errors.Is(err, auth.ErrUnauthenticated) || id.Grants != nil {
				t.Errorf("%q %s: %+v, %v", wrong, name, id, err)
			}
		}
	}
}

func TestWithoutCredentialsOnlyTheAnonymousGrantsCount(t *testing.T) {
	t.Parallel()
	if _, err := keys.Authenticate(t.Context(), shows("")); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("without a grant: %v", err)
	}
	id, err := auth.Keys{Secret: secret, Anonymous: chat}.Authenticate(t.Context(), shows(""))
	if err != nil || id.User != "" || !id.May(auth.Subscribe, "chat.1") || id.May(auth.Publish, "chat.1") {
		t.Errorf("with a grant: %+v, %v", id, err)
	}
	if _, err := (auth.Keys{Anonymous: chat}).Authenticate(t.Context(), shows("wrong")); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a wrong key is no anonymous caller: %v", err)
	}
}

func TestKeysOfNothingAcceptNobody(t *testing.T) {
	t.Parallel()
	unsigned := sign(t, jwt.SigningMethodHS256, []byte{}, claims(nil))
	for _, token := range []string{"", "x", unsigned} {
		if _, err := (auth.Keys{}).Authenticate(t.Context(), shows(token)); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%q: %v", token, err)
		}
	}
}

func TestWeakKeysAreReported(t *testing.T) {
	t.Parallel()
	for _, good := range []auth.Keys{{}, keys, {Secret: secret}, {APIKeys: []string{apiKey}}, {Anonymous: chat}} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, test := range []struct {
		keys auth.Keys
		want string
	}{
		{auth.Keys{Secret: secret[:31]}, "the secret has 31 bytes and needs at least 32"},
		{auth.Keys{APIKeys: []string{apiKey, "short"}}, "api key 2 has 5 bytes and needs at least 16"},
		{auth.Keys{APIKeys: []string{""}}, "api key 1 has 0 bytes and needs at least 16"},
		{auth.Keys{Anonymous: []auth.Grant{{Pattern: "a"}}}, "grants[0].actions: none given"},
	} {
		if err := test.keys.Check(); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestNoTokenIsSignedThatWouldBeRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		keys   auth.Keys
		grants []auth.Grant
		want   string
	}{
		"with a weak secret": {auth.Keys{Secret: secret[:16]}, chat, "the secret has 16 bytes and needs at least 32"},
		"without a secret":   {auth.Keys{}, chat, "the secret has 0 bytes and needs at least 32"},
		"with bad grants":    {keys, []auth.Grant{{Pattern: "a.>.b", Actions: auth.Actions}}, `grants[0].pattern: invalid channel: ">" is the last token of a pattern`},
	} {
		if token, err := test.keys.Sign("ada", test.grants, time.Hour); token != "" || err == nil || err.Error() != test.want {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
}

// shows are credentials that are a token.
func shows(token string) auth.Credentials { return auth.Credentials{Token: token} }
