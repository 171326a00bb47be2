package mls

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKeyPackageAccessors(t *testing.T) {
	random := testRandom(70)
	params := testParams(t, random, Suite3, "someone")
	params.LeafExtensions = append(params.LeafExtensions, Extension{0xF0AA, []byte("more")})
	secrets, err := NewKeyPackage(random, params)
	requireNoError(t, "make", err)
	kp, err := ParseKeyPackage(secrets.KeyPackage().Raw())
	requireNoError(t, "parse", err)
	requireNoError(t, "verify", kp.Verify(Suite3, testTime))
	from, to := kp.Lifetime()
	if kp.Suite() != Suite3 || from != params.NotBefore || to != params.NotAfter {
		t.Errorf("suite %v, lifetime %d to %d", kp.Suite(), from, to)
	}
	requireEqual(t, "identity", kp.Identity(), params.Identity)
	requireEqual(t, "signature key", kp.SignatureKey(), newSigner(t, params).public())
	requireEqual(t, "init key", kp.InitKey(), secrets.initKey.PublicKey())
	requireEqual(t, "encryption key", kp.EncryptionKey(), secrets.leafKey.PublicKey())
	requireEqual(t, "reference", kp.Ref(), secrets.KeyPackage().Ref())
	if e := kp.Extensions(); len(e) != 1 || e[0].Type != ExtensionConclaveJoin || string(e[0].Data) != "join" {
		t.Errorf("extensions %v", e)
	}
	if e := kp.LeafExtensions(); len(e) != 2 || string(e[0].Data) != "sealed someone" || e[1].Type != 0xF0AA {
		t.Errorf("leaf extensions %v", e)
	}
	for _, typ := range []uint16{
		ExtensionConclaveGroup, ExtensionConclaveIdentity, ExtensionConclaveJoin, ExtensionConclaveCommit, 0xF0AA,
	} {
		if !kp.leaf.capabilities.hasExtension(typ) {
			t.Errorf("extension 0x%04X is not among the capabilities", typ)
		}
	}
	if unknown := (&KeyPackage{suite: 0x0004}).Ref(); unknown != nil {
		t.Error("reference in an unknown suite")
	}
}

// Versions of the message and of the KeyPackage, and the wire format.
func TestKeyPackageVersion(t *testing.T) {
	raw := testKeyPackage(t, testRandom(74), Suite3, "someone").KeyPackage().Raw()
	for at, text := range map[int]string{1: "version 3", 3: "wire format", 5: "key package of version 3"} {
		other := bytes.Clone(raw)
		other[at] = 3
		if _, err := ParseKeyPackage(other); !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), text) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

func newSigner(t *testing.T, p KeyPackageParams) signer {
	t.Helper()
	s, err := newEd25519Signer(p.Signer)
	requireNoError(t, "signer", err)
	return s
}

// Capabilities that nobody knows mean nothing; required proposals must be among them.
func TestCapabilities(t *testing.T) {
	grease := []uint16{0x0A0A, 0xEAEA}
	c := ownCapabilities(Suite3)
	for _, list := range []*[]uint16{&c.versions, &c.suites, &c.extensions, &c.proposals, &c.credentials} {
		*list = append(append([]uint16{grease[0]}, *list...), grease[1])
	}
	var again capabilities
	requireNoError(t, "capabilities", decode("capabilities", c.append(nil), func(r *reader) { again = r.capabilities() }))
	requireEqual(t, "capabilities", again.append(nil), c.append(nil))
	for _, tc := range []struct {
		name  string
		group []Extension
		req   requiredCapabilities
		want  bool
	}{
		{"nothing", nil, requiredCapabilities{}, true},
		{"default types", nil, requiredCapabilities{extensions: []uint16{1, 3}, proposals: []uint16{1, 7}}, true},
		{"a listed proposal", nil, requiredCapabilities{proposals: grease}, true},
		{"a proposal not listed", nil, requiredCapabilities{proposals: []uint16{0xF001}}, false},
		{"a credential not listed", nil, requiredCapabilities{credentials: []uint16{2}}, false},
		{"an extension not listed", nil, requiredCapabilities{extensions: []uint16{0xF001}}, false},
		{"ours in the group", testGroupExtensions, requiredCapabilities{}, true},
		{"another in the group", []Extension{{Type: 0xF001}}, requiredCapabilities{}, false},
	} {
		if got := again.meets(Suite3, tc.group, tc.req); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
	if again.meets(Suite1, nil, requiredCapabilities{}) {
		t.Error("another suite")
	}
	again.credentials = grease
	if again.meets(Suite3, nil, requiredCapabilities{}) {
		t.Error("without its own credential's type")
	}
}

// What a group refuses at the Add for its extensions, VerifyFor refuses before, and it
// accepts what the group accepts.
func TestVerifyFor(t *testing.T) {
	random := testRandom(73)
	parties := testGroup(t, random, Suite3, 2)
	without := func(missing uint16) *KeyPackage {
		return variant(t, random, Suite3, func(kp *KeyPackage) {
			c := &kp.leaf.capabilities
			c.extensions = slices.DeleteFunc(slices.Clone(c.extensions), func(e uint16) bool { return e == missing })
		})
	}
	for _, tc := range []struct {
		name string
		kp   *KeyPackage
		want error
	}{
		{"honest", without(0), nil},
		{"without a required extension", without(ExtensionConclaveGroup), ErrInvalid},
		{"without its own leaf's extension", without(ExtensionConclaveIdentity), ErrInvalid},
	} {
		if err := tc.kp.VerifyFor(Suite3, testTime, testGroupExtensions); !errors.Is(err, tc.want) {
			t.Errorf("%s: VerifyFor: %v", tc.name, err)
		}
		msg, _ := addOf(tc.kp).make(t, random, parties[0])
		if _, err := parties[1].group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime}); !errors.Is(err, tc.want) {
			t.Errorf("%s: Process: %v", tc.name, err)
		}
	}
	garbled := []Extension{{extensionRequiredCapabilities, []byte{9}}}
	if err := without(0).VerifyFor(Suite3, testTime, garbled); !errors.Is(err, ErrMalformed) {
		t.Errorf("garbled: %v", err)
	}
}

// KeyPackages that the caller knows save their verification, and change no result.
func TestKnownKeyPackages(t *testing.T) {
	random := testRandom(71)
	parties := testGroup(t, random, Suite3, 2)
	honest := testKeyPackage(t, random, Suite3, "x").KeyPackage()
	forged := variant(t, random, Suite3, func(*KeyPackage) {})
	forged.raw = bytes.Clone(forged.raw)
	forged.raw[len(forged.raw)-1] ^= 1
	for _, tc := range []struct {
		name  string
		kp    *KeyPackage
		known *KeyPackage
		want  error
	}{
		{"known", honest, honest, nil},
		{"unknown", honest, nil, nil},
		{"forged, and another known", forged, honest, ErrInvalid},
		{"forged, and known but never verified", forged, forged, ErrInvalid},
	} {
		msg, _ := addOf(tc.kp).make(t, random, parties[0])
		if tc.known == honest {
			requireNoError(t, "verify", honest.Verify(Suite3, testTime))
		}
		_, err := parties[1].group.Process(msg, ProcessParams{
			PSKs: testPSKs, Now: testTime, KeyPackages: func([]byte) *KeyPackage { return tc.known },
		})
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// Without a time lifetimes go unchecked, and nothing else: the caller has checked them at
// a time that all agree on, however late the commit comes.
func TestLifetimesVerifiedBefore(t *testing.T) {
	random := testRandom(73)
	parties := testGroup(t, random, Suite3, 3)
	later := testTime.AddDate(0, 0, 2)
	params := CommitParams{PSK: testPSK, Adds: []*KeyPackage{testKeyPackage(t, random, Suite3, "x").KeyPackage()}}
	staged, err := parties[0].group.Commit(random, parties[0].sender, params)
	requireNoError(t, "commit", err)
	forged := variant(t, random, Suite3, func(*KeyPackage) {})
	forged.signature = make([]byte, 64)
	forged.raw = appendVec(bytes.Clone(forged.signed), forged.signature)
	bad, _ := addOf(forged).make(t, random, parties[0])
	for i, p := range parties {
		process := func(msg []byte, now time.Time) error {
			_, err := p.group.Process(msg, ProcessParams{PSKs: testPSKs, Now: now})
			return err
		}
		if err := process(staged.Commit, later); !errors.Is(err, ErrInvalid) {
			t.Errorf("member %d, two days later: %v", i, err)
		}
		if err := process(staged.Commit, time.Time{}); i > 0 && err != nil || i == 0 && !errors.Is(err, ErrOwnCommit) {
			t.Errorf("member %d, without a time: %v", i, err)
		}
		if err := process(bad, time.Time{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("member %d, a forged KeyPackage without a time: %v", i, err)
		}
	}
}

// A creator's first epoch, and the transcript that grows from it.
func TestCreate(t *testing.T) {
	random := testRandom(72)
	params := CreateParams{
		Suite: Suite1, GroupID: []byte("group"), Signer: testSigner(t, random), Identity: []byte("creator"),
		GroupExtensions: testGroupExtensions, NotBefore: 1, NotAfter: 2,
	}
	g, s, err := Create(random, params)
	requireNoError(t, "create", err)
	if g.Epoch() != 0 || g.Own() != 0 || g.Suite() != Suite1 || len(g.Members()) != 1 || len(g.ConfirmedTranscriptHash()) != 0 {
		t.Errorf("epoch %d, own %d, %d members", g.Epoch(), g.Own(), len(g.Members()))
	}
	requireEqual(t, "group id", g.GroupID(), params.GroupID)
	if _, ok := g.Member(1); ok {
		t.Error("a member beyond the tree")
	}
	staged, err := g.Commit(random, s, CommitParams{PSK: testPSK})
	requireNoError(t, "commit", err)
	next, _ := staged.Merge()
	if next.Epoch() != 1 || len(next.ConfirmedTranscriptHash()) != 32 || staged.Welcome != nil {
		t.Errorf("epoch %d after the commit", next.Epoch())
	}
	params.GroupExtensions = []Extension{{extensionRequiredCapabilities, []byte{9}}}
	if _, _, err := Create(random, params); !errors.Is(err, ErrMalformed) {
		t.Errorf("garbled required_capabilities: %v", err)
	}
	kp := testKeyPackage(t, random, Suite1, "x")
	kp.Erase()
	if _, _, err := CreateFrom(random, kp, nil, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("erased: %v", err)
	}
	params.Suite = 4
	if _, _, err := Create(random, params); !errors.Is(err, ErrProfile) {
		t.Errorf("unknown suite: %v", err)
	}
}
