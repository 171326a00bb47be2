package mls

import (
	"crypto/ed25519"
	"io"
	"slices"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// Group is one member's view of one epoch. It is immutable and safe for concurrent use:
// [Group.Commit] and [Group.Process] return new values.
type Group struct {
	suite   *suite
	context groupContext
	encoded []byte // context
	tree    *tree
	own     LeafIndex
	keys    privateKeys
	signer  signer
	secrets epochSecrets
	interim []byte // interim_transcript_hash of this epoch
	tag     []byte // confirmation_tag of the commit that began it

	// handshake holds the root of every member's handshake ratchet, by leaf. A commit's
	// key is derived from it without changing it: whether a commit is valid must not
	// depend on what was received before.
	handshake [][]byte
	receiver  *Receiver
}

// String keeps the secrets out of logs.
func (g *Group) String() string { return "[secret]" }

// GoString keeps the secrets out of logs.
func (g *Group) GoString() string { return "[secret]" }

// errErased: the caller's mistake.
var errErased = fail.With(ErrInvalid, "the epoch's secrets are erased")

// Erase overwrites the epoch's secrets, this member's private keys in it, and the Receiver's
// ratchets. Afterwards every operation on the Group and its Receiver is [ErrInvalid]; what
// the tree says stays readable. Other epochs are not touched: no two share a secret but the
// member's signature key. The Sender is erased by itself. Not safe for concurrent use with
// anything else on the Group.
func (g *Group) Erase() {
	g.secrets.erase()
	g.keys.erase()
	g.receiver.erase()
	eraseAll(g.handshake)
}

func (g *Group) erased() bool { return g.secrets.exporter == nil }

// epochParams is what a Group is made of.
type epochParams struct {
	suite   *suite
	context groupContext
	tree    *tree
	own     LeafIndex
	keys    privateKeys
	signer  signer
	secrets epochSecrets
	tag     []byte
}

// newGroup begins an epoch: it derives the ratchets and erases the secret above them.
func newGroup(p epochParams) (*Group, *Sender) {
	g := &Group{
		suite: p.suite, context: p.context, encoded: p.context.encode(),
		tree: p.tree, own: p.own, keys: p.keys, signer: p.signer, secrets: p.secrets,
		interim: p.suite.interimHash(p.context.confirmedTranscriptHash, p.tag), tag: p.tag,
	}
	g.tree.rootHash()
	leaves := g.tree.secretTree(g.secrets.encryption)
	clear(g.secrets.confirmationKey)
	g.secrets.encryption, g.secrets.confirmationKey = nil, nil
	own := leaves[g.own]
	leaves[g.own].application = nil // only the Sender holds it
	g.handshake = make([][]byte, len(leaves))
	g.receiver = &Receiver{group: g, ratchets: make([]receiveRatchet, len(leaves))}
	for i, l := range leaves {
		g.handshake[i] = l.handshake
		g.receiver.ratchets[i].ratchet = ratchet{suite: g.suite, secret: l.application}
	}
	return g, &Sender{
		group:       g,
		handshake:   ratchet{suite: g.suite, secret: slices.Clone(own.handshake)},
		application: ratchet{suite: g.suite, secret: own.application},
	}
}

// CreateParams says what a new group's first epoch contains. Slices are not retained.
type CreateParams struct {
	Suite    Suite
	GroupID  []byte
	Signer   ed25519.PrivateKey
	Identity []byte
	// LeafExtensions go into the creator's leaf, GroupExtensions into the GroupContext:
	// see [RequiredCapabilities].
	LeafExtensions, GroupExtensions []Extension
	NotBefore, NotAfter             uint64 // of the leaf, in seconds since the Unix epoch
}

// Create makes a group of one member, in epoch 0 (RFC 9420, Section 11).
func Create(rand io.Reader, p CreateParams) (*Group, *Sender, error) {
	kp, err := NewKeyPackage(rand, KeyPackageParams{
		Suite: p.Suite, Signer: p.Signer, Identity: p.Identity, LeafExtensions: p.LeafExtensions,
		NotBefore: p.NotBefore, NotAfter: p.NotAfter,
	})
	if err != nil {
		return nil, nil, err
	}
	return CreateFrom(rand, kp, p.GroupID, p.GroupExtensions)
}

// CreateFrom is [Create] with the leaf that the creator announced in a KeyPackage.
func CreateFrom(rand io.Reader, kp *KeyPackageSecrets, groupID []byte, groupExtensions []Extension) (*Group, *Sender, error) {
	if kp.erased() {
		return nil, nil, fail.With(ErrInvalid, "key package is erased")
	}
	s, err := suiteOf(kp.kp.suite)
	if err != nil {
		return nil, nil, err
	}
	req, err := requiredBy(groupExtensions)
	if err := errorsOf(err, checkExtensionList(groupExtensions)); err != nil {
		return nil, nil, err
	}
	if err := kp.kp.leaf.validate(s, groupExtensions, req); err != nil {
		return nil, nil, fail.At("create", err)
	}
	epochSecret, err := readRandom(rand, s.nh)
	if err != nil {
		return nil, nil, err
	}
	t := newTree(s, kp.kp.leaf)
	secrets := s.deriveEpoch(epochSecret)
	tag := s.mac(secrets.confirmationKey, nil)
	g, sender := newGroup(epochParams{
		suite: s, tree: t, keys: privateKeys{0: kp.leafKey.Clone()}, signer: kp.signer, secrets: secrets,
		context: groupContext{
			suite: s.id, groupID: slices.Clone(groupID), treeHash: t.rootHash(),
			extensions: cloneExtensions(groupExtensions),
		},
		tag: tag,
	})
	return g, sender, nil
}

// Suite returns the group's cipher suite.
func (g *Group) Suite() Suite { return g.suite.id }

// GroupID returns the group's id.
func (g *Group) GroupID() []byte { return slices.Clone(g.context.groupID) }

// Epoch returns the number of the epoch, from 0 on.
func (g *Group) Epoch() uint64 { return g.context.epoch }

// Own returns this member's leaf.
func (g *Group) Own() LeafIndex { return g.own }

// Extensions returns the extensions of the GroupContext.
func (g *Group) Extensions() []Extension { return cloneExtensions(g.context.extensions) }

// Members returns the group's members by leaf index.
func (g *Group) Members() []Member {
	var out []Member
	for i := range g.tree.width() {
		if m, ok := g.Member(i); ok {
			out = append(out, m)
		}
	}
	return out
}

// Member returns the member at a leaf.
func (g *Group) Member(leaf LeafIndex) (Member, bool) {
	n := g.tree.leaf(leaf)
	if n == nil {
		return Member{}, false
	}
	return memberOf(leaf, n), true
}

// Export is MLS-Exporter (RFC 9420, Section 8.5) in this epoch, length in bytes.
// Error: [ErrInvalid] for a length that the suite cannot give.
func (g *Group) Export(label string, context []byte, length int) ([]byte, error) {
	if g.erased() {
		return nil, fail.At("export", errErased)
	}
	return g.suite.export(g.secrets.exporter, label, context, length)
}

// EpochAuthenticator returns the epoch's authenticator (RFC 9420, Section 8.7): members
// who see the same one agree on the group and its history. It is empty after [Group.Erase].
func (g *Group) EpochAuthenticator() []byte { return slices.Clone(g.secrets.epochAuthenticator) }

// ConfirmedTranscriptHash returns the hash over all commits up to this epoch.
func (g *Group) ConfirmedTranscriptHash() []byte {
	return slices.Clone(g.context.confirmedTranscriptHash)
}

// NewReceiver returns the receiver of this epoch's application messages. An epoch has
// one, since its secrets are deleted as they are used: every call returns the same.
func (g *Group) NewReceiver() *Receiver { return g.receiver }
