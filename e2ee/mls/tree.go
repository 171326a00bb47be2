package mls

import (
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// MaxMembers is the largest group of the profile. A tree is never wider than the
// 2^10 leaves that as many members need.
const MaxMembers = 1000

const maxLeaves = 1024

// maxDepth is the length of the longest direct path: log2 of maxLeaves.
const maxDepth = 10

// parentNode is ParentNode (RFC 9420, Section 7.1). It is immutable: trees share it.
type parentNode struct {
	encryptionKey []byte
	parentHash    []byte
	unmerged      []LeafIndex // ascending
}

// node is a node of a ratchet tree: a leaf at even, a parent at odd places, neither if
// it is blank.
type node struct {
	leaf   *leafNode
	parent *parentNode
}

func (n node) blank() bool { return n.leaf == nil && n.parent == nil }

// encryptionKey of a node that is not blank.
func (n node) encryptionKey() []byte {
	if n.leaf != nil {
		return n.leaf.encryptionKey
	}
	return n.parent.encryptionKey
}

// parentHash of a node that is not blank: empty if it has none.
func (n node) parentHash() []byte {
	if n.leaf != nil {
		return n.leaf.parentHash
	}
	return n.parent.parentHash
}

// tree is a ratchet tree (RFC 9420, Section 7). Groups share its nodes; a tree that
// belongs to a Group is never changed, only cloned.
type tree struct {
	suite  *suite
	nodes  []node   // 2^(d+1) - 1 of them
	hashes [][]byte // tree hashes; nil where not known
}

func newTree(s *suite, first *leafNode) *tree {
	return &tree{suite: s, nodes: []node{{leaf: first}}, hashes: make([][]byte, 1)}
}

// clone returns a tree that can be changed without changing t.
func (t *tree) clone() *tree {
	return &tree{t.suite, slices.Clone(t.nodes), slices.Clone(t.hashes)}
}

func (t *tree) root() nodeIndex { return rootOf(len(t.nodes)) }

func (t *tree) width() LeafIndex { return LeafIndex(len(t.nodes)/2 + 1) }

// leaf returns the leaf node at i, nil if it is blank or there is no such leaf.
func (t *tree) leaf(i LeafIndex) *leafNode {
	if i >= t.width() {
		return nil
	}
	return t.nodes[i.node()].leaf
}

// set changes one node; the hashes above it become unknown.
func (t *tree) set(x nodeIndex, n node) {
	t.nodes[x] = n
	t.hashes[x] = nil
	for x != t.root() {
		x = x.parent()
		t.hashes[x] = nil
	}
}

// members returns the number of leaves that are not blank.
func (t *tree) members() int {
	n := 0
	for i := LeafIndex(0); i < t.width(); i++ {
		if t.leaf(i) != nil {
			n++
		}
	}
	return n
}

// add puts a leaf at the leftmost blank place, which may widen the tree, and makes it
// unmerged at the parents above it (RFC 9420, Section 12.1.1).
func (t *tree) add(n *leafNode) LeafIndex {
	i := LeafIndex(0)
	for i < t.width() && t.leaf(i) != nil {
		i++
	}
	if i == t.width() {
		t.widen()
	}
	t.set(i.node(), node{leaf: n})
	for _, x := range directPath(i.node(), t.root()) {
		if p := t.nodes[x].parent; p != nil {
			t.nodes[x].parent = p.withUnmerged(i)
		}
	}
	return i
}

// withUnmerged returns a copy of p with one more unmerged leaf, which it lacks so far.
func (p *parentNode) withUnmerged(i LeafIndex) *parentNode {
	at, _ := slices.BinarySearch(p.unmerged, i)
	unmerged := slices.Insert(slices.Clone(p.unmerged), at, i)
	return &parentNode{p.encryptionKey, p.parentHash, unmerged}
}

// widen doubles the number of leaves (RFC 9420, Section 7.7).
func (t *tree) widen() {
	n := len(t.nodes) + 1
	t.nodes = append(t.nodes, make([]node, n)...)
	t.hashes = append(t.hashes, make([][]byte, n)...)
}

// remove blanks a leaf and its direct path, and drops a right half that is empty then
// (RFC 9420, Section 12.1.3).
func (t *tree) remove(i LeafIndex) {
	t.set(i.node(), node{})
	t.blankPath(i)
	for len(t.nodes) > 1 && t.rightHalfBlank() {
		half := len(t.nodes) / 2
		t.nodes, t.hashes = t.nodes[:half], t.hashes[:half]
	}
}

func (t *tree) rightHalfBlank() bool {
	for _, n := range t.nodes[len(t.nodes)/2:] {
		if n.leaf != nil {
			return false
		}
	}
	return true
}

// update replaces a leaf and blanks its direct path (RFC 9420, Section 12.1.2).
func (t *tree) update(i LeafIndex, n *leafNode) {
	t.set(i.node(), node{leaf: n})
	t.blankPath(i)
}

func (t *tree) blankPath(i LeafIndex) {
	for _, x := range directPath(i.node(), t.root()) {
		t.set(x, node{})
	}
}

// resolution lists the nodes that together stand for all members under x
// (RFC 9420, Section 4.1.1).
func (t *tree) resolution(x nodeIndex) []nodeIndex { return t.appendResolution(nil, x) }

func (t *tree) appendResolution(to []nodeIndex, x nodeIndex) []nodeIndex {
	n := t.nodes[x]
	switch {
	case n.leaf != nil:
		return append(to, x)
	case n.parent != nil:
		to = append(to, x)
		for _, i := range n.parent.unmerged {
			to = append(to, i.node())
		}
		return to
	case x.isLeaf():
		return to
	}
	return t.appendResolution(t.appendResolution(to, x.left()), x.right())
}

// emptyUnder reports whether the resolution of x is empty.
func (t *tree) emptyUnder(x nodeIndex) bool {
	if !t.nodes[x].blank() {
		return false
	}
	return x.isLeaf() || t.emptyUnder(x.left()) && t.emptyUnder(x.right())
}

// pathStep is a node of a filtered direct path and its child off the path.
type pathStep struct{ node, copath nodeIndex }

// filteredPath is the filtered direct path of a leaf: without the nodes whose child off
// the path has an empty resolution (RFC 9420, Section 4.1.2).
func (t *tree) filteredPath(i LeafIndex) []pathStep {
	var steps []pathStep
	for x := i.node(); x != t.root(); x = x.parent() {
		if s := x.sibling(); !t.emptyUnder(s) {
			steps = append(steps, pathStep{x.parent(), s})
		}
	}
	return steps
}

const (
	nodeTypeLeaf   = 1
	nodeTypeParent = 2
)

// parseTree reads the ratchet_tree extension (RFC 9420, Section 12.4.3.3). It checks
// structure only; see [tree.validate].
func parseTree(s *suite, data []byte) (*tree, error) {
	var nodes []node
	err := decode("ratchet tree", data, func(r *reader) {
		r.list(2*maxLeaves-1, func(r *reader) {
			nodes = append(nodes, r.treeNode(nodeIndex(len(nodes))))
		})
	})
	if err != nil {
		return nil, err
	}
	if len(nodes) == 0 || nodes[len(nodes)-1].blank() {
		return nil, fail.With(ErrMalformed, "ratchet tree ends with a blank node")
	}
	full := 1
	for full < len(nodes) {
		full = 2*full + 1
	}
	nodes = append(nodes, make([]node, full-len(nodes))...)
	return &tree{s, nodes, make([][]byte, full)}, nil
}

// treeNode reads optional<Node> at place x.
func (r *reader) treeNode(x nodeIndex) (n node) {
	if !r.optional() {
		return n
	}
	switch typ := r.u8(); {
	case typ == nodeTypeLeaf && x.isLeaf():
		n.leaf = r.leafNode()
	case typ == nodeTypeParent && !x.isLeaf():
		n.parent = r.parentNode()
	default:
		r.malformed("node of type " + strconv.Itoa(int(typ)) + " at place " + strconv.Itoa(int(x)))
	}
	return n
}

func (r *reader) parentNode() *parentNode {
	p := &parentNode{encryptionKey: r.vec(), parentHash: r.vec()}
	r.list(maxLeaves, func(r *reader) {
		i := LeafIndex(r.u32())
		if n := len(p.unmerged); n > 0 && p.unmerged[n-1] >= i {
			r.malformed("unmerged leaves not ascending")
		}
		p.unmerged = append(p.unmerged, i)
	})
	return p
}

func (p *parentNode) append(b []byte) []byte {
	b = appendVec(appendVec(b, p.encryptionKey), p.parentHash)
	b = appendVarint(b, 4*len(p.unmerged))
	for _, i := range p.unmerged {
		b = appendU32(b, uint32(i))
	}
	return b
}

// encode is the ratchet_tree extension of t: no blank nodes at the end.
func (t *tree) encode() []byte {
	nodes := t.nodes
	for nodes[len(nodes)-1].blank() {
		nodes = nodes[:len(nodes)-1]
	}
	return appendList(nil, func(b []byte) []byte {
		for _, n := range nodes {
			switch {
			case n.leaf != nil:
				b = append(append(b, 1, nodeTypeLeaf), n.leaf.raw...)
			case n.parent != nil:
				b = n.parent.append(append(b, 1, nodeTypeParent))
			default:
				b = append(b, 0)
			}
		}
		return b
	})
}
