package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// algorithms are all that are accepted, each by keys of its own kind only.
var algorithms = slices.Concat([]string{"HS256", "HS384", "HS512"}, ofRSA, []string{"ES256", "ES384", "ES512", "EdDSA"})

var ofRSA = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}

const minRSABits = 2048 // RFC 7518 section 3.3

// PublicKey verifies tokens of the algorithms that it is bound to.
type PublicKey struct {
	key        crypto.PublicKey
	id         string // `kid` of the tokens that it is for; empty for any
	algorithms []string
}

// newPublicKey binds a key to the algorithms of its kind; only one of them, if
// the key says which.
func newPublicKey(key any, id, only string) (PublicKey, error) {
	var fit []string
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return PublicKey{}, fmt.Errorf("the RSA key has %d bits and needs at least %d", k.N.BitLen(), minRSABits)
		}
		fit = ofRSA
	case *ecdsa.PublicKey:
		fit = ofCurve(k.Curve)
	case ed25519.PublicKey:
		fit = []string{"EdDSA"}
	}
	if only != "" {
		fit = slices.DeleteFunc(slices.Clone(fit), func(algorithm string) bool { return algorithm != only })
	}
	if len(fit) == 0 {
		return PublicKey{}, fmt.Errorf("a %T cannot verify %s", key, orAny(only))
	}
	return PublicKey{key: key, id: id, algorithms: fit}, nil
}

func orAny(algorithm string) string {
	if algorithm == "" {
		return "tokens"
	}
	return algorithm
}

func ofCurve(curve elliptic.Curve) []string {
	switch curve {
	case elliptic.P256():
		return []string{"ES256"}
	case elliptic.P384():
		return []string{"ES384"}
	case elliptic.P521():
		return []string{"ES512"}
	}
	return nil
}

func (k PublicKey) fits(algorithm, keyID string) bool {
	return slices.Contains(k.algorithms, algorithm) && (k.id == "" || keyID == "" || k.id == keyID)
}

// ParsePublicKeys reads public keys and certificates in PEM: RSA of at least
// 2048 bits, ECDSA on P-256, P-384 or P-521, or Ed25519. There must be one.
func ParsePublicKeys(text []byte) ([]PublicKey, error) {
	var keys []PublicKey
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		parsed, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("public key %d: %w", len(keys)+1, err)
		}
		key, err := newPublicKey(parsed, "", "")
		if err != nil {
			return nil, fmt.Errorf("public key %d: %w", len(keys)+1, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("no public key in PEM")
	}
	return keys, nil
}

func parseBlock(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return certificate.PublicKey, nil
	}
	return nil, fmt.Errorf("%q is no public key", block.Type)
}

// newID is a random id that cannot be guessed.
func newID() string { return rand.Text() }
