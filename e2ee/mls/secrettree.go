package mls

import (
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// maxAhead is how far the generation of a message may lie ahead of the last one.
const maxAhead = 1000

// leafSecrets are the roots of a leaf's two ratchets.
type leafSecrets struct{ handshake, application []byte }

// secretTree derives the ratchet roots of all members from the encryption secret
// (RFC 9420, Section 9). The result is indexed by leaf, blank ones are empty. Nothing
// above the ratchet roots is kept: deleting a ratchet's secret then deletes the key.
func (t *tree) secretTree(encryption []byte) []leafSecrets {
	out := make([]leafSecrets, t.width())
	var descend func(x nodeIndex, secret []byte)
	descend = func(x nodeIndex, secret []byte) {
		defer clear(secret)
		if x.isLeaf() {
			out[x.leaf()] = leafSecrets{
				handshake:   t.suite.expandWithLabel(secret, "handshake", nil, t.suite.nh),
				application: t.suite.expandWithLabel(secret, "application", nil, t.suite.nh),
			}
			return
		}
		if !t.emptyUnder(x.left()) {
			descend(x.left(), t.suite.expandWithLabel(secret, "tree", []byte("left"), t.suite.nh))
		}
		if !t.emptyUnder(x.right()) {
			descend(x.right(), t.suite.expandWithLabel(secret, "tree", []byte("right"), t.suite.nh))
		}
	}
	descend(t.root(), encryption)
	return out
}

// messageKey is a key that encrypts one message.
type messageKey struct{ key, nonce []byte }

func (k messageKey) erase() {
	clear(k.key)
	clear(k.nonce)
}

func (k messageKey) clone() messageKey {
	return messageKey{slices.Clone(k.key), slices.Clone(k.nonce)}
}

// guarded is the nonce under a reuse guard (RFC 9420, Section 6.3.1).
func (k messageKey) guarded(guard [4]byte) []byte {
	nonce := append([]byte(nil), k.nonce...)
	for i, g := range guard {
		nonce[i] ^= g
	}
	return nonce
}

// ratchet is a hash ratchet (RFC 9420, Section 9.1) at its next generation.
type ratchet struct {
	suite  *suite
	secret []byte
	next   uint32
}

// step returns the key of the next generation and moves past it.
func (r *ratchet) step() messageKey {
	k := messageKey{
		key:   r.suite.deriveTreeSecret(r.secret, "key", r.next, r.suite.hpke.AEAD.KeySize),
		nonce: r.suite.deriveTreeSecret(r.secret, "nonce", r.next, nn),
	}
	r.skip()
	return k
}

// skip moves past the next generation and erases the secret that led to it.
func (r *ratchet) skip() {
	old := r.secret
	r.secret = r.suite.deriveTreeSecret(old, "secret", r.next, r.suite.nh)
	clear(old)
	r.next++
}

// keyAt returns the key of a generation without changing the ratchet.
func (r ratchet) keyAt(generation uint32) (messageKey, error) {
	if generation < r.next || generation-r.next > maxAhead {
		return messageKey{}, fail.With(ErrGeneration, strconv.Itoa(int(generation)))
	}
	r.secret = slices.Clone(r.secret)
	for r.next < generation {
		r.skip()
	}
	key := r.step()
	clear(r.secret)
	return key, nil
}

// erase overwrites the secret: the ratchet gives no further key.
func (r *ratchet) erase() {
	clear(r.secret)
	r.secret = nil
}
