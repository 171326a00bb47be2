package mls

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var testTime = time.Unix(1_800_000_000, 0)

// testRandom is deterministic: a failing test fails again.
func testRandom(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

var testPSK = PSK{ID: []byte("conclave/1 link\x00\x01"), Secret: bytes.Repeat([]byte{7}, 32)}

func testPSKs(id []byte) ([]byte, bool) {
	return testPSK.Secret, bytes.Equal(id, testPSK.ID)
}

func testSigner(t testing.TB, random io.Reader) ed25519.PrivateKey {
	t.Helper()
	seed, err := readRandom(random, ed25519.SeedSize)
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}

func testParams(t testing.TB, random io.Reader, s Suite, name string) KeyPackageParams {
	t.Helper()
	return KeyPackageParams{
		Suite: s, Signer: testSigner(t, random), Identity: []byte(name),
		LeafExtensions: []Extension{{ExtensionConclaveIdentity, []byte("sealed " + name)}},
		Extensions:     []Extension{{ExtensionConclaveJoin, []byte("join")}},
		NotBefore:      uint64(testTime.Unix()) - 3600, NotAfter: uint64(testTime.Unix()) + 24*3600,
	}
}

func testKeyPackage(t testing.TB, random io.Reader, s Suite, name string) *KeyPackageSecrets {
	t.Helper()
	kp, err := NewKeyPackage(random, testParams(t, random, s, name))
	if err != nil {
		t.Fatal(err)
	}
	return kp
}

// party is a member in a test.
type party struct {
	group  *Group
	sender *Sender
}

var testGroupExtensions = []Extension{
	RequiredCapabilities(ExtensionConclaveGroup, ExtensionConclaveIdentity),
	{ExtensionConclaveGroup, []byte("room")},
}

func testCreate(t testing.TB, random io.Reader, s Suite, name string) party {
	t.Helper()
	g, sender, err := CreateFrom(random, testKeyPackage(t, random, s, name), []byte("group"), testGroupExtensions)
	if err != nil {
		t.Fatal(err)
	}
	return party{g, sender}
}

func (p *party) commit(t testing.TB, random io.Reader, params CommitParams) *Staged {
	t.Helper()
	params.PSK, params.Now = testPSK, testTime
	staged, err := p.group.Commit(random, p.sender, params)
	if err != nil {
		t.Fatal(err)
	}
	return staged
}

func (p *party) merge(s *Staged) { p.group, p.sender = s.Merge() }

func (p *party) process(t testing.TB, msg []byte) *Processed {
	t.Helper()
	out, err := p.group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime})
	if err != nil {
		t.Fatal(err)
	}
	if !out.SelfRemoved {
		p.group, p.sender = out.Group, out.Sender
	}
	return out
}

// testCommit lets one party commit and all others process it.
func testCommit(t testing.TB, random io.Reader, parties []party, by int, params CommitParams) *Staged {
	t.Helper()
	staged := parties[by].commit(t, random, params)
	for i := range parties {
		if i != by {
			parties[i].process(t, staged.Commit)
		}
	}
	parties[by].merge(staged)
	return staged
}

func testJoin(t testing.TB, welcome []byte, kp *KeyPackageSecrets) party {
	t.Helper()
	g, s, _, err := Join(welcome, kp, JoinParams{PSKs: testPSKs, RequiredPSKs: [][]byte{testPSK.ID}})
	if err != nil {
		t.Fatal(err)
	}
	return party{g, s}
}

// testGroup makes a group of n members by one commit.
func testGroup(t testing.TB, random io.Reader, s Suite, n int) []party {
	t.Helper()
	parties := []party{testCreate(t, random, s, "member 0")}
	if n == 1 {
		return parties
	}
	var adds []*KeyPackage
	var kps []*KeyPackageSecrets
	for i := 1; i < n; i++ {
		kps = append(kps, testKeyPackage(t, random, s, fmt.Sprint("member ", i)))
		adds = append(adds, kps[i-1].KeyPackage())
	}
	staged := parties[0].commit(t, random, CommitParams{Adds: adds})
	parties[0].merge(staged)
	for _, kp := range kps {
		parties = append(parties, testJoin(t, staged.Welcome, kp))
	}
	return parties
}

// requireOneEpoch checks that all parties agree, and that what one says all others hear.
func requireOneEpoch(t testing.TB, random io.Reader, parties []party) {
	t.Helper()
	first := parties[0].group
	for i, p := range parties {
		if p.group.Epoch() != first.Epoch() || !bytes.Equal(p.group.EpochAuthenticator(), first.EpochAuthenticator()) {
			t.Fatalf("party %d is in another epoch", i)
		}
		if !bytes.Equal(p.group.tree.encode(), first.tree.encode()) {
			t.Fatalf("party %d has another tree", i)
		}
		for x, key := range p.group.keys {
			if !bytes.Equal(key.PublicKey(), p.group.tree.nodes[x].encryptionKey()) {
				t.Fatalf("party %d holds a key that node %d does not have", i, x)
			}
		}
	}
	for i, p := range parties {
		text := fmt.Appendf(nil, "from %d", i)
		msg, err := p.sender.Seal(random, []byte("aad"), text)
		if err != nil {
			t.Fatal(err)
		}
		for j, q := range parties {
			if i == j {
				continue
			}
			got, err := q.group.NewReceiver().Open(msg)
			if err != nil {
				t.Fatalf("%d to %d: %v", i, j, err)
			}
			if !bytes.Equal(got.Plaintext, text) || got.Sender != p.group.Own() || string(got.AAD) != "aad" {
				t.Fatalf("%d to %d: got %v", i, j, got)
			}
		}
	}
}

// Who is added learns its path secrets from the Welcome: the path holds none for it
// (RFC 9420, Section 7.5).
func TestPathIsNotForTheAdded(t *testing.T) {
	random := testRandom(2)
	parties := testGroup(t, random, Suite3, 2)
	staged := parties[0].commit(t, random, CommitParams{Adds: testKeyPackages(t, random, Suite3, 3)})
	c, err := parties[1].group.openCommit(staged.Commit)
	requireNoError(t, "open", err)
	var got []int
	for _, n := range c.commit.path.nodes {
		got = append(got, len(n.secrets))
	}
	if !slices.Equal(got, []int{1, 0, 0}) {
		t.Errorf("ciphertexts at the nodes of the path: %v", got)
	}
}

func TestGroupLife(t *testing.T) {
	for _, s := range []Suite{Suite1, Suite3, SuiteXWing} {
		t.Run(s.String(), func(t *testing.T) {
			random := testRandom(1)
			parties := testGroup(t, random, s, 7)
			requireOneEpoch(t, random, parties)

			// A member removes two and adds one in one commit.
			kp := testKeyPackage(t, random, s, "late")
			var seen []byte
			staged := parties[3].commit(t, random, CommitParams{
				Adds: []*KeyPackage{kp.KeyPackage()}, Removes: []LeafIndex{1, 6}, AAD: []byte("log position"),
				GroupInfoExtensions: func(commit []byte) []Extension {
					seen = commit
					return []Extension{{ExtensionConclaveCommit, []byte("position")}}
				},
			})
			if !bytes.Equal(seen, staged.Commit) {
				t.Error("the callback saw another commit")
			}
			for _, gone := range []int{1, 6} {
				if out := parties[gone].process(t, staged.Commit); !out.SelfRemoved || out.Group != nil {
					t.Errorf("party %d does not know that it was removed", gone)
				}
			}
			for _, i := range []int{0, 2, 4, 5} {
				out := parties[i].process(t, staged.Commit)
				if out.Committer != 3 || string(out.AAD) != "log position" || len(out.Removed) != 2 ||
					len(out.Added) != 1 || out.Added[0].Leaf != 1 || string(out.Added[0].Identity) != "late" ||
					!bytes.Equal(out.AddedRefs[0], kp.KeyPackage().Ref()) ||
					!bytes.Equal(out.AddedRaw[0], kp.KeyPackage().Raw()) {
					t.Errorf("party %d: %+v", i, *out)
				}
			}
			parties[3].merge(staged)
			parties[1] = testJoin(t, staged.Welcome, kp)
			parties = parties[:6]
			requireOneEpoch(t, random, parties)

			// Everybody commits in turn.
			for i := range parties {
				testCommit(t, random, parties, i, CommitParams{})
			}
			requireOneEpoch(t, random, parties)
		})
	}
}
