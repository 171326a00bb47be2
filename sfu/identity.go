package sfu

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"time"
)

// identity is the node's certificate.
type identity struct {
	certificate tls.Certificate
	fingerprint string // its SHA-256, as SDP writes it
}

// newIdentity makes a certificate that lasts: nobody looks at dates, only at the
// fingerprint (RFC 8122).
func newIdentity() (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return identity{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "conclave"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return identity{}, err
	}
	sum := sha256.Sum256(der)
	return identity{
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		fingerprint: fingerprintOf(sum[:]),
	}, nil
}

// fingerprintOf writes a digest as SDP does (RFC 8122, Section 5).
func fingerprintOf(sum []byte) string {
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(pairs, ":")
}

// digests are the hash functions of fingerprints that count.
var digests = map[string]func([]byte) []byte{
	"sha-256": func(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] },
	"sha-384": func(b []byte) []byte { sum := sha512.Sum384(b); return sum[:] },
	"sha-512": func(b []byte) []byte { sum := sha512.Sum512(b); return sum[:] },
}

// fingerprint is one of an offer: of a certificate that the peer may use.
type fingerprint struct{ algorithm, value string }

// matches says whether a certificate is the one that was offered.
func (f fingerprint) matches(certificate []byte) bool {
	digest := digests[f.algorithm]
	return digest != nil && strings.EqualFold(f.value, fingerprintOf(digest(certificate)))
}

// errWrongCertificate: the peer is not the one who offered.
var errWrongCertificate = errors.New("the certificate is none of those offered")
