package e2ee

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// TestCommitRules has a member write commits that break one rule each, while dave waits.
// The others refuse each by its code, and one of them adds dave.
func TestCommitRules(t *testing.T) {
	ghost := func(p *person) *mls.KeyPackage {
		params := p.keyPackageParams()
		params.Signer, params.Identity = p.lab.key(), make([]byte, 16)
		secrets, err := mls.NewKeyPackage(p.cfg.Rand, params)
		if err != nil {
			t.Fatal(err)
		}
		return secrets.KeyPackage()
	}
	tests := []struct {
		name   string
		code   Code
		change func(l *lab, p *person, c *crafted)
	}{
		{"parent before the last one", CodeBadParent, func(_ *lab, _ *person, c *crafted) { c.aad.place.parent-- }},
		{"position of its own", CodeBadAAD, func(_ *lab, _ *person, c *crafted) { c.aad.place.x++ }},
		{"position before the parent", CodeBadAAD, func(_ *lab, _ *person, c *crafted) { c.aad.place.x = c.aad.place.parent - 1 }},
		{"another log", CodeLogFork, func(_ *lab, _ *person, c *crafted) { c.aad.place.hash[0]++ }},
		{"another generation inside", CodeBadAAD, func(_ *lab, _ *person, c *crafted) { c.aad.generation++ }},
		{"another link version", CodeBadAAD, func(_ *lab, _ *person, c *crafted) { c.aad.linkVersion++ }},
		{"another PSK id", CodeBadPSK, func(_ *lab, _ *person, c *crafted) { c.params.PSK.ID = pskID(2) }},
		{"another PSK", CodeBadCommit, func(_ *lab, _ *person, c *crafted) { c.params.PSK.Secret = make([]byte, 32) }},
		{"nobody added", CodeRosterWrong, func(_ *lab, _ *person, c *crafted) { c.params.Adds = nil }},
		{"a ghost instead", CodeRosterWrong, func(_ *lab, p *person, c *crafted) { c.params.Adds = []*mls.KeyPackage{ghost(p)} }},
		{"a member removed", CodeRosterWrong, func(l *lab, _ *person, c *crafted) {
			c.params.Removes = append(c.params.Removes, l.people[1].member.group.Own())
		}},
		{"as a PublicMessage", CodePublicCommit, func(_ *lab, p *person, c *crafted) {
			c.body = func(b *Committed) {
				b.Commit = publicCommit(p, c.aad)
				b.CommitDigest = sha256.Sum256(b.Commit)
			}
		}},
		{"envelope names nobody", CodeAddsWrong, func(_ *lab, _ *person, c *crafted) {
			c.body = func(b *Committed) { b.Adds = nil }
		}},
		{"envelope names one more", CodeAddsWrong, func(_ *lab, _ *person, c *crafted) {
			c.body = func(b *Committed) { b.Adds = append(b.Adds, Hash{1}) }
		}},
		{"in another's name", CodePIDMismatch, func(l *lab, _ *person, c *crafted) { c.sign = l.people[1].cfg.PID }},
		{"no MAC", CodeBadMAC, func(_ *lab, _ *person, c *crafted) { c.after = func(b *Committed) { b.MAC = Hash{} } }},
		{"another Welcome than the MAC has", CodeBadMAC, func(_ *lab, _ *person, c *crafted) {
			c.after = func(b *Committed) { b.WelcomeDigest[0]++ }
		}},
		{"stale", CodeStale, func(_ *lab, _ *person, c *crafted) { c.body = func(b *Committed) { b.Last-- } }},
		{"another generation", CodeBadGeneration, func(_ *lab, _ *person, c *crafted) { c.body = func(b *Committed) { b.Generation++ } }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			l.join("alice")
			people := l.join("bob", "carol")
			l.agree()
			author := people[1]
			dave := l.waiting("dave")
			e := l.craft(author, func(c *crafted) { test.change(l, author, c) })
			for _, p := range l.people[:2] {
				if got := p.verdict(e); got != test.code {
					t.Errorf("%s says %q, want %q", p.cfg.Name, got, test.code)
				}
			}
			l.append(author.cfg.PID, Left{})
			l.rest(10 * time.Second)
			l.agree()
			if len(dave.epoch.Members) != 3 {
				t.Errorf("dave sees %d members", len(dave.epoch.Members))
			}
		})
	}
}

// publicCommit is an MLSMessage with a PublicMessage of p in which all is right that can be read
// without keys (RFC 9420, Section 6.2).
func publicCommit(p *person, aad commitAAD) []byte {
	b := vec([]byte{0, 1, 0, 1}, p.member.group.GroupID())
	b = binary.BigEndian.AppendUint64(b, p.member.group.Epoch())
	b = binary.BigEndian.AppendUint32(append(b, 1), uint32(p.member.group.Own()))
	b = append(vec(b, aad.encode()), 3, 0, 0) // a commit without proposals and path
	tag := make([]byte, sha256.Size)
	return vec(vec(vec(b, make([]byte, 64)), tag), tag) // signature, confirmation and membership tag
}

// vec appends a vector of MLS that is shorter than 2^14 bytes (RFC 9420, Section 2.1.2).
func vec(b, v []byte) []byte {
	if len(v) < 64 {
		return append(append(b, byte(len(v))), v...)
	}
	return append(binary.BigEndian.AppendUint16(b, 1<<14|uint16(len(v))), v...)
}

// waiting adds somebody whom nobody has added yet.
func (l *lab) waiting(name string) *person {
	l.t.Helper()
	p := l.start(name)
	if p.status.State != StateWaiting {
		l.t.Fatalf("%v", p)
	}
	return p
}

// TestWayBack: a joiner cannot judge the commit that adds it. If the members find it
// invalid, the joiner is in an epoch of its own until they commit. The number of theirs
// is one in which the joiner has been: it does not enter that by their Welcome, but has
// itself added anew.
func TestWayBack(t *testing.T) {
	l := newLab(t)
	l.join("alice")
	carol := l.join("bob", "carol")[1]
	dave := l.waiting("dave")
	l.craft(carol, func(c *crafted) {
		c.body = func(b *Committed) { b.Adds = append(b.Adds, Hash{1}) }
	})
	if dave.status.State != StateMember || dave.epoch.SafetyNumber == l.people[0].epoch.SafetyNumber {
		t.Fatalf("%v has not taken the first Welcome", dave)
	}
	l.rest(20 * time.Second)
	if dave.joiner.find(dave.joiner.used) == nil {
		t.Error("the init key is gone before another member's commit")
	}
	l.append(carol.cfg.PID, Left{})
	l.rest(10 * time.Second)
	l.agree()
	if got := fmt.Sprint(dave.epochs[:2]); got != "[+1.2 +1.3]" || dave.joiner.seq != 2 {
		t.Errorf("epochs %s by %d announcements", got, dave.joiner.seq)
	}
	l.join("eve")
	if dave.joiner.find(dave.joiner.used) != nil {
		t.Error("the init key is kept after another member's commit")
	}
}

// TestWelcomeRules: a joiner takes no Welcome that says something else than its commit, or
// whose commit it is not shown; and it is added by the next.
func TestWelcomeRules(t *testing.T) {
	tests := []struct {
		name    string
		members Code // what members say of the commit
		change  func(p *person, c *crafted)
	}{
		{"another X", "", func(p *person, c *crafted) {
			c.info = &place{p.member.parent, c.aad.place.x, c.aad.place.hash}
			c.aad.place.x--
			c.aad.place.hash, _ = p.ledger.chain.at(c.aad.place.x)
		}},
		{"another parent", CodeBadParent, func(_ *person, c *crafted) {
			c.info = &place{c.aad.place.parent, c.aad.place.x, c.aad.place.hash}
			c.aad.place.parent--
		}},
		{"another generation", CodeBadAAD, func(_ *person, c *crafted) { c.aad.generation++ }},
		{"another link version", CodeBadAAD, func(_ *person, c *crafted) { c.aad.linkVersion++ }},
		{"without the commit", "", func(_ *person, c *crafted) {
			c.after = func(b *Committed) { b.Commit = nil }
		}},
		{"another commit", "", func(_ *person, c *crafted) {
			c.after = func(b *Committed) { b.Commit = []byte("another") }
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			alice := l.join("alice")[0]
			people := l.join("bob", "carol")
			l.join("confirms all")
			dave := l.waiting("dave")
			people[0].rejoin(CodeUnnamed) // the roster at X - 1 differs by an announcement alone
			people[0].step(Tick{})
			l.flush()
			author := people[1]
			e := l.craft(author, func(c *crafted) {
				test.change(author, c)
				roster, _ := author.ledger.rosterAt(c.aad.place.x)
				c.params = author.commitParams(author.member.plan(roster), c.aad.place)
			})
			if alice.verdict(e) != test.members || dave.epoch != nil {
				t.Errorf("alice says %q, want %q; dave is in the group: %t", alice.verdict(e), test.members, dave.epoch != nil)
			}
			l.append(author.cfg.PID, Left{})
			l.rest(20 * time.Second)
			l.agree()
		})
	}
}

// TestJudgeWelcomeCommit: what the commit beside a Welcome shows to all must be what the Welcome
// says. Each way to differ is refused by itself, by a check that nothing else stands in for.
func TestJudgeWelcomeCommit(t *testing.T) {
	l := newLab(t)
	l.join("alice")
	p := l.join("bob")[0]
	g, turns := p.member.group, len(p.ledger.turns)
	at := place{parent: p.member.parent, x: p.ledger.chain.head(), hash: Hash{7}}
	aad := commitAAD{p.ledger.generation, at, p.cfg.Link.Version}
	right := func() privateMessage {
		return privateMessage{wire: 2, groupID: g.GroupID(), epoch: g.Epoch() - 1, typ: contentCommit, aad: aad.encode()}
	}
	other := func(change func(*commitAAD)) []byte {
		a := aad
		change(&a)
		return a.encode()
	}
	p.ledger.turns = make([]uint64, g.Epoch()+1) // as many as the epoch needs, no more
	for _, test := range []struct {
		name   string
		change func(m *privateMessage, c *Committed)
		text   string // "" if it is accepted
	}{
		{"right", func(*privateMessage, *Committed) {}, ""},
		{"another digest", func(_ *privateMessage, c *Committed) { c.CommitDigest[0]++ }, "without its commit"},
		{"no bytes", func(_ *privateMessage, c *Committed) { c.Commit = nil }, "without its commit"},
		{"not a message", func(m *privateMessage, _ *Committed) { m.wire = 3 }, "without its commit"},
		{"an application message", func(m *privateMessage, _ *Committed) { m.typ = 1 }, "without its commit"},
		{"a proposal", func(m *privateMessage, _ *Committed) { m.typ = 2 }, "without its commit"},
		{"in clear", func(_ *privateMessage, c *Committed) {
			c.Commit = publicCommit(p, aad)
			c.CommitDigest = sha256.Sum256(c.Commit)
		}, "without its commit"},
		{"no data", func(m *privateMessage, _ *Committed) { m.aad = nil }, "another place"},
		{"data and a byte", func(m *privateMessage, _ *Committed) { m.aad = append(m.aad, 0) }, "another place"},
		{"another parent", func(m *privateMessage, _ *Committed) { m.aad = other(func(a *commitAAD) { a.place.parent-- }) }, "another place"},
		{"another X", func(m *privateMessage, _ *Committed) { m.aad = other(func(a *commitAAD) { a.place.x-- }) }, "another place"},
		{"another hash", func(m *privateMessage, _ *Committed) { m.aad = other(func(a *commitAAD) { a.place.hash[0]++ }) }, "another place"},
		{"another generation", func(m *privateMessage, _ *Committed) { m.aad = other(func(a *commitAAD) { a.generation++ }) }, "another place"},
		{"another link version", func(m *privateMessage, _ *Committed) { m.aad = other(func(a *commitAAD) { a.linkVersion++ }) }, "another place"},
		{"the entry's generation", func(_ *privateMessage, c *Committed) { c.Generation++ }, "another place"},
		{"another group", func(m *privateMessage, _ *Committed) { m.groupID = make([]byte, 16) }, "by a commit of epoch"},
		{"of the Welcome's epoch", func(m *privateMessage, _ *Committed) { m.epoch++ }, "by a commit of epoch"},
		{"of an epoch before", func(m *privateMessage, _ *Committed) { m.epoch-- }, "by a commit of epoch"},
		{"more epochs than turns", func(*privateMessage, *Committed) { p.ledger.turns = p.ledger.turns[1:] }, "by a commit of epoch"},
	} {
		m, c := right(), Committed{Generation: aad.generation}
		before := p.ledger.turns
		test.change(&m, &c)
		if c.Commit == nil && test.name != "no bytes" {
			c.Commit = m.encode()
			digest := sha256.Sum256(c.Commit)
			for i := range digest {
				c.CommitDigest[i] += digest[i]
			}
		}
		err := p.judgeWelcomeCommit(c, g, at)
		p.ledger.turns = before
		if (err == nil) != (test.text == "") || err != nil && (!errors.Is(err, errWelcome) || !strings.Contains(err.Error(), test.text)) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if turns < 2 {
		t.Errorf("%d turns", turns)
	}
}

// privateMessage is what an MLSMessage with a PrivateMessage shows (RFC 9420, Section 6.3).
type privateMessage struct {
	wire    byte
	groupID []byte
	epoch   uint64
	typ     byte
	aad     []byte
}

// encode adds ciphertexts of a byte each.
func (m privateMessage) encode() []byte {
	b := vec([]byte{0, 1, 0, m.wire}, m.groupID)
	b = append(binary.BigEndian.AppendUint64(b, m.epoch), m.typ)
	return append(vec(b, m.aad), 1, 0, 1, 0)
}

// TestRefusedEpochErased: the secrets of an epoch whose commit a session opens and then refuses
// by a rule of its own are erased.
func TestRefusedEpochErased(t *testing.T) {
	l := newLab(t)
	l.join("alice")
	people := l.join("bob", "carol")
	l.waiting("dave")
	var opened *mls.Processed
	people[0].process = func(g *mls.Group, msg []byte, p mls.ProcessParams) (*mls.Processed, error) {
		var err error
		opened, err = g.Process(msg, p)
		return opened, err
	}
	e := l.craft(people[1], func(c *crafted) { c.params.Adds = nil })
	if people[0].verdict(e) != CodeRosterWrong || opened.Group == nil {
		t.Fatal(people[0].verdict(e))
	}
	_, exported := opened.Group.Export("label", nil, 16)
	_, sealed := opened.Sender.Seal(l.rand, nil, nil)
	if !errors.Is(exported, mls.ErrInvalid) || !errors.Is(sealed, mls.ErrInvalid) {
		t.Errorf("%v, %v", exported, sealed)
	}
	if _, err := people[0].member.group.Export("label", nil, 16); err != nil {
		t.Error("the epoch that goes on is erased:", err)
	}
}

// TestWelcomeEpoch: a member leads a joiner into a group of its own making, which nobody but
// the joiner enters. It cannot give it an epoch higher than there can be by this log, or
// the way back would be barred by the number.
func TestWelcomeEpoch(t *testing.T) {
	for _, high := range []bool{false, true} {
		l := newLab(t)
		alice := l.join("alice")[0]
		bob := l.join("bob")[0]
		dave := l.waiting("dave")
		own := bob.joiner.find(bob.joiner.used).secrets
		extensions := groupContextExtensions(bob.groupExtension(1))
		g, sender, err := mls.CreateFrom(l.rand, own, bob.ledger.groupID[:], extensions)
		if err != nil {
			t.Fatal(err)
		}
		x := bob.ledger.chain.head()
		at := place{parent: bob.member.parent, x: x, hash: mustHash(t, bob, x)}
		commit := func(adds ...*announcement) PostCommit {
			p := plan{adds: adds}
			staged, err := g.Commit(l.rand, sender, bob.commitParams(p, at))
			if err != nil {
				t.Fatal(err)
			}
			g, sender = staged.Merge()
			return bob.envelope(p, staged)
		}
		for n := 1; n < len(bob.ledger.turns) || high && n < 10; n++ {
			commit()
		}
		post := commit(alice.ledger.present[alice.cfg.PID], alice.ledger.present[dave.cfg.PID])
		bob.stop()
		l.append(bob.cfg.PID, committed(post))
		if taken := dave.epoch != nil; taken == high {
			t.Errorf("high=%t: dave has taken the Welcome: %t", high, taken)
		}
		l.append(bob.cfg.PID, Left{})
		l.rest(20 * time.Second)
		l.agree()
	}
}

func mustHash(t *testing.T, p *person, x uint64) Hash {
	t.Helper()
	h, ok := p.ledger.chain.at(x)
	if !ok {
		t.Fatalf("no hash at %d", x)
	}
	return h
}

// TestDoubt: commits that are not valid lead a member to announce itself anew if no
// other's commit has confirmed its place, and then once in 30 s. One whose place is
// confirmed stays.
func TestDoubt(t *testing.T) {
	l := newLab(t)
	l.join("alice")
	bob := l.join("bob")[0]
	carol := l.join("carol")[0]
	garbage := func() {
		c := Committed{Last: l.last, Generation: 1, Commit: []byte{1}, CommitDigest: sha256.Sum256([]byte{1})}
		c.MAC = bob.keys.commitMAC(l.link.Room, l.id, c, bob.cfg.PID)
		l.append(bob.cfg.PID, c)
		l.rest(5 * time.Second)
	}
	seqs := func() string { return fmt.Sprint(l.people[0].joiner.seq, bob.joiner.seq, carol.joiner.seq) }
	garbage()
	if carol.verdict(l.log[len(l.log)-1]) == "" && seqs() != "1 1 2" {
		t.Errorf("announced %s times, want carol a second time", seqs())
	}
	for range 4 {
		garbage()
	}
	l.agree()
	if seqs() != "1 1 2" {
		t.Errorf("announced %s times, want nobody again within 30 s", seqs())
	}
}

// TestInitKeyForgotten: without another member's commit the init key goes after 30 s.
func TestInitKeyForgotten(t *testing.T) {
	l := newLab(t)
	l.join("alice")
	bob := l.join("bob")[0]
	l.rest(keepInitKey - 6*time.Second)
	if bob.joiner.find(bob.joiner.used) == nil {
		t.Error("gone too early")
	}
	l.rest(10 * time.Second)
	if len(bob.joiner.offers) != 0 {
		t.Error("kept too long")
	}
}

// TestCommitAfterLeaving: who has a left up to X cannot commit; one who left after X can.
func TestCommitAfterLeaving(t *testing.T) {
	for _, late := range []bool{false, true} {
		l := newLab(t)
		alice := l.join("alice")[0]
		bob := l.join("bob", "carol")[0]
		l.waiting("dave")
		bob.stop()
		if late {
			bob.deaf = false // sees its own left, and is a member no more
			l.leaveWithKeys(bob)
		}
		want := Code("")
		if late {
			want = CodeNotMember
		}
		e := l.craft(bob, func(c *crafted) {
			if late {
				c.params.Removes = nil
			}
		})
		if !late {
			l.append(bob.cfg.PID, Left{})
		}
		if got := alice.verdict(e); got != want {
			t.Errorf("late=%t: %q, want %q", late, got, want)
		}
		l.rest(10 * time.Second)
		l.agree()
	}
}

// TestRefresh: a commit that changes nobody is valid after 10 minutes of the epoch, by
// the member whose leaf is oldest.
func TestRefresh(t *testing.T) {
	tests := []struct {
		name   string
		after  time.Duration
		author int
		code   Code
	}{
		{"early", 9 * time.Minute, 0, CodeEarlyRefresh},
		{"not the oldest", 11 * time.Minute, 0, CodeNotOldest}, // alice's commit added the others
		{"the oldest", 11 * time.Minute, 1, ""},
		{"the oldest but one", 11 * time.Minute, 2, CodeNotOldest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			l.join("alice")
			l.join("bob")
			l.join("carol")
			l.rest(test.after)
			e := l.craft(l.people[test.author], func(*crafted) {})
			judge := l.people[(test.author+1)%3]
			if got := judge.verdict(e); got != test.code {
				t.Errorf("%q, want %q", got, test.code)
			}
		})
	}
}

// TestUnusable: who is not shown a commit's bytes is added anew.
func TestUnusable(t *testing.T) {
	l := newLab(t)
	l.join("alice")
	bob := l.join("bob", "carol")[0]
	before := bob.epoch.Own
	e := Entry{}
	bob.deaf = true
	l.join("dave")
	e = l.log[len(l.log)-1]
	body := e.Body.(Committed)
	bob.deaf = false
	for _, missed := range l.log[bob.ledger.chain.head() : len(l.log)-1] {
		bob.step(LogEntry{missed})
	}
	body.Commit = nil
	e.Body = body
	bob.step(LogEntry{e})
	if bob.status != (Status{StateRejoining, CodeCommitUnusable}) {
		t.Fatal(bob)
	}
	l.rest(5 * time.Second)
	l.agree()
	t.Logf("leaf %d, then %d", before, bob.epoch.Own)
}

func TestSafetyNumber(t *testing.T) {
	// SHA-512("conclave/1 safety" || 32 zero bytes), by sha512sum, its first 30 bytes in
	// groups of five, each mod 10^5.
	const want = "99975 26595 21837 16838 35943 33963"
	if got := SafetyNumber(make([]byte, 32)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLateCommit: the room keeps a commit back until the KeyPackage in it has run out. Its
// lifetime was judged when it was announced: the commit is valid for all alike, its author
// and the joiner as well.
func TestLateCommit(t *testing.T) {
	l := newLab(t)
	people := l.join("ann", "bob")
	l.start("cid")
	for len(l.posts) == 0 {
		l.now = l.now.Add(50 * time.Millisecond)
		people[0].step(Tick{})
		people[1].step(Tick{})
	}
	post := l.posts[0]
	l.posts = nil
	l.now = l.now.Add(25 * time.Hour)
	post()
	for _, p := range l.people {
		if len(p.refused) != 0 || len(p.epoch.Members) != 3 {
			t.Errorf("%v has refused %v and sees %d members", p, p.refused, len(p.epoch.Members))
		}
	}
	l.rest(2 * time.Second)
	l.agree()
}

// TestUnusableLast: a commit that members cannot open is judged by all that they can see of
// it first. If it is not valid anyway, it throws nobody out.
func TestUnusableLast(t *testing.T) {
	tests := []struct {
		name   string
		code   Code // "" if the commit is valid for those who can open it
		author func(l *lab) *person
	}{
		{"too early a refresh", CodeEarlyRefresh, func(l *lab) *person { return l.people[3] }},
		{"by one who has left", CodeNotMember, func(l *lab) *person {
			dave := l.people[3]
			l.leaveWithKeys(dave)
			dave.deaf = true
			return dave
		}},
		{"with work to do", "", func(l *lab) *person { l.waiting("eve"); return l.people[3] }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			l.join("alice")
			l.join("bob", "carol", "dave")
			l.rest(time.Second)
			l.join("confirms all")
			for _, p := range l.people {
				p.process = unusable
			}
			author := test.author(l)
			e := l.craft(author, func(c *crafted) { c.params.Removes = nil })
			for _, p := range l.people[:3] {
				want := Status{StateMember, ""}
				if test.code == "" {
					want = Status{StateRejoining, CodeCommitUnusable}
				}
				if p.verdict(e) != test.code || p.status != want {
					t.Errorf("%v says %q, want %v and %q", p, p.verdict(e), want, test.code)
				}
			}
		})
	}
}

// unusable is mls.Group.Process of a member for whom no path opens.
func unusable(g *mls.Group, commit []byte, params mls.ProcessParams) (*mls.Processed, error) {
	p, err := g.Process(commit, params)
	if err == nil {
		p.Group, p.Sender, err = nil, nil, mls.ErrUnusable
	}
	return p, err
}
