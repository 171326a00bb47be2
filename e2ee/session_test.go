package e2ee

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/mls"
)

func TestNewRefuses(t *testing.T) {
	good := Config{Link: testLink(t), PID: PID{1}, Name: "Ada", Rand: rand.NewChaCha8([32]byte{})}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   error
	}{
		"no link":   {func(c *Config) { c.Link = Link{} }, ErrLink},
		"no secret": {func(c *Config) { c.Link.Secret = LinkSecret{} }, ErrLink},
		"no pid":    {func(c *Config) { c.PID = PID{} }, ErrConfig},
		"no name":   {func(c *Config) { c.Name = "" }, ErrName},
		"no rand":   {func(c *Config) { c.Rand = nil }, ErrConfig},
	} {
		cfg := good
		c.change(&cfg)
		if _, err := New(cfg); !errors.Is(err, c.want) || !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWrongInputs: mistakes of the caller are errors, and the session goes on.
func TestWrongInputs(t *testing.T) {
	l := newLab(t)
	s, err := New(Config{Link: l.link, PID: PID{1}, Name: "Ada", Rand: l.rand})
	if err != nil {
		t.Fatal(err)
	}
	wrong := func(name string, in Input) {
		t.Helper()
		if err := s.Step(l.now, in); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wrong("entry before a log", LogEntry{Entry{Position: 1, Body: Left{}}})
	wrong("signature before a log", DeviceSigned{})
	wrong("nil", nil)
	if err := s.Step(l.now, LogOpened{ID: l.id}); err != nil {
		t.Fatal(err)
	}
	wrong("no body", LogEntry{Entry{Position: 1}})
	wrong("a pointer as body", LogEntry{Entry{Position: 1, Body: &Left{}}})
	wrong("a wrong signature", DeviceSigned{Public: [32]byte{1}})
	wrong("a pointer as input", &Tick{})
	if s.Head() != 0 {
		t.Errorf("head %d", s.Head())
	}
	bob := l.join("bob")[0]
	l.agree()
	if got := fmt.Sprintf("%+v %v %s", bob.Session, bob.Session, bob.Session); strings.Count(got, "session {member }") != 3 {
		t.Errorf("prints %s", got)
	}
}

// TestUnpolled: outputs that nobody takes do not pile up without end.
func TestUnpolled(t *testing.T) {
	l := newLab(t)
	s := l.start("ada").Session
	var err error
	for range 2 * maxOutputs {
		if err = s.Step(l.now, LogEntry{Entry{Position: 77, Body: Left{}}}); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrInput) || len(s.out) > maxOutputs+16 {
		t.Errorf("%d outputs wait, %v", len(s.out), err)
	}
}

// TestRandomnessFails: a broken source is an error, and nothing is posted by it.
func TestRandomnessFails(t *testing.T) {
	l := newLab(t)
	p := l.start("ada")
	p.Session.cfg.Rand = strings.NewReader("")
	p.Session.joiner.again = CodeUnnamed
	if err := p.Session.Step(l.now.Add(time.Minute), Tick{}); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	for out, ok := p.Poll(); ok; out, ok = p.Poll() {
		if _, posted := out.(Post); posted {
			t.Error("posted without randomness")
		}
	}
}

// TestRandomnessFailsAtANewLog: the session stays with the log that it has, and begins anew
// when the caller says it again.
func TestRandomnessFailsAtANewLog(t *testing.T) {
	l := newLab(t)
	p := l.join("ada")[0]
	p.Session.cfg.Rand = strings.NewReader("")
	head, epoch := p.Head(), p.epoch
	if err := p.Session.Step(l.now, LogOpened{ID: LogID{1}}); err == nil {
		t.Error("no error")
	}
	p.step(Tick{})
	if p.Head() != head || p.epoch != epoch || p.status.State != StateMember || p.ledger.id != l.id {
		t.Errorf("%v at %d, was a member at %d", p, p.Head(), head)
	}
	p.Session.cfg.Rand = l.rand
	p.step(LogOpened{ID: LogID{1}})
	if p.Head() != 0 || p.told.State != StateWaiting || len(l.posts) != 1 {
		t.Errorf("%v at %d in a new log, %d posts", p, p.Head(), len(l.posts))
	}
}

// TestRandomnessFailsAtTheSeal: the device is asked again, and then all goes on.
func TestRandomnessFailsAtTheSeal(t *testing.T) {
	l := newLab(t)
	s, err := New(Config{Link: l.link, PID: PID{1}, Name: "Ada", Rand: l.rand})
	if err != nil {
		t.Fatal(err)
	}
	p := &person{Session: s, lab: l, device: l.key()}
	l.people = append(l.people, p)
	if err := s.Step(l.now, LogOpened{ID: l.id}); err != nil {
		t.Fatal(err)
	}
	ask, _ := s.Poll()
	s.cfg.Rand = strings.NewReader("")
	answer := DeviceSigned{
		Public:    [32]byte(p.device.Public().(ed25519.PublicKey)),
		Signature: [64]byte(ed25519.Sign(p.device, ask.(SignDevice).Message)),
	}
	if err := s.Step(l.now, answer); err == nil {
		t.Error("sealed without randomness")
	}
	s.cfg.Rand = l.rand
	p.step(Tick{})
	l.flush()
	l.rest(5 * time.Second)
	l.agree()
}

// TestLateRemoval: who was away while somebody was removed changes to that epoch at once,
// and not only half a second after it has heard of it.
func TestLateRemoval(t *testing.T) {
	l := newLab(t)
	l.join("alice")
	bob := l.join("bob", "carol")[0]
	carol := l.people[2]
	bob.deaf = true
	carol.stop()
	l.append(carol.cfg.PID, Left{})
	l.rest(5 * time.Second)
	removal := len(l.log)
	l.append(PID{9}, Left{})
	bob.deaf = false
	bob.step(LogOpened{ID: l.id, Head: uint64(len(l.log))})
	for _, e := range l.log[bob.Head():removal] {
		bob.step(LogEntry{e})
	}
	if len(bob.epoch.Members) != 2 || bob.sending != bob.epoch.Epoch.String() {
		t.Errorf("bob sends under %s with carol removed in %v", bob.sending, bob.epoch.Epoch)
	}
}

// TestClock: a local clock that is wrong by a day costs one more announcement.
func TestClock(t *testing.T) {
	for _, off := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		l := newLab(t)
		l.join("alice")
		s, err := New(Config{Link: l.link, PID: PID{1}, Name: "bob", Rand: l.rand})
		if err != nil {
			t.Fatal(err)
		}
		p := &person{Session: s, lab: l, device: l.key(), off: off}
		l.people = append(l.people, p)
		p.step(LogOpened{ID: l.id, Head: uint64(len(l.log))})
		for _, e := range l.log {
			p.step(LogEntry{e})
		}
		l.flush()
		l.rest(10 * time.Second)
		l.agree()
		if s.joiner.seq > 2 {
			t.Errorf("off by %v: announced %d times", off, s.joiner.seq)
		}
	}
}

// TestSecretsErased: an epoch's secrets go with it, and so do those of a commit that lost.
func TestSecretsErased(t *testing.T) {
	l := newLab(t)
	alice := l.join("alice")[0]
	bob := l.join("bob")[0]
	live := func(p *person) bool { _, err := p.member.group.Export("label", nil, 16); return err == nil }
	gone := func(what string, m *membership) {
		t.Helper()
		_, exported := m.group.Export("label", nil, 16)
		_, sealed := m.sender.Seal(alice.cfg.Rand, nil, nil)
		if !errors.Is(exported, mls.ErrInvalid) || !errors.Is(sealed, mls.ErrInvalid) {
			t.Errorf("%s: secrets are still there: %v, %v", what, exported, sealed)
		}
	}
	first := []*membership{alice.member, bob.member}
	staged, err := alice.member.group.Commit(alice.cfg.Rand, alice.member.sender, mls.CommitParams{PSK: mls.PSK{ID: []byte("id"), Secret: []byte("secret")}})
	if err != nil {
		t.Fatal(err)
	}
	alice.staged[Hash{1}] = staged
	l.join("carol")
	gone("alice's epoch before", first[0])
	gone("bob's epoch before", first[1])
	group, sender := staged.Merge()
	gone("a commit that lost", &membership{group: group, sender: sender})
	if !live(alice) || !live(bob) {
		t.Fatal("the epoch that lives is erased")
	}
	last := bob.member
	l.append(bob.cfg.PID, Left{})
	gone("bob's last epoch", last)
}
