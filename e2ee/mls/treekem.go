package mls

import (
	"bytes"
	"crypto/hmac"
	"io"
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
	"github.com/conclave-sfu/conclave/e2ee/mls/hpke"
)

// updatePath is UpdatePath (RFC 9420, Section 7.6).
type updatePath struct {
	leaf  *leafNode
	nodes []updatePathNode
}

// updatePathNode is UpdatePathNode: the new key of a node on the filtered direct path
// and its path secret, encrypted to each node in the resolution of the copath child.
type updatePathNode struct {
	encryptionKey []byte
	secrets       []hpkeCiphertext
}

func (r *reader) updatePath() *updatePath {
	p := &updatePath{leaf: r.leafNode()}
	r.list(maxDepth, func(r *reader) {
		n := updatePathNode{encryptionKey: r.vec()}
		r.list(maxLeaves, func(r *reader) { n.secrets = append(n.secrets, r.hpkeCiphertext()) })
		p.nodes = append(p.nodes, n)
	})
	return p
}

func (p *updatePath) append(b []byte) []byte {
	return appendList(append(b, p.leaf.raw...), func(b []byte) []byte {
		for _, n := range p.nodes {
			b = appendList(appendVec(b, n.encryptionKey), func(b []byte) []byte {
				for _, c := range n.secrets {
					b = c.append(b)
				}
				return b
			})
		}
		return b
	})
}

// privateKeys are the private keys that a member holds, by node.
type privateKeys map[nodeIndex]*hpke.PrivateKey

// in returns copies of the keys that are still those of nodes of t: each Group owns and
// erases its own.
func (k privateKeys) in(t *tree) privateKeys {
	out := make(privateKeys, len(k))
	for x := range k {
		if key := k.of(t, x); key != nil {
			out[x] = key.Clone()
		}
	}
	return out
}

// of returns the private key of a node of t, nil if there is none.
func (k privateKeys) of(t *tree, x nodeIndex) *hpke.PrivateKey {
	key := k[x]
	if key == nil || int(x) >= len(t.nodes) || t.nodes[x].blank() ||
		!bytes.Equal(t.nodes[x].encryptionKey(), key.PublicKey()) {
		return nil
	}
	return key
}

func eraseKeys(keys []*hpke.PrivateKey) {
	for _, key := range keys {
		key.Erase()
	}
}

// erase overwrites all keys.
func (k privateKeys) erase() {
	for _, key := range k {
		key.Erase()
	}
}

// ratchetUp derives the secrets and keys of the parents from a path secret on
// (RFC 9420, Section 7.4): one for each of n nodes, and the commit secret after them.
func (s *suite) ratchetUp(secret []byte, n int) (secrets [][]byte, keys []*hpke.PrivateKey, commit []byte, err error) {
	for range n {
		node := s.deriveSecret(secret, "node")
		key, err := s.hpke.KEM.DeriveKeyPair(node)
		clear(node)
		if err != nil {
			return nil, nil, nil, err
		}
		secrets, keys = append(secrets, secret), append(keys, key)
		secret = s.deriveSecret(secret, "path")
	}
	return secrets, keys, secret, nil
}

// newPath is what a committer makes of its direct path.
type newPath struct {
	path         *updatePath
	keys         privateKeys // of the leaf and the parents on the filtered path
	steps        []pathStep
	secrets      [][]byte // path secrets, one for each step
	commitSecret []byte
}

// pathParams says whose path is made new. t is the tree after the proposals; it is changed.
type pathParams struct {
	t       *tree
	sender  LeafIndex
	signer  signer
	groupID []byte
	added   []LeafIndex                  // they get no path secret here
	context func(treeHash []byte) []byte // GroupContext to encrypt under
}

// newUpdatePath makes fresh keys for the sender's leaf and filtered direct path, puts
// them into the tree and encrypts the path secrets (RFC 9420, Section 7.5).
func newUpdatePath(rand io.Reader, p pathParams) (*newPath, error) {
	s := p.t.suite
	leafKey, err := s.generateKeyPair(rand)
	if err != nil {
		return nil, err
	}
	first, err := readRandom(rand, s.nh)
	if err != nil {
		return nil, err
	}
	steps := p.t.filteredPath(p.sender)
	secrets, keys, commit, err := s.ratchetUp(first, len(steps))
	if err != nil {
		return nil, err
	}
	out := &newPath{
		path: &updatePath{}, keys: privateKeys{p.sender.node(): leafKey},
		steps: steps, secrets: secrets, commitSecret: commit,
	}
	for i, key := range keys {
		out.keys[steps[i].node] = key
		out.path.nodes = append(out.path.nodes, updatePathNode{encryptionKey: key.PublicKey()})
	}
	leaf := *p.t.leaf(p.sender)
	leaf.encryptionKey = leafKey.PublicKey()
	leaf.source, leaf.lifetime = sourceCommit, lifetime{}
	leaf.parentHash = p.t.setPath(p.sender, steps, out.path)
	if err := leaf.seal(p.signer, p.groupID, p.sender); err != nil {
		return nil, err
	}
	out.path.leaf = &leaf
	p.t.set(p.sender.node(), node{leaf: &leaf})
	if err := out.encrypt(rand, p); err != nil {
		out.erase()
		out.keys.erase()
		return nil, err
	}
	return out, nil
}

// encrypt fills in the ciphertexts, once the tree is complete.
func (n *newPath) encrypt(rand io.Reader, p pathParams) error {
	to := p.t.suite.encryption("UpdatePathNode", p.context(p.t.rootHash()))
	for i, step := range n.steps {
		for _, x := range p.t.recipients(step.copath, p.added) {
			c, err := to.encrypt(rand, p.t.nodes[x].encryptionKey(), n.secrets[i])
			if err != nil {
				return fail.At("node "+strconv.Itoa(int(x)), err)
			}
			n.path.nodes[i].secrets = append(n.path.nodes[i].secrets, c)
		}
	}
	return nil
}

// secretFor is the path secret that a new member learns from its Welcome: that of the
// lowest common ancestor (RFC 9420, Section 12.4.3.1).
func (n *newPath) secretFor(sender, member LeafIndex) []byte {
	ancestor := commonAncestor(sender, member)
	for i, step := range n.steps {
		if step.node == ancestor {
			return n.secrets[i]
		}
	}
	return nil
}

// recipients is the resolution of a copath child without the leaves just added.
func (t *tree) recipients(copath nodeIndex, added []LeafIndex) []nodeIndex {
	return slices.DeleteFunc(t.resolution(copath), func(x nodeIndex) bool {
		return x.isLeaf() && slices.Contains(added, x.leaf())
	})
}

// setPath blanks the sender's direct path and gives the nodes of its filtered part
// their new keys and parent hashes. It returns the parent hash for the sender's leaf.
func (t *tree) setPath(sender LeafIndex, steps []pathStep, path *updatePath) []byte {
	t.blankPath(sender)
	var above []byte // parent hash of the node above; empty at the root
	for i, step := range slices.Backward(steps) {
		p := &parentNode{encryptionKey: path.nodes[i].encryptionKey, parentHash: above}
		t.set(step.node, node{parent: p})
		above = t.parentHashOf(p, step.copath)
	}
	return above
}

// mergePath checks the public part of a path and puts it into t, the tree after the
// proposals (RFC 9420, Sections 7.5 and 12.4.2). All members come to the same result.
func (t *tree) mergePath(sender LeafIndex, path *updatePath, groupID []byte, group []Extension, added []LeafIndex) error {
	old := t.leaf(sender)
	if err := t.checkPathLeaf(sender, old, path.leaf, groupID, group); err != nil {
		return err
	}
	steps := t.filteredPath(sender)
	if err := errorsOf(t.checkPathNodes(steps, path, added), t.checkPathKeys(path)); err != nil {
		return err
	}
	if !bytes.Equal(path.leaf.parentHash, t.setPath(sender, steps, path)) {
		return fail.With(ErrInvalid, "parent hash of the path's leaf")
	}
	t.set(sender.node(), node{leaf: path.leaf})
	t.rootHash()
	return t.uniqueKeys()
}

// checkPathLeaf: a path renews the encryption key and nothing that says who the member is.
func (t *tree) checkPathLeaf(sender LeafIndex, old, leaf *leafNode, groupID []byte, group []Extension) error {
	if leaf.source != sourceCommit {
		return fail.With(ErrInvalid, "path leaf of source "+strconv.Itoa(int(leaf.source)))
	}
	if !leaf.sameMember(old) {
		return fail.With(ErrProfile, "a path changes credential or signature key")
	}
	if bytes.Equal(leaf.encryptionKey, old.encryptionKey) {
		return fail.With(ErrInvalid, "a path keeps the leaf's encryption key")
	}
	req, err := requiredBy(group)
	if err != nil {
		return err
	}
	if err := leaf.validate(t.suite, group, req); err != nil {
		return err
	}
	return leaf.verifySignature(t.suite, groupID, sender)
}

// checkPathNodes checks the shape of a path: a node for each step with a valid key, and
// a ciphertext of the right size for each recipient.
func (t *tree) checkPathNodes(steps []pathStep, path *updatePath, added []LeafIndex) error {
	if len(path.nodes) != len(steps) {
		return fail.With(ErrInvalid, "path of "+strconv.Itoa(len(path.nodes))+" nodes instead of "+strconv.Itoa(len(steps)))
	}
	for i, n := range path.nodes {
		if err := t.suite.checkPublic(n.encryptionKey); err != nil {
			return fail.At("path", err)
		}
		if len(n.secrets) != len(t.recipients(steps[i].copath, added)) {
			return fail.With(ErrInvalid, "number of a path's ciphertexts")
		}
		for _, c := range n.secrets {
			if len(c.kemOutput) != t.suite.hpke.KEM.EncSize() || len(c.ciphertext) != t.suite.nh+tagSize {
				return fail.With(ErrInvalid, "size of a path's ciphertext")
			}
		}
	}
	return nil
}

// checkPathKeys: none of a path's keys is in the tree before it is merged, also not at the
// nodes that it renews (RFC 9420, Section 12.4.2).
func (t *tree) checkPathKeys(path *updatePath) error {
	renewed := map[string]bool{string(path.leaf.encryptionKey): true}
	for _, n := range path.nodes {
		renewed[string(n.encryptionKey)] = true
	}
	for _, n := range t.nodes {
		if !n.blank() && renewed[string(n.encryptionKey())] {
			return fail.With(ErrInvalid, "a path's key is in the tree already")
		}
	}
	return nil
}

// openPath decrypts the path secret meant for own and derives what follows from it. t is
// the tree with the path merged, keys are those of the epoch before. Every failure is
// ErrUnusable.
func (t *tree) openPath(keys privateKeys, own, sender LeafIndex, path *updatePath, added []LeafIndex, context []byte) (privateKeys, []byte, error) {
	steps := t.filteredPath(sender)
	at := slices.IndexFunc(steps, func(s pathStep) bool { return s.copath.covers(own) })
	if at < 0 {
		return nil, nil, fail.With(ErrUnusable, "it has no node for us")
	}
	for i, x := range t.recipients(steps[at].copath, added) {
		key := keys.of(t, x)
		if key == nil {
			continue
		}
		secret, err := t.suite.encryption("UpdatePathNode", context).decrypt(key, path.nodes[at].secrets[i])
		if err != nil {
			return nil, nil, fail.With(ErrUnusable, "it does not decrypt")
		}
		defer clear(secret)
		return t.adoptPath(keys, steps[at:], secret)
	}
	return nil, nil, fail.With(ErrUnusable, "no key of ours is among its recipients")
}

// adoptPath derives the private keys of the steps from the first one's path secret, and
// the commit secret. They must fit the public keys of the tree.
func (t *tree) adoptPath(keys privateKeys, steps []pathStep, secret []byte) (privateKeys, []byte, error) {
	secrets, derived, commit, err := t.suite.ratchetUp(secret, len(steps))
	defer eraseAll(secrets)
	if err != nil {
		return nil, nil, fail.With(ErrUnusable, "key derivation")
	}
	for i, key := range derived {
		if !bytes.Equal(key.PublicKey(), t.nodes[steps[i].node].encryptionKey()) {
			clear(commit)
			eraseKeys(derived)
			return nil, nil, fail.With(ErrUnusable, "it does not fit the public keys")
		}
	}
	out := keys.in(t)
	for i, key := range derived {
		out[steps[i].node] = key
	}
	return out, commit, nil
}

// erase overwrites the path secrets, once everybody who needs one has it.
func (n *newPath) erase() {
	eraseAll(n.secrets)
	clear(n.commitSecret)
}

// equalMAC compares in constant time.
func equalMAC(a, b []byte) bool { return hmac.Equal(a, b) }
