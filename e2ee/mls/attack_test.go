package mls

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// forgery is a commit of a member that breaks rules: each hook, if there is one, changes a
// part of an honest commit before it is signed or sealed.
type forgery struct {
	params    CommitParams
	proposals func([]proposal) []proposal           // what is sent; the path is for the honest ones
	apply     func([]proposal) []proposal           // what is sent and applied
	tree      func(*tree)                           // after the proposals, before the path
	path      func(*newPath)                        // before it is encoded
	leaf      func(*leafNode)                       // the path's leaf, before it is signed
	body      func(c *commit, honest []byte) []byte // the encoding of the commit
	content   func(*framedContent)                  // before it is signed
	signed    func(*authenticatedContent)           // after it is signed
	tag       func([]byte)                          // the confirmation tag
	plain     func(plain []byte) []byte             // what is encrypted
	skip      uint32                                // generations to leave out
	sender    func(*senderData)                     // what the sender data say
	groupInfo func(*groupInfo)                      // of the Welcome, before it is signed
	infoBytes func([]byte) []byte                   // its encoding
	secrets   func(*groupSecrets)                   // of the Welcome
	infoKey   signer                                // signs the GroupInfo instead
	public    func(*publicMessage)                  // it goes as PublicMessage
}

// make builds the commit, and the Welcome when it is asked for.
func (f forgery) make(t testing.TB, random io.Reader, p party) (msg []byte, welcome func() []byte) {
	t.Helper()
	g := p.group
	f.params.PSK = testPSK
	proposals, err := g.proposals(random, f.params)
	requireNoError(t, "proposals", err)
	if f.apply != nil {
		proposals = f.apply(proposals)
	}
	c := g.applyBlindly(proposals)
	if f.tree != nil {
		f.tree(c.tree)
	}
	path, err := newUpdatePath(random, pathParams{
		t: c.tree, sender: g.own, signer: g.signer, groupID: g.context.groupID, added: c.added,
		context: func(treeHash []byte) []byte { return g.provisional(treeHash).encode() },
	})
	requireNoError(t, "path", err)
	if f.path != nil {
		f.path(path)
	}
	if f.leaf != nil {
		leaf := *path.path.leaf
		f.leaf(&leaf)
		path.path.leaf = &leaf
	}
	if f.proposals != nil {
		proposals = f.proposals(proposals)
	}
	cm := &commit{proposals, path.path}
	a := g.frame(contentCommit, f.params.AAD, cm.encode())
	if f.public != nil {
		a.wire = wirePublicMessage
	}
	if f.body != nil {
		a.content.body = f.body(cm, a.content.body)
	}
	if f.content != nil {
		f.content(&a.content)
	}
	requireNoError(t, "sign", a.sign(g.signer, g.encoded))
	if f.signed != nil {
		f.signed(a)
	}
	tr := g.transit(c.tree, a, path.commitSecret, g.suite.pskSecret(c.psks, [][]byte{testPSK.Secret}))
	a.tag = slices.Clone(tr.tag)
	if f.tag != nil {
		f.tag(a.tag)
	}
	if f.public != nil {
		msg = f.sealPublic(g, a)
	} else {
		msg = f.seal(t, g, a)
	}
	return msg, func() []byte { return f.welcome(t, g, c, tr, path) }
}

// applyBlindly applies proposals without a check.
func (g *Group) applyBlindly(proposals []proposal) *changes {
	c := &changes{tree: g.tree.clone()}
	for _, p := range proposals {
		switch p.typ {
		case proposalAdd:
			c.adds = append(c.adds, p.add)
		case proposalRemove:
			c.removed = append(c.removed, Member{Leaf: p.removed})
		case proposalPSK:
			c.psks = append(c.psks, p.psk)
		}
	}
	c.applyToTree()
	return c
}

func (f forgery) sealPublic(g *Group, a *authenticatedContent) []byte {
	m := publicMessage{content: memberContent{authenticatedContent: *a}}
	m.membershipTag = g.suite.membershipTag(g.secrets.membership, g.encoded, a)
	f.public(&m)
	return m.encode()
}

func (f forgery) seal(t testing.TB, g *Group, a *authenticatedContent) []byte {
	t.Helper()
	r := ratchet{suite: g.suite, secret: slices.Clone(g.handshake[g.own])}
	for range f.skip {
		r.skip()
	}
	d := senderData{leaf: g.own, generation: r.next, guard: [4]byte{1, 2, 3, 4}}
	if f.sender != nil {
		f.sender(&d)
	}
	plain := slices.Concat(a.content.body, a.authData())
	if f.plain != nil {
		plain = f.plain(plain)
	}
	key := r.step()
	m := privateMessage{groupID: a.content.groupID, epoch: a.content.epoch, typ: a.content.typ, aad: a.content.aad}
	m.ciphertext = g.suite.seal(key.key, key.guarded(d.guard), m.appendContentAAD(nil, true), plain)
	k := g.suite.senderDataKey(g.secrets.senderData, m.ciphertext)
	m.senderData = g.suite.seal(k.key, k.nonce, m.appendContentAAD(nil, false), d.encode())
	return m.encode()
}

func (f forgery) welcome(t testing.TB, g *Group, c *changes, tr transition, path *newPath) []byte {
	t.Helper()
	info := groupInfo{
		context: tr.context, extensions: []Extension{{extensionRatchetTree, c.tree.encode()}},
		tag: slices.Clone(tr.tag), signer: g.own,
	}
	if f.groupInfo != nil {
		f.groupInfo(&info)
	}
	s := g.signer
	if f.infoKey != nil {
		s = f.infoKey
	}
	plain, err := info.seal(s)
	requireNoError(t, "group info", err)
	if f.infoBytes != nil {
		plain = f.infoBytes(plain)
	}
	key, nonce := g.suite.welcomeKey(tr.member)
	w := welcome{suite: g.suite.id, groupInfo: g.suite.seal(key, nonce, nil, plain)}
	to := g.suite.encryption("Welcome", w.groupInfo)
	for i, kp := range c.adds {
		secrets := groupSecrets{tr.joiner, path.secretFor(g.own, c.added[i]), c.psks}
		if f.secrets != nil {
			f.secrets(&secrets)
		}
		e, err := to.encrypt(testRandom(21), kp.initKey, secrets.encode())
		requireNoError(t, "group secrets", err)
		w.secrets = append(w.secrets, encryptedGroupSecrets{kp.Ref(), e})
	}
	return w.encode()
}

// resign signs a KeyPackage's leaf and the KeyPackage anew.
func resign(t testing.TB, kp *KeyPackage, s signer) *KeyPackage {
	t.Helper()
	requireNoError(t, "leaf", kp.leaf.seal(s, nil, 0))
	requireNoError(t, "key package", kp.seal(s))
	return kp
}

// variant is a KeyPackage that change spoilt before it was signed.
func variant(t testing.TB, random io.Reader, suite Suite, change func(kp *KeyPackage)) *KeyPackage {
	t.Helper()
	secrets := testKeyPackage(t, random, suite, "newcomer")
	leaf := *secrets.kp.leaf
	kp := &KeyPackage{suite: suite, initKey: secrets.kp.initKey, leaf: &leaf, extensions: secrets.kp.extensions}
	change(kp)
	return resign(t, kp, secrets.signer)
}

// refusal is a forgery, and what all members must say to it.
type refusal struct {
	name string
	f    forgery
	want error
	text string
}

func addOf(kp *KeyPackage) forgery {
	return forgery{apply: func(p []proposal) []proposal {
		return append(p, proposal{typ: proposalAdd, add: kp})
	}}
}

func sent(extra ...proposal) forgery {
	return forgery{proposals: func(p []proposal) []proposal { return append(extra, p...) }}
}

func refusals(t *testing.T, random io.Reader, parties []party) []refusal {
	g := parties[0].group
	other := testSigner(t, random)
	otherSigner, _ := newEd25519Signer(other)
	psk := proposal{typ: proposalPSK, psk: pskID{testPSK.ID, make([]byte, 32)}}
	bare := func(change func(*KeyPackage)) forgery { return addOf(variant(t, random, g.Suite(), change)) }
	spoilt := func(change func(*KeyPackage)) forgery {
		kp := variant(t, random, g.Suite(), func(*KeyPackage) {})
		change(kp)
		return addOf(kp)
	}
	reseal := func(change func(n *leafNode)) func(*leafNode) {
		return func(n *leafNode) {
			change(n)
			requireNoError(t, "leaf", n.seal(g.signer, g.context.groupID, g.own))
		}
	}
	twin := variant(t, random, g.Suite(), func(*KeyPackage) {})
	return []refusal{
		// Rule 1.
		{"removes the committer", sent(proposal{typ: proposalRemove, removed: 0}), ErrInvalid, "removes the committer"},
		{"removes the committer without a path", forgery{body: func(c *commit, _ []byte) []byte {
			return (&commit{proposals: append(c.proposals, proposal{typ: proposalRemove, removed: 0})}).encode()
		}}, ErrProfile, "without a path"},
		{"no path", forgery{body: func(c *commit, _ []byte) []byte {
			return (&commit{proposals: c.proposals}).encode()
		}}, ErrProfile, "without a path"},
		{"removes nobody", sent(proposal{typ: proposalRemove, removed: 9}), ErrInvalid, "removes no member"},
		{"removes far outside", sent(proposal{typ: proposalRemove, removed: 1<<32 - 1}), ErrInvalid, "removes no member"},
		{"removes twice", sent(proposal{typ: proposalRemove, removed: 2}, proposal{typ: proposalRemove, removed: 2}), ErrInvalid, "twice"},
		// Rule 8.
		{"no PSK", forgery{proposals: func([]proposal) []proposal { return nil }}, ErrProfile, "0 PSKs"},
		{"two PSKs", sent(psk), ErrProfile, "2 PSKs"},
		{"short PSK nonce", forgery{proposals: func(p []proposal) []proposal {
			p[0].psk.nonce = make([]byte, 31)
			return p
		}}, ErrInvalid, "nonce"},
		{"unknown PSK", forgery{proposals: func(p []proposal) []proposal {
			p[0].psk.id = []byte("conclave/1 link\x00\x02")
			return p
		}}, ErrUnknownPSK, ""},
		{"resumption PSK", forgery{body: func(c *commit, b []byte) []byte {
			return bytes.Replace(b, []byte{proposalByValue, 0, 4, pskExternal}, []byte{proposalByValue, 0, 4, 2}, 1)
		}}, ErrProfile, "PSK type"},
		{"an Update", sent(proposal{typ: proposalUpdate, update: parties[1].group.tree.leaf(1)}), ErrProfile, "proposal type 2"},
		{"GroupContextExtensions", forgery{body: func(c *commit, b []byte) []byte {
			return bytes.Replace(b, []byte{proposalByValue, 0, 4, pskExternal}, []byte{proposalByValue, 0, 7, pskExternal}, 1)
		}}, ErrProfile, "proposal type 7"},
		{"a proposal by reference", forgery{body: func(c *commit, b []byte) []byte {
			return bytes.Replace(b, []byte{proposalByValue, 0, 4, pskExternal}, []byte{proposalByReference, 0, 4, pskExternal}, 1)
		}}, ErrProfile, "by reference"},
		// Rule 7.
		{"KeyPackage signature", spoilt(func(kp *KeyPackage) {
			kp.raw = slices.Clone(kp.raw)
			kp.raw[len(kp.raw)-1] ^= 1
		}), ErrInvalid, "signature of a key package"},
		{"leaf signature", bare(func(*KeyPackage) {}).withAdd(func(kp *KeyPackage) {
			leaf := *kp.leaf
			leaf.raw = slices.Clone(leaf.raw)
			leaf.raw[len(leaf.raw)-1] ^= 1
			kp.leaf = &leaf
			s, _ := newEd25519Signer(other)
			requireNoError(t, "key package", kp.seal(s))
		}), ErrInvalid, "signature of a leaf node"},
		{"expired", bare(func(kp *KeyPackage) {
			kp.leaf.lifetime = lifetime{uint64(testTime.Unix()) - 7200, uint64(testTime.Unix()) - 1}
		}), ErrInvalid, "outside its lifetime"},
		{"not yet valid", bare(func(kp *KeyPackage) {
			kp.leaf.lifetime = lifetime{uint64(testTime.Unix()) + 1, uint64(testTime.Unix()) + 7200}
		}), ErrInvalid, "outside its lifetime"},
		{"lives too long", bare(func(kp *KeyPackage) { kp.leaf.lifetime.notAfter += 1 }), ErrInvalid, "lifetime"},
		{"lives for ever", bare(func(kp *KeyPackage) { kp.leaf.lifetime = lifetime{0, 1<<64 - 1} }), ErrInvalid, "lifetime"},
		{"lives backwards", bare(func(kp *KeyPackage) {
			kp.leaf.lifetime = lifetime{kp.leaf.lifetime.notAfter, kp.leaf.lifetime.notBefore}
		}), ErrInvalid, "lifetime"},
		{"another suite", addOf(variant(t, random, Suite1, func(*KeyPackage) {})), ErrInvalid, "key package for suite"},
		{"suite not among capabilities", bare(func(kp *KeyPackage) { kp.leaf.capabilities.suites = []uint16{9} }), ErrInvalid, "capability"},
		{"version not among capabilities", bare(func(kp *KeyPackage) { kp.leaf.capabilities.versions = nil }), ErrInvalid, "capability"},
		{"credential not among capabilities", bare(func(kp *KeyPackage) { kp.leaf.capabilities.credentials = []uint16{2} }), ErrInvalid, "capability"},
		{"GroupContext extension not among capabilities", bare(func(kp *KeyPackage) {
			kp.leaf.capabilities.extensions = []uint16{ExtensionConclaveIdentity, ExtensionConclaveJoin}
		}), ErrInvalid, "capability"},
		{"leaf extension not among capabilities", bare(func(kp *KeyPackage) {
			kp.leaf.extensions = append(slices.Clone(kp.leaf.extensions), Extension{Type: 0xF0FF})
		}), ErrInvalid, "not among its capabilities"},
		{"KeyPackage extension not among capabilities", bare(func(kp *KeyPackage) {
			kp.extensions = append(slices.Clone(kp.extensions), Extension{Type: 0xF0FF})
		}), ErrInvalid, "not among its capabilities"},
		{"an extension twice", bare(func(kp *KeyPackage) {
			kp.extensions = append(slices.Clone(kp.extensions), kp.extensions[0])
		}), ErrMalformed, "twice"},
		{"init key is the encryption key", bare(func(kp *KeyPackage) { kp.initKey = kp.leaf.encryptionKey }), ErrInvalid, "are one"},
		{"short init key", bare(func(kp *KeyPackage) { kp.initKey = kp.initKey[:31] }), ErrInvalid, "init key"},
		{"leaf source of a KeyPackage", bare(func(kp *KeyPackage) { kp.leaf.source = sourceUpdate }), ErrInvalid, "source"},
		{"signature key of a member", addOf(func() *KeyPackage {
			return resign(t, variant(t, random, g.Suite(), func(*KeyPackage) {}), parties[2].group.signer)
		}()), ErrInvalid, "one signature key"},
		{"one KeyPackage twice", forgery{apply: func(p []proposal) []proposal {
			return append(p, proposal{typ: proposalAdd, add: twin}, proposal{typ: proposalAdd, add: twin})
		}}, ErrInvalid, "one encryption key"},
		{"encryption key of a member", bare(func(kp *KeyPackage) {
			kp.leaf.encryptionKey = g.tree.leaf(2).encryptionKey
		}), ErrInvalid, "one encryption key"},
		// Rule 6.
		{"path changes the credential", forgery{leaf: reseal(func(n *leafNode) { n.identity = []byte("somebody") })}, ErrProfile, "changes credential"},
		{"path changes the signature key", forgery{leaf: func(n *leafNode) {
			requireNoError(t, "leaf", n.seal(otherSigner, g.context.groupID, g.own))
		}}, ErrProfile, "changes credential"},
		{"path leaf of source update", forgery{leaf: reseal(func(n *leafNode) { n.source = sourceUpdate })}, ErrInvalid, "source"},
		{"path leaf of source key package", forgery{leaf: reseal(func(n *leafNode) { n.source = sourceKeyPackage })}, ErrInvalid, "source"},
		{"path keeps the encryption key", forgery{leaf: reseal(func(n *leafNode) { n.encryptionKey = g.tree.leaf(0).encryptionKey })}, ErrInvalid, "keeps"},
		{"path leaf lacks a capability", forgery{leaf: reseal(func(n *leafNode) { n.capabilities.extensions = n.capabilities.extensions[1:] })}, ErrInvalid, "capability"},
		{"path leaf's signature", forgery{leaf: func(n *leafNode) {
			n.raw = slices.Clone(n.raw)
			n.raw[len(n.raw)-1] ^= 1
		}}, ErrInvalid, "signature of a leaf node"},
		{"path leaf of another group", forgery{leaf: func(n *leafNode) {
			requireNoError(t, "leaf", n.seal(g.signer, []byte("elsewhere"), g.own))
		}}, ErrInvalid, "signature of a leaf node"},
		{"path leaf of another place", forgery{leaf: func(n *leafNode) {
			requireNoError(t, "leaf", n.seal(g.signer, g.context.groupID, 1))
		}}, ErrInvalid, "signature of a leaf node"},
		{"parent hash", forgery{leaf: reseal(func(n *leafNode) { n.parentHash = make([]byte, 32) })}, ErrInvalid, "parent hash"},
		{"path too short", forgery{path: func(p *newPath) { p.path.nodes = p.path.nodes[1:] }}, ErrInvalid, "nodes instead of"},
		{"path too long", forgery{path: func(p *newPath) { p.path.nodes = append(p.path.nodes, p.path.nodes[0]) }}, ErrInvalid, "nodes instead of"},
		{"a ciphertext missing", forgery{path: func(p *newPath) { p.path.nodes[0].secrets = nil }}, ErrInvalid, "number of"},
		{"a short ciphertext", forgery{path: func(p *newPath) {
			p.path.nodes[0].secrets[0].ciphertext = p.path.nodes[0].secrets[0].ciphertext[1:]
		}}, ErrInvalid, "size of"},
		{"a short KEM output", forgery{path: func(p *newPath) {
			p.path.nodes[0].secrets[0].kemOutput = p.path.nodes[0].secrets[0].kemOutput[1:]
		}}, ErrInvalid, "size of"},
		{"a path key of low order", forgery{path: func(p *newPath) { p.path.nodes[0].encryptionKey = make([]byte, 32) }}, ErrInvalid, "encryption key"},
		{"a path key in the tree already", pathKey(t, random, g, parties[2].group.tree.leaf(2).encryptionKey), ErrInvalid, "in the tree already"},
		{"a path key that the path replaces", pathKey(t, random, g, g.tree.nodes[g.tree.root()].encryptionKey()), ErrInvalid, "in the tree already"},
		{"one key for the leaf and its parent", pathKey(t, random, g, nil), ErrInvalid, "one encryption key"},
		// Rule 4.
		{"confirmation tag", forgery{tag: func(b []byte) { b[0] ^= 1 }}, ErrInvalid, "confirmation tag"},
		{"signature", forgery{signed: func(a *authenticatedContent) { a.signature[0] ^= 1 }}, ErrInvalid, "signature of a message"},
		{"sender data name another", forgery{sender: func(d *senderData) { d.leaf = 1 }}, ErrDecrypt, "content"},
		{"sender data name nobody", forgery{sender: func(d *senderData) { d.leaf = 7 }}, ErrInvalid, "not a member"},
		{"sender data name far outside", forgery{sender: func(d *senderData) { d.leaf = 1<<32 - 1 }}, ErrInvalid, "not a member"},
		{"another generation", forgery{sender: func(d *senderData) { d.generation++ }}, ErrDecrypt, "content"},
		// Rule 9.
		{"generation too far ahead", forgery{skip: maxAhead + 1}, ErrGeneration, ""},
		{"generation at the end", forgery{sender: func(d *senderData) { d.generation = 1<<32 - 1 }}, ErrGeneration, ""},
		{"another epoch", forgery{content: func(c *framedContent) { c.epoch++ }}, ErrWrongEpoch, ""},
		{"another group", forgery{content: func(c *framedContent) { c.groupID = []byte("elsewhere") }}, ErrWrongEpoch, ""},
		{"an application message", forgery{content: func(c *framedContent) { c.typ = contentApplication }}, ErrProfile, "content type"},
		{"a proposal", forgery{content: func(c *framedContent) { c.typ = contentProposal }}, ErrProfile, "content type"},
		// Rule 3.
		{"bytes after the content", forgery{plain: func(b []byte) []byte { return append(b, 0, 1) }}, ErrMalformed, "padding"},
		{"truncated content", forgery{plain: func(b []byte) []byte { return b[:len(b)-1] }}, ErrMalformed, "truncated"},
		{"empty content", forgery{plain: func(b []byte) []byte { return nil }}, ErrMalformed, "truncated"},
		{"huge length", forgery{plain: func(b []byte) []byte { return []byte{0xbf, 0xff, 0xff, 0xff} }}, ErrMalformed, "truncated"},
	}
}

// withAdd changes the KeyPackage that the forgery adds.
func (f forgery) withAdd(change func(kp *KeyPackage)) forgery {
	apply := f.apply
	f.apply = func(p []proposal) []proposal {
		p = apply(p)
		change(p[len(p)-1].add)
		return p
	}
	return f
}

// pathKey puts a key that the tree has elsewhere, or the path's leaf if it is nil, into the
// path, with right parent hashes.
func pathKey(t *testing.T, random io.Reader, g *Group, key []byte) forgery {
	return forgery{path: func(p *newPath) {
		tree := g.tree.clone()
		leaf := *p.path.leaf
		p.path.nodes[0].encryptionKey = key
		if key == nil {
			p.path.nodes[0].encryptionKey = leaf.encryptionKey
		}
		leaf.parentHash = tree.setPath(g.own, p.steps, p.path)
		requireNoError(t, "leaf", leaf.seal(g.signer, g.context.groupID, g.own))
		p.path.leaf = &leaf
	}}
}

// Every broken rule gives the same error to all members, and leaves their epoch usable
// (rules 4 and 15).
func TestCommitsRefused(t *testing.T) {
	random := testRandom(10)
	parties := testGroup(t, random, Suite3, 5)
	requireAccepted := func(t *testing.T, f forgery) {
		t.Helper()
		msg, _ := f.make(t, random, parties[0])
		for i, p := range parties[1:] {
			_, err := p.group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime})
			requireNoError(t, fmt.Sprint("honest commit at member ", i+1), err)
		}
	}
	for _, r := range refusals(t, random, parties) {
		t.Run(r.name, func(t *testing.T) {
			msg, _ := r.f.make(t, random, parties[0])
			for i, p := range parties[1:] {
				out, err := p.group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime})
				if out != nil || !errors.Is(err, r.want) || !strings.Contains(fmt.Sprint(err), r.text) {
					t.Errorf("member %d: %v", i+1, err)
				}
			}
			_, err := parties[0].group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime})
			if r.name != "confirmation tag" && !errors.Is(err, r.want) {
				t.Errorf("its author: %v", err)
			}
		})
	}
	requireAccepted(t, forgery{})
	requireAccepted(t, forgery{skip: maxAhead})
	requireAccepted(t, forgery{plain: func(b []byte) []byte { return append(b, make([]byte, 100)...) }})
	requireOneEpoch(t, random, parties)
}

// A path that does not decrypt is unusable for those it is meant for, and for nobody else
// (rules 4 and 15).
func TestUnusablePath(t *testing.T) {
	random := testRandom(11)
	parties := testGroup(t, random, Suite3, 5)
	for _, tc := range []struct {
		name string
		f    forgery
		hurt []int
	}{
		{"garbled for leaf 1", forgery{path: func(p *newPath) { p.path.nodes[0].secrets[0].ciphertext[0] ^= 1 }}, []int{1}},
		{"low order for leaf 1", forgery{path: func(p *newPath) { p.path.nodes[0].secrets[0].kemOutput = make([]byte, 32) }}, []int{1}},
		{"swapped between leaves 2 and 3", forgery{path: func(p *newPath) { slices.Reverse(p.path.nodes[1].secrets) }}, []int{2, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			msg, _ := tc.f.make(t, random, parties[0])
			for i, p := range parties[1:] {
				_, err := p.group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime})
				if slices.Contains(tc.hurt, i+1) {
					if !errors.Is(err, ErrUnusable) {
						t.Errorf("member %d: %v", i+1, err)
					}
				} else if err != nil {
					t.Errorf("member %d: %v", i+1, err)
				}
			}
		})
	}
	// A path secret that decrypts and leads to other keys than the public ones.
	wrong := forgery{path: func(p *newPath) {
		g := parties[0].group
		to := g.suite.encryption("UpdatePathNode", g.provisional(afterPath(t, g, p)).encode())
		e, err := to.encrypt(random, g.tree.leaf(1).encryptionKey, make([]byte, 32))
		requireNoError(t, "encrypt", err)
		p.path.nodes[0].secrets[0] = e
	}}
	msg, _ := wrong.make(t, random, parties[0])
	_, err := parties[1].group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime})
	if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "fit") {
		t.Errorf("another path secret: %v", err)
	}
	requireOneEpoch(t, random, parties)
}

// Whoever cannot follow a valid commit still learns what it did, as all others do: its
// author, who it is unusable for, and who it removes (rule 15).
func TestReportWithoutGroup(t *testing.T) {
	random := testRandom(13)
	parties := testGroup(t, random, Suite3, 5)
	kp := testKeyPackage(t, random, Suite3, "newcomer").KeyPackage()
	moved := []Extension{{ExtensionConclaveIdentity, []byte("another identity")}}
	// The author's path starts from a leaf with another identity than the group knows.
	author, leaf := *parties[0].group, *parties[0].group.tree.leaf(0)
	leaf.extensions = moved
	author.tree = author.tree.clone()
	author.tree.set(0, node{leaf: &leaf})
	msg, _ := forgery{
		params: CommitParams{Adds: []*KeyPackage{kp}, Removes: []LeafIndex{4}, AAD: []byte("place")},
		path:   func(p *newPath) { p.path.nodes[0].secrets[0].ciphertext[0] ^= 1 },
	}.make(t, random, party{group: &author})
	removed, _ := parties[0].group.Member(4)
	want := Processed{
		LeafExtensions: moved, AAD: []byte("place"), Removed: []Member{removed},
		Added:     []Member{memberOf(4, kp.leaf)},
		AddedRefs: [][]byte{kp.Ref()}, AddedRaw: [][]byte{kp.Raw()}, PSKIDs: [][]byte{testPSK.ID},
	}
	for i, wantErr := range []error{ErrOwnCommit, ErrUnusable, nil, nil, nil} {
		out, err := parties[i].group.Process(msg, ProcessParams{PSKs: testPSKs, Now: testTime})
		if !errors.Is(err, wantErr) || out == nil {
			t.Errorf("member %d: %v", i, err)
			continue
		}
		follows := i == 2 || i == 3
		if out.SelfRemoved != (i == 4) || (out.Group != nil) != follows || (out.Sender != nil) != follows {
			t.Errorf("member %d: removed %t, group %t", i, out.SelfRemoved, out.Group != nil)
		}
		report := *out
		report.SelfRemoved, report.Group, report.Sender = false, nil, nil
		if !reflect.DeepEqual(report, want) {
			t.Errorf("member %d: another report", i)
		}
	}
}

// afterPath is the tree hash after a path without other changes.
func afterPath(t *testing.T, g *Group, p *newPath) []byte {
	t.Helper()
	tree := g.tree.clone()
	requireNoError(t, "merge", tree.mergePath(g.own, p.path, g.context.groupID, g.context.extensions, nil))
	return tree.rootHash()
}

// A group has a place for a thousand members, and not for one more.
func TestTooManyMembers(t *testing.T) {
	random := testRandom(12)
	p := testCreate(t, random, Suite3, "creator")
	kp := testKeyPackage(t, random, Suite3, "member").KeyPackage()
	adds := slices.Repeat([]*KeyPackage{kp}, MaxMembers)
	_, err := p.group.Commit(random, p.sender, CommitParams{Adds: adds, PSK: testPSK, Now: testTime})
	if !errors.Is(err, ErrProfile) {
		t.Errorf("%d members: %v", MaxMembers+1, err)
	}
	c, err := p.group.apply(append(addsOf(adds[1:]), proposal{typ: proposalPSK, psk: pskID{testPSK.ID, make([]byte, 32)}}), 0, time.Time{})
	requireNoError(t, "1,000 members", err)
	if c.tree.members() != MaxMembers || c.tree.width() != maxLeaves {
		t.Errorf("%d members, %d leaves", c.tree.members(), c.tree.width())
	}
}

func addsOf(kps []*KeyPackage) (out []proposal) {
	for _, kp := range kps {
		out = append(out, proposal{typ: proposalAdd, add: kp})
	}
	return out
}
