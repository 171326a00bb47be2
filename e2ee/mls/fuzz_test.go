package mls

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// The decoders accept one encoding of everything: what they read, they write back.

func fuzzDecoder(f *testing.F, read func(r *reader) func() []byte) {
	f.Fuzz(func(t *testing.T, b []byte) {
		var write func() []byte
		if decode("input", b, func(r *reader) { write = read(r) }) != nil {
			return
		}
		if got := write(); !bytes.Equal(got, b) {
			t.Fatalf("read %x, wrote %x", b, got)
		}
	})
}

type fuzzSeeds struct {
	parties []party
	staged  *Staged
	joiner  *KeyPackageSecrets
	message []byte
}

func newFuzzSeeds(f *testing.F) fuzzSeeds {
	f.Helper()
	random := testRandom(50)
	s := fuzzSeeds{parties: testGroup(f, random, Suite3, 4), joiner: testKeyPackage(f, random, Suite3, "joiner")}
	s.staged = s.parties[0].commit(f, random, CommitParams{
		Adds: []*KeyPackage{s.joiner.KeyPackage()}, Removes: []LeafIndex{2}, AAD: []byte("aad"),
	})
	s.message = testSeal(f, s.parties[0], 1)[0]
	return s
}

// content is the plaintext of the staged commit.
func (s fuzzSeeds) content(f *testing.F) *memberContent {
	c, err := s.parties[1].group.openCommit(s.staged.Commit)
	requireNoError(f, "commit", err)
	return c
}

func FuzzVarint(f *testing.F) {
	for _, b := range [][]byte{{0}, {0x3f}, {0x40, 0x3f}, {0x40, 0x40}, {0x80, 0, 0x40, 0}, {0x80, 0, 0x3f, 0xff}, {0xc0}} {
		f.Add(b)
	}
	fuzzDecoder(f, func(r *reader) func() []byte {
		n := r.varint()
		return func() []byte { return appendVarint(nil, n) }
	})
}

func FuzzKeyPackage(f *testing.F) {
	s := newFuzzSeeds(f)
	f.Add(s.joiner.KeyPackage().Raw())
	f.Fuzz(func(t *testing.T, b []byte) {
		kp, err := ParseKeyPackage(b)
		if err != nil {
			return
		}
		again := &KeyPackage{suite: kp.suite, initKey: kp.initKey, leaf: kp.leaf, extensions: kp.extensions}
		body := appendExtensions(append(appendVec(appendU16(appendU16(nil, versionMLS10), uint16(kp.suite)), again.initKey),
			appendVec(kp.leaf.appendUnsigned(nil), kp.leaf.signature)...), kp.extensions)
		if !bytes.Equal(kp.Raw(), b) || !bytes.Equal(appendVec(body, kp.signature), kp.raw) {
			t.Fatal("not the only encoding")
		}
		_ = kp.Verify(Suite3, testTime)
		kp.Ref()
	})
}

func FuzzTree(f *testing.F) {
	s := newFuzzSeeds(f)
	f.Add(s.parties[0].group.tree.encode())
	f.Add(s.staged.group.tree.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, err := parseTree(suites[Suite3], b)
		if err != nil {
			return
		}
		if got := tree.encode(); !bytes.Equal(got, b) {
			t.Fatalf("read %x, wrote %x", b, got)
		}
		_ = tree.validate([]byte("group"), testGroupExtensions)
		for i := range tree.width() {
			if tree.leaf(i) != nil {
				changed := tree.clone()
				changed.remove(i)
				changed.rootHash()
				tree.filteredPath(i)
			}
		}
	})
}

func FuzzCommit(f *testing.F) {
	f.Add(newFuzzSeeds(f).commitBody(f))
	fuzzDecoder(f, func(r *reader) func() []byte { return r.commit().encode })
}

func (s fuzzSeeds) commitBody(f *testing.F) []byte { return s.content(f).content.body }

func FuzzPrivateMessage(f *testing.F) {
	s := newFuzzSeeds(f)
	f.Add(s.staged.Commit)
	f.Add(s.message)
	g := s.parties[1].group
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parsePrivateMessage(b); err == nil && !bytes.Equal(m.encode(), b) {
			t.Fatal("not the only encoding")
		}
		_, _ = Peek(b)
		out, err := g.Process(b, ProcessParams{PSKs: testPSKs, Now: testTime})
		if err == nil && (out.Committer != 0 || string(out.AAD) != "aad" || len(out.Added) != 1) {
			t.Fatal("a commit was forged")
		}
		got, err := g.NewReceiver().Open(b)
		if err == nil && (got.Sender != 0 || string(got.Plaintext) != "message 0") {
			t.Fatal("a message was forged")
		}
	})
}

// FuzzMemberContent is what a member can put into a commit, well sealed.
func FuzzMemberContent(f *testing.F) {
	s := newFuzzSeeds(f)
	c := s.content(f)
	f.Add(append(bytes.Clone(c.content.body), c.authData()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		msg, _ := forgery{plain: func([]byte) []byte { return b }}.make(t, testRandom(51), s.parties[0])
		_, _ = s.parties[1].group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime})
	})
}

func FuzzWelcome(f *testing.F) {
	s := newFuzzSeeds(f)
	f.Add(s.staged.Welcome)
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := parseWelcome(b)
		if err != nil {
			return
		}
		if !bytes.Equal(w.encode(), b) {
			t.Fatal("not the only encoding")
		}
		_, _, _, _ = Join(b, s.joiner, JoinParams{PSKs: testPSKs})
	})
}

func FuzzGroupInfo(f *testing.F) {
	g := newFuzzSeeds(f).parties[0].group
	info := groupInfo{context: g.context, extensions: []Extension{{extensionRatchetTree, g.tree.encode()}}, tag: g.tag}
	b, err := info.seal(g.signer)
	requireNoError(f, "group info", err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := parseGroupInfo(b)
		if err != nil {
			return
		}
		again := appendExtensions(info.context.encode(), info.extensions)
		again = appendVec(appendU32(appendVec(again, info.tag), uint32(info.signer)), info.signature)
		if !bytes.Equal(again, b) {
			t.Fatal("not the only encoding")
		}
		_, _ = info.openTree(g.suite, nil)
	})
}

func FuzzGroupSecrets(f *testing.F) {
	f.Add(groupSecrets{make([]byte, 32), make([]byte, 32), []pskID{{testPSK.ID, make([]byte, 32)}}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseGroupSecrets(b); err == nil && !bytes.Equal(s.encode(), b) {
			t.Fatal("not the only encoding")
		}
	})
}

func FuzzRequiredCapabilities(f *testing.F) {
	f.Add(RequiredCapabilities(ExtensionConclaveGroup).Data)
	f.Fuzz(func(t *testing.T, b []byte) {
		req, err := requiredBy([]Extension{{extensionRequiredCapabilities, b}})
		if err != nil {
			return
		}
		again := appendU16s(appendU16s(appendU16s(nil, req.extensions), req.proposals), req.credentials)
		if !bytes.Equal(again, b) {
			t.Fatal("not the only encoding")
		}
	})
}

// FuzzInsiderCommit is what a member can say in a commit, well signed, confirmed and sealed, in
// either wire format: whatever it is, all others judge it alike, nobody's epoch breaks, and
// who follows arrives in one epoch.
func FuzzInsiderCommit(f *testing.F) {
	s := newFuzzSeeds(f)
	honest := func(c forgery) {
		c.body = func(_ *commit, honest []byte) []byte { f.Add(honest, false); return honest }
		c.make(f, testRandom(53), s.parties[0])
	}
	honest(forgery{})
	honest(forgery{params: CommitParams{Removes: []LeafIndex{2}}})
	honest(forgery{params: CommitParams{Adds: []*KeyPackage{s.joiner.KeyPackage()}}})
	honest(forgery{params: CommitParams{Removes: []LeafIndex{1, 3}, Adds: testKeyPackages(f, testRandom(54), Suite3, 3)}})
	f.Fuzz(func(t *testing.T, body []byte, public bool) {
		c := forgery{body: func(*commit, []byte) []byte { return body }}
		if public {
			c.public = asPublic
		}
		msg, _ := c.make(t, testRandom(53), s.parties[0])
		var first error
		var epochs [][]byte
		for i, p := range s.parties[1:] {
			before := p.group.tree.encode()
			out, err := p.group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime})
			if verdict := judgement(out, err); i == 0 {
				first = verdict
			} else if verdict != first {
				t.Fatalf("member %d says %v, member 1 %v", i+1, verdict, first)
			}
			if !bytes.Equal(p.group.tree.encode(), before) {
				t.Fatal("the epoch before has changed")
			}
			if out != nil && out.Group != nil {
				epochs = append(epochs, out.Group.EpochAuthenticator())
			}
		}
		for _, e := range epochs {
			if !bytes.Equal(e, epochs[0]) {
				t.Fatal("two epochs by one commit")
			}
		}
	})
}

// judgement is what all members must agree on: nil for a valid commit, whether it can be used or
// not; a confirmation tag shows only to those who can.
func judgement(out *Processed, err error) error {
	for _, kind := range []error{ErrMalformed, ErrProfile, ErrWrongEpoch, ErrDecrypt, ErrGeneration, ErrUnknownPSK} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	if errors.Is(err, ErrInvalid) && !strings.Contains(err.Error(), "confirmation tag") {
		return ErrInvalid
	}
	return nil
}

// FuzzInsiderWelcome is what a member can say in a Welcome: a GroupInfo, well signed and sealed,
// and group secrets. Whoever joins by it has a whole tree.
func FuzzInsiderWelcome(f *testing.F) {
	s := newFuzzSeeds(f)
	add := forgery{params: CommitParams{Adds: []*KeyPackage{s.joiner.KeyPackage()}}}
	seed := add
	seed.infoBytes = func(honest []byte) []byte {
		info, err := parseGroupInfo(honest)
		requireNoError(f, "group info", err)
		f.Add(info.signed, false)
		return honest
	}
	_, welcome := seed.make(f, testRandom(55), s.parties[0])
	welcome()
	seed = add
	seed.secrets = func(honest *groupSecrets) { f.Add(honest.encode(), true) }
	_, welcome = seed.make(f, testRandom(55), s.parties[0])
	welcome()
	f.Fuzz(func(t *testing.T, b []byte, secrets bool) {
		c := add
		if secrets {
			parsed, err := parseGroupSecrets(b)
			if err != nil {
				return
			}
			c.secrets = func(to *groupSecrets) { *to = parsed }
		} else {
			c.infoBytes = func([]byte) []byte {
				signature, err := signWithLabel(s.parties[0].group.signer, "GroupInfoTBS", b)
				requireNoError(t, "sign", err)
				return appendVec(bytes.Clone(b), signature)
			}
		}
		_, welcome := c.make(t, testRandom(55), s.parties[0])
		g, _, _, err := Join(welcome(), s.joiner, JoinParams{PSKs: testPSKs})
		if err == nil && g.tree.validate(g.context.groupID, g.context.extensions) != nil {
			t.Fatal("joined by a tree that is not valid")
		}
	})
}

func FuzzSenderData(f *testing.F) {
	f.Add(senderData{leaf: 1, generation: 2, guard: [4]byte{3}}.encode())
	fuzzDecoder(f, func(r *reader) func() []byte {
		d := r.senderData()
		return d.encode
	})
}
