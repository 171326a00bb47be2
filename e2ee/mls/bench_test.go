package mls

import (
	"fmt"
	"io"
	"slices"
	"testing"
)

var benchSizes = []int{2, 10, 50, 200}

// benchEach runs f in the suites that meetings have, 0x0003 and 0xF00E, at each size.
func benchEach(b *testing.B, f func(b *testing.B, s Suite, n int)) {
	for _, s := range []Suite{Suite3, SuiteXWing} {
		for _, n := range benchSizes {
			b.Run(fmt.Sprintf("%v/N=%d", s, n), func(b *testing.B) {
				b.ReportAllocs()
				f(b, s, n)
			})
		}
	}
}

// commits from one epoch are limited: every thousandth starts from a new one.
func benchSender(i int, g *Group, s *Sender) *Sender {
	if i%maxAhead == 0 {
		return g.handshakeSender()
	}
	return s
}

// handshakeSender makes another Sender, which only a benchmark may do.
func (g *Group) handshakeSender() *Sender {
	return &Sender{group: g, handshake: ratchet{suite: g.suite, secret: slices.Clone(g.handshake[g.own])}}
}

// BenchmarkAdd adds N-1 members in one commit and makes the Welcome. Their KeyPackages'
// signatures are verified before, when they are announced.
func BenchmarkAdd(b *testing.B) {
	benchEach(b, func(b *testing.B, s Suite, n int) {
		random := testRandom(3)
		p := testCreate(b, random, s, "creator")
		adds := testKeyPackages(b, random, s, n-1)
		for i := 0; b.Loop(); i++ {
			p.sender = benchSender(i, p.group, p.sender)
			p.commit(b, random, CommitParams{Adds: adds})
		}
	})
}

// BenchmarkWelcome makes the Welcome for N-1 members alone, which BenchmarkAdd makes as well.
func BenchmarkWelcome(b *testing.B) {
	benchEach(b, func(b *testing.B, s Suite, n int) {
		random := testRandom(9)
		p := testCreate(b, random, s, "creator")
		f := forgery{params: CommitParams{Adds: testKeyPackages(b, random, s, n-1)}}
		_, welcome := f.make(b, random, p)
		for b.Loop() {
			welcome()
		}
	})
}

func testKeyPackages(t testing.TB, random io.Reader, s Suite, n int) (out []*KeyPackage) {
	for i := range n {
		out = append(out, testKeyPackage(t, random, s, fmt.Sprint("added ", i)).KeyPackage())
	}
	return out
}

func BenchmarkJoin(b *testing.B) {
	benchEach(b, func(b *testing.B, s Suite, n int) {
		random := testRandom(4)
		p := testCreate(b, random, s, "creator")
		kp := testKeyPackage(b, random, s, "joiner")
		staged := p.commit(b, random, CommitParams{Adds: append(testKeyPackages(b, random, s, n-2), kp.KeyPackage())})
		for b.Loop() {
			testJoin(b, staged.Welcome, kp)
		}
	})
}

// BenchmarkRemove makes a commit that removes a member of a group whose tree is as bad as
// can be: all were added in one commit.
func BenchmarkRemove(b *testing.B) {
	benchEach(b, func(b *testing.B, s Suite, n int) {
		random := testRandom(5)
		p := testGroup(b, random, s, n)[0]
		for i := 0; b.Loop(); i++ {
			p.sender = benchSender(i, p.group, p.sender)
			p.commit(b, random, CommitParams{Removes: []LeafIndex{LeafIndex(n - 1)}})
		}
	})
}

func BenchmarkProcessRemove(b *testing.B) {
	benchEach(b, func(b *testing.B, s Suite, n int) {
		random := testRandom(6)
		parties := testGroup(b, random, s, n+1)
		staged := parties[0].commit(b, random, CommitParams{Removes: []LeafIndex{LeafIndex(n)}})
		for b.Loop() {
			if _, err := parties[1].group.Process(staged.Commit, ProcessParams{PSKs: testPSKs, Now: testTime}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkProcessAdd(b *testing.B) {
	benchEach(b, func(b *testing.B, s Suite, n int) {
		random := testRandom(7)
		parties := testGroup(b, random, s, 2)
		staged := parties[0].commit(b, random, CommitParams{Adds: testKeyPackages(b, random, s, n-1)})
		for b.Loop() {
			if _, err := parties[1].group.Process(staged.Commit, ProcessParams{PSKs: testPSKs, Now: testTime}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSealOpen(b *testing.B) {
	random := testRandom(8)
	parties := testGroup(b, random, Suite3, 2)
	message := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		sealed, err := parties[0].sender.Seal(random, nil, message)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := parties[1].group.NewReceiver().Open(sealed); err != nil {
			b.Fatal(err)
		}
	}
}
