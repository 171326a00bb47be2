package mls

import "math/bits"

// nodeIndex numbers the nodes of a ratchet tree in its array form, in which leaves
// have even and parents odd numbers (RFC 9420, Appendix C). A tree always has
// 2^d leaves, so that relations of nodes need no knowledge of its size.
type nodeIndex uint32

func (i LeafIndex) node() nodeIndex { return nodeIndex(i) * 2 }

func (x nodeIndex) isLeaf() bool { return x&1 == 0 }

// leaf returns the leaf index of a leaf's node.
func (x nodeIndex) leaf() LeafIndex { return LeafIndex(x / 2) }

// level is 0 for leaves and counts upwards.
func (x nodeIndex) level() int { return bits.TrailingZeros32(^uint32(x)) }

// left is the left child of a parent.
func (x nodeIndex) left() nodeIndex { return x ^ 1<<(x.level()-1) }

// right is the right child of a parent.
func (x nodeIndex) right() nodeIndex { return x ^ 3<<(x.level()-1) }

// parent is the node above x; the caller knows that x is not the root.
func (x nodeIndex) parent() nodeIndex {
	k := x.level()
	return (x | 1<<k) &^ (1 << (k + 1))
}

// sibling is the other child of the parent of x.
func (x nodeIndex) sibling() nodeIndex {
	if p := x.parent(); x > p {
		return p.left()
	} else {
		return p.right()
	}
}

// leaves returns the first leaf under x and the one after the last.
func (x nodeIndex) leaves() (first, end LeafIndex) {
	span := nodeIndex(1) << x.level()
	return (x - (span - 1)).leaf(), (x + (span - 1)).leaf() + 1
}

// covers reports whether the leaf lies under x, or is x.
func (x nodeIndex) covers(i LeafIndex) bool {
	first, end := x.leaves()
	return first <= i && i < end
}

// rootOf is the root of a tree with n nodes.
func rootOf(n int) nodeIndex { return nodeIndex(n / 2) }

// directPath lists the parents of x up to the root, x not among them.
func directPath(x, root nodeIndex) []nodeIndex {
	path := make([]nodeIndex, 0, root.level())
	for x != root {
		x = x.parent()
		path = append(path, x)
	}
	return path
}

// commonAncestor is the lowest node above both leaves.
func commonAncestor(a, b LeafIndex) nodeIndex {
	x := a.node()
	for !x.covers(b) {
		x = x.parent()
	}
	return x
}
