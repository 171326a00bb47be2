package e2ee

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"maps"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// announcer makes joined entries, right ones unless a test spoils them.
type announcer struct {
	*lab
	ledger *ledger
	keys   linkKeys
	n      int
}

func newAnnouncer(t *testing.T) *announcer {
	l := newLab(t)
	keys := deriveLinkKeys(l.link)
	return &announcer{lab: l, keys: keys, ledger: newLedger(l.link, keys, l.id)}
}

// who is a participant that can announce itself.
type who struct {
	pid    PID
	signer ed25519.PrivateKey
	device ed25519.PrivateKey
	seq    uint64
}

func (a *announcer) who() *who {
	w := &who{signer: a.key(), device: a.key()}
	_, _ = a.rand.Read(w.pid[:])
	return w
}

// announcementParams is what a joined entry is made of.
type announcementParams struct {
	entry   PID // the pid of the entry
	join    joinExtension
	binding leafBinding // of the identity
	mls     mls.KeyPackageParams
	keys    linkKeys
	rand    io.Reader           // of the init and the encryption key
	raw     func([]byte) []byte // changes the KeyPackage before the MAC is made
	mangle  func(*Joined)
}

// announce returns the body of a valid joined entry of w, but for what change did.
func (a *announcer) announce(w *who, change func(*announcementParams)) (PID, Joined) {
	a.t.Helper()
	w.seq++
	now := uint64(a.now.Unix())
	p := announcementParams{
		entry:   w.pid,
		join:    joinExtension{a.link.Room, a.id, a.ledger.generation, w.seq},
		binding: a.ledger.binding(w.pid, [32]byte(w.signer.Public().(ed25519.PublicKey))),
		mls: mls.KeyPackageParams{
			Suite: a.link.suite(), Signer: w.signer, Identity: w.pid[:],
			NotBefore: now - lifetimeBefore, NotAfter: now + lifetimeAfter,
		},
		keys: a.keys,
		rand: a.rand,
	}
	if change != nil {
		change(&p)
	}
	id := leafIdentity{Name: "somebody", Device: [32]byte(w.device.Public().(ed25519.PublicKey))}
	sealed, err := sealIdentity(a.rand, p.keys, p.binding, id, [64]byte(ed25519.Sign(w.device, p.binding.message())))
	if err != nil {
		a.t.Fatal(err)
	}
	if p.mls.LeafExtensions == nil {
		p.mls.LeafExtensions = []mls.Extension{{Type: mls.ExtensionConclaveIdentity, Data: sealed}}
	}
	if p.mls.Extensions == nil {
		p.mls.Extensions = []mls.Extension{{Type: mls.ExtensionConclaveJoin, Data: p.join.encode()}}
	}
	secrets, err := mls.NewKeyPackage(p.rand, p.mls)
	if err != nil {
		a.t.Fatal(err)
	}
	j := Joined{KeyPackage: secrets.KeyPackage().Raw()}
	if p.raw != nil {
		j.KeyPackage = p.raw(j.KeyPackage)
	}
	j.MAC = p.keys.joinMAC(j.KeyPackage)
	if p.mangle != nil {
		p.mangle(&j)
	}
	return p.entry, j
}

func (a *announcer) apply(pid PID, body EntryBody) Code {
	a.now = a.now.Add(10 * time.Millisecond)
	return a.ledger.apply(a.now, Entry{a.ledger.chain.head() + 1, a.now.UnixMilli(), pid, body})
}

func (a *announcer) create(pid PID, change func(*Created)) Code {
	a.n++
	c := Created{Last: a.ledger.last, Generation: a.ledger.generation + 1, GroupID: [16]byte{byte(a.n)}}
	if change != nil {
		change(&c)
	}
	c.MAC = a.keys.createMAC(a.link.Room, a.id, c, pid)
	return a.apply(pid, c)
}

func TestJoinedRules(t *testing.T) {
	other := PID{1, 2, 3}
	otherKeys := linkKeys{psk: make([]byte, 32), join: make([]byte, 32), name: make([]byte, 32)}
	tests := []struct {
		name   string
		code   Code
		change func(*announcementParams)
	}{
		{"valid", "", nil},
		{"no MAC", CodeBadMAC, func(p *announcementParams) { p.mangle = func(j *Joined) { j.MAC = Hash{} } }},
		{"under another link", CodeBadMAC, func(p *announcementParams) { p.keys = otherKeys }},
		{"changed on the way", CodeBadMAC, func(p *announcementParams) { p.mangle = func(j *Joined) { j.KeyPackage[40]++ } }},
		{"another suite", CodeBadKeyPackage, func(p *announcementParams) { p.mls.Suite = mls.Suite1 }},
		{"in another's name", CodePIDMismatch, func(p *announcementParams) { p.entry = other }},
		{"another pid inside", CodePIDMismatch, func(p *announcementParams) { p.mls.Identity = other[:] }},
		{"pid too short", CodePIDMismatch, func(p *announcementParams) { p.mls.Identity = other[:15] }},
		{"of another room", CodeBadJoin, func(p *announcementParams) { p.join.room = "other" }},
		{"of another log", CodeBadJoin, func(p *announcementParams) { p.join.log[0]++ }},
		{"of another generation", CodeBadGeneration, func(p *announcementParams) { p.join.generation++ }},
		{"without a join extension", CodeBadJoin, func(p *announcementParams) { p.mls.Extensions = []mls.Extension{} }},
		{"without an identity", CodeBadIdentity, func(p *announcementParams) { p.mls.LeafExtensions = []mls.Extension{} }},
		{"with another's identity", CodeBadIdentity, func(p *announcementParams) { p.binding.pid = other }},
		{"identity of another leaf key", CodeBadIdentity, func(p *announcementParams) { p.binding.key = make([]byte, 32) }},
		{"identity of another room", CodeBadIdentity, func(p *announcementParams) { p.binding.room = "other" }},
		{"from the future", CodeBadLifetime, func(p *announcementParams) { p.mls.NotBefore += 2 * lifetimeBefore }},
		{"about to expire", CodeBadLifetime, func(p *announcementParams) { p.mls.NotAfter -= 13 * 60 * 60 }},
		{"living too long", CodeBadLifetime, func(p *announcementParams) { p.mls.NotAfter += 1 }},
		{"one key for two", CodeBadKeyPackage, func(p *announcementParams) { p.rand = seeds(1, 1) }},
		{"signed anew", "", func(p *announcementParams) {
			p.raw = func(kp []byte) []byte { return resigned(kp, p.mls.Signer) }
		}},
		{"without a capability that the group requires", CodeBadKeyPackage, func(p *announcementParams) {
			p.raw = func(kp []byte) []byte {
				i := bytes.Index(kp, []byte{byte(mls.ExtensionConclaveGroup >> 8), byte(mls.ExtensionConclaveGroup & 0xff)})
				kp[i], kp[i+1] = 0x0a, 0x0a
				return resigned(kp, p.mls.Signer)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := newAnnouncer(t)
			if got := a.apply(a.announce(a.who(), test.change)); got != test.code {
				t.Errorf("%q, want %q", got, test.code)
			}
			if n := len(a.ledger.present); (n == 1) != (test.code == "") {
				t.Errorf("%d present", n)
			}
		})
	}
}

// TestBinding: one pid has one signature key and the other way round, and seq rises.
func TestBinding(t *testing.T) {
	a := newAnnouncer(t)
	w := a.who()
	pid, first := a.announce(w, nil)
	steps := []struct {
		name string
		code Code
		body func() (PID, Joined)
	}{
		{"first", "", func() (PID, Joined) { return pid, first }},
		{"the same again", CodeReplayed, func() (PID, Joined) { return pid, first }},
		{"again", "", func() (PID, Joined) { return a.announce(w, nil) }},
		{"the first once more", CodeReplayed, func() (PID, Joined) { return pid, first }},
		{"the pid by another key", CodeKeyReused, func() (PID, Joined) { return a.announce(&who{w.pid, a.key(), w.device, 9}, nil) }},
		{"the key by another pid", CodeKeyReused, func() (PID, Joined) { return a.announce(&who{PID{9}, w.signer, w.device, 9}, nil) }},
	}
	for _, step := range steps {
		if got := a.apply(step.body()); got != step.code {
			t.Errorf("%s: %q, want %q", step.name, got, step.code)
		}
	}
	a.apply(pid, Left{})
	if got := a.apply(a.announce(&who{w.pid, a.key(), w.device, 9}, nil)); got != CodeKeyReused {
		t.Errorf("after leaving: %q", got)
	}
}

// TestKeysAnnouncedOnce: an init key or an encryption key that a valid joined entry had can
// be in no other, in neither role: copied from the log it would keep both participants, and
// all who wait with them, out of the group.
func TestKeysAnnouncedOnce(t *testing.T) {
	a := newAnnouncer(t)
	bob := a.who()
	steps := []struct {
		name      string
		who       *who
		init, enc byte // seeds of the keys
		code      Code
	}{
		{"bob", bob, 1, 2, ""},
		{"bob's encryption key", a.who(), 3, 2, CodeKeyReused},
		{"bob's init key", a.who(), 1, 3, CodeKeyReused},
		{"bob's encryption key as init key", a.who(), 2, 3, CodeKeyReused},
		{"bob's init key as encryption key", a.who(), 3, 1, CodeKeyReused},
		{"bob himself by half", bob, 3, 2, CodeKeyReused},
		{"bob himself anew", bob, 5, 6, ""},
		{"bob's earlier key", a.who(), 3, 1, CodeKeyReused},
		{"one that only an invalid entry had", a.who(), 3, 4, ""},
	}
	for _, step := range steps {
		pid, body := a.announce(step.who, func(p *announcementParams) { p.rand = seeds(step.init, step.enc) })
		if got := a.apply(pid, body); got != step.code {
			t.Errorf("%s: %q, want %q", step.name, got, step.code)
		}
	}
}

// TestKeyTakenFirst: the server shows somebody who has the link a KeyPackage before it is in
// the log, and that one announces the key first. The owner makes others.
func TestKeyTakenFirst(t *testing.T) {
	a := newAnnouncer(t)
	alice := a.join("alice")[0]
	bob := a.join("bob")[0]
	a.ledger = alice.ledger
	bob.rejoin(CodeUnnamed)
	bob.step(Tick{})
	key := bob.joiner.offers[len(bob.joiner.offers)-1].secrets.KeyPackage().EncryptionKey()
	mallory := a.who()
	pid, body := a.announce(mallory, func(p *announcementParams) {
		p.raw = func(kp []byte) []byte {
			parsed, err := mls.ParseKeyPackage(kp)
			if err != nil {
				t.Fatal(err)
			}
			return resigned(bytes.Replace(kp, parsed.EncryptionKey(), key, 1), p.mls.Signer)
		}
	})
	if e := a.append(pid, body); alice.verdict(e) != "" {
		t.Fatalf("mallory's announcement: %s", alice.verdict(e))
	}
	a.flush()
	if got := alice.verdict(a.log[len(a.log)-1]); got != CodeKeyReused || bob.status.State == StateEnded {
		t.Errorf("bob's announcement: %q; %v", got, bob)
	}
	a.append(pid, Left{})
	a.rest(10 * time.Second)
	a.agree()
}

// seeds are the random bytes that a KeyPackage's two keys are made of.
func seeds(init, enc byte) io.Reader {
	seed := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
	return bytes.NewReader(append(seed(init), seed(enc)...))
}

// resigned signs a KeyPackage that was changed, and its leaf, anew (RFC 9420, Section
// 5.1.2). The signatures are the last 64 bytes of each; the leaf ends before the extension
// conclave_join.
func resigned(kp []byte, signer ed25519.PrivateKey) []byte {
	sign := func(label string, content, signature []byte) {
		b := appendVector(appendVector(nil, []byte("MLS 1.0 "+label)), content)
		copy(signature, ed25519.Sign(signer, b))
	}
	const header = 4 // of the MLSMessage
	parsed, err := mls.ParseKeyPackage(kp)
	if err != nil {
		panic(err)
	}
	leaf := header + 4 + len(appendVector(nil, parsed.InitKey()))
	join := parsed.Extensions()[0].Data
	end := bytes.LastIndex(kp, join) - 4 // length of the list, type, length: of short vectors
	sign("LeafNodeTBS", kp[leaf:end-66], kp[end-64:end])
	sign("KeyPackageTBS", kp[header:len(kp)-66], kp[len(kp)-64:])
	return kp
}

func TestWaitingLimit(t *testing.T) {
	a := newAnnouncer(t)
	var first *who
	for i := range maxWaiting {
		w := a.who()
		if i == 0 {
			first = w
		}
		if code := a.apply(a.announce(w, nil)); code != "" {
			t.Fatalf("%d: %s", i, code)
		}
	}
	if code := a.apply(a.announce(a.who(), nil)); code != CodeTooManyWaiting {
		t.Errorf("one more: %q", code)
	}
	if code := a.apply(a.announce(first, nil)); code != "" {
		t.Errorf("one of them again: %q", code)
	}
	a.apply(first.pid, Left{})
	if code := a.apply(a.announce(a.who(), nil)); code != "" {
		t.Errorf("after one left: %q", code)
	}
}

func TestCreateRules(t *testing.T) {
	a := newAnnouncer(t)
	alice, bob, carol := a.who(), a.who(), a.who()
	join := func(w *who) {
		t.Helper()
		if code := a.apply(a.announce(w, nil)); code != "" {
			t.Fatal(code)
		}
	}
	want := func(name string, got, want Code) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	join(alice)
	want("not announced", a.create(bob.pid, nil), CodeNotAnnounced)
	want("stale", a.create(alice.pid, func(c *Created) { c.Last = 77 }), CodeStale)
	want("generation skipped", a.create(alice.pid, func(c *Created) { c.Generation++ }), CodeBadGeneration)
	want("group id of none", a.create(alice.pid, func(c *Created) { c.GroupID = [16]byte{} }), CodeBadGroupID)
	want("no MAC", a.apply(alice.pid, Created{Last: a.ledger.last, Generation: 1, GroupID: [16]byte{1}}), CodeBadMAC)
	join(bob)
	want("first", a.create(alice.pid, nil), "")
	want("bob's announcement is void", a.create(bob.pid, nil), CodeNotAnnounced)
	join(bob)
	join(carol)
	want("alice is in the group", a.create(bob.pid, nil), CodeGroupExists)
	a.now = a.now.Add(createAfter - 100*time.Millisecond)
	want("before 20 s", a.create(bob.pid, nil), CodeGroupExists)
	a.now = a.now.Add(time.Second)
	want("by a member", a.create(alice.pid, nil), CodeNotAnnounced)
	want("after 20 s", a.create(carol.pid, nil), "")
	if len(a.ledger.present) != 1 || a.ledger.generation != 2 || a.ledger.waiting != 0 {
		t.Errorf("%d present in generation %d, %d waiting", len(a.ledger.present), a.ledger.generation, a.ledger.waiting)
	}
	join(bob)
	a.apply(carol.pid, Left{})
	want("nobody is in the group", a.create(bob.pid, nil), "")
}

// TestNamed: a commit entry puts those whom it names into the group, whether members find
// it valid or not, until they announce themselves again. One without the MAC names nobody.
func TestNamed(t *testing.T) {
	a := newAnnouncer(t)
	alice, bob := a.who(), a.who()
	a.apply(a.announce(alice, nil))
	a.create(alice.pid, nil)
	a.apply(a.announce(bob, nil))
	c := Committed{Last: a.ledger.last, Generation: 1, Adds: []Hash{a.ledger.present[bob.pid].digest}}
	if code := a.apply(alice.pid, c); code != CodeBadMAC || a.ledger.waiting != 1 || len(a.ledger.turns) != 1 {
		t.Errorf("%q; %d wait, %d turns", code, a.ledger.waiting, len(a.ledger.turns))
	}
	if moved := a.ledger.present[alice.pid].moved; moved != 2 || a.ledger.last != 4 {
		t.Errorf("alice has moved at %d, and the last turn is at %d", moved, a.ledger.last)
	}
	c.Last = a.ledger.last
	c.MAC = a.keys.commitMAC(a.link.Room, a.id, c, alice.pid)
	if code := a.apply(alice.pid, c); code != "" || a.ledger.waiting != 0 || len(a.ledger.turns) != 2 {
		t.Errorf("%q; %d wait, %d turns", code, a.ledger.waiting, len(a.ledger.turns))
	}
	a.apply(alice.pid, Left{})
	if code := a.create(bob.pid, nil); code != CodeNotAnnounced {
		t.Errorf("named: %q", code)
	}
	a.apply(a.announce(bob, nil))
	if code := a.create(bob.pid, nil); code != "" {
		t.Errorf("announced again: %q", code)
	}
}

// TestRosterAt compares the ledger's past with what was recorded at the time.
func TestRosterAt(t *testing.T) {
	a := newAnnouncer(t)
	people := []*who{a.who(), a.who(), a.who(), a.who(), a.who()}
	a.apply(a.announce(people[0], nil))
	a.create(people[0].pid, nil)
	record := map[uint64]string{}
	for i := range 60 {
		w := people[(i*i+i/7)%len(people)]
		if i%3 == 2 {
			a.apply(w.pid, Left{})
		} else {
			a.apply(a.announce(w, nil))
		}
		record[a.ledger.chain.head()] = fmt.Sprint(a.ledger.present)
		replayed, _ := a.ledger.rosterAt(a.ledger.chain.head())
		if work := !maps.Equal(replayed, a.ledger.base); a.ledger.work() != work {
			t.Errorf("at %d: work is %t", a.ledger.chain.head(), !work)
		}
	}
	if n := testing.AllocsPerRun(10, func() { a.ledger.work() }); n != 0 {
		t.Errorf("asking for work replays the log: %v allocations", n)
	}
	same := func() {
		t.Helper()
		for x, want := range record {
			roster, ok := a.ledger.rosterAt(x)
			if ok != (x >= a.ledger.baseAt) || ok && fmt.Sprint(roster) != want {
				t.Fatalf("at %d: %v, want %s", x, roster, want)
			}
		}
	}
	same()
	a.ledger.rebase(30)
	same()
	a.ledger.rebase(a.ledger.chain.head())
	same()
	if a.ledger.work() {
		t.Error("work after the last rebase")
	}
}

func TestLogOrder(t *testing.T) {
	a := newAnnouncer(t)
	for _, position := range []uint64{0, 2, 1 << 63} {
		if code := a.ledger.admit(Entry{Position: position, Body: Left{}}); code != CodeLogOrder {
			t.Errorf("position %d first: %q", position, code)
		}
	}
	if code := a.ledger.admit(Entry{Position: 1, Body: Left{}}); code != "" {
		t.Error(code)
	}
	a.ledger.chain.hashes = make([]Hash, MaxLogEntries+1)
	if code := a.ledger.admit(Entry{Position: MaxLogEntries + 1, Body: Left{}}); code != CodeLogFull {
		t.Errorf("past the end: %q", code)
	}
}
