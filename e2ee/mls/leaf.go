package mls

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// LeafIndex is the position of a member's leaf in the ratchet tree, from 0 on.
type LeafIndex uint32

// leafSource is LeafNodeSource (RFC 9420, Section 7.2).
type leafSource uint8

const (
	sourceKeyPackage leafSource = 1
	sourceUpdate     leafSource = 2
	sourceCommit     leafSource = 3
)

// lifetime is Lifetime: seconds since the Unix epoch.
type lifetime struct{ notBefore, notAfter uint64 }

// leafNode is LeafNode (RFC 9420, Section 7.2). It is immutable: trees share it.
type leafNode struct {
	encryptionKey []byte
	signatureKey  []byte
	identity      []byte // of the basic credential
	capabilities  capabilities
	source        leafSource
	lifetime      lifetime // of sourceKeyPackage
	parentHash    []byte   // of sourceCommit
	extensions    []Extension
	signature     []byte

	raw    []byte // the whole encoding
	signed []byte // raw up to the signature
}

func (r *reader) leafNode() *leafNode {
	start := r.b
	n := &leafNode{encryptionKey: r.vec(), signatureKey: r.vec()}
	if typ := r.u16(); typ != credentialBasic && r.err == nil {
		r.fail(fail.With(ErrProfile, "credential type "+strconv.Itoa(int(typ))))
	}
	n.identity = r.vec()
	n.capabilities = r.capabilities()
	switch n.source = leafSource(r.u8()); n.source {
	case sourceKeyPackage:
		n.lifetime = lifetime{r.u64(), r.u64()}
	case sourceUpdate:
	case sourceCommit:
		n.parentHash = r.vec()
	default:
		r.malformed("leaf node source " + strconv.Itoa(int(n.source)))
	}
	n.extensions = r.extensions()
	n.signed = r.since(start)
	n.signature = r.vec()
	n.raw = r.since(start)
	return n
}

// appendUnsigned appends the fields above the signature.
func (n *leafNode) appendUnsigned(b []byte) []byte {
	b = appendVec(appendVec(b, n.encryptionKey), n.signatureKey)
	b = appendVec(appendU16(b, credentialBasic), n.identity)
	b = append(n.capabilities.append(b), byte(n.source))
	switch n.source {
	case sourceKeyPackage:
		b = appendU64(appendU64(b, n.lifetime.notBefore), n.lifetime.notAfter)
	case sourceCommit:
		b = appendVec(b, n.parentHash)
	}
	return appendExtensions(b, n.extensions)
}

// tbs is LeafNodeTBS. A leaf from a KeyPackage is bound to no group.
func (n *leafNode) tbs(groupID []byte, leaf LeafIndex) []byte {
	if n.source == sourceKeyPackage {
		return n.signed
	}
	b := appendVec(slices.Clone(n.signed), groupID)
	return appendU32(b, uint32(leaf))
}

// seal signs n and fixes its encoding.
func (n *leafNode) seal(s signer, groupID []byte, leaf LeafIndex) error {
	n.signatureKey = s.public()
	n.signed = n.appendUnsigned(nil)
	var err error
	if n.signature, err = signWithLabel(s, "LeafNodeTBS", n.tbs(groupID, leaf)); err != nil {
		return err
	}
	n.raw = appendVec(slices.Clone(n.signed), n.signature)
	n.signed = n.raw[:len(n.signed):len(n.signed)]
	return nil
}

func (n *leafNode) verifySignature(s *suite, groupID []byte, leaf LeafIndex) error {
	if !s.verifyWithLabel(n.signatureKey, "LeafNodeTBS", n.tbs(groupID, leaf), n.signature) {
		return fail.With(ErrInvalid, "signature of a leaf node")
	}
	return nil
}

// validate checks what concerns the leaf alone (RFC 9420, Section 7.3), except its
// signature and lifetime.
func (n *leafNode) validate(s *suite, group []Extension, req requiredCapabilities) error {
	if err := s.checkPublic(n.encryptionKey); err != nil {
		return fail.At("leaf node", err)
	}
	if !n.capabilities.covers(n.extensions) {
		return fail.With(ErrInvalid, "a leaf node's extension is not among its capabilities")
	}
	if !n.capabilities.meets(s.id, group, req) {
		return fail.With(ErrInvalid, "a leaf node lacks a capability")
	}
	return nil
}

// sameMember reports whether two leaves have one signature key and one credential.
func (n *leafNode) sameMember(o *leafNode) bool {
	return bytes.Equal(n.signatureKey, o.signatureKey) && bytes.Equal(n.identity, o.identity)
}

// Member is a leaf of the group's tree. Its slices are the caller's.
type Member struct {
	Leaf         LeafIndex
	Identity     []byte // of the basic credential
	SignatureKey ed25519.PublicKey
	Extensions   []Extension // of the leaf
}

func memberOf(i LeafIndex, n *leafNode) Member {
	return Member{
		Leaf:         i,
		Identity:     slices.Clone(n.identity),
		SignatureKey: slices.Clone(n.signatureKey),
		Extensions:   cloneExtensions(n.extensions),
	}
}

// newLeaf makes the unsigned leaf that a KeyPackage or a new group starts from.
func newLeaf(encryptionKey []byte, p KeyPackageParams, used ...[]Extension) *leafNode {
	return &leafNode{
		encryptionKey: encryptionKey,
		identity:      slices.Clone(p.Identity),
		capabilities:  ownCapabilities(p.Suite, append(used, p.LeafExtensions)...),
		source:        sourceKeyPackage,
		lifetime:      lifetime{p.NotBefore, p.NotAfter},
		extensions:    cloneExtensions(p.LeafExtensions),
	}
}
