package e2eesim

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

// refusedBy says whether p has refused an entry for this reason.
func refusedBy(p *Participant, code e2ee.Code) bool {
	return slices.ContainsFunc(p.Refused, func(r e2ee.EntryRefused) bool { return r.Code == code })
}

// TestForkedLogs shows one half of a room another log than the other: each half notices,
// and the halves share no epoch and open none of each other's frames from then on.
func TestForkedLogs(t *testing.T) {
	w := NewWorld(1)
	w.Forks = true
	alice := w.meeting("alice", "bob", "carol", "dave")
	carol := w.named("carol")
	for _, p := range []*Participant{carol, w.named("dave")} {
		p.Show = func(e e2ee.Entry) []e2ee.Entry {
			if _, ok := e.Body.(e2ee.Joined); ok {
				e.Time++
			}
			return []e2ee.Entry{e}
		}
	}
	before := alice.Epoch.SafetyNumber
	w.Join("eve")
	w.Run(20 * time.Second)
	if !refusedBy(carol, e2ee.CodeLogFork) || !refusedBy(w.named("dave"), e2ee.CodeLogFork) {
		t.Error("the fork was not noticed")
	}
	halves := [][]*Participant{{alice, w.named("bob"), w.named("eve")}, {carol, w.named("dave")}}
	for _, p := range halves[0] {
		for _, q := range halves[1] {
			if n := p.Epoch.SafetyNumber; n == q.Epoch.SafetyNumber && n != before {
				t.Errorf("%s and %s share an epoch", p.Name, q.Name)
			}
			sealed, err := p.Ring.Seal(nil, framecrypt.Mic, framecrypt.Opus, []byte("frame"))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := q.Ring.Open(nil, framecrypt.Opus, sealed); err == nil {
				t.Errorf("%s opens a frame of %s", q.Name, p.Name)
			}
		}
	}
	if err := w.agreed(halves[0], []string{"alice", "bob", "carol", "dave", "eve"}); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Log("\n" + w.Transcript())
	}
}

// TestDisorder changes the order of what one participant is shown. It takes nothing that
// is not the next entry, and once the connection is taken up again all agree.
func TestDisorder(t *testing.T) {
	var held []e2ee.Entry
	tests := map[string]func(e2ee.Entry) []e2ee.Entry{
		"dropped": func(e e2ee.Entry) []e2ee.Entry {
			if len(held) == 0 {
				held = append(held, e)
				return nil
			}
			return []e2ee.Entry{e}
		},
		"swapped": func(e e2ee.Entry) []e2ee.Entry {
			if held = append(held, e); len(held)%2 == 1 {
				return nil
			}
			return []e2ee.Entry{e, held[len(held)-2]}
		},
		"duplicated": func(e e2ee.Entry) []e2ee.Entry { return []e2ee.Entry{e, e, e} },
		"invented ahead": func(e e2ee.Entry) []e2ee.Entry {
			return []e2ee.Entry{{Position: e.Position + 1, Time: e.Time, PID: e.PID, Body: e2ee.Left{}}, e}
		},
		"invented at the end": func(e e2ee.Entry) []e2ee.Entry {
			return []e2ee.Entry{e, {Position: 1 << 40, Time: e.Time, PID: e.PID, Body: e2ee.Left{}}}
		},
	}
	for name, show := range tests {
		t.Run(name, func(t *testing.T) {
			held = nil
			w := NewWorld(2)
			w.meeting("alice", "bob", "carol")
			bob := w.named("bob")
			bob.Show = show
			w.Join("dave")
			w.Run(5 * time.Second)
			w.named("carol").Leave()
			w.Run(5 * time.Second)
			if !refusedBy(bob, e2ee.CodeLogOrder) {
				t.Error("bob has refused nothing")
			}
			bob.Show = nil
			bob.Break()
			bob.Connect()
			w.Run(20 * time.Second)
			check(t, w)
		})
	}
}

// TestInvented: entries that only one participant is shown lead it nowhere, and nobody
// else anywhere.
func TestInvented(t *testing.T) {
	w := NewWorld(3)
	w.Forks = true
	w.meeting("alice", "bob")
	bob := w.named("bob")
	number := bob.Epoch.SafetyNumber
	done := false
	bob.Show = func(e e2ee.Entry) []e2ee.Entry {
		if done {
			e.Position++
			return []e2ee.Entry{e}
		}
		done = true
		left := e2ee.Entry{Position: e.Position, Time: e.Time, PID: w.named("alice").PID, Body: e2ee.Left{}}
		e.Position++
		return []e2ee.Entry{left, e}
	}
	w.Join("carol")
	w.Run(20 * time.Second)
	alice := w.named("alice")
	if alice.Epoch.SafetyNumber == number || bob.Epoch.SafetyNumber == alice.Epoch.SafetyNumber {
		t.Error("bob is in one epoch with those who have another log")
	}
	if !refusedBy(bob, e2ee.CodeLogFork) {
		t.Error("bob has not noticed")
	}
}

// TestWelcomeSwapped gives a joiner the Welcome of another commit: by itself, with a digest
// that fits it, and with the MAC over that of one who has the link. The joiner takes it in
// no case; without the MAC it knows of no commit that adds it, and begins a group alone.
func TestWelcomeSwapped(t *testing.T) {
	tests := []struct {
		name   string
		digest bool
		mac    bool
		alone  bool
	}{
		{"bytes", false, false, false},
		{"bytes and digest", true, false, true},
		{"bytes, digest and MAC", true, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := NewWorld(4)
			w.Forks = true
			alice := w.meeting("alice", "bob")
			first := w.welcome()
			carol := w.NewParticipant("carol")
			carol.Show = func(e e2ee.Entry) []e2ee.Entry {
				c, ok := e.Body.(e2ee.Committed)
				if !ok || c.Welcome == nil {
					return []e2ee.Entry{e}
				}
				c.Welcome = first
				if test.digest {
					c.WelcomeDigest = sha256.Sum256(first)
				}
				if test.mac {
					c = w.sealed(e.PID, c)
				}
				e.Body = c
				return []e2ee.Entry{e}
			}
			carol.Connect()
			w.Run(60 * time.Second)
			if alone := carol.Epoch != nil; alone != test.alone || alone && len(carol.Epoch.Members) != 1 {
				t.Errorf("carol is in %v", carol.Epoch)
			}
			if refusedBy(carol, e2ee.CodeBadMAC) != test.alone {
				t.Errorf("carol has refused %v", carol.Refused)
			}
			if err := w.agreed([]*Participant{alice, w.named("bob")}, alice.Roster()); err != nil {
				t.Error(err)
			}
		})
	}
}

// welcome is the Welcome of the last commit that has one.
func (w *World) welcome() []byte {
	for _, e := range slices.Backward(w.Server.Log) {
		if c, ok := e.Body.(e2ee.Committed); ok && c.Welcome != nil {
			return c.Welcome
		}
	}
	return nil
}

// TestWithoutTheLink: somebody, or the server, who does not have the link is in no roster,
// and what it writes stops nobody.
func TestWithoutTheLink(t *testing.T) {
	w := NewWorld(5)
	alice := w.meeting("alice", "bob")
	link := w.Link
	w.Link.Secret[0]++
	mallory := w.Join("mallory")
	w.Link = link
	w.Run(5 * time.Second)
	w.Join("carol")
	w.Run(20 * time.Second)
	if !refusedBy(alice, e2ee.CodeBadMAC) {
		t.Error("alice has refused nothing")
	}
	honest := []*Participant{alice, w.named("bob"), w.named("carol")}
	if err := w.agreed(honest, []string{"alice", "bob", "carol"}); err != nil {
		t.Error(err)
	}
	if mallory.Epoch != nil && len(mallory.Epoch.Members) != 1 {
		t.Error("mallory is in a group with others")
	}
	if t.Failed() {
		t.Log("\n" + w.Transcript())
	}
}

// TestCrowd: many who come at once to an empty room are in one group after two rounds, and
// many who leave at once are out after one commit.
func TestCrowd(t *testing.T) {
	const n = 24
	w := NewWorld(8)
	for i := range n {
		w.Join(fmt.Sprintf("p%d", i))
	}
	w.Run(3 * time.Second)
	check(t, w)
	for _, p := range w.People[1 : n/2] {
		p.Leave()
	}
	w.Run(3 * time.Second)
	check(t, w)
	turns := 0
	for _, e := range w.Server.Log {
		switch e.Body.(type) {
		case e2ee.Created, e2ee.Committed:
			turns++
		}
	}
	if turns != 3 {
		t.Errorf("%d create and commit entries, want a create, a commit of joins and one of leaves", turns)
	}
}

// TestKicked: a session that the room says has left drops its keys at once, and the others
// remove it.
func TestKicked(t *testing.T) {
	w := NewWorld(6)
	w.meeting("alice", "bob", "carol")
	bob := w.named("bob")
	w.Server.Append(bob, e2ee.Left{})
	w.Run(20 * time.Second)
	if bob.Status != (e2ee.Status{State: e2ee.StateEnded, Code: e2ee.CodeLeft}) {
		t.Errorf("bob is %v", bob.Status)
	}
	if _, err := bob.Ring.Seal(nil, framecrypt.Mic, framecrypt.Opus, []byte("frame")); err == nil {
		t.Error("bob still sends")
	}
	check(t, w)
}

// FuzzStep lets data decide what one participant is shown for each entry, and what else it
// is told. It must take everything, and be as good as new in a new log.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte{5, 200, 3, 4, 7, 7, 7})
	f.Fuzz(func(t *testing.T, data []byte) {
		w := NewWorld(7)
		w.Forks = true
		w.meeting("alice")
		victim := w.NewParticipant("victim")
		victim.Show = func(e e2ee.Entry) []e2ee.Entry { return mutate(w, &data, e) }
		victim.Connect()
		w.Run(3 * time.Second)
		w.Join("carol")
		w.Run(3 * time.Second)
		w.named("alice").Leave()
		for _, in := range []e2ee.Input{e2ee.Posted{Seq: 1, Code: "x"}, e2ee.Posted{Seq: 1 << 31}, e2ee.Tick{}} {
			victim.step(in)
		}
		w.Run(40 * time.Second)
		victim.Show = nil
		if victim.Status.State == e2ee.StateEnded {
			return // the log said that it left
		}
		w.Restart()
		w.Run(60 * time.Second)
		check(t, w)
	})
}

// mutate takes a byte of data and changes an entry as it says.
func mutate(w *World, data *[]byte, e e2ee.Entry) []e2ee.Entry {
	next := func() byte {
		if len(*data) == 0 {
			return 0
		}
		b := (*data)[0]
		*data = (*data)[1:]
		return b
	}
	flip := func(b []byte) []byte {
		if len(b) == 0 {
			return []byte{next()}
		}
		b = slices.Clone(b)
		b[(int(next())<<8|int(next()))%len(b)] ^= next() | 1
		return b
	}
	perhaps := func(pid e2ee.PID, c e2ee.Committed) e2ee.Committed {
		if next()%2 == 0 {
			return c
		}
		return w.sealed(pid, c)
	}
	switch next() % 12 {
	case 1:
		return nil
	case 2:
		return []e2ee.Entry{e, e}
	case 3:
		e.Position += uint64(next())
	case 4:
		e.Time = int64(next())<<56 | int64(next())
	case 5:
		e.PID[next()%16] ^= next()
	case 6:
		e.Body = e2ee.Left{}
	case 7:
		if j, ok := e.Body.(e2ee.Joined); ok {
			j.KeyPackage = flip(j.KeyPackage)
			e.Body = j
		}
	case 8, 9:
		if c, ok := e.Body.(e2ee.Committed); ok {
			c.Commit = flip(c.Commit)
			c.CommitDigest = sha256.Sum256(c.Commit)
			e.Body = perhaps(e.PID, c)
		}
	case 10:
		if c, ok := e.Body.(e2ee.Committed); ok {
			c.Welcome = flip(c.Welcome)
			c.WelcomeDigest = sha256.Sum256(c.Welcome)
			e.Body = perhaps(e.PID, c)
		}
	case 11:
		if c, ok := e.Body.(e2ee.Committed); ok {
			c.Adds = append(slices.Clone(c.Adds), e2ee.Hash{next()})
			c.Last += uint64(next())
			e.Body = perhaps(e.PID, c)
		}
	}
	return []e2ee.Entry{e}
}
