package auth

import (
	"crypto/x509"
	"fmt"
	"slices"
)

// certified is who shows a certificate that the listener has verified: its
// common name, or the first DNS name where it has none.
func (k Keys) certified(certificate *x509.Certificate) (Identity, error) {
	user := certificate.Subject.CommonName
	if user == "" && len(certificate.DNSNames) > 0 {
		user = certificate.DNSNames[0]
	}
	if user == "" {
		return Identity{}, fmt.Errorf("%w: the certificate has no name", ErrUnauthenticated)
	}
	if err := checkUser(user); err != nil {
		return Identity{}, fmt.Errorf("%w: the certificate is not good: %w", ErrUnauthenticated, err)
	}
	return Identity{
		User: user, Grants: slices.Concat(k.Certificates, k.Authenticated),
		Expires: certificate.NotAfter, Issued: certificate.NotBefore,
	}, nil
}
