package sframe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"hash"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// Suite is an SFrame cipher suite (RFC 9605, Section 4.5).
type Suite uint16

// The suites of this package.
const (
	AES128GCMSHA256 Suite = 0x0004 // AES_128_GCM_SHA256_128
	AES256GCMSHA512 Suite = 0x0005 // AES_256_GCM_SHA512_128
)

const (
	// TagSize is the size of the authentication tag (Nt) in bytes, in every suite here.
	TagSize = 16
	// NonceSize is the size of nonce and salt (Nn) in bytes, in every suite here.
	NonceSize = 12
	// MaxOverhead is by how many bytes a ciphertext is longer than its frame, at most.
	MaxOverhead = MaxHeaderSize + TagSize
)

var (
	// ErrSuite says that a cipher suite is not one of this package.
	ErrSuite = errors.New("sframe: unknown cipher suite")
	// ErrKID says that a ciphertext names another key than the one it was given to.
	ErrKID = errors.New("sframe: ciphertext is under another key")
	// ErrDecrypt says that a ciphertext is not authentic, or too short to be one.
	ErrDecrypt = errors.New("sframe: not authentic")
)

// KeySize is the size of the suite's AEAD key (Nk) in bytes, which is also that of
// the base_key that MLS exports (RFC 9605, Section 5.2). It is 0 for unknown suites.
func (s Suite) KeySize() int {
	switch s {
	case AES128GCMSHA256:
		return 16
	case AES256GCMSHA512:
		return 32
	}
	return 0
}

// Derive derives the key and the salt of one KID from a base_key (RFC 9605,
// Section 4.4.2). The caller owns both and erases them.
func (s Suite) Derive(baseKey []byte, kid KID) (key, salt []byte, err error) {
	switch s {
	case AES128GCMSHA256:
		return derive(sha256.New, s, baseKey, kid)
	case AES256GCMSHA512:
		return derive(sha512.New, s, baseKey, kid)
	}
	return nil, nil, fail.With(ErrSuite, fail.Hex(uint16(s)))
}

func derive[H hash.Hash](h func() H, s Suite, baseKey []byte, kid KID) (key, salt []byte, err error) {
	secret, err := hkdf.Extract(h, baseKey, nil)
	if err != nil {
		return nil, nil, fail.At("sframe: extract the secret", err)
	}
	defer clear(secret)
	if key, err = hkdf.Expand(h, secret, label("key ", kid, s), s.KeySize()); err != nil {
		return nil, nil, fail.At("sframe: expand the key", err)
	}
	if salt, err = hkdf.Expand(h, secret, label("salt ", kid, s), NonceSize); err != nil {
		clear(key)
		return nil, nil, fail.At("sframe: expand the salt", err)
	}
	return key, salt, nil
}

// label is sframe_key_label or sframe_salt_label: both bind the KID and the suite.
func label(what string, kid KID, s Suite) string {
	b := append([]byte("SFrame 1.0 Secret "), what...)
	b = binary.BigEndian.AppendUint64(b, uint64(kid))
	b = binary.BigEndian.AppendUint16(b, uint16(s))
	return string(b)
}

// Key seals or opens the frames of one KID. It reuses buffers of its own, so it
// is for one goroutine at a time.
type Key struct {
	// Immutable.
	kid  KID
	aead cipher.AEAD
	salt [NonceSize]byte

	// Scratch of the call that runs.
	nonce [NonceSize]byte
	aad   []byte
}

// NewKey derives the key of one KID from a base_key, which is not retained.
func NewKey(s Suite, baseKey []byte, kid KID) (*Key, error) {
	key, salt, err := s.Derive(baseKey, kid)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	defer clear(salt)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fail.At("sframe", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fail.At("sframe", err)
	}
	k := &Key{kid: kid, aead: aead, aad: make([]byte, 0, 64)}
	copy(k.salt[:], salt)
	return k, nil
}

// String keeps a key out of logs.
func (*Key) String() string { return "[secret]" }

// GoString keeps a key out of logs.
func (*Key) GoString() string { return "[secret]" }

// Erase overwrites what of the key is in reach; the key is useless afterwards.
func (k *Key) Erase() {
	clear(k.salt[:])
	k.aead = nil
}

// KID is the key's name.
func (k *Key) KID() KID { return k.kid }

// Seal appends the SFrame ciphertext of a frame to dst: header, encrypted frame,
// tag (RFC 9605, Section 4.4.3). The caller never uses a counter twice. The free
// space of dst must not overlap frame or metadata, neither of which is retained.
func (k *Key) Seal(dst []byte, ctr CTR, metadata, frame []byte) []byte {
	header := len(dst)
	dst = Header{KID: k.kid, CTR: ctr}.Append(dst)
	k.aad = append(append(k.aad[:0], dst[header:]...), metadata...)
	return k.aead.Seal(dst, k.nonceOf(ctr), frame, k.aad)
}

// Open appends the frame of an SFrame ciphertext to dst (RFC 9605, Section 4.4.4).
// The free space of dst must not overlap ciphertext or metadata, neither of which
// is retained. On an error nothing of the frame is released.
func (k *Key) Open(dst, metadata, ciphertext []byte) ([]byte, error) {
	h, n, err := ParseHeader(ciphertext)
	if err != nil {
		return nil, err
	}
	if h.KID != k.kid {
		return nil, ErrKID
	}
	k.aad = append(append(k.aad[:0], ciphertext[:n]...), metadata...)
	frame, err := k.aead.Open(dst, k.nonceOf(h.CTR), ciphertext[n:], k.aad)
	if err != nil {
		return nil, ErrDecrypt
	}
	return frame, nil
}

// nonceOf is the salt XOR the counter. It is valid until the next call.
func (k *Key) nonceOf(ctr CTR) []byte {
	k.nonce = k.salt
	low := k.nonce[NonceSize-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^uint64(ctr))
	return k.nonce[:]
}
