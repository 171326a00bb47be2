package e2ee

import (
	"fmt"
	"testing"
)

// BenchmarkJoined is what a joined entry costs everyone who reads the log.
func BenchmarkJoined(b *testing.B) {
	t := &testing.T{}
	a := newAnnouncer(t)
	w := a.who()
	pid, body := a.announce(w, nil)
	for b.Loop() {
		clear(a.ledger.bound)
		if code := a.apply(pid, body); code != "" {
			b.Fatal(code)
		}
		if len(a.ledger.chain.hashes) > 1000 {
			a.ledger.chain.hashes = a.ledger.chain.hashes[:1]
			a.ledger.since = nil
		}
	}
}

// BenchmarkStep is what an entry costs a member that has nothing to do about it.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{10, 100} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			t := &testing.T{}
			l := newLab(t)
			first := l.join("first")[0]
			for range n - 1 {
				l.start("somebody")
			}
			for _, p := range l.people[2:] {
				p.deaf = true
			}
			l.rest(1000)
			s := first.Session
			for b.Loop() {
				if err := s.Step(l.now, Tick{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
