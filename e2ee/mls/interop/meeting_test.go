package interop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// meeting is a group that several implementations are in.
type meeting struct {
	t       *testing.T
	members []member
	epochs  int
	// empty are the leaves of peers who declined the Welcome that added them.
	empty []uint32
	peers int // how many of the peer's members were added
}

// begin lets one create the group.
func begin(t *testing.T, creator member, extensions []extension) *meeting {
	t.Helper()
	must(t, creator.name()+" creates", creator.create([]byte("group"), extensions))
	return &meeting{t: t, members: []member{creator}}
}

// leafOf is where a member sits.
func (m *meeting) leafOf(who member) uint32 {
	m.t.Helper()
	s, err := who.state()
	must(m.t, who.name(), err)
	return s.leaf
}

// commit lets one add and remove others in one commit. All others process it, those who are
// added join, and all who are in the group then are compared.
func (m *meeting) commit(by member, adds, removes []member) {
	m.t.Helper()
	var kps [][]byte
	for _, who := range adds {
		kps = append(kps, who.keyPackage())
	}
	leaves := m.empty
	m.empty = nil
	for _, who := range removes {
		leaves = append(leaves, m.leafOf(who))
	}
	commit, welcome, err := by.commit(kps, leaves, []byte("position"))
	must(m.t, by.name()+" commits", err)
	for _, who := range m.members {
		if who == by {
			continue
		}
		want := slices.Contains(removes, who)
		if want && !who.learnsRemoval(len(adds) > 0) {
			continue
		}
		removed, err := who.process(commit)
		must(m.t, fmt.Sprintf("%s processes the commit of %s", who.name(), by.name()), err)
		if removed != want {
			m.t.Errorf("%s: removed %t, expected %t", who.name(), removed, want)
		}
	}
	must(m.t, by.name()+" merges", by.merge())
	m.members = slices.DeleteFunc(m.members, func(who member) bool { return slices.Contains(removes, who) })
	m.epochs++
	m.join(by, adds, welcome)
	m.compare()
}

// join lets those who were added join. A peer may decline a tree that it finds fault with, if
// one of ours joined by the same Welcome, and so checked all of the tree: then the next
// commit removes it. How often that may be, the test says.
func (m *meeting) join(by member, adds []member, welcome []byte) {
	m.t.Helper()
	witness := false
	for _, who := range slices.SortedFunc(slices.Values(adds), oursFirst) {
		err := who.join(welcome)
		us, isOurs := who.(*ours)
		if !isOurs {
			m.peers++
		}
		if err != nil && !isOurs && witness {
			m.t.Logf("epoch %d: %s declined", m.epochs, who.name())
			m.empty = append(m.empty, m.leafNamed(who.identity()))
			continue
		}
		must(m.t, fmt.Sprintf("%s joins by the Welcome of %s", who.name(), by.name()), err)
		witness = witness || us != nil
		m.members = append(m.members, who)
	}
}

func oursFirst(a, b member) int {
	rank := func(m member) int {
		if _, ok := m.(*ours); ok {
			return 0
		}
		return 1
	}
	return rank(a) - rank(b)
}

// leafNamed asks one of ours where somebody sits.
func (m *meeting) leafNamed(identity string) uint32 {
	m.t.Helper()
	for _, who := range m.members {
		us, ok := who.(*ours)
		if !ok {
			continue
		}
		for _, at := range us.group.Members() {
			if string(at.Identity) == identity {
				return uint32(at.Leaf)
			}
		}
	}
	m.t.Fatalf("nobody is called %s", identity)
	return 0
}

// compare checks that all are in one epoch, and each in a place of its own.
func (m *meeting) compare() {
	m.t.Helper()
	var first state
	places := make(map[uint32]string)
	for i, who := range m.members {
		s, err := who.state()
		must(m.t, who.name(), err)
		if other := places[s.leaf]; other != "" {
			m.t.Fatalf("%s and %s both at leaf %d", who.name(), other, s.leaf)
		}
		places[s.leaf] = who.name()
		if i == 0 {
			first = s
			continue
		}
		if s.epoch != first.epoch || !bytes.Equal(s.authenticator, first.authenticator) || !bytes.Equal(s.exported, first.exported) {
			m.t.Fatalf("epoch %d: %s and %s differ", first.epoch, who.name(), m.members[0].name())
		}
		if first.treeHash != nil && s.treeHash != nil && !bytes.Equal(s.treeHash, first.treeHash) {
			m.t.Fatalf("epoch %d: the trees of %s and %s differ", first.epoch, who.name(), m.members[0].name())
		}
	}
	if len(first.authenticator) == 0 || len(first.exported) != exportLength {
		m.t.Fatal("nothing to compare")
	}
}

// talk lets everybody say something that all others hear, twice.
func (m *meeting) talk() {
	m.t.Helper()
	for round := range 2 {
		for _, from := range m.members {
			m.say(from, fmt.Appendf(nil, "from %s, %d", from.name(), round))
		}
	}
}

func (m *meeting) say(from member, text []byte) {
	m.t.Helper()
	aad := append([]byte("authenticated with "), text...)
	sealed, err := from.seal(aad, text)
	must(m.t, from.name()+" seals", err)
	for _, to := range m.members {
		if to == from {
			continue
		}
		gotAAD, got, err := to.open(sealed)
		must(m.t, fmt.Sprintf("%s opens what %s sealed", to.name(), from.name()), err)
		if !bytes.Equal(got, text) || !bytes.Equal(gotAAD, aad) {
			m.t.Errorf("%s heard %q with %q from %s", to.name(), got, gotAAD, from.name())
		}
	}
}

// pick takes one of a list.
func pick[T any](dice *rand.Rand, list []T) T { return list[dice.IntN(len(list))] }
