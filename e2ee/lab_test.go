package e2ee

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// lab is a room without a network, whose entries reach all at once, and in which tests
// can write what they like.
type lab struct {
	t      *testing.T
	rand   *rand.ChaCha8
	link   Link
	id     LogID
	now    time.Time
	log    []Entry
	last   uint64
	people []*person
	posts  []func() // on their way to the room
}

type person struct {
	*Session
	lab     *lab
	device  ed25519.PrivateKey
	epoch   *EpochStarted
	epochs  []string // begun and ended, in order
	sending string
	status  Status
	refused []EntryRefused
	deaf    bool          // gets nothing, does nothing
	off     time.Duration // of its clock
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, rand: rand.NewChaCha8([32]byte{1}), now: time.UnixMilli(1_800_000_000_000)}
	var err error
	if l.link, err = NewLink(l.rand, "https://meet.example", "lab"); err != nil {
		t.Fatal(err)
	}
	_, _ = l.rand.Read(l.id[:])
	return l
}

// join adds participants and lets the room come to rest.
func (l *lab) join(names ...string) []*person {
	var list []*person
	for _, name := range names {
		list = append(list, l.start(name))
	}
	l.rest(5 * time.Second)
	return list
}

// start adds a participant and shows it the log.
func (l *lab) start(name string) *person {
	p := &person{lab: l, device: l.key()}
	cfg := Config{Link: l.link, Name: name, Rand: l.rand}
	_, _ = l.rand.Read(cfg.PID[:])
	var err error
	if p.Session, err = New(cfg); err != nil {
		l.t.Fatal(err)
	}
	p.step(LogOpened{ID: l.id, Head: uint64(len(l.log))})
	for _, e := range slices.Clone(l.log) {
		p.step(LogEntry{e})
	}
	l.people = append(l.people, p)
	l.flush()
	return p
}

func (l *lab) key() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = l.rand.Read(seed)
	return ed25519.NewKeyFromSeed(seed)
}

// rest lets time pass in steps of 50 ms.
func (l *lab) rest(d time.Duration) {
	for end := l.now.Add(d); l.now.Before(end); l.now = l.now.Add(50 * time.Millisecond) {
		for _, p := range l.people {
			if due := p.Deadline(); !due.IsZero() && !due.After(l.now.Add(p.off)) {
				p.step(Tick{})
				l.flush()
			}
		}
	}
}

// flush carries posts to the room until there are no more.
func (l *lab) flush() {
	for len(l.posts) > 0 {
		post := l.posts[0]
		l.posts = l.posts[1:]
		post()
	}
}

// append writes an entry and shows it to all.
func (l *lab) append(pid PID, body EntryBody) Entry {
	e := Entry{Position: uint64(len(l.log)) + 1, Time: l.now.UnixMilli(), PID: pid, Body: body}
	switch body.(type) {
	case Created, Committed:
		l.last = e.Position
	}
	l.log = append(l.log, e)
	for _, p := range slices.Clone(l.people) {
		p.step(LogEntry{e})
	}
	return e
}

func (p *person) step(in Input) {
	if p.deaf {
		return
	}
	p.lab.t.Helper()
	if err := p.Step(p.lab.now.Add(p.off), in); err != nil {
		p.lab.t.Fatalf("%s: %v", p.cfg.Name, err)
	}
	var outs []Output
	for out, ok := p.Poll(); ok; out, ok = p.Poll() {
		outs = append(outs, out)
	}
	for _, out := range outs {
		p.do(out)
	}
}

func (p *person) do(out Output) {
	switch out := out.(type) {
	case SignDevice:
		p.step(DeviceSigned{
			Public:    [32]byte(p.device.Public().(ed25519.PublicKey)),
			Signature: [64]byte(ed25519.Sign(p.device, out.Message)),
		})
	case Post:
		p.lab.posts = append(p.lab.posts, func() {
			p.step(Posted{Seq: out.Seq, Code: p.lab.post(p, out.Body)})
		})
	case EpochStarted:
		p.epoch = &out
		p.epochs = append(p.epochs, "+"+out.Epoch.String())
	case EpochEnded:
		p.epochs = append(p.epochs, "-"+out.Epoch.String())
	case SendEpoch:
		p.sending = out.Epoch.String()
	case Status:
		p.status = out
	case EntryRefused:
		p.refused = append(p.refused, out)
	}
}

// post is the room's compare and swap.
func (l *lab) post(p *person, body PostBody) string {
	switch body := body.(type) {
	case PostJoin:
		l.append(p.cfg.PID, Joined(body))
	case PostCreate:
		if body.Last != l.last {
			return "stale"
		}
		l.append(p.cfg.PID, Created(body))
	case PostCommit:
		if body.Last != l.last {
			return "stale"
		}
		l.append(p.cfg.PID, committed(body))
	}
	return ""
}

func committed(body PostCommit) Committed {
	c := Committed{
		Last: body.Last, Generation: body.Generation, Adds: body.Adds,
		Commit: body.Commit, CommitDigest: sha256.Sum256(body.Commit), Welcome: body.Welcome, MAC: body.MAC,
	}
	if body.Welcome != nil {
		c.WelcomeDigest = sha256.Sum256(body.Welcome)
	}
	return c
}

// agree fails the test unless all who are not deaf are members of one epoch of just them.
func (l *lab) agree() {
	l.t.Helper()
	var first *person
	n := 0
	for _, p := range l.people {
		if p.deaf {
			continue
		}
		n++
		if first == nil {
			first = p
		}
		if p.status.State != StateMember || p.epoch == nil || p.epoch.SafetyNumber != first.epoch.SafetyNumber ||
			p.sending != p.epoch.Epoch.String() {
			l.t.Fatalf("%s is %v and does not agree with %s", p.cfg.Name, p.status, first.cfg.Name)
		}
	}
	if len(first.epoch.Members) != n {
		l.t.Fatalf("%d members, but %d are here", len(first.epoch.Members), n)
	}
}

// stop makes p deaf; what the room does about it is up to the test.
func (p *person) stop() { p.deaf = true }

// leaveWithKeys takes p out of the room, but p keeps the epoch's secrets, which an honest
// session erases.
func (l *lab) leaveWithKeys(p *person) {
	member := p.member
	p.member = nil
	l.append(p.cfg.PID, Left{})
	p.member = member
}

// crafted is a commit that p would make now, before a test spoils it.
type crafted struct {
	aad    commitAAD
	info   *place // in the GroupInfo, if not as in the AAD
	params mls.CommitParams
	sign   PID // the pid of the entry
	body   func(*Committed)
	after  func(*Committed) // the MAC is made
}

// craft lets p write a commit entry that change has spoiled.
func (l *lab) craft(p *person, change func(*crafted)) Entry {
	l.t.Helper()
	x := p.ledger.chain.head()
	hash, _ := p.ledger.chain.at(x)
	roster, _ := p.ledger.rosterAt(x)
	plan := p.member.plan(roster)
	c := crafted{sign: p.cfg.PID}
	c.aad = commitAAD{p.ledger.generation, place{p.member.parent, x, hash}, p.cfg.Link.Version}
	c.params = p.commitParams(plan, c.aad.place)
	change(&c)
	c.params.AAD = c.aad.encode()
	if c.info == nil {
		c.info = &c.aad.place
	}
	c.params.GroupInfoExtensions = p.commitParams(plan, *c.info).GroupInfoExtensions
	staged, err := p.member.group.Commit(p.cfg.Rand, p.member.sender, c.params)
	if err != nil {
		l.t.Fatal(err)
	}
	var adds []Hash
	for _, kp := range c.params.Adds {
		adds = append(adds, sha256.Sum256(kp.Raw()))
	}
	body := committed(PostCommit{
		Last: l.last, Generation: p.ledger.generation, Adds: adds, Commit: staged.Commit, Welcome: staged.Welcome,
	})
	if c.body != nil {
		c.body(&body)
	}
	body.MAC = p.keys.commitMAC(l.link.Room, l.id, body, c.sign)
	if c.after != nil {
		c.after(&body)
	}
	p.stop() // its session does not know the commit
	return l.append(c.sign, body)
}

// verdict is the code by which p refused an entry, "" if it did not.
func (p *person) verdict(e Entry) Code {
	for _, r := range p.refused {
		if r.Position == e.Position {
			return r.Code
		}
	}
	return ""
}

func (p *person) String() string { return fmt.Sprintf("%s %v", p.cfg.Name, p.status) }
