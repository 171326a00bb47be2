package mls

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// shortLeaf is the shortest encoding of a leaf node, up to its extensions.
var shortLeaf = []byte{0, 0, 0, byte(credentialBasic), 0, 0, 0, 0, 0, 0, byte(sourceUpdate)}

// shortUpdate is a proposal by value with an Update of the shortest leaf, up to the same.
var shortUpdate = append([]byte{proposalByValue, 0, byte(proposalUpdate)}, shortLeaf...)

// filled is a vector of the same element, of about the size of the largest input.
func filled(element ...byte) []byte {
	return appendVec(nil, bytes.Repeat(element, (maxInput-1024)/len(element)))
}

// manyExtensions is a list of n extensions, the last with size bytes.
func manyExtensions(n, size int) []byte {
	return appendList(nil, func(b []byte) []byte {
		for typ := range n - 1 {
			b = append(appendU16(b, uint16(typ)), 0)
		}
		return appendVec(appendU16(b, uint16(n-1)), make([]byte, size))
	})
}

// pathOf is a commit without proposals, with these nodes in its path.
func pathOf(nodes []byte) []byte {
	return slices.Concat([]byte{0, 1}, shortLeaf, []byte{0, 0}, appendVec(nil, nodes))
}

// Whoever fills a message with the shortest elements there are does not get much more of
// our memory than it sent bytes: the decoders stop at the bound of each list.
func TestMemoryBounded(t *testing.T) {
	welcomeOf := func(b []byte) error { _, err := parseWelcome(b); return err }
	secretsOf := func(b []byte) error { _, err := parseGroupSecrets(b); return err }
	infoOf := func(b []byte) error { _, err := parseGroupInfo(b); return err }
	treeOf := func(b []byte) error { _, err := parseTree(suites[Suite3], b); return err }
	commitOf := func(b []byte) error { return decode("commit", b, func(r *reader) { r.commit() }) }
	capabilitiesOf := func(b []byte) error { return decode("capabilities", b, func(r *reader) { r.capabilities() }) }

	update := slices.Concat(shortUpdate, []byte{0, 0})
	fullUpdate := slices.Concat(shortUpdate, manyExtensions(maxExtensions, 4000), []byte{0})
	fullLeaf := slices.Concat([]byte{1, nodeTypeLeaf}, shortLeaf, manyExtensions(maxExtensions, 8000), []byte{0})
	ascending := appendList(nil, func(b []byte) []byte {
		for i := range uint32((maxInput - 1024) / 4) {
			b = appendU32(b, i)
		}
		return b
	})
	ciphertext := hpkeCiphertext{make([]byte, 400), make([]byte, 400)}.append(nil)
	fullNode := append([]byte{0}, appendVec(nil, bytes.Repeat(ciphertext, maxLeaves))...)
	for _, tc := range []struct {
		name  string
		parse func(b []byte) error
		input []byte
		want  string
	}{
		{"welcome of secrets", welcomeOf, slices.Concat(appendMessageHeader(nil, wireWelcome), []byte{0, 3}, filled(0, 0, 0), []byte{0}), "more than 1000"},
		{"group secrets of PSKs", secretsOf, slices.Concat([]byte{0, 0}, filled(pskExternal, 0, 0)), "more than 16"},
		{"group info of extensions", infoOf, slices.Concat([]byte{0, 1, 0, 3, 0}, make([]byte, 10), manyExtensions(1<<16, maxInput-4<<16)), "more than 64"},
		{"group info of one extension over and over", infoOf, slices.Concat([]byte{0, 1, 0, 3, 0}, make([]byte, 10), filled(0, 1, 0)), "twice"},
		{"commit of Removes", commitOf, append(filled(proposalByValue, 0, byte(proposalRemove), 0, 0, 0, 0), 0), "more than 2001"},
		{"commit of PSKs", commitOf, append(filled(proposalByValue, 0, byte(proposalPSK), pskExternal, 0, 0), 0), "more than 2001"},
		{"commit of Updates", commitOf, append(filled(update...), 0), "more than 2001"},
		{"commit of Updates with extensions", commitOf, append(filled(fullUpdate...), 0), ""},
		{"path of nodes", commitOf, pathOf(make([]byte, maxInput-1024)), "more than 10"},
		{"path of ciphertexts", commitOf, pathOf(slices.Concat([]byte{0}, filled(0, 0))), "more than 1024"},
		{"path of nodes with ciphertexts", commitOf, pathOf(bytes.Repeat(fullNode, maxDepth)), ""},
		{"tree of blank nodes", treeOf, filled(0), "more than 2047"},
		{"tree of leaves with extensions", treeOf, filled(append(fullLeaf, 0)...), "ends with a blank node"},
		{"tree of unmerged leaves", treeOf, appendVec(nil, slices.Concat([]byte{0, 1, nodeTypeParent, 0, 0}, ascending)), "more than 1024"},
		{"capabilities of suites", capabilitiesOf, append([]byte{0}, append(filled(0, 1), 0, 0, 0)...), "more than 256"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := tc.parse(tc.input)
			runtime.ReadMemStats(&after)
			used := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d bytes of memory for %d of input", used, len(tc.input))
			if used > 2*uint64(len(tc.input)) {
				t.Errorf("%d bytes of memory for %d of input", used, len(tc.input))
			}
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, expected %q", err, tc.want)
			}
		})
	}
}

// Whatever the input's size, reading it takes at most twice that and a constant: lists of
// the shortest elements there are, which grow most in memory, are the first to end.
func TestMemoryOfDenseInputs(t *testing.T) {
	const constant = 12 << 20
	dense := slices.Concat(shortLeaf, manyExtensions(maxExtensions, 1), []byte{0})
	update := append([]byte{proposalByValue, 0, byte(proposalUpdate)}, dense...)
	leaf := append([]byte{1, nodeTypeLeaf}, dense...)
	list := func(element []byte, n int) []byte { return appendVec(nil, bytes.Repeat(element, n)) }
	add := slices.Concat([]byte{proposalByValue, 0, byte(proposalAdd), 0, 1, 0, 3, 0}, dense, manyExtensions(maxExtensions, 1), []byte{0})
	fullPath := appendVec(nil, bytes.Repeat(append([]byte{0}, list([]byte{0, 0}, maxLeaves)...), maxDepth))
	for _, tc := range []struct {
		name  string
		input []byte
		read  func(r *reader)
	}{
		{"Updates with the shortest extensions", append(list(update, 60), 0), func(r *reader) { r.commit() }},
		{"Updates of the shortest leaf", append(list(append(slices.Clone(shortUpdate), 0, 0), 2000), 0), func(r *reader) { r.commit() }},
		{"Removes", append(list([]byte{proposalByValue, 0, byte(proposalRemove), 0, 0, 0, 0}, 2000), 0), func(r *reader) { r.commit() }},
		{"path", pathOf(bytes.Repeat(append([]byte{0}, list([]byte{0, 0}, maxLeaves)...), maxDepth)), func(r *reader) { r.commit() }},
		{"all that a commit can hold", slices.Concat(list(add, maxProposals), []byte{1}, dense, fullPath), func(r *reader) { r.commit() }},
		{"all that a tree can hold", list(append(leaf, 0), maxLeaves-1), func(r *reader) {
			var nodes []node
			r.list(2*maxLeaves-1, func(r *reader) { nodes = append(nodes, r.treeNode(nodeIndex(len(nodes)%2))) })
		}},
		{"nodes", list(append(leaf, 0), 60), func(r *reader) { r.list(2*maxLeaves, func(r *reader) { r.treeNode(nodeIndex(len(r.b) % 2)) }) }},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := decode("input", tc.input, tc.read)
		runtime.ReadMemStats(&after)
		used := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d bytes of memory for %d of input, %v", tc.name, used, len(tc.input), err)
		if used > 2*uint64(len(tc.input))+constant {
			t.Errorf("%s: %d bytes of memory for %d of input", tc.name, used, len(tc.input))
		}
	}
}

// A list of code points has a bound: what a group requires is looked for in the capabilities
// of each leaf, and two lists as long as a message would take a joiner hours.
func TestCodePointsBounded(t *testing.T) {
	list := func(n int) (out []uint16) {
		for i := range n {
			out = append(out, uint16(0x1000+i))
		}
		return out
	}
	for n, want := range map[int]error{maxCodePoints: nil, maxCodePoints + 1: ErrProfile} {
		for kind := range 5 {
			var lists [5][]uint16
			lists[kind] = list(n)
			encoded := capabilities{lists[0], lists[1], lists[2], lists[3], lists[4]}.append(nil)
			if err := decode("capabilities", encoded, func(r *reader) { r.capabilities() }); !errors.Is(err, want) {
				t.Errorf("%d capabilities of kind %d: %v", n, kind, err)
			}
		}
		_, err := requiredBy([]Extension{RequiredCapabilities(list(n)...)})
		if !errors.Is(err, want) {
			t.Errorf("%d required: %v", n, err)
		}
	}
}

// Adds are counted before a signature of them is verified: a commit of a member's costs the
// others no more than the largest group does.
func TestAddsCountedFirst(t *testing.T) {
	random := testRandom(61)
	g := testGroup(t, random, Suite3, 2)[0].group
	forged := variant(t, random, Suite3, func(*KeyPackage) {})
	forged.signature = make([]byte, 64)
	adds := func(n int) []proposal { return addsOf(slices.Repeat([]*KeyPackage{forged}, n)) }
	remove := proposal{typ: proposalRemove, removed: 1}
	for _, tc := range []struct {
		name      string
		proposals []proposal
		want      error
	}{
		{"as many as fit", adds(MaxMembers - 2), ErrInvalid},
		{"one more", adds(MaxMembers - 1), ErrProfile},
		{"one more and one less", append(adds(MaxMembers-1), remove), ErrInvalid},
		{"two more and one less", append(adds(MaxMembers), remove), ErrProfile},
		{"two more and one less, twice", append(adds(MaxMembers), remove, remove), ErrInvalid},
	} {
		_, err := g.apply(tc.proposals, 0, testTime)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := g.apply(append(adds(1), remove, remove), 0, testTime); !strings.Contains(fmt.Sprint(err), "twice") {
		t.Errorf("a signature was verified before a Remove was looked at: %v", err)
	}
}
