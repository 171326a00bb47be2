// Package hpke is Hybrid Public Key Encryption (RFC 9180) in base mode, for one message
// to a key, as MLS uses it (RFC 9420, Section 5.1.3).
//
//	k    = kem.Encapsulate(randomness, public key)      DHKEM(X25519) or X-Wing
//	key, nonce = key schedule(k, info)                  HKDF
//	ct   = Seal(key, nonce, aad, plaintext)             AEAD
//
// All of it is put together from the primitives of the standard library and x/crypto;
// docs/adr/0007 says why it is not crypto/hpke, beside which the tests hold it. Nothing
// here branches on a secret or looks anything up by one.
//
//	info := suite.NewInfo(groupInfo) // hashed once, for all recipients
//	for _, public := range recipients {
//		enc, ct, err := suite.Seal(rand, public, info, nil, secrets)
//	}
//
// There are no contexts for several messages, no modes but base, and no exports.
package hpke

import (
	"crypto/cipher"
	"crypto/hkdf"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"slices"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// What can be wrong with input. The texts hold none of it.
var (
	// ErrKey: a public or private key is not one of this KEM's, or of low order.
	ErrKey = errors.New("hpke: invalid key")
	// ErrOpen: a message is not for this key, or not what was sealed.
	ErrOpen = errors.New("hpke: message does not open")
)

// KEM is a key encapsulation mechanism (RFC 9180, Section 4). Its values are immutable.
type KEM interface {
	// ID is the KEM's number in the HPKE registry.
	ID() uint16
	// SeedSize is how many bytes of randomness make a key pair by DeriveKeyPair.
	SeedSize() int
	// EncSize is Nenc, the bytes of an encapsulated secret.
	EncSize() int
	// NewPrivateKey is DeserializePrivateKey. private is not retained. Error: [ErrKey].
	NewPrivateKey(private []byte) (*PrivateKey, error)
	// DeriveKeyPair derives a key pair from SeedSize bytes or more. ikm is not retained.
	DeriveKeyPair(ikm []byte) (*PrivateKey, error)
	// CheckPublicKey says whether Encapsulate can do with a public key. Error: [ErrKey].
	CheckPublicKey(public []byte) error
	// Encapsulate makes a secret that only the owner of public can get from enc. All
	// randomness is read from rand, whose errors are passed on. Error: [ErrKey].
	Encapsulate(rand io.Reader, public []byte) (secret, enc []byte, err error)
	// Decapsulate undoes Encapsulate. Error: [ErrOpen].
	Decapsulate(key *PrivateKey, enc []byte) (secret []byte, err error)
}

// PrivateKey is a private key in its shortest form, with its public key. What is computed
// from it lives for one operation only, so that [PrivateKey.Erase] leaves nothing that lasts.
type PrivateKey struct{ private, public []byte }

// NewPrivateKey joins both forms of a key, as a [KEM] does. It retains them.
func NewPrivateKey(private, public []byte) *PrivateKey { return &PrivateKey{private, public} }

// Bytes is the private key. It is not a copy.
func (k *PrivateKey) Bytes() []byte { return k.private }

// PublicKey is the public key. It is not a copy: do not write to it.
func (k *PrivateKey) PublicKey() []byte { return k.public }

// Clone returns a copy that is erased on its own.
func (k *PrivateKey) Clone() *PrivateKey {
	return &PrivateKey{slices.Clone(k.private), k.public}
}

// Erase overwrites the private key, which opens nothing afterwards.
func (k *PrivateKey) Erase() {
	clear(k.private)
	k.private = nil
}

// String keeps the key out of logs.
func (k *PrivateKey) String() string { return "[secret]" }

// GoString keeps the key out of logs.
func (k *PrivateKey) GoString() string { return "[secret]" }

// KDF is HKDF with a hash.
type KDF struct {
	ID   uint16 // in the HPKE registry
	Hash func() hash.Hash
}

// AEAD is a cipher for the message.
type AEAD struct {
	ID      uint16 // in the HPKE registry
	KeySize int    // Nk, bytes
	New     func(key []byte) (cipher.AEAD, error)
}

// Suite is a combination of algorithms.
type Suite struct {
	KEM  KEM
	KDF  KDF
	AEAD AEAD
}

// Info is an info string, and what the key schedule makes of it, which is the same for all
// recipients.
type Info struct{ context []byte }

// modeBase is mode_base (RFC 9180, Section 5).
const modeBase = 0

// NewInfo hashes an info string. It is not retained.
func (s Suite) NewInfo(info []byte) Info {
	kdf, id := s.KDF, s.id()
	context := append([]byte{modeBase}, kdf.labeledExtract(id, nil, "psk_id_hash", nil)...)
	return Info{append(context, kdf.labeledExtract(id, nil, "info_hash", info)...)}
}

// Seal encrypts plaintext to a public key. aad is authenticated. Errors: [ErrKey], and
// those of rand.
func (s Suite) Seal(rand io.Reader, public []byte, info Info, aad, plaintext []byte) (enc, ciphertext []byte, err error) {
	secret, enc, err := s.KEM.Encapsulate(rand, public)
	if err != nil {
		return nil, nil, fail.At("seal", err)
	}
	aead, nonce := s.schedule(secret, info)
	return enc, aead.Seal(nil, nonce, plaintext, aad), nil
}

// Open undoes [Suite.Seal]. Error: [ErrOpen].
func (s Suite) Open(key *PrivateKey, enc []byte, info Info, aad, ciphertext []byte) ([]byte, error) {
	secret, err := s.KEM.Decapsulate(key, enc)
	if err != nil {
		return nil, fail.At("open", err)
	}
	aead, nonce := s.schedule(secret, info)
	plaintext, err := aead.Open(nil, nonce, ciphertext, aad)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// nonceSize is Nn, the same for every AEAD of RFC 9180.
const nonceSize = 12

// schedule is KeySchedule (RFC 9180, Section 5.1) up to the first message's nonce. It
// erases the shared secret.
func (s Suite) schedule(shared []byte, info Info) (cipher.AEAD, []byte) {
	key, nonce := s.keys(shared, info)
	clear(shared)
	defer clear(key)
	aead, err := s.AEAD.New(key)
	if err != nil {
		panic("hpke: AEAD: " + err.Error())
	}
	return aead, nonce
}

// keys are the schedule's key and base_nonce.
func (s Suite) keys(shared []byte, info Info) (key, nonce []byte) {
	id := s.id()
	secret := s.KDF.labeledExtract(id, shared, "secret", nil)
	defer clear(secret)
	return s.KDF.labeledExpand(id, secret, "key", info.context, s.AEAD.KeySize),
		s.KDF.labeledExpand(id, secret, "base_nonce", info.context, nonceSize)
}

// id is suite_id of the key schedule (RFC 9180, Section 5.1).
func (s Suite) id() []byte {
	b := binary.BigEndian.AppendUint16([]byte("HPKE"), s.KEM.ID())
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, s.KDF.ID), s.AEAD.ID)
}

// version stands before every label (RFC 9180, Section 4).
const version = "HPKE-v1"

// labeledExtract is LabeledExtract (RFC 9180, Section 4).
func (k KDF) labeledExtract(suiteID, salt []byte, label string, ikm []byte) []byte {
	labeled := make([]byte, 0, len(version)+len(suiteID)+len(label)+len(ikm))
	labeled = append(append(append(append(labeled, version...), suiteID...), label...), ikm...)
	defer clear(labeled)
	prk, err := hkdf.Extract(k.Hash, labeled, salt)
	if err != nil {
		panic("hpke: HKDF-Extract: " + err.Error())
	}
	return prk
}

// labeledExpand is LabeledExpand (RFC 9180, Section 4), for lengths that fit.
func (k KDF) labeledExpand(suiteID, prk []byte, label string, info []byte, length int) []byte {
	labeled := make([]byte, 0, 2+len(version)+len(suiteID)+len(label)+len(info))
	labeled = binary.BigEndian.AppendUint16(labeled, uint16(length))
	labeled = append(append(append(append(labeled, version...), suiteID...), label...), info...)
	out, err := hkdf.Expand(k.Hash, prk, string(labeled), length)
	if err != nil {
		panic("hpke: HKDF-Expand: " + err.Error())
	}
	return out
}

// readSecret reads randomness that the caller erases.
func readSecret(rand io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, fail.At("hpke: randomness", err)
	}
	return b, nil
}
