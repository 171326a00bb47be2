package mls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"io"
	"slices"
	"strconv"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
	"github.com/conclave-sfu/conclave/e2ee/mls/hpke"
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
func (s Suite) String() string { return fail.Hex(uint16(s)) }

// The algorithms that the suites are made of.
var (
	aes128GCM = hpke.AEAD{ID: 0x0001, KeySize: 16, New: newAESGCM}
	chaCha20  = hpke.AEAD{ID: 0x0003, KeySize: 32, New: chacha20poly1305.New}
	hkdf256   = hpke.KDF{ID: 0x0001, Hash: sha256.New}
	hkdf512   = hpke.KDF{ID: 0x0003, Hash: sha512.New}
)

// suites holds what is implemented. Nothing writes to it after initialisation.
var suites = map[Suite]*suite{
	Suite1: {
		id: Suite1, nh: sha256.Size, hpke: hpke.Suite{KEM: hpke.X25519, KDF: hkdf256, AEAD: aes128GCM},
		checkKey: checkEd25519, verify: verifyEd25519,
	},
	Suite3: {
		id: Suite3, nh: sha256.Size, hpke: hpke.Suite{KEM: hpke.X25519, KDF: hkdf256, AEAD: chaCha20},
		checkKey: checkEd25519, verify: verifyEd25519,
	},
	SuiteXWing: {
		id: SuiteXWing, nh: sha512.Size, hpke: hpke.Suite{KEM: hpke.XWing, KDF: hkdf512, AEAD: chaCha20},
		checkKey: checkEd25519, verify: verifyEd25519,
	},
}

// suite is what a cipher suite consists of. Another one is another entry in suites. MLS
// takes HPKE's hash and cipher for itself as well (RFC 9420, Section 5.1).
type suite struct {
	id   Suite
	nh   int // KDF.Nh: bytes of a hash and of every secret
	hpke hpke.Suite

	checkKey func(public []byte) bool                     // a well-formed signature key
	verify   func(public, message, signature []byte) bool // only after checkKey
}

func (s *suite) hash() hash.Hash { return s.hpke.KDF.Hash() }

// nn is AEAD.Nn, the same for every suite there is.
const nn = 12

// tagSize is what every AEAD here adds to a plaintext.
const tagSize = 16

func suiteOf(id Suite) (*suite, error) {
	if s, ok := suites[id]; ok {
		return s, nil
	}
	return nil, fail.With(ErrProfile, "suite "+strconv.Itoa(int(id)))
}

func newAESGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// checkPublic checks a public KEM key, so that no sender fails to encrypt to it later: one
// of low order in a tree would stop all commits (RFC 9420, Section 5.1.1).
func (s *suite) checkPublic(public []byte) error {
	if s.hpke.KEM.CheckPublicKey(public) != nil {
		return fail.With(ErrInvalid, "encryption key")
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
		return nil, fail.With(ErrInvalid, "signature key of "+strconv.Itoa(len(key))+" bytes")
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

// encryption is EncryptWithLabel and DecryptWithLabel (RFC 9420, Section 5.1.3) for one
// label and context, which are hashed once for all recipients.
type encryption struct {
	suite *suite
	info  hpke.Info
}

func (s *suite) encryption(label string, context []byte) encryption {
	return encryption{s, s.hpke.NewInfo(labelled(label, context))}
}

// encrypt is EncryptWithLabel. Errors: [ErrInvalid] for a key that cannot be encrypted to,
// and those of rand.
func (e encryption) encrypt(rand io.Reader, public, plaintext []byte) (hpkeCiphertext, error) {
	enc, ct, err := e.suite.hpke.Seal(rand, public, e.info, nil, plaintext)
	if errors.Is(err, hpke.ErrKey) {
		err = fail.With(ErrInvalid, "encryption key")
	}
	return hpkeCiphertext{enc, ct}, err
}

// decrypt is DecryptWithLabel.
func (e encryption) decrypt(private *hpke.PrivateKey, c hpkeCiphertext) ([]byte, error) {
	return e.suite.hpke.Open(private, c.kemOutput, e.info, nil, c.ciphertext)
}

// generateKeyPair makes a key pair from rand.
func (s *suite) generateKeyPair(rand io.Reader) (*hpke.PrivateKey, error) {
	seed, err := readRandom(rand, s.hpke.KEM.SeedSize())
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return s.hpke.KEM.DeriveKeyPair(seed)
}

func readRandom(rand io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, fail.At("mls: randomness", err)
	}
	return b, nil
}

// extract is KDF.Extract.
func (s *suite) extract(salt, ikm []byte) []byte {
	prk, err := hkdf.Extract(s.hpke.KDF.Hash, ikm, salt)
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
	out, err := hkdf.Expand(s.hpke.KDF.Hash, secret, string(info), length)
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
	h := hmac.New(s.hpke.KDF.Hash, key)
	h.Write(message)
	return h.Sum(nil)
}

// eraseAll overwrites secrets that are needed no more.
func eraseAll(secrets [][]byte) {
	for _, s := range secrets {
		clear(s)
	}
}

func (s *suite) zero() []byte { return make([]byte, s.nh) }

// seal encrypts under a key that is used for this one message.
func (s *suite) seal(key, nonce, aad, plaintext []byte) []byte {
	a, err := s.hpke.AEAD.New(key)
	if err != nil {
		panic("mls: AEAD: " + err.Error())
	}
	return a.Seal(nil, nonce, plaintext, aad)
}

// open undoes seal.
func (s *suite) open(key, nonce, aad, ciphertext []byte) ([]byte, error) {
	a, err := s.hpke.AEAD.New(key)
	if err != nil {
		panic("mls: AEAD: " + err.Error())
	}
	return a.Open(nil, nonce, ciphertext, aad)
}
