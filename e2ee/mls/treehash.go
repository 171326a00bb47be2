package mls

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// hash returns the tree hash of the subtree under x (RFC 9420, Section 7.8).
func (t *tree) hash(x nodeIndex) []byte {
	if t.hashes[x] == nil {
		t.hashes[x] = t.hashWithout(x, nil)
	}
	return t.hashes[x]
}

// rootHash is the tree hash of the whole tree.
func (t *tree) rootHash() []byte { return t.hash(t.root()) }

// hashWithout is the tree hash under x of the tree in which the leaves in without,
// ascending, are blank and unmerged nowhere.
func (t *tree) hashWithout(x nodeIndex, without []LeafIndex) []byte {
	without = under(x, without)
	if len(without) == 0 && t.hashes[x] != nil {
		return t.hashes[x]
	}
	if x.isLeaf() {
		return t.suite.sum(leafHashInput(x.leaf(), t.nodes[x].leaf, len(without) > 0))
	}
	left, right := t.childHash(x.left(), without), t.childHash(x.right(), without)
	return t.suite.sum(parentHashInput(t.nodes[x].parent, without, left, right))
}

// childHash remembers hashes of the tree as it is.
func (t *tree) childHash(x nodeIndex, without []LeafIndex) []byte {
	if len(under(x, without)) == 0 {
		return t.hash(x)
	}
	return t.hashWithout(x, without)
}

// under returns the part of an ascending list of leaves that lies under x.
func under(x nodeIndex, leaves []LeafIndex) []LeafIndex {
	first, end := x.leaves()
	from, _ := slices.BinarySearch(leaves, first)
	to, _ := slices.BinarySearch(leaves, end)
	return leaves[from:to]
}

// leafHashInput is TreeHashInput of a leaf.
func leafHashInput(i LeafIndex, n *leafNode, blank bool) []byte {
	b := appendU32([]byte{nodeTypeLeaf}, uint32(i))
	if n == nil || blank {
		return append(b, 0)
	}
	return append(append(b, 1), n.raw...)
}

// parentHashInput is TreeHashInput of a parent.
func parentHashInput(p *parentNode, without []LeafIndex, left, right []byte) []byte {
	b := []byte{nodeTypeParent}
	if p == nil {
		b = append(b, 0)
	} else {
		b = p.without(without).append(append(b, 1))
	}
	return appendVec(appendVec(b, left), right)
}

// without returns p with fewer unmerged leaves.
func (p *parentNode) without(leaves []LeafIndex) *parentNode {
	if len(leaves) == 0 {
		return p
	}
	keep := slices.DeleteFunc(slices.Clone(p.unmerged), func(i LeafIndex) bool {
		_, found := slices.BinarySearch(leaves, i)
		return found
	})
	return &parentNode{p.encryptionKey, p.parentHash, keep}
}

// parentHashOf is the parent hash of p with the copath child s: the hash of
// ParentHashInput (RFC 9420, Section 7.9).
func (t *tree) parentHashOf(p *parentNode, s nodeIndex) []byte {
	b := appendVec(appendVec(nil, p.encryptionKey), p.parentHash)
	return t.suite.sum(appendVec(b, t.hashWithout(s, p.unmerged)))
}

// validate checks a tree that came with a Welcome, all but the leaves' lifetimes
// (RFC 9420, Section 12.4.3.1): every leaf and its signature, unique keys, unmerged
// leaves, and the parent hash chains of all parents.
func (t *tree) validate(groupID []byte, group []Extension) error {
	req, err := requiredBy(group)
	if err != nil {
		return err
	}
	if n := t.members(); n > MaxMembers {
		return fail.With(ErrProfile, strconv.Itoa(int(n))+" members")
	}
	t.rootHash()
	for x, n := range t.nodes {
		if n.leaf == nil {
			continue
		}
		if err := t.validateLeaf(nodeIndex(x).leaf(), groupID, group, req); err != nil {
			return fail.At("node "+strconv.Itoa(x), err)
		}
	}
	for x, n := range t.nodes {
		if n.parent == nil {
			continue
		}
		if err := t.validateParent(nodeIndex(x)); err != nil {
			return fail.At("node "+strconv.Itoa(x), err)
		}
	}
	return t.uniqueKeys()
}

func (t *tree) validateLeaf(i LeafIndex, groupID []byte, group []Extension, req requiredCapabilities) error {
	n := t.leaf(i)
	if err := n.validate(t.suite, group, req); err != nil {
		return err
	}
	return n.verifySignature(t.suite, groupID, i)
}

func (t *tree) validateParent(x nodeIndex) error {
	if err := t.suite.checkPublic(t.nodes[x].parent.encryptionKey); err != nil {
		return err
	}
	if err := t.validateUnmerged(x); err != nil {
		return err
	}
	return t.validateParentHash(x)
}

// validateUnmerged checks that the unmerged leaves of x are members under it, and
// unmerged at the parents between as well.
func (t *tree) validateUnmerged(x nodeIndex) error {
	for _, i := range t.nodes[x].parent.unmerged {
		if !x.covers(i) || t.leaf(i) == nil {
			return fail.With(ErrInvalid, "an unmerged leaf is no member under its parent")
		}
		for _, y := range directPath(i.node(), x) {
			p := t.nodes[y].parent
			if p == nil {
				continue
			}
			if _, ok := slices.BinarySearch(p.unmerged, i); !ok {
				return fail.With(ErrInvalid, "an unmerged leaf is merged further down")
			}
		}
	}
	return nil
}

// validateParentHash checks that x is parent-hash valid with respect to exactly one
// node under it (RFC 9420, Section 7.9.2). As that holds for every parent, each chain
// ends at a leaf.
func (t *tree) validateParentHash(x nodeIndex) error {
	left, right := t.chained(x, x.left(), x.right()), t.chained(x, x.right(), x.left())
	if left == right {
		return fail.With(ErrInvalid, "parent hash")
	}
	return nil
}

// chained reports whether some node D in the resolution of c, a child of x with the
// sibling s, has the parent hash of x, and the rest of that resolution are exactly the
// leaves under c that are unmerged at x.
func (t *tree) chained(x, c, s nodeIndex) bool {
	p := t.nodes[x].parent
	unmerged := under(c, p.unmerged)
	rest := slices.DeleteFunc(t.resolution(c), func(d nodeIndex) bool {
		_, ok := slices.BinarySearch(unmerged, d.leaf())
		return d.isLeaf() && ok
	})
	if len(rest) != 1 || len(t.resolution(c)) != len(unmerged)+1 {
		return false
	}
	want := t.nodes[rest[0]].parentHash()
	return len(want) > 0 && bytes.Equal(want, t.parentHashOf(p, s))
}

// uniqueKeys checks that no two nodes have one encryption key and no two leaves one
// signature key (RFC 9420, Sections 7.3 and 12.4.3.1).
func (t *tree) uniqueKeys() error {
	encryption, signature := make(map[string]bool), make(map[string]bool)
	for _, n := range t.nodes {
		if n.blank() {
			continue
		}
		key := string(n.encryptionKey())
		if encryption[key] {
			return fail.With(ErrInvalid, "two nodes with one encryption key")
		}
		encryption[key] = true
		if n.leaf == nil {
			continue
		}
		if signature[string(n.leaf.signatureKey)] {
			return fail.With(ErrInvalid, "two leaves with one signature key")
		}
		signature[string(n.leaf.signatureKey)] = true
	}
	return nil
}
