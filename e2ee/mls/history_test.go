package mls

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Members come and go at random, any of them commits, and all agree after every epoch
// (rule 10). Joiners check the whole tree each time.
func TestRandomHistories(t *testing.T) {
	for _, tc := range []struct {
		suite  Suite
		epochs int
	}{{Suite1, 25}, {Suite3, 60}, {SuiteXWing, 10}} {
		t.Run(tc.suite.String(), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			dice := rand.New(rand.NewPCG(seed, 0))
			random := rand.NewChaCha8([32]byte(fmt.Appendf(nil, "%032d", seed)))
			parties := testGroup(t, random, tc.suite, 1+dice.IntN(12))
			for epoch := range tc.epochs {
				parties = randomEpoch(t, dice, random, parties, tc.suite, epoch)
				first := parties[0].group
				requireEqual(t, "tree hash", rehash(t, first), first.context.treeHash)
				for _, p := range parties {
					requireEqual(t, "epoch", p.group.EpochAuthenticator(), first.EpochAuthenticator())
				}
			}
			requireOneEpoch(t, random, parties)
		})
	}
}

// rehash computes the tree hash without what the tree remembers.
func rehash(t *testing.T, g *Group) []byte {
	t.Helper()
	raw := g.tree.encode()
	fresh, err := parseTree(g.suite, raw[:])
	requireNoError(t, "tree", err)
	return fresh.rootHash()
}

// randomEpoch lets one member remove and add some others.
func randomEpoch(t *testing.T, dice *rand.Rand, random io.Reader, parties []party, suite Suite, epoch int) []party {
	t.Helper()
	by := dice.IntN(len(parties))
	var params CommitParams
	gone := make(map[int]bool)
	for i := range parties {
		if i != by && dice.IntN(4) == 0 {
			gone[i] = true
			params.Removes = append(params.Removes, parties[i].group.Own())
		}
	}
	var newcomers []*KeyPackageSecrets
	for i := range dice.IntN(5) {
		kp := testKeyPackage(t, random, suite, fmt.Sprint("epoch ", epoch, " number ", i))
		newcomers = append(newcomers, kp)
		params.Adds = append(params.Adds, kp.KeyPackage())
	}
	staged := testCommit(t, random, parties, by, params)
	next := slices.DeleteFunc(slices.Clone(parties), func(p party) bool {
		return slices.ContainsFunc(params.Removes, func(l LeafIndex) bool {
			return p.group.Own() == l && p.group.Epoch() == uint64(parties[by].group.Epoch())-1
		})
	})
	for _, kp := range newcomers {
		next = append(next, testJoin(t, staged.Welcome, kp))
	}
	if want := len(parties) - len(gone) + len(newcomers); len(next) != want || len(next[0].group.Members()) != want {
		t.Fatalf("%d parties, %d members, expected %d", len(next), len(next[0].group.Members()), want)
	}
	return next
}

// All randomness comes from the reader: the same readers make the same commit.
func TestDeterministic(t *testing.T) {
	for _, id := range []Suite{Suite1, Suite3, SuiteXWing} {
		make := func() *Staged {
			random := testRandom(40)
			parties := testGroup(t, random, id, 3)
			kp := testKeyPackage(t, random, id, "newcomer")
			return parties[0].commit(t, random, CommitParams{Adds: []*KeyPackage{kp.KeyPackage()}})
		}
		a, b := make(), make()
		requireEqual(t, "commit", a.Commit, b.Commit)
		requireEqual(t, "welcome", a.Welcome, b.Welcome)
		requireEqual(t, "epoch", a.group.EpochAuthenticator(), b.group.EpochAuthenticator())
	}
}

// A Group is immutable: many may use one at once, and it stays what it was.
func TestGroupIsImmutable(t *testing.T) {
	random := testRandom(41)
	parties := testGroup(t, random, Suite3, 5)
	g := parties[1].group
	before := fmt.Sprintf("%x %x %v", g.tree.encode(), g.encoded, g.tree.hashes)
	commits := [][]byte{
		parties[0].commit(t, random, CommitParams{Removes: []LeafIndex{4}}).Commit,
		parties[2].commit(t, random, CommitParams{Removes: []LeafIndex{0, 3}}).Commit,
		parties[3].commit(t, random, CommitParams{Adds: []*KeyPackage{testKeyPackage(t, random, Suite3, "x").KeyPackage()}}).Commit,
		parties[3].commit(t, random, CommitParams{Removes: []LeafIndex{1}}).Commit,
	}
	var wg sync.WaitGroup
	for range 3 {
		for _, c := range commits {
			wg.Go(func() {
				if _, err := g.Process(c, ProcessParams{PSKs: testPSKs, Now: testTime}); err != nil {
					t.Error(err)
				}
				g.Members()
				if _, err := g.Export("label", nil, 32); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if after := fmt.Sprintf("%x %x %v", g.tree.encode(), g.encoded, g.tree.hashes); after != before {
		t.Error("processing changed the group")
	}
	m, _ := g.Member(0)
	m.Identity[0] ^= 1
	m.SignatureKey[0] ^= 1
	m.Extensions[0].Data[0] ^= 1
	g.GroupID()[0] ^= 1
	g.Extensions()[1].Data[0] ^= 1
	g.EpochAuthenticator()[0] ^= 1
	if after := fmt.Sprintf("%x %x %v", g.tree.encode(), g.context.encode(), g.tree.hashes); after != before {
		t.Error("a caller reached into the group")
	}
}

// Secrets do not print (rule 5).
func TestSecretsDoNotPrint(t *testing.T) {
	random := testRandom(42)
	parties := testGroup(t, random, Suite3, 2)
	kp := testKeyPackage(t, random, Suite3, "x")
	staged := parties[0].commit(t, random, CommitParams{})
	out := parties[1].process(t, staged.Commit)
	for _, v := range []any{
		parties[0].group, parties[0].sender, parties[0].group.NewReceiver(), kp, staged, out, testPSK, &testPSK,
		parties[0].group.secrets, parties[0].group.signer,
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if got := fmt.Sprintf(verb, v); got != "[secret]" {
				t.Errorf("%T with %s: %.80s", v, verb, got)
			}
		}
	}
}

// What the caller may ask for, and what not.
func TestCallerErrors(t *testing.T) {
	random := testRandom(43)
	p := testCreate(t, random, Suite3, "creator")
	kp := testKeyPackage(t, random, Suite3, "x").KeyPackage()
	commit := func(c CommitParams) error {
		_, err := p.group.Commit(random, p.sender, c)
		return err
	}
	twice := []Extension{{ExtensionConclaveJoin, nil}, {ExtensionConclaveJoin, nil}}
	params := testParams(t, random, Suite3, "y")
	create := func(change func(*KeyPackageParams)) error {
		q := params
		change(&q)
		_, err := NewKeyPackage(random, q)
		return err
	}
	export := func(n int) error { _, err := p.group.Export("label", nil, n); return err }
	for _, tc := range []struct {
		name string
		err  error
		want error
	}{
		{"no PSK", commit(CommitParams{}), ErrProfile},
		{"empty PSK", commit(CommitParams{PSK: PSK{ID: []byte("x")}}), ErrProfile},
		{"remove self", commit(CommitParams{PSK: testPSK, Removes: []LeafIndex{0}}), ErrInvalid},
		{"remove nobody", commit(CommitParams{PSK: testPSK, Removes: []LeafIndex{5}}), ErrInvalid},
		{"expired", commit(CommitParams{PSK: testPSK, Adds: []*KeyPackage{kp}, Now: testTime.AddDate(1, 0, 0)}), ErrInvalid},
		{"add twice", commit(CommitParams{PSK: testPSK, Adds: []*KeyPackage{kp, kp}}), ErrInvalid},
		{"GroupInfo extensions twice", commit(CommitParams{
			PSK: testPSK, Adds: []*KeyPackage{kp}, GroupInfoExtensions: func([]byte) []Extension { return twice },
		}), ErrInvalid},
		{"unknown suite", create(func(q *KeyPackageParams) { q.Suite = 0x0004 }), ErrProfile},
		{"no signer", create(func(q *KeyPackageParams) { q.Signer = nil }), ErrInvalid},
		{"extensions twice", create(func(q *KeyPackageParams) { q.Extensions = twice }), ErrInvalid},
		{"leaf extensions twice", create(func(q *KeyPackageParams) { q.LeafExtensions = twice }), ErrInvalid},
		{"verify for another suite", kp.Verify(Suite1, testTime), ErrInvalid},
		{"verify too late", kp.Verify(Suite3, testTime.AddDate(0, 0, 2)), ErrInvalid},
		{"verify", kp.Verify(Suite3, testTime), nil},
		{"export too much", export(255*32 + 1), ErrInvalid},
		{"export less than nothing", export(-1), ErrInvalid},
		{"export", export(255 * 32), nil},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: %v", tc.name, tc.err)
		}
	}
	if _, err := p.group.Commit(strings.NewReader("short"), p.sender, CommitParams{PSK: testPSK}); err == nil {
		t.Error("commit without randomness")
	}
	if _, _, err := CreateFrom(random, testKeyPackage(t, random, Suite3, "z"), nil, []Extension{{Type: 0xF0FF}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("create with an extension that nobody has: %v", err)
	}
}
