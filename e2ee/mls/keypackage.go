package mls

import (
	"bytes"
	"crypto/ed25519"
	"io"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
	"github.com/conclave-sfu/conclave/e2ee/mls/hpke"
)

// maxLifetime is the longest that a KeyPackage may live, in seconds: from an hour
// before the server's time at joining to a day after it.
const maxLifetime = 25 * 60 * 60

// KeyPackage is a KeyPackage (RFC 9420, Section 10). It is immutable; what its
// methods return is the caller's.
type KeyPackage struct {
	suite      Suite
	initKey    []byte
	leaf       *leafNode
	extensions []Extension
	signature  []byte

	raw    []byte
	signed []byte // raw up to the signature

	// verified remembers that both signatures are good, which depends on raw alone.
	verified atomic.Bool
}

// ParseKeyPackage reads a KeyPackage as an MLSMessage. It checks structure only; see
// [KeyPackage.Verify]. raw is not retained. Errors: [ErrMalformed], [ErrProfile].
func ParseKeyPackage(raw []byte) (*KeyPackage, error) {
	var kp *KeyPackage
	raw, err := cloneInput(raw)
	if err != nil {
		return nil, fail.At("key package", err)
	}
	err = decode("key package", raw, func(r *reader) {
		r.messageHeader(wireKeyPackage)
		kp = r.keyPackage()
	})
	if err != nil {
		return nil, err
	}
	return kp, nil
}

func (r *reader) keyPackage() *KeyPackage {
	start := r.b
	if v := r.u16(); v != versionMLS10 && r.err == nil {
		r.fail(fail.With(ErrProfile, "key package of version "+strconv.Itoa(int(v))))
	}
	kp := &KeyPackage{
		suite: Suite(r.u16()), initKey: r.vec(), leaf: r.leafNode(), extensions: r.extensions(),
	}
	kp.signed = r.since(start)
	kp.signature = r.vec()
	kp.raw = r.since(start)
	return kp
}

// Raw returns the KeyPackage as an MLSMessage, which [ParseKeyPackage] reads.
func (k *KeyPackage) Raw() []byte {
	return append(appendMessageHeader(nil, wireKeyPackage), k.raw...)
}

// Ref returns the KeyPackageRef (RFC 9420, Section 5.2), nil for a suite unknown to us.
func (k *KeyPackage) Ref() []byte {
	s, err := suiteOf(k.suite)
	if err != nil {
		return nil
	}
	return s.refHash("MLS 1.0 KeyPackage Reference", k.raw)
}

// Suite returns the suite that the KeyPackage is for.
func (k *KeyPackage) Suite() Suite { return k.suite }

// Identity returns the identity in the leaf's basic credential.
func (k *KeyPackage) Identity() []byte { return slices.Clone(k.leaf.identity) }

// SignatureKey returns the leaf's signature key.
func (k *KeyPackage) SignatureKey() ed25519.PublicKey { return slices.Clone(k.leaf.signatureKey) }

// InitKey returns the key that a Welcome's secrets are encrypted to.
func (k *KeyPackage) InitKey() []byte { return slices.Clone(k.initKey) }

// EncryptionKey returns the leaf's encryption key. Signature and encryption keys must be
// unique in a group: a KeyPackage that repeats one cannot be added.
func (k *KeyPackage) EncryptionKey() []byte { return slices.Clone(k.leaf.encryptionKey) }

// Extensions returns the extensions of the KeyPackage.
func (k *KeyPackage) Extensions() []Extension { return cloneExtensions(k.extensions) }

// LeafExtensions returns the extensions of the leaf.
func (k *KeyPackage) LeafExtensions() []Extension { return cloneExtensions(k.leaf.extensions) }

// Lifetime returns the leaf's lifetime in seconds since the Unix epoch.
func (k *KeyPackage) Lifetime() (notBefore, notAfter uint64) {
	return k.leaf.lifetime.notBefore, k.leaf.lifetime.notAfter
}

// Verify checks the KeyPackage for a group of this suite (RFC 9420, Sections 7.3 and
// 10.1): signatures, keys, capabilities, and that now lies in its lifetime, which is at
// most 25 h. What depends on the group is checked when it is added.
// Errors: [ErrInvalid], [ErrProfile].
func (k *KeyPackage) Verify(suite Suite, now time.Time) error {
	return k.VerifyFor(suite, now, nil)
}

// VerifyFor is [KeyPackage.Verify] for a group with these extensions in its GroupContext:
// the leaf must have the capabilities that they require. What remains for the Add are keys
// that the tree has already. Errors: [ErrInvalid], [ErrProfile], [ErrMalformed] for
// required_capabilities that cannot be read.
func (k *KeyPackage) VerifyFor(suite Suite, now time.Time, group []Extension) error {
	s, err := suiteOf(suite)
	if err != nil {
		return err
	}
	req, err := requiredBy(group)
	if err != nil {
		return err
	}
	if err := k.verifyFor(s, group, req); err != nil {
		return err
	}
	return k.verifyLifetime(now)
}

// verifyFor checks everything but the lifetime, for a group with these extensions.
func (k *KeyPackage) verifyFor(s *suite, group []Extension, req requiredCapabilities) error {
	if k.suite != s.id {
		return fail.With(ErrInvalid, "key package for suite "+strconv.Itoa(int(k.suite)))
	}
	if k.leaf.source != sourceKeyPackage {
		return fail.With(ErrInvalid, "key package with a leaf of source "+strconv.Itoa(int(k.leaf.source)))
	}
	if err := s.checkPublic(k.initKey); err != nil {
		return fail.At("init key", err)
	}
	if bytes.Equal(k.initKey, k.leaf.encryptionKey) {
		return fail.With(ErrInvalid, "init key and encryption key are one")
	}
	if !k.leaf.capabilities.covers(k.extensions) {
		return fail.With(ErrInvalid, "a key package's extension is not among its capabilities")
	}
	if err := k.leaf.validate(s, group, req); err != nil {
		return err
	}
	return k.verifySignatures(s)
}

func (k *KeyPackage) verifySignatures(s *suite) error {
	if k.verified.Load() {
		return nil
	}
	if err := k.leaf.verifySignature(s, nil, 0); err != nil {
		return err
	}
	if !s.verifyWithLabel(k.leaf.signatureKey, "KeyPackageTBS", k.signed, k.signature) {
		return fail.With(ErrInvalid, "signature of a key package")
	}
	k.verified.Store(true)
	return nil
}

// verifyLifetime compares the leaf's lifetime with now, a time all members agree on.
func (k *KeyPackage) verifyLifetime(now time.Time) error {
	l := k.leaf.lifetime
	if l.notAfter < l.notBefore || l.notAfter-l.notBefore > maxLifetime {
		return fail.With(ErrInvalid, "lifetime of a key package")
	}
	sec := now.Unix()
	if sec < 0 || uint64(sec) < l.notBefore || uint64(sec) > l.notAfter {
		return fail.With(ErrInvalid, "key package outside its lifetime")
	}
	return nil
}

// KeyPackageParams says what a KeyPackage contains. Slices are not retained.
type KeyPackageParams struct {
	Suite  Suite
	Signer ed25519.PrivateKey // fresh for each KeyPackage's leaf
	// Identity is opaque: that of the basic credential.
	Identity []byte
	// LeafExtensions go into the leaf, Extensions into the KeyPackage. Their types
	// are listed in the leaf's capabilities.
	LeafExtensions, Extensions []Extension
	// NotBefore and NotAfter are seconds since the Unix epoch, at most 25 h apart.
	NotBefore, NotAfter uint64
}

// KeyPackageSecrets is a KeyPackage with its private keys. It stays usable after
// [Join], so that a later Welcome can replace an earlier one.
type KeyPackageSecrets struct {
	kp      *KeyPackage
	initKey *hpke.PrivateKey
	leafKey *hpke.PrivateKey
	signer  signer
}

// NewKeyPackage makes a KeyPackage with fresh init and encryption keys, both from rand.
func NewKeyPackage(rand io.Reader, p KeyPackageParams) (*KeyPackageSecrets, error) {
	s, err := suiteOf(p.Suite)
	if err != nil {
		return nil, err
	}
	sig, err := newEd25519Signer(p.Signer)
	if err != nil {
		return nil, err
	}
	if err := errorsOf(checkExtensionList(p.Extensions), checkExtensionList(p.LeafExtensions)); err != nil {
		return nil, err
	}
	initKey, err := s.generateKeyPair(rand)
	if err != nil {
		return nil, err
	}
	leafKey, err := s.generateKeyPair(rand)
	if err != nil {
		return nil, err
	}
	leaf := newLeaf(leafKey.PublicKey(), p, p.Extensions)
	if err := leaf.seal(sig, nil, 0); err != nil {
		return nil, err
	}
	kp := &KeyPackage{
		suite: p.Suite, initKey: initKey.PublicKey(), leaf: leaf,
		extensions: cloneExtensions(p.Extensions),
	}
	if err := kp.seal(sig); err != nil {
		return nil, err
	}
	return &KeyPackageSecrets{kp, initKey, leafKey, sig}, nil
}

// seal signs k and fixes its encoding.
func (k *KeyPackage) seal(s signer) error {
	b := appendU16(appendU16(nil, versionMLS10), uint16(k.suite))
	b = append(appendVec(b, k.initKey), k.leaf.raw...)
	b = appendExtensions(b, k.extensions)
	signature, err := signWithLabel(s, "KeyPackageTBS", b)
	if err != nil {
		return err
	}
	k.signature = signature
	k.raw = appendVec(b, signature)
	k.signed = k.raw[:len(b):len(b)]
	return nil
}

// KeyPackage returns the public part.
func (s *KeyPackageSecrets) KeyPackage() *KeyPackage { return s.kp }

// Erase overwrites the private keys. What is erased can no longer join or create; groups
// that it joined or created before have copies of their own. The signature key is forgotten
// only: those groups sign with it.
func (s *KeyPackageSecrets) Erase() {
	if s.erased() {
		return
	}
	s.initKey.Erase()
	s.leafKey.Erase()
	s.initKey, s.leafKey, s.signer = nil, nil, nil
}

func (s *KeyPackageSecrets) erased() bool { return s.leafKey == nil }

// String keeps the keys out of logs.
func (s *KeyPackageSecrets) String() string { return "[secret]" }

// GoString keeps the keys out of logs.
func (s *KeyPackageSecrets) GoString() string { return "[secret]" }

// errorsOf returns the first error.
func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
