package e2eesim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// scenarios are the main courses of a meeting. The transcript of each is in testdata.
var scenarios = []struct {
	name string
	run  func(w *World)
}{
	{"join_and_leave", func(w *World) {
		alice := w.Join("alice")
		w.Run(time.Second)
		w.Join("bob")
		w.Run(3 * time.Second)
		w.Join("carol")
		w.Run(3 * time.Second)
		alice.Leave()
		w.Run(15 * time.Second)
	}},
	{"simultaneous_joins", func(w *World) {
		w.Join("alice")
		w.Run(time.Second)
		for _, name := range []string{"bob", "carol", "dave"} {
			w.Join(name)
		}
		w.Run(15 * time.Second)
	}},
	{"two_first_joiners", func(w *World) { // alice's create comes second, and is stale
		w.slow("alice", 1500*time.Millisecond)
		w.Join("alice")
		w.Run(3 * time.Second)
		w.Join("bob")
		w.Run(20 * time.Second)
	}},
	{"committer_vanishes", func(w *World) {
		alice := w.meeting("alice", "bob", "carol")
		w.Join("dave")
		alice.Vanish()
		w.Run(40 * time.Second)
	}},
	{"commit_is_stale", func(w *World) { // bob's turn comes while alice's commit is on its way
		w.meeting("alice", "bob", "carol")
		w.slow("alice", 2500*time.Millisecond)
		w.Join("dave")
		w.Run(20 * time.Second)
	}},
	{"creator_leaves_before_the_first_commit", func(w *World) {
		alice := w.Join("alice")
		w.Run(50 * time.Millisecond)
		w.Join("bob")
		w.Run(60 * time.Millisecond)
		alice.Leave()
		w.Run(20 * time.Second)
	}},
	{"nobody_lets_in", func(w *World) { // all members sleep: after 20 s the one who waits begins anew
		alice := w.meeting("alice", "bob")
		alice.Sleep(60 * time.Second)
		w.named("bob").Sleep(60 * time.Second)
		w.Join("carol")
		w.Run(100 * time.Second)
	}},
	{"connection_is_resumed", func(w *World) {
		w.meeting("alice", "bob", "carol")
		bob := w.named("bob")
		bob.Break()
		w.Join("dave")
		w.Run(3 * time.Second)
		bob.Connect()
		w.Run(15 * time.Second)
	}},
	{"commit_is_lost_on_the_way", func(w *World) { // and the connection with it
		alice := w.meeting("alice", "bob")
		alice.Posts = func(e2ee.PostBody) bool { alice.Posts = nil; return false }
		w.Join("carol")
		w.Run(300 * time.Millisecond)
		alice.Break()
		w.Run(100 * time.Millisecond)
		alice.Connect()
		w.Run(15 * time.Second)
	}},
	{"answer_is_lost_on_the_way", func(w *World) { // the commit is appended while its author is away
		alice := w.meeting("alice", "bob")
		w.Join("carol")
		w.Run(100 * time.Millisecond)
		alice.Posts = func(b e2ee.PostBody) bool {
			w.At(0, func() { w.Server.post(alice, b); alice.Break() })
			return false
		}
		w.Run(time.Second)
		alice.Posts = nil
		alice.Connect()
		w.Run(15 * time.Second)
	}},
	{"room_restarts", func(w *World) {
		w.meeting("alice", "bob")
		w.Restart()
		w.Run(15 * time.Second)
	}},
	{"invalid_entries", func(w *World) { // skipped and named; the next commit builds on the last valid one
		w.meeting("alice", "bob")
		bob := w.named("bob")
		w.Server.Append(bob, e2ee.Created{Last: w.Server.Last(), Generation: 2, GroupID: [16]byte{1}})
		w.Server.Append(bob, e2ee.Joined{KeyPackage: []byte("nonsense")})
		w.Join("carol")
		w.Run(100 * time.Millisecond)
		w.Server.Append(bob, w.garbageCommit(w.Server.announced()))
		w.Server.Append(bob, w.sealed(bob.PID, w.garbageCommit(w.Server.announced())))
		w.Run(15 * time.Second)
	}},
	{"commit_unusable", func(w *World) { // the room damages what bob gets
		w.meeting("alice", "bob")
		bob := w.named("bob")
		bob.Show = w.withCommit(func(c *e2ee.Committed) { c.Commit = w.flip(c.Commit); bob.Show = nil })
		w.Join("carol")
		w.Run(20 * time.Second)
	}},
	{"welcome_is_withheld", func(w *World) {
		w.meeting("alice", "bob")
		carol := w.Join("carol")
		carol.Show = w.withCommit(func(c *e2ee.Committed) { c.Welcome = nil; carol.Show = nil })
		w.Run(20 * time.Second)
	}},
}

// meeting lets people join one by one and come to rest. It returns the first.
func (w *World) meeting(names ...string) *Participant {
	for _, name := range names {
		w.Join(name)
		w.Run(12 * time.Second)
	}
	return w.People[0]
}

func (w *World) named(name string) *Participant {
	for _, p := range w.People {
		if p.Name == name {
			return p
		}
	}
	panic("nobody is called " + name)
}

// slow delays one participant's messages, each way.
func (w *World) slow(name string, delay time.Duration) {
	w.Delay = func(p *Participant) time.Duration {
		if p.Name == name {
			return delay
		}
		return 20 * time.Millisecond
	}
}

// TestTranscripts runs every scenario in every suite: what happens is the same in all.
func TestTranscripts(t *testing.T) {
	for _, s := range scenarios {
		for _, format := range Formats {
			t.Run(fmt.Sprintf("%s/format=%d", s.name, format), func(t *testing.T) {
				w := NewWorldIn(format, 1)
				s.run(w)
				check(t, w)
				golden(t, s.name, w.Transcript())
			})
		}
	}
}

func check(t *testing.T, w *World) {
	t.Helper()
	for _, f := range w.Failures {
		t.Error(f)
	}
	if err := w.Agreed(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Log("\n" + w.Transcript())
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("transcript differs from %s; run with -update and look at the diff\n%s", file, got)
	}
}
