package mls

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// ProcessParams is what a member brings to a commit.
type ProcessParams struct {
	// PSKs returns the secret of an external PSK.
	PSKs func(id []byte) ([]byte, bool)
	// Now is the time that the Adds' lifetimes are compared with. All members must use the
	// same. Zero leaves them unchecked: the caller has called [KeyPackage.Verify], at a time
	// that all agree on, for every KeyPackage that a commit may add.
	Now time.Time
	// KeyPackages, which may be nil, returns the KeyPackage with this KeyPackageRef if the
	// caller has verified it before. It saves time and changes no result.
	KeyPackages func(ref []byte) *KeyPackage
}

// Processed is what a commit did. Its slices are the caller's.
type Processed struct {
	// What all members of the epoch see alike, whatever becomes of them.

	Committer      LeafIndex
	LeafExtensions []Extension // of the committer's new leaf, which the path brings
	AAD            []byte
	Added          []Member // in the order of the Adds
	AddedRefs      [][]byte // their KeyPackageRefs
	AddedRaw       [][]byte // their KeyPackages, as MLSMessages
	Removed        []Member
	PSKIDs         [][]byte

	// SelfRemoved: this member was removed.
	SelfRemoved bool
	// Group and Sender are the next epoch's. They are nil if this member was removed, and
	// with an error; the commit's confirmation is unchecked then, since only those who
	// enter the epoch can check it.
	Group  *Group
	Sender *Sender
}

// String keeps the secrets out of logs.
func (p *Processed) String() string { return "[secret]" }

// GoString keeps the secrets out of logs.
func (p *Processed) GoString() string { return "[secret]" }

// Process checks another member's commit and returns the epoch that it begins
// (RFC 9420, Section 12.4.2). g stays as it is, whatever the result. msg is not retained. It is
// a PrivateMessage or a PublicMessage; [Peek] tells a caller who accepts only one of them.
//
// Everything that all members can judge comes first, then what only this member can: the
// error is [ErrUnusable] only for the latter. A commit of this member's own goes through
// the same checks, and is [ErrOwnCommit] if the others will find nothing wrong with it:
// the author asks before it merges what it staged. With these two, the report of what the
// commit did comes too, without a Group: so the caller can hold the commit against rules
// of its own, as all others do, before it says that it cannot follow. With other errors
// it is nil: [ErrMalformed], [ErrProfile], [ErrInvalid], [ErrWrongEpoch], [ErrDecrypt],
// [ErrGeneration], [ErrUnknownPSK].
func (g *Group) Process(msg []byte, p ProcessParams) (*Processed, error) {
	out, err := g.process(msg, p, (*commit).checkProfile)
	if err != nil {
		return out, fail.At("process", err)
	}
	return out, nil
}

// checkProfile: a commit of the profile has a path and one PSK. Other proposals than Adds
// and Removes are refused when they are applied.
func (c *commit) checkProfile() error {
	psks := 0
	for _, p := range c.proposals {
		if p.typ == proposalPSK {
			psks++
		}
	}
	if c.path == nil {
		return fail.With(ErrProfile, "commit without a path")
	}
	if psks != 1 {
		return fail.With(ErrProfile, "commit with "+strconv.Itoa(psks)+" PSKs")
	}
	return nil
}

// process is Process with rules of the caller's, which refuse a commit without a path.
func (g *Group) process(msg []byte, p ProcessParams, rules func(*commit) error) (*Processed, error) {
	a, err := g.openCommit(msg)
	if err != nil {
		return nil, err
	}
	if err := rules(a.commit); err != nil {
		return nil, err
	}
	c, err := g.applyCommit(a, p)
	if err != nil {
		return nil, err
	}
	psks, err := lookUp(c.psks, p.PSKs)
	if err != nil {
		return nil, err
	}
	out := c.report(a)
	switch {
	case out.Committer == g.own:
		return out, ErrOwnCommit
	case c.removes(g.own):
		out.SelfRemoved = true
		return out, nil
	}
	context := g.provisional(c.tree.rootHash()).encode()
	keys, commitSecret, err := c.tree.openPath(g.keys, g.own, out.Committer, a.commit.path, c.added, context)
	if err != nil {
		return out, err // ErrUnusable
	}
	defer clear(commitSecret)
	tr := g.transit(c.tree, &a.authenticatedContent, commitSecret, g.suite.pskSecret(c.psks, psks))
	defer tr.erase()
	if !equalMAC(tr.tag, a.tag) {
		keys.erase()
		tr.secrets.erase()
		return nil, fail.With(ErrInvalid, "confirmation tag")
	}
	out.Group, out.Sender = g.enter(tr, c.tree, keys)
	return out, nil
}

// openCommit decrypts a commit, if it is encrypted, and checks its signature.
func (g *Group) openCommit(msg []byte) (*memberContent, error) {
	if g.erased() {
		return nil, errErased
	}
	if len(msg) > maxInput {
		return nil, fail.With(ErrMalformed, strconv.Itoa(len(msg))+" bytes")
	}
	if isPublicMessage(msg) {
		return g.openPublicCommit(msg)
	}
	m, d, err := g.openHeader(msg, contentCommit)
	if err != nil {
		return nil, err
	}
	key, err := ratchet{suite: g.suite, secret: g.handshake[d.leaf]}.keyAt(d.generation)
	if err != nil {
		return nil, err
	}
	c, err := g.suite.openPrivate(m, d, key)
	if err != nil {
		return nil, err
	}
	return c, c.verify(g.suite, g.tree.leaf(d.leaf).signatureKey, g.encoded)
}

// checkEpoch says whether a message is of this group and epoch.
func (g *Group) checkEpoch(groupID []byte, epoch uint64) error {
	if !bytes.Equal(groupID, g.context.groupID) || epoch != g.context.epoch {
		return fail.With(ErrWrongEpoch, "epoch "+strconv.FormatUint(epoch, 10))
	}
	return nil
}

// applyCommit applies proposals and the public part of the path to a copy of the tree.
func (g *Group) applyCommit(a *memberContent, p ProcessParams) (*changes, error) {
	p.recall(a.commit.proposals)
	c, err := g.apply(a.commit.proposals, a.content.sender, p.Now)
	if err != nil {
		return nil, err
	}
	err = c.tree.mergePath(a.content.sender, a.commit.path, g.context.groupID, g.context.extensions, c.added)
	return c, err
}

// recall marks the KeyPackages as verified that the caller verified before.
func (p ProcessParams) recall(proposals []proposal) {
	if p.KeyPackages == nil {
		return
	}
	for _, prop := range proposals {
		if prop.typ != proposalAdd {
			continue
		}
		known := p.KeyPackages(prop.add.Ref())
		if known != nil && known.verified.Load() && bytes.Equal(known.raw, prop.add.raw) {
			prop.add.verified.Store(true)
		}
	}
}

// report describes the changes for the caller.
func (c *changes) report(a *memberContent) *Processed {
	out := &Processed{
		Committer:      a.content.sender,
		LeafExtensions: cloneExtensions(a.commit.path.leaf.extensions),
		AAD:            slices.Clone(a.content.aad),
		Added:          c.addedMembers(),
		Removed:        c.removed,
	}
	for _, kp := range c.adds {
		out.AddedRefs = append(out.AddedRefs, kp.Ref())
		out.AddedRaw = append(out.AddedRaw, kp.Raw())
	}
	for _, id := range c.psks {
		out.PSKIDs = append(out.PSKIDs, slices.Clone(id.id))
	}
	return out
}
