package mls

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	stdlib "crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"io"
	"slices"

	"github.com/conclave-sfu/conclave/e2ee/mls/hpke"
)

// The working group's vectors come in seven suites. Those on the NIST curves are no part
// of the profile, but cost nothing here and try the protocol with other sizes of keys and
// hashes. X448 is not to be had.
func init() {
	aes256GCM := hpke.AEAD{ID: 2, KeySize: 32, New: newAESGCM}
	for _, n := range []struct {
		id    Suite
		kem   nistKEM
		curve elliptic.Curve
		kdf   uint16
		aead  hpke.AEAD
		hash  crypto.Hash
	}{
		{0x0002, nistKEM{0x0010, ecdh.P256(), sha256.New, 65}, elliptic.P256(), 1, aes128GCM, crypto.SHA256},
		{0x0005, nistKEM{0x0012, ecdh.P521(), sha512.New, 133}, elliptic.P521(), 3, aes256GCM, crypto.SHA512},
		{0x0007, nistKEM{0x0011, ecdh.P384(), sha512.New384, 97}, elliptic.P384(), 2, aes256GCM, crypto.SHA384},
	} {
		s := &suite{id: n.id, nh: n.hash.Size(), hpke: hpke.Suite{KEM: n.kem, KDF: hpke.KDF{ID: n.kdf, Hash: n.hash.New}, AEAD: n.aead}}
		s.checkKey = func(public []byte) bool {
			_, err := ecdsa.ParseUncompressedPublicKey(n.curve, public)
			return err == nil
		}
		s.verify = func(public, message, signature []byte) bool {
			key, err := ecdsa.ParseUncompressedPublicKey(n.curve, public)
			digest := n.hash.New()
			digest.Write(message)
			return err == nil && ecdsa.VerifyASN1(key, digest.Sum(nil), signature)
		}
		suites[n.id] = s
	}
}

// nistKEM is DHKEM of a NIST curve.
type nistKEM struct {
	id    uint16
	curve ecdh.Curve
	hash  func() hash.Hash
	enc   int
}

func (k nistKEM) ID() uint16    { return k.id }
func (k nistKEM) SeedSize() int { return k.hash().Size() }
func (k nistKEM) EncSize() int  { return k.enc }

func (k nistKEM) NewPrivateKey(private []byte) (*hpke.PrivateKey, error) {
	key, err := k.curve.NewPrivateKey(private)
	if err != nil {
		return nil, hpke.ErrKey
	}
	return hpke.NewPrivateKey(slices.Clone(private), key.PublicKey().Bytes()), nil
}

func (k nistKEM) DeriveKeyPair(ikm []byte) (*hpke.PrivateKey, error) {
	key, err := stdlib.DHKEM(k.curve).DeriveKeyPair(ikm)
	if err != nil {
		return nil, hpke.ErrKey
	}
	private, err := key.Bytes()
	if err != nil {
		return nil, hpke.ErrKey
	}
	return k.NewPrivateKey(private)
}

func (k nistKEM) CheckPublicKey(public []byte) error {
	if _, err := k.curve.NewPublicKey(public); err != nil {
		return hpke.ErrKey
	}
	return nil
}

func (k nistKEM) Encapsulate(_ io.Reader, public []byte) (secret, enc []byte, err error) {
	key, err := k.curve.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	enc = key.PublicKey().Bytes()
	secret, err = k.agree(key, public, enc, public)
	return secret, enc, err
}

func (k nistKEM) Decapsulate(private *hpke.PrivateKey, enc []byte) (secret []byte, err error) {
	key, err := k.curve.NewPrivateKey(private.Bytes())
	if err != nil {
		return nil, hpke.ErrOpen
	}
	return k.agree(key, enc, enc, private.PublicKey())
}

func (k nistKEM) agree(key *ecdh.PrivateKey, remote, enc, public []byte) ([]byte, error) {
	point, err := k.curve.NewPublicKey(remote)
	if err != nil {
		return nil, hpke.ErrKey
	}
	dh, err := key.ECDH(point)
	if err != nil {
		return nil, hpke.ErrKey
	}
	id := binary.BigEndian.AppendUint16([]byte("HPKE-v1KEM"), k.id)
	prk, err := hkdf.Extract(k.hash, slices.Concat(id, []byte("eae_prk"), dh), nil)
	if err != nil {
		return nil, err
	}
	size := k.SeedSize()
	info := slices.Concat([]byte{0, byte(size)}, id, []byte("shared_secret"), enc, public)
	return hkdf.Expand(k.hash, prk, string(info), size)
}
