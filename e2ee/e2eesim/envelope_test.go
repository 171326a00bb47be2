package e2eesim

import (
	"errors"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

// What the server could do to commit entries if their envelopes had no MAC over last.

// TestWelcomeRepeated: the server appends once more the entry that added bob, as it was
// and moved to its new place. Bob does not enter his first epoch a second time, in which
// he would open recorded frames once more and seal under used keys.
func TestWelcomeRepeated(t *testing.T) {
	w := NewWorld(11)
	alice := w.meeting("alice", "bob")
	bob := w.named("bob")
	sealed, err := alice.Ring.Seal(nil, framecrypt.Mic, framecrypt.Opus, []byte("frame"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := bob.Ring.Open(nil, framecrypt.Opus, sealed); err != nil {
		t.Fatal(err)
	}
	epoch := bob.Epoch
	entry, c := w.lastCommit()
	if entry.PID != alice.PID {
		t.Fatal("the last commit is not alice's")
	}
	w.Server.Append(alice, c)
	c.Last = w.Server.Last()
	w.Server.Append(alice, c)
	w.Run(time.Second)
	if bob.Epoch != epoch {
		t.Errorf("bob is in epoch %v again", bob.Epoch.Epoch)
	}
	if _, _, err := bob.Ring.Open(nil, framecrypt.Opus, sealed); !errors.Is(err, framecrypt.ErrReplay) {
		t.Errorf("the frame once more: %v", err)
	}
	if !refusedBy(bob, e2ee.CodeStale) || !refusedBy(bob, e2ee.CodeBadMAC) {
		t.Errorf("bob has refused %v", bob.Refused)
	}
	w.Join("carol")
	w.Run(15 * time.Second)
	check(t, w)
}

// TestLosingCommitAppended: a commit that lost the race for its place has a Welcome as
// good as the winner's. The server appends it behind, and the joiner stays where the
// others are.
func TestLosingCommitAppended(t *testing.T) {
	w := NewWorld(12)
	alice := w.meeting("alice", "bob")
	var lost e2ee.Committed
	alice.intercept(func(c e2ee.Committed) { lost = c })
	carol := w.Join("carol")
	w.Run(5 * time.Second)
	check(t, w)
	if entry, _ := w.lastCommit(); entry.PID != w.named("bob").PID || lost.Commit == nil {
		t.Fatal("bob's commit has not won over alice's")
	}
	epoch := carol.Epoch
	lost.Last = w.Server.Last()
	w.Server.Append(alice, lost)
	w.Run(5 * time.Second)
	check(t, w)
	if carol.Epoch != epoch {
		t.Errorf("carol was led to epoch %v", carol.Epoch.Epoch)
	}
}

// TestCommitMoved: the server writes an entry of its own before an honest commit and makes
// the commit fit behind it. All refuse it alike, its author as well.
func TestCommitMoved(t *testing.T) {
	w := NewWorld(13)
	alice := w.meeting("alice", "bob", "carol")
	moved := e2ee.Entry{}
	alice.intercept(func(c e2ee.Committed) {
		w.Server.Append(alice, w.garbageCommit(nil))
		c.Last = w.Server.Last()
		moved = w.Server.Append(alice, c)
	})
	w.Join("dave")
	w.Run(20 * time.Second)
	check(t, w)
	for _, p := range w.People {
		want := e2ee.EntryRefused{Position: moved.Position, PID: alice.PID, Code: e2ee.CodeBadMAC}
		if !p.refused(want) {
			t.Errorf("%s has refused %v", p.Name, p.Refused)
		}
	}
}

// TestNamedByServer: the server names those who wait in commits of its own, in a room
// whose members are gone. It keeps nobody from beginning a group.
func TestNamedByServer(t *testing.T) {
	w := NewWorld(14)
	w.Join("alice")
	w.Run(time.Second)
	w.named("alice").Leave()
	w.Run(time.Second)
	bob := w.Join("bob")
	for range 40 {
		w.Server.Append(w.named("alice"), w.garbageCommit(w.Server.announced()))
		w.Run(100 * time.Millisecond)
	}
	if w.Server.Append(bob, w.garbageCommit(w.Server.announced())); !refusedBy(bob, e2ee.CodeBadMAC) {
		t.Error("bob has refused nothing")
	}
	w.Run(10 * time.Second)
	check(t, w)
}

func (p *Participant) refused(want e2ee.EntryRefused) bool {
	for _, r := range p.Refused {
		if r == want {
			return true
		}
	}
	return false
}
