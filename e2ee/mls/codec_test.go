package mls

import (
	"errors"
	"strings"
	"testing"
)

func TestReaderIsStrict(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    []byte
		read func(r *reader)
	}{
		{"two bytes for 63", []byte{0x40, 0x3f}, func(r *reader) { r.varint() }},
		{"four bytes for 63", []byte{0x80, 0, 0, 0x3f}, func(r *reader) { r.varint() }},
		{"four bytes for 16383", []byte{0x80, 0, 0x3f, 0xff}, func(r *reader) { r.varint() }},
		{"prefix 3", []byte{0xc0, 0, 0, 0, 0, 0, 0, 0}, func(r *reader) { r.varint() }},
		{"varint cut", []byte{0x80, 0, 0x40}, func(r *reader) { r.varint() }},
		{"empty", nil, func(r *reader) { r.varint() }},
		{"vector cut", []byte{2, 1}, func(r *reader) { r.vec() }},
		{"vector of 1 GB", []byte{0xbf, 0xff, 0xff, 0xff, 1}, func(r *reader) { r.vec() }},
		{"odd list of uint16", []byte{3, 0, 1, 0}, func(r *reader) { r.u16s() }},
		{"presence 2", []byte{2}, func(r *reader) { r.optional() }},
		{"left over", []byte{0, 0}, func(r *reader) { r.u8() }},
		{"uint64 cut", make([]byte, 7), func(r *reader) { r.u64() }},
	} {
		if err := decode("input", tc.b, tc.read); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// A length that the input does not hold allocates nothing.
func TestReaderAllocates(t *testing.T) {
	huge := []byte{0xbf, 0xff, 0xff, 0xff}
	r := &reader{}
	n := testing.AllocsPerRun(100, func() {
		*r = reader{b: huge}
		if r.vec() != nil {
			t.Fatal("read a gigabyte")
		}
	})
	if n > 4 { // the error
		t.Errorf("%v allocations", n)
	}
}

// Trees stay what they are when their clones change; unmerged leaves must be members.
func TestTreeShares(t *testing.T) {
	random := testRandom(60)
	parties := testGroup(t, random, Suite3, 4)
	for i := range parties {
		testCommit(t, random, parties, i, CommitParams{})
	}
	tree := parties[0].group.tree
	before := tree.encode()
	clone := tree.clone()
	i := clone.add(testKeyPackage(t, random, Suite3, "x").kp.leaf)
	if i != 4 || clone.width() != 8 || tree.width() != 4 {
		t.Errorf("added at %d, widths %d and %d", i, clone.width(), tree.width())
	}
	clone.remove(4)
	requireEqual(t, "added and removed", clone.rootHash(), tree.rootHash())
	clone.remove(1)
	clone.rootHash()
	j := clone.add(testKeyPackage(t, random, Suite3, "y").kp.leaf)
	if j != 1 || clone.nodes[5].parent == nil || clone.nodes[3].parent != nil {
		t.Errorf("added at %d", j)
	}
	requireEqual(t, "the original", tree.encode(), before)

	blank := tree.clone()
	blank.set(2, node{})
	editParent(blank, 3, func(n *parentNode) { n.unmerged = []LeafIndex{1} })
	if err := blank.validateUnmerged(3); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "no member") {
		t.Errorf("blank leaf unmerged: %v", err)
	}
}
