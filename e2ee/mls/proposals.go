package mls

import (
	"slices"
	"strconv"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// changes is what a commit's proposals do to the group.
type changes struct {
	tree    *tree // with the proposals applied
	added   []LeafIndex
	adds    []*KeyPackage
	removed []Member
	psks    []pskID
}

// removes reports whether the member at leaf is removed.
func (c *changes) removes(leaf LeafIndex) bool {
	return slices.ContainsFunc(c.removed, func(m Member) bool { return m.Leaf == leaf })
}

// apply checks the proposals of a commit and applies them to a copy of the tree
// (RFC 9420, Sections 12.2 and 12.3): Adds, Removes, and external PSKs. A now of zero
// leaves lifetimes unchecked. All members come to the same result.
func (g *Group) apply(proposals []proposal, committer LeafIndex, now time.Time) (*changes, error) {
	c := &changes{tree: g.tree.clone()}
	if err := g.noteCheap(c, proposals, committer); err != nil {
		return nil, err
	}
	if err := g.noteAdds(c, proposals, now); err != nil {
		return nil, err
	}
	c.applyToTree()
	return c, nil
}

// noteCheap checks all but the Adds, and counts these: each costs two signatures.
func (g *Group) noteCheap(c *changes, proposals []proposal, committer LeafIndex) error {
	adds := 0
	for i, p := range proposals {
		var err error
		switch p.typ {
		case proposalAdd:
			adds++
		case proposalRemove:
			err = g.noteRemove(c, p.removed, committer)
		case proposalPSK:
			err = g.notePSK(c, p.psk)
		default:
			err = fail.With(ErrProfile, "proposal type "+strconv.Itoa(int(p.typ)))
		}
		if err != nil {
			return fail.At("proposal "+strconv.Itoa(i), err)
		}
	}
	if n := g.tree.members() - len(c.removed) + adds; n > MaxMembers {
		return fail.With(ErrProfile, strconv.Itoa(int(n))+" members")
	}
	return nil
}

func (g *Group) noteAdds(c *changes, proposals []proposal, now time.Time) error {
	req, err := requiredBy(g.context.extensions)
	if err != nil {
		return err
	}
	for i, p := range proposals {
		if p.typ != proposalAdd {
			continue
		}
		if err := g.noteAdd(c, p.add, req, now); err != nil {
			return fail.At("proposal "+strconv.Itoa(i), err)
		}
	}
	return nil
}

func (c *changes) applyToTree() {
	for _, m := range c.removed {
		c.tree.remove(m.Leaf)
	}
	for _, kp := range c.adds {
		c.added = append(c.added, c.tree.add(kp.leaf))
	}
}

func (g *Group) noteAdd(c *changes, kp *KeyPackage, req requiredCapabilities, now time.Time) error {
	if err := kp.verifyFor(g.suite, g.context.extensions, req); err != nil {
		return err
	}
	if !now.IsZero() {
		if err := kp.verifyLifetime(now); err != nil {
			return err
		}
	}
	c.adds = append(c.adds, kp)
	return nil
}

func (g *Group) noteRemove(c *changes, leaf, committer LeafIndex) error {
	n := g.tree.leaf(leaf)
	switch {
	case n == nil:
		return fail.With(ErrInvalid, "removes no member")
	case leaf == committer:
		return fail.With(ErrInvalid, "removes the committer")
	case c.removes(leaf):
		return fail.With(ErrInvalid, "removes a member twice")
	}
	c.removed = append(c.removed, memberOf(leaf, n))
	return nil
}

func (g *Group) notePSK(c *changes, id pskID) error {
	if len(id.nonce) != g.suite.nh {
		return fail.With(ErrInvalid, "PSK nonce of "+strconv.Itoa(len(id.nonce))+" bytes")
	}
	c.psks = append(c.psks, id)
	return nil
}

// addedMembers lists who was added, in the order of the Adds.
func (c *changes) addedMembers() []Member {
	var out []Member
	for i, leaf := range c.added {
		out = append(out, memberOf(leaf, c.adds[i].leaf))
	}
	return out
}

// transition is the step into the next epoch.
type transition struct {
	context groupContext
	joiner  []byte
	member  []byte
	secrets epochSecrets
	tag     []byte // the confirmation tag that the commit must have
}

// erase overwrites what is not the next epoch's: the secrets that a Welcome is made with.
func (tr *transition) erase() {
	clear(tr.joiner)
	clear(tr.member)
}

// provisional is the GroupContext that path secrets are encrypted under: the next epoch's,
// with the old transcript (RFC 9420, Section 12.4.1).
func (g *Group) provisional(treeHash []byte) groupContext {
	c := g.context
	c.epoch++
	c.treeHash = treeHash
	return c
}

// transit runs the key schedule over a signed commit (RFC 9420, Section 8). It erases psk.
func (g *Group) transit(t *tree, a *authenticatedContent, commitSecret, psk []byte) transition {
	s := g.suite
	tr := transition{context: g.provisional(t.rootHash())}
	tr.context.confirmedTranscriptHash = s.confirmedHash(g.interim, a)
	encoded := tr.context.encode()
	tr.joiner = s.joinerSecret(g.secrets.initSecret, commitSecret, encoded)
	tr.member = s.memberSecret(tr.joiner, psk)
	clear(psk)
	tr.secrets = s.deriveEpoch(s.epochSecretOf(tr.member, encoded))
	tr.tag = s.mac(tr.secrets.confirmationKey, tr.context.confirmedTranscriptHash)
	return tr
}

// enter makes the next epoch's Group for this member.
func (g *Group) enter(tr transition, t *tree, keys privateKeys) (*Group, *Sender) {
	return newGroup(epochParams{
		suite: g.suite, context: tr.context, tree: t, own: g.own, keys: keys,
		signer: g.signer, secrets: tr.secrets, tag: tr.tag,
	})
}
