package mls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// editTree changes the tree of a GroupInfo, and makes its tree hash fit again.
func editTree(t *testing.T, change func(tree *tree)) func(*groupInfo) {
	return func(i *groupInfo) {
		tree, err := parseTree(suites[i.context.suite], i.extensions[0].Data)
		requireNoError(t, "tree", err)
		change(tree)
		i.extensions[0].Data = tree.encode()
		i.context.treeHash = tree.rootHash()
	}
}

func editLeaf(tree *tree, i LeafIndex, change func(n *leafNode)) {
	n := *tree.leaf(i)
	change(&n)
	tree.set(i.node(), node{leaf: &n})
}

func editParent(tree *tree, x nodeIndex, change func(n *parentNode)) {
	n := *tree.nodes[x].parent
	change(&n)
	tree.set(x, node{parent: &n})
}

// Each broken rule of a Welcome is refused (rule 2).
func TestWelcomesRefused(t *testing.T) {
	random := testRandom(20)
	parties := testGroup(t, random, Suite3, 8)
	// Everybody commits once, so that the tree is full of parents; then leaf 6 goes, and
	// leaf 7 fills the path that this left blank.
	for i := range parties {
		testCommit(t, random, parties, i, CommitParams{})
	}
	testCommit(t, random, parties, 0, CommitParams{Removes: []LeafIndex{6}})
	parties = slices.Delete(parties, 6, 7)
	testCommit(t, random, parties, 6, CommitParams{})
	g := parties[0].group
	kp := testKeyPackage(t, random, Suite3, "joiner")
	other, _ := newEd25519Signer(testSigner(t, random))
	edited := func(change func(tree *tree)) forgery { return forgery{groupInfo: editTree(t, change)} }
	leaf := func(i LeafIndex, change func(n *leafNode)) forgery {
		return edited(func(tree *tree) { editLeaf(tree, i, change) })
	}
	resigned := func(i LeafIndex, change func(n *leafNode)) forgery {
		return leaf(i, func(n *leafNode) {
			change(n)
			requireNoError(t, "leaf", n.seal(parties[i].group.signer, g.context.groupID, i))
		})
	}
	// The joiner gets leaf 6, which is unmerged at node 11 but not at 7, the root, which
	// the path of leaf 0 renews; 13 is blank.
	for _, r := range []refusal{
		{"no tree", forgery{groupInfo: func(i *groupInfo) { i.extensions = nil }}, ErrInvalid, "without a tree"},
		{"two trees", forgery{groupInfo: func(i *groupInfo) { i.extensions = append(i.extensions, i.extensions[0]) }}, ErrMalformed, "twice"},
		{"bytes after the tree", forgery{groupInfo: func(i *groupInfo) { i.extensions[0].Data = append(i.extensions[0].Data, 0) }}, ErrMalformed, "left over"},
		{"a blank node after the tree", forgery{groupInfo: func(i *groupInfo) {
			r := &reader{b: i.extensions[0].Data}
			i.extensions[0].Data = appendVec(nil, append(slices.Clone(r.vec()), 0))
		}}, ErrMalformed, "blank"},
		{"an empty tree", forgery{groupInfo: func(i *groupInfo) { i.extensions[0].Data = []byte{0} }}, ErrMalformed, "blank"},
		{"a very wide tree", forgery{groupInfo: func(i *groupInfo) {
			i.extensions[0].Data = appendVec(nil, make([]byte, 2*maxLeaves))
		}}, ErrProfile, "more than 2047"},
		{"bytes after the GroupInfo", forgery{infoBytes: func(b []byte) []byte { return append(b, 0) }}, ErrMalformed, "left over"},
		{"truncated GroupInfo", forgery{infoBytes: func(b []byte) []byte { return b[:len(b)-1] }}, ErrMalformed, "truncated"},
		{"signature of the GroupInfo", forgery{infoKey: other}, ErrInvalid, "signature of a group info"},
		{"another signer", forgery{groupInfo: func(i *groupInfo) { i.signer = 1 }}, ErrInvalid, "signature of a group info"},
		{"a signer outside", forgery{groupInfo: func(i *groupInfo) { i.signer = 1<<32 - 1 }}, ErrInvalid, "signature of a group info"},
		{"tree hash", forgery{groupInfo: func(i *groupInfo) { i.context.treeHash = make([]byte, 32) }}, ErrInvalid, "tree hash"},
		{"another suite", forgery{groupInfo: func(i *groupInfo) { i.context.suite = Suite1 }}, ErrInvalid, "group of suite"},
		{"another version", forgery{infoBytes: func(b []byte) []byte { b[1] = 2; return b }}, ErrProfile, "version"},
		{"an unknown GroupContext extension", forgery{groupInfo: func(i *groupInfo) {
			i.context.extensions = append(slices.Clone(i.context.extensions), Extension{Type: 0xF0FF})
		}}, ErrInvalid, "capability"},
		{"required capabilities that we lack", forgery{groupInfo: func(i *groupInfo) {
			i.context.extensions = []Extension{RequiredCapabilities(0xF0FF)}
		}}, ErrInvalid, "capability"},
		{"required capabilities garbled", forgery{groupInfo: func(i *groupInfo) {
			i.context.extensions = []Extension{{extensionRequiredCapabilities, []byte{1}}}
		}}, ErrMalformed, ""},
		{"another group id", forgery{groupInfo: func(i *groupInfo) { i.context.groupID = []byte("elsewhere") }}, ErrInvalid, "signature of a leaf node"},
		{"confirmation tag", forgery{groupInfo: func(i *groupInfo) { i.tag[0] ^= 1 }}, ErrInvalid, "confirmation tag"},
		{"another transcript", forgery{groupInfo: func(i *groupInfo) { i.context.confirmedTranscriptHash = make([]byte, 32) }}, ErrInvalid, "confirmation tag"},
		{"another epoch", forgery{groupInfo: func(i *groupInfo) { i.context.epoch++ }}, ErrInvalid, "confirmation tag"},
		{"our leaf gone", edited(func(tree *tree) { tree.remove(6) }), ErrInvalid, "not in the tree"},

		{"signature of a leaf", leaf(3, func(n *leafNode) {
			n.raw = slices.Clone(n.raw)
			n.raw[len(n.raw)-1] ^= 1
		}), ErrInvalid, "signature of a leaf node"},
		{"a leaf signed for another place", leaf(3, func(n *leafNode) {
			requireNoError(t, "leaf", n.seal(parties[3].group.signer, g.context.groupID, 4))
		}), ErrInvalid, "signature of a leaf node"},
		{"a leaf without a capability", resigned(3, func(n *leafNode) { n.capabilities.extensions = nil }), ErrInvalid, "capabilities"},
		{"parent hash of a leaf", resigned(5, func(n *leafNode) { n.parentHash = make([]byte, 32) }), ErrInvalid, "parent hash"},
		{"a leaf that never committed", resigned(5, func(n *leafNode) { n.source, n.parentHash = sourceUpdate, nil }), ErrInvalid, "parent hash"},
		{"two leaves with one encryption key", edited(func(tree *tree) {
			// Leaf 4 is below a parent that 5 made: no chain runs through it.
			editLeaf(tree, 4, func(n *leafNode) {
				n.encryptionKey = tree.leaf(2).encryptionKey
				requireNoError(t, "leaf", n.seal(parties[4].group.signer, g.context.groupID, 4))
			})
		}), ErrInvalid, ""},
		{"encryption key of low order", resigned(3, func(n *leafNode) { n.encryptionKey = make([]byte, 32) }), ErrInvalid, "encryption key"},
		{"key of a parent", edited(func(tree *tree) {
			editParent(tree, 3, func(n *parentNode) { n.encryptionKey = tree.leaf(0).signatureKey })
		}), ErrInvalid, "parent hash"},
		{"parent key of low order", edited(func(tree *tree) {
			editParent(tree, 3, func(n *parentNode) { n.encryptionKey = make([]byte, 32) })
		}), ErrInvalid, "encryption key"},
		{"parent hash of a parent", edited(func(tree *tree) {
			editParent(tree, 1, func(n *parentNode) { n.parentHash = make([]byte, 32) })
		}), ErrInvalid, "parent hash"},
		{"an unmerged leaf left out", edited(func(tree *tree) {
			editParent(tree, 11, func(n *parentNode) { n.unmerged = nil })
		}), ErrInvalid, "parent hash"},
		{"an unmerged leaf elsewhere", edited(func(tree *tree) {
			editParent(tree, 3, func(n *parentNode) { n.unmerged = []LeafIndex{6} })
		}), ErrInvalid, "unmerged"},
		{"an unmerged leaf outside the tree", edited(func(tree *tree) {
			editParent(tree, 1, func(n *parentNode) { n.unmerged = []LeafIndex{9} })
		}), ErrInvalid, "unmerged"},
		{"an unmerged leaf far outside", edited(func(tree *tree) {
			editParent(tree, 1, func(n *parentNode) { n.unmerged = []LeafIndex{1<<32 - 1} })
		}), ErrInvalid, "unmerged"},
		{"unmerged above, merged below", edited(func(tree *tree) {
			editParent(tree, 7, func(n *parentNode) { n.unmerged = []LeafIndex{5} })
		}), ErrInvalid, "unmerged"},
		{"unmerged leaves out of order", edited(func(tree *tree) {
			editParent(tree, 11, func(n *parentNode) { n.unmerged = []LeafIndex{6, 6} })
		}), ErrMalformed, "ascending"},

		{"no PSK", forgery{secrets: func(s *groupSecrets) { s.psks = nil }}, ErrProfile, "0 PSKs"},
		{"two PSKs", forgery{secrets: func(s *groupSecrets) { s.psks = append(slices.Clone(s.psks), s.psks[0]) }}, ErrProfile, "2 PSKs"},
		{"another PSK", forgery{secrets: func(s *groupSecrets) { s.psks = []pskID{{[]byte("x"), s.psks[0].nonce}} }}, ErrInvalid, "another PSK"},
		{"another nonce", forgery{secrets: func(s *groupSecrets) { s.psks = []pskID{{s.psks[0].id, make([]byte, 32)}} }}, ErrDecrypt, "group info"},
		{"another joiner secret", forgery{secrets: func(s *groupSecrets) { s.joiner = make([]byte, 32) }}, ErrDecrypt, "group info"},
		{"no path secret", forgery{secrets: func(s *groupSecrets) { s.path = nil }}, ErrProfile, "without a path"},
		{"another path secret", forgery{secrets: func(s *groupSecrets) { s.path = make([]byte, 32) }}, ErrInvalid, "path secret"},
	} {
		t.Run(r.name, func(t *testing.T) {
			r.f.params = CommitParams{Adds: []*KeyPackage{kp.KeyPackage()}}
			_, welcome := r.f.make(t, random, parties[0])
			_, _, _, err := Join(welcome(), kp, JoinParams{PSKs: testPSKs, RequiredPSKs: [][]byte{testPSK.ID}})
			if !errors.Is(err, r.want) || !strings.Contains(fmt.Sprint(err), r.text) {
				t.Error(err)
			}
		})
	}

	// The KeyPackage stays usable (rule 11), unknown GroupInfo extensions mean nothing.
	f := forgery{params: CommitParams{Adds: []*KeyPackage{kp.KeyPackage()}}, groupInfo: func(i *groupInfo) {
		i.extensions = append(i.extensions, Extension{Type: 0x5A5A, Data: []byte("grease")})
	}}
	_, welcome := f.make(t, random, parties[0])
	for range 2 {
		joined, _, info, err := Join(welcome(), kp, JoinParams{PSKs: testPSKs, RequiredPSKs: [][]byte{testPSK.ID}})
		requireNoError(t, "honest welcome", err)
		if joined.Own() != 6 || info.Signer != 0 || len(info.Extensions) != 1 || info.Extensions[0].Type != 0x5A5A {
			t.Errorf("joined as %d, %+v", joined.Own(), *info)
		}
	}

	elsewhere := welcome()
	elsewhere[5] = byte(Suite1)
	if _, _, _, err := Join(elsewhere, kp, JoinParams{PSKs: testPSKs}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "welcome for suite") {
		t.Errorf("welcome for another suite: %v", err)
	}
	stranger := testKeyPackage(t, random, Suite3, "joiner")
	if _, _, _, err := Join(welcome(), stranger, JoinParams{PSKs: testPSKs}); !errors.Is(err, ErrNotAddressed) {
		t.Errorf("stranger: %v", err)
	}
	if _, _, _, err := Join(welcome(), kp, JoinParams{}); !errors.Is(err, ErrUnknownPSK) {
		t.Errorf("without the PSK: %v", err)
	}
	wrong := JoinParams{PSKs: func([]byte) ([]byte, bool) { return []byte("wrong"), true }}
	if _, _, _, err := Join(welcome(), kp, wrong); !errors.Is(err, ErrDecrypt) {
		t.Errorf("with another PSK: %v", err)
	}
	kp.Erase()
	if _, _, _, err := Join(welcome(), kp, JoinParams{PSKs: testPSKs}); !errors.Is(err, ErrInvalid) {
		t.Errorf("erased: %v", err)
	}
}

// Below a parent, only leaves that are unmerged there may stand beside the node that the
// parent's hash is in (RFC 9420, Section 7.9.2): an insider could have a key there that
// nobody knows of.
func TestParentHashBesideOthers(t *testing.T) {
	random := testRandom(22)
	parties := testGroup(t, random, Suite3, 7)
	for i := range parties {
		testCommit(t, random, parties, i, CommitParams{})
	}
	// The joiner gets leaf 7, beside leaf 6 under the blank node 13, unmerged at 11.
	kp := testKeyPackage(t, random, Suite3, "joiner")
	join := func(change func(*parentNode)) error {
		f := forgery{params: CommitParams{Adds: []*KeyPackage{kp.KeyPackage()}}}
		f.tree = func(tree *tree) { editParent(tree, 11, change) }
		_, welcome := f.make(t, random, parties[0])
		_, _, _, err := Join(welcome(), kp, JoinParams{PSKs: testPSKs})
		return err
	}
	requireNoError(t, "honest", join(func(p *parentNode) {
		if len(p.unmerged) != 1 || p.unmerged[0] != 7 {
			t.Errorf("unmerged %v", p.unmerged)
		}
	}))
	if err := join(func(p *parentNode) { p.unmerged = nil }); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "parent hash") {
		t.Error(err)
	}
}

// What an insider can put beside us in a tree whose hashes all fit: no encryption key may be
// there twice, and our leaf must be our own to the last byte (RFC 9420, Section 12.4.3.1).
func TestWelcomeWithTwins(t *testing.T) {
	random := testRandom(23)
	parties := testGroup(t, random, Suite3, 3)
	kp := testKeyPackage(t, random, Suite3, "joiner")
	twin := variant(t, random, Suite3, func(k *KeyPackage) { k.leaf.encryptionKey = kp.kp.leaf.encryptionKey })
	beside := addOf(twin)
	instead := forgery{tree: func(tree *tree) { tree.set(LeafIndex(3).node(), node{leaf: twin.leaf}) }}
	for text, f := range map[string]forgery{"one encryption key": beside, "not in the tree": instead} {
		f.params = CommitParams{Adds: []*KeyPackage{kp.KeyPackage()}}
		_, welcome := f.make(t, random, parties[0])
		_, _, _, err := Join(welcome(), kp, JoinParams{PSKs: testPSKs})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Every truncation of what peers send is an error, and so is a byte more.
func TestTruncated(t *testing.T) {
	random := testRandom(21)
	parties := testGroup(t, random, Suite3, 2)
	kp := testKeyPackage(t, random, Suite3, "third")
	staged := parties[0].commit(t, random, CommitParams{Adds: []*KeyPackage{kp.KeyPackage()}})
	message, err := parties[0].sender.Seal(random, nil, []byte("hello"))
	requireNoError(t, "seal", err)
	for _, tc := range []struct {
		name string
		raw  []byte
		f    func(b []byte) error
	}{
		{"key package", kp.KeyPackage().Raw(), func(b []byte) error { _, err := ParseKeyPackage(b); return err }},
		{"commit", staged.Commit, func(b []byte) error {
			_, err := parties[1].group.Process(b, ProcessParams{PSKs: testPSKs, Now: testTime})
			return err
		}},
		{"peek", staged.Commit, func(b []byte) error { _, err := Peek(b); return err }},
		{"welcome", staged.Welcome, func(b []byte) error {
			_, _, _, err := Join(b, kp, JoinParams{PSKs: testPSKs})
			return err
		}},
		{"application message", message, func(b []byte) error { _, err := parties[1].group.NewReceiver().Open(b); return err }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for n := range tc.raw {
				if err := tc.f(tc.raw[:n:n]); !errors.Is(err, ErrMalformed) {
					t.Fatalf("%d of %d bytes: %v", n, len(tc.raw), err)
				}
			}
			if err := tc.f(append(slices.Clone(tc.raw), 0)); !errors.Is(err, ErrMalformed) {
				t.Errorf("a byte more: %v", err)
			}
			if err := tc.f(make([]byte, maxInput+1)); !errors.Is(err, ErrMalformed) {
				t.Errorf("too much: %v", err)
			}
			if err := tc.f(bytes.Clone(tc.raw)); err != nil {
				t.Errorf("whole: %v", err)
			}
		})
	}
}

// Lifetimes are for the Add: a leaf in the tree of a Welcome may have any, for others were
// there when it was added, and it may stay longer (RFC 9420, Section 7.3).
func TestLifetimesInTreeUnchecked(t *testing.T) {
	random := testRandom(101)
	for _, l := range []lifetime{{0, 0}, {0, ^uint64(0)}, {^uint64(0), 0}, {1, 2}} {
		params := testParams(t, random, Suite3, "of any age")
		params.NotBefore, params.NotAfter = l.notBefore, l.notAfter
		old, err := NewKeyPackage(random, params)
		requireNoError(t, "key package", err)
		joiner := testKeyPackage(t, random, Suite3, "joiner")
		p := testCreate(t, random, Suite3, "creator")
		staged, err := p.group.Commit(random, p.sender, CommitParams{
			Adds: []*KeyPackage{old.KeyPackage(), joiner.KeyPackage()}, PSK: testPSK, // at no time
		})
		requireNoError(t, "commit", err)
		joined := testJoin(t, staged.Welcome, joiner)
		if leaf := joined.group.tree.leaf(1); leaf.lifetime != l {
			t.Errorf("lifetime %v in the tree instead of %v", leaf.lifetime, l)
		}
	}
}
