package mls

import (
	"errors"
	"slices"
	"testing"
)

// greaseValues are those of RFC 9420, Section 13.5: 0x0A0A to 0xEAEA.
func greaseValues() (out []uint16) {
	for i := uint16(0); i < 15; i++ {
		out = append(out, 0x0A0A+i*0x1010)
	}
	return out
}

// greased adds all of GREASE wherever a member may put it (RFC 9420, Section 13.5): all
// capabilities, and, listed there, extensions of the leaf and the KeyPackage.
func greased(kp *KeyPackage) {
	values := greaseValues()
	c := &kp.leaf.capabilities
	c.versions = append(slices.Clone(values), c.versions...)
	c.suites = append(slices.Clone(values), c.suites...)
	c.extensions = append(slices.Clone(values), c.extensions...)
	c.proposals = append(slices.Clone(values), c.proposals...)
	c.credentials = append(slices.Clone(values), c.credentials...)
	for i, v := range values {
		e := Extension{Type: v, Data: make([]byte, i)}
		kp.leaf.extensions = append(kp.leaf.extensions, e)
		kp.extensions = append(kp.extensions, e)
	}
}

// A member with GREASE everywhere is added, joins by a Welcome with GREASE in its GroupInfo,
// commits (which carries its leaf's GREASE on in the path), and is in the tree of later joiners.
func TestGREASE(t *testing.T) {
	for _, id := range []Suite{Suite1, Suite3, SuiteXWing} {
		random := testRandom(96)
		parties := testGroup(t, random, id, 2)
		secrets := testKeyPackage(t, random, id, "greasy")
		greased(secrets.kp)
		resign(t, secrets.kp, secrets.signer)
		parsed, err := ParseKeyPackage(secrets.kp.Raw())
		requireNoError(t, "parse", err)
		requireNoError(t, "verify", parsed.Verify(id, testTime))

		infoExtensions := func([]byte) (out []Extension) {
			for _, v := range greaseValues() {
				out = append(out, Extension{Type: v, Data: []byte("grease")})
			}
			return out
		}
		staged := parties[0].commit(t, random, CommitParams{Adds: []*KeyPackage{parsed}, GroupInfoExtensions: infoExtensions})
		parties[0].merge(staged)
		out, err := parties[1].group.Process(staged.Commit, ProcessParams{PSKs: testPSKs, Now: testTime})
		requireNoError(t, "process", err)
		parties[1].group, parties[1].sender = out.Group, out.Sender
		parties = append(parties, testJoin(t, staged.Welcome, secrets))
		requireOneEpoch(t, random, parties)
		testCommit(t, random, parties, 2, CommitParams{})
		if got := len(parties[0].group.tree.leaf(2).extensions); got < 15 {
			t.Errorf("%v: %d extensions in the leaf of a path", id, got)
		}
		late := testKeyPackage(t, random, id, "late")
		staged = parties[1].commit(t, random, CommitParams{Adds: []*KeyPackage{late.KeyPackage()}})
		testJoin(t, staged.Welcome, late)
	}
}

// What GREASE may not be: an extension that the leaf does not list, one of the GroupContext, a
// proposal that is sent, the type of a credential in use, a suite or version in use.
func TestGREASERefused(t *testing.T) {
	random := testRandom(97)
	parties := testGroup(t, random, Suite3, 2)
	kp := func(change func(kp *KeyPackage)) forgery { return addOf(variant(t, random, Suite3, change)) }
	for _, value := range greaseValues() {
		extension := []Extension{{Type: value}}
		rawProposal := forgery{body: func(c *commit, honest []byte) []byte {
			b := appendList(nil, func(b []byte) []byte {
				return appendVec(appendU16(append(b, proposalByValue), value), []byte("grease"))
			})
			return c.path.append(append(b, 1))
		}}
		for what, tc := range map[string]struct {
			f    forgery
			want error
		}{
			"leaf extension not listed":       {kp(func(kp *KeyPackage) { kp.leaf.extensions = extension }), ErrInvalid},
			"KeyPackage extension not listed": {kp(func(kp *KeyPackage) { kp.extensions = extension }), ErrInvalid},
			"suite of a KeyPackage":           {kp(func(kp *KeyPackage) { kp.suite = Suite(value) }), ErrInvalid},
			"no suite but GREASE listed":      {kp(func(kp *KeyPackage) { kp.leaf.capabilities.suites = greaseValues() }), ErrInvalid},
			"no version but GREASE listed":    {kp(func(kp *KeyPackage) { kp.leaf.capabilities.versions = greaseValues() }), ErrInvalid},
			"no credential but GREASE listed": {kp(func(kp *KeyPackage) { kp.leaf.capabilities.credentials = greaseValues() }), ErrInvalid},
			"proposal":                        {rawProposal, ErrProfile},
		} {
			msg, _ := tc.f.make(t, random, parties[0])
			if _, err := parties[1].group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime}); !errors.Is(err, tc.want) {
				t.Errorf("0x%04X: %s: %v", value, what, err)
			}
		}
	}
	requireOneEpoch(t, random, parties)
}

// A leaf's credential is basic: any other type, GREASE among them, is outside the profile.
func TestCredentialTypes(t *testing.T) {
	kp := testKeyPackage(t, testRandom(98), Suite3, "member").kp
	prefix := appendVec(appendVec(nil, kp.leaf.encryptionKey), kp.leaf.signatureKey)
	for _, typ := range append(greaseValues(), 0, 2, 3, 0xF000) {
		raw := slices.Clone(kp.leaf.raw)
		raw[len(prefix)], raw[len(prefix)+1] = byte(typ>>8), byte(typ)
		if err := decode("leaf", raw, func(r *reader) { r.leafNode() }); !errors.Is(err, ErrProfile) {
			t.Errorf("credential type 0x%04X: %v", typ, err)
		}
	}
}
