package mls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"fmt"
	"hash"
	"io"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// Suite is an MLS cipher suite (RFC 9420, Section 17.1).
type Suite uint16

// The suites of the profile.
const (
	// Suite1 is MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519.
	Suite1 Suite = 0x0001
	// Suite3 is MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519.
	Suite3 Suite = 0x0003
	// SuiteXWing joins X25519 and ML-KEM-768 by X-Wing, so that a recording stays secret
	// as long as either holds: MLS_256_XWING_CHACHA20POLY1305_SHA512_Ed25519, a number for
	// private use (RFC 9420, Section 17.1). Its signatures are classical.
	SuiteXWing Suite = 0xF00E
)

// String returns the suite's number as the RFC writes it.
func (s Suite) String() string { return fmt.Sprintf("0x%04X", uint16(s)) }

// suites holds what is implemented. Nothing writes to it after initialisation.
var suites = map[Suite]*suite{
	Suite1: {
		id: Suite1, hash: sha256.New, nh: sha256.Size, nk: 16, newAEAD: newAESGCM,
		kem: hpke.DHKEM(ecdh.X25519()), kdf: hpke.HKDFSHA256(), aead: hpke.AES128GCM(),
		seedSize: 32, encSize: 32, newKeyPair: hpke.DHKEM(ecdh.X25519()).DeriveKeyPair,
		lowOrder: lowOrderX25519, checkKey: checkEd25519, verify: verifyEd25519,
	},
	Suite3: {
		id: Suite3, hash: sha256.New, nh: sha256.Size, nk: 32, newAEAD: chacha20poly1305.New,
		kem: hpke.DHKEM(ecdh.X25519()), kdf: hpke.HKDFSHA256(), aead: hpke.ChaCha20Poly1305(),
		seedSize: 32, encSize: 32, newKeyPair: hpke.DHKEM(ecdh.X25519()).DeriveKeyPair,
		lowOrder: lowOrderX25519, checkKey: checkEd25519, verify: verifyEd25519,
	},
	SuiteXWing: {
		id: SuiteXWing, hash: sha512.New, nh: sha512.Size, nk: 32, newAEAD: chacha20poly1305.New,
		kem: hpke.MLKEM768X25519(), kdf: hpke.HKDFSHA512(), aead: hpke.ChaCha20Poly1305(),
		seedSize: 32, encSize: 1120, newKeyPair: deriveXWing,
		lowOrder: lowOrderXWing, checkKey: checkEd25519, verify: verifyEd25519,
	},
}

// suite is what a cipher suite consists of. Another one is another entry in suites.
type suite struct {
	id Suite

	hash func() hash.Hash
	nh   int // KDF.Nh: bytes of a hash and of every secret

	nk      int // AEAD.Nk
	newAEAD func(key []byte) (cipher.AEAD, error)

	kem        hpke.KEM
	kdf        hpke.KDF
	aead       hpke.AEAD
	lowOrder   func(public []byte) bool                     // a KEM key that HPKE cannot encrypt to; nil if there is none
	seedSize   int                                          // bytes of randomness for a key pair
	encSize    int                                          // bytes of a KEM output
	newKeyPair func(ikm []byte) (hpke.PrivateKey, error)    // KEM.DeriveKeyPair
	checkKey   func(public []byte) bool                     // a well-formed signature key
	verify     func(public, message, signature []byte) bool // only after checkKey
}

// nn is AEAD.Nn, the same for every suite there is.
const nn = 12

// tagSize is what every AEAD here adds to a plaintext.
const tagSize = 16

func suiteOf(id Suite) (*suite, error) {
	if s, ok := suites[id]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("%w: suite %v", ErrProfile, id)
}

func newAESGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// lowOrder lists the Curve25519 points, by u-coordinate, whose Diffie-Hellman result is
// always zero: every sender must refuse to encrypt to them (RFC 9420, Section 5.1.1, and
// RFC 9180, Section 7.1.4), so that one of them in a tree would stop all commits.
var lowOrder = [][32]byte{
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
func nearP(low byte) (u [32]byte) {
	for i := range u {
		u[i] = 0xff
	}
	u[0], u[31] = low, 0x7f
	return u
}

// lowOrderX25519 ignores the highest bit, as X25519 does (RFC 7748, Section 5).
func lowOrderX25519(public []byte) bool {
	u := [32]byte(public)
	u[31] &= 0x7f
	return slices.Contains(lowOrder, u)
}

// lowOrderXWing looks at the X25519 half of a public key, the last 32 bytes.
func lowOrderXWing(public []byte) bool { return lowOrderX25519(public[len(public)-32:]) }

// deriveXWing is the suite's DeriveKeyPair: the X-Wing key whose seed is
// SHAKE256(ikm, 32). It is not that of crypto/hpke, which labels its input as drafts
// on hybrid KEMs in HPKE do; docs/protocol.md holds it down.
func deriveXWing(ikm []byte) (hpke.PrivateKey, error) {
	return hpke.MLKEM768X25519().NewPrivateKey(sha3.SumSHAKE256(ikm, 32))
}

// checkPublic checks a public KEM key.
func (s *suite) checkPublic(public []byte) error {
	if _, err := s.kem.NewPublicKey(public); err != nil || s.lowOrder != nil && s.lowOrder(public) {
		return fmt.Errorf("%w: encryption key", ErrInvalid)
	}
	return nil
}

func checkEd25519(public []byte) bool { return len(public) == ed25519.PublicKeySize }

func verifyEd25519(public, message, signature []byte) bool {
	return ed25519.Verify(public, message, signature)
}

// signer signs with a member's signature key.
type signer interface {
	public() []byte
	sign(message []byte) ([]byte, error)
}

type ed25519Signer ed25519.PrivateKey

func newEd25519Signer(key ed25519.PrivateKey) (ed25519Signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: signature key of %d bytes", ErrInvalid, len(key))
	}
	return ed25519Signer(slices.Clone(key)), nil
}

func (s ed25519Signer) public() []byte { return ed25519.PrivateKey(s).Public().(ed25519.PublicKey) }

func (s ed25519Signer) sign(message []byte) ([]byte, error) {
	return ed25519.Sign(ed25519.PrivateKey(s), message), nil
}

func (ed25519Signer) String() string   { return "[secret]" }
func (ed25519Signer) GoString() string { return "[secret]" }

// labelPrefix stands before every label (RFC 9420, Sections 5.1.2, 5.1.3 and 8).
const labelPrefix = "MLS 1.0 "

func labelled(label string, content []byte) []byte {
	b := make([]byte, 0, len(labelPrefix)+len(label)+len(content)+8)
	return appendVec(appendVec(b, labelPrefix+label), content)
}

// signWithLabel is SignWithLabel (RFC 9420, Section 5.1.2).
func signWithLabel(s signer, label string, content []byte) ([]byte, error) {
	return s.sign(labelled(label, content))
}

// verifyWithLabel is VerifyWithLabel (RFC 9420, Section 5.1.2).
func (s *suite) verifyWithLabel(public []byte, label string, content, signature []byte) bool {
	return s.checkKey(public) && s.verify(public, labelled(label, content), signature)
}

// hpkeCiphertext is HPKECiphertext (RFC 9420, Section 7.6).
type hpkeCiphertext struct{ kemOutput, ciphertext []byte }

func (r *reader) hpkeCiphertext() hpkeCiphertext {
	return hpkeCiphertext{kemOutput: r.vec(), ciphertext: r.vec()}
}

func (c hpkeCiphertext) append(b []byte) []byte {
	return appendVec(appendVec(b, c.kemOutput), c.ciphertext)
}

// encryptWithLabel is EncryptWithLabel (RFC 9420, Section 5.1.3). context is labelled,
// once for all recipients. The error is [ErrInvalid]: a public key of low order.
func (s *suite) encryptWithLabel(public, context, plaintext []byte) (hpkeCiphertext, error) {
	key, err := s.kem.NewPublicKey(public)
	if err != nil {
		return hpkeCiphertext{}, fmt.Errorf("%w: encryption key", ErrInvalid)
	}
	enc, sender, err := hpke.NewSender(key, s.kdf, s.aead, context)
	if err != nil {
		return hpkeCiphertext{}, fmt.Errorf("%w: encryption key", ErrInvalid)
	}
	ct, err := sender.Seal(nil, plaintext)
	return hpkeCiphertext{enc, ct}, err
}

// decryptWithLabel is DecryptWithLabel (RFC 9420, Section 5.1.3).
func (s *suite) decryptWithLabel(private hpke.PrivateKey, label string, context []byte, c hpkeCiphertext) ([]byte, error) {
	recipient, err := hpke.NewRecipient(c.kemOutput, private, s.kdf, s.aead, labelled(label, context))
	if err != nil {
		return nil, err
	}
	return recipient.Open(nil, c.ciphertext)
}

// generateKeyPair makes a key pair from rand alone.
func (s *suite) generateKeyPair(rand io.Reader) (hpke.PrivateKey, error) {
	seed, err := readRandom(rand, s.seedSize)
	if err != nil {
		return nil, err
	}
	return s.newKeyPair(seed)
}

func readRandom(rand io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, fmt.Errorf("mls: randomness: %w", err)
	}
	return b, nil
}

// extract is KDF.Extract.
func (s *suite) extract(salt, ikm []byte) []byte {
	prk, err := hkdf.Extract(s.hash, ikm, salt)
	if err != nil {
		panic("mls: HKDF-Extract: " + err.Error())
	}
	return prk
}

// expandWithLabel is ExpandWithLabel (RFC 9420, Section 8). The length is at most
// 255 hashes: callers outside this package are checked before.
func (s *suite) expandWithLabel(secret []byte, label string, context []byte, length int) []byte {
	info := make([]byte, 0, 2+len(labelPrefix)+len(label)+len(context)+8)
	info = appendU16(info, uint16(length))
	info = appendVec(appendVec(info, labelPrefix+label), context)
	out, err := hkdf.Expand(s.hash, secret, string(info), length)
	if err != nil {
		panic("mls: HKDF-Expand: " + err.Error())
	}
	return out
}

// deriveSecret is DeriveSecret (RFC 9420, Section 8).
func (s *suite) deriveSecret(secret []byte, label string) []byte {
	return s.expandWithLabel(secret, label, nil, s.nh)
}

// deriveTreeSecret is DeriveTreeSecret (RFC 9420, Section 9.1).
func (s *suite) deriveTreeSecret(secret []byte, label string, generation uint32, length int) []byte {
	return s.expandWithLabel(secret, label, appendU32(nil, generation), length)
}

// sum hashes the concatenation of its arguments.
func (s *suite) sum(parts ...[]byte) []byte {
	h := s.hash()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// refHash is RefHash (RFC 9420, Section 5.2).
func (s *suite) refHash(label string, value []byte) []byte {
	b := make([]byte, 0, len(label)+len(value)+8)
	return s.sum(appendVec(appendVec(b, label), value))
}

// mac is the MAC of RFC 9420, Section 5.1: HMAC with the suite's hash.
func (s *suite) mac(key, message []byte) []byte {
	h := hmac.New(s.hash, key)
	h.Write(message)
	return h.Sum(nil)
}

func (s *suite) zero() []byte { return make([]byte, s.nh) }

// seal encrypts under a key that is used for this one message.
func (s *suite) seal(key, nonce, aad, plaintext []byte) []byte {
	a, err := s.newAEAD(key)
	if err != nil {
		panic("mls: AEAD: " + err.Error())
	}
	return a.Seal(nil, nonce, plaintext, aad)
}

// open undoes seal.
func (s *suite) open(key, nonce, aad, ciphertext []byte) ([]byte, error) {
	a, err := s.newAEAD(key)
	if err != nil {
		panic("mls: AEAD: " + err.Error())
	}
	return a.Open(nil, nonce, ciphertext, aad)
}
