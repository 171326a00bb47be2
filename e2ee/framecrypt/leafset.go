package framecrypt

// leafSet is a set of leaf indices up to MaxLeaf.
type leafSet [(MaxLeaf + 1) / 64]uint64

func (s *leafSet) add(l Leaf)      { s[l/64] |= 1 << (l % 64) }
func (s *leafSet) has(l Leaf) bool { return l <= MaxLeaf && s[l/64]&(1<<(l%64)) != 0 }
