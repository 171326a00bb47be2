package hpke

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"
)

// X25519 is DHKEM(X25519, HKDF-SHA256) (RFC 9180, Section 4.1).
var X25519 KEM = x25519{}

type x25519 struct{}

const (
	x25519ID   = 0x0020
	x25519Size = 32 // of a private key, a public key, an encapsulated and a shared secret
)

var sha256KDF = KDF{ID: 0x0001, Hash: sha256.New}

func (x25519) ID() uint16    { return x25519ID }
func (x25519) SeedSize() int { return x25519Size }
func (x25519) EncSize() int  { return x25519Size }

// kemSuiteID is suite_id within a KEM (RFC 9180, Section 4.1).
func kemSuiteID(id uint16) []byte { return binary.BigEndian.AppendUint16([]byte("KEM"), id) }

// NewPrivateKey takes any 32 bytes. They are clamped when they are used
// (RFC 7748, Section 5).
func (x25519) NewPrivateKey(private []byte) (*PrivateKey, error) {
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		return nil, ErrKey
	}
	return &PrivateKey{slices.Clone(private), key.PublicKey().Bytes()}, nil
}

// DeriveKeyPair is that of RFC 9180, Section 7.1.3.
func (k x25519) DeriveKeyPair(ikm []byte) (*PrivateKey, error) {
	id := kemSuiteID(x25519ID)
	prk := sha256KDF.labeledExtract(id, nil, "dkp_prk", ikm)
	private := sha256KDF.labeledExpand(id, prk, "sk", nil, x25519Size)
	clear(prk)
	defer clear(private)
	return k.NewPrivateKey(private)
}

// CheckPublicKey refuses another length and points of low order (RFC 9180, Section 7.1.4).
func (x25519) CheckPublicKey(public []byte) error {
	if len(public) != x25519Size || isLowOrder(public) {
		return ErrKey
	}
	return nil
}

// Encapsulate is Encap, with an ephemeral key of 32 bytes of rand.
func (x25519) Encapsulate(rand io.Reader, public []byte) (secret, enc []byte, err error) {
	dh, enc, err := x25519Agree(rand, public)
	if err != nil {
		return nil, nil, err
	}
	return extractAndExpand(dh, enc, public), enc, nil
}

// Decapsulate is Decap.
func (x25519) Decapsulate(key *PrivateKey, enc []byte) (secret []byte, err error) {
	private, err := ecdh.X25519().NewPrivateKey(key.private)
	if err != nil { // erased
		return nil, ErrOpen
	}
	dh, err := x25519DH(private, enc)
	if err != nil {
		return nil, err
	}
	return extractAndExpand(dh, enc, key.public), nil
}

// extractAndExpand is ExtractAndExpand (RFC 9180, Section 4.1). It erases dh.
func extractAndExpand(dh, enc, public []byte) []byte {
	id := kemSuiteID(x25519ID)
	prk := sha256KDF.labeledExtract(id, nil, "eae_prk", dh)
	clear(dh)
	defer clear(prk)
	return sha256KDF.labeledExpand(id, prk, "shared_secret", slices.Concat(enc, public), x25519Size)
}

// x25519Agree makes an ephemeral key from rand and agrees with public.
func x25519Agree(rand io.Reader, public []byte) (dh, ephemeral []byte, err error) {
	remote, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, nil, ErrKey
	}
	private, err := readSecret(rand, x25519Size)
	if err != nil {
		return nil, nil, err
	}
	defer clear(private)
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		return nil, nil, ErrKey
	}
	if dh, err = key.ECDH(remote); err != nil { // of low order
		return nil, nil, ErrKey
	}
	return dh, key.PublicKey().Bytes(), nil
}

// x25519DH agrees with what came with a message.
func x25519DH(private *ecdh.PrivateKey, ephemeral []byte) ([]byte, error) {
	remote, err := ecdh.X25519().NewPublicKey(ephemeral)
	if err != nil {
		return nil, ErrOpen
	}
	dh, err := private.ECDH(remote)
	if err != nil { // of low order
		return nil, ErrOpen
	}
	return dh, nil
}

// lowOrder lists the Curve25519 points, by u-coordinate, whose Diffie-Hellman result is
// always zero, in every encoding.
var lowOrder = [][x25519Size]byte{
	{},
	{1},
	{
		0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
		0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
	},
	{
		0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
		0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
	},
	nearP(0xec), nearP(0xed), nearP(0xee),
}

// nearP is 2^255 - 256 + low, little endian: p is nearP(0xed).
func nearP(low byte) (u [x25519Size]byte) {
	for i := range u {
		u[i] = 0xff
	}
	u[0], u[31] = low, 0x7f
	return u
}

// isLowOrder ignores the highest bit, as X25519 does (RFC 7748, Section 5).
func isLowOrder(public []byte) bool {
	u := [x25519Size]byte(public)
	u[31] &= 0x7f
	return slices.Contains(lowOrder, u)
}
