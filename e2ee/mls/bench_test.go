package mls

import (
	"bytes"
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
		defer cpuTime(b)()
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
		defer cpuTime(b)()
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
		defer cpuTime(b)()
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
		defer cpuTime(b)()
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
		defer cpuTime(b)()
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
		defer cpuTime(b)()
		for b.Loop() {
			if _, err := parties[1].group.Process(staged.Commit, ProcessParams{PSKs: testPSKs, Now: testTime}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkParse reads messages of all sizes up to the cap that are as costly as their kind can
// be: the same number of bytes a second at every size, once it is past the bounds of the
// lists, means that parsing is linear.
func BenchmarkParse(b *testing.B) {
	ciphertext := func(size int) []byte {
		return hpkeCiphertext{make([]byte, 32), make([]byte, max(48, size-35))}.append(nil)
	}
	leaf := func(size int) []byte { // with as many extensions as there may be
		return slices.Concat(shortLeaf, manyExtensions(maxExtensions, max(size-400, 1)), []byte{0})
	}
	repeat := func(element []byte, size, limit int) []byte {
		return appendVec(nil, bytes.Repeat(element, min(max(size/len(element), 1), limit)))
	}
	for _, kind := range []struct {
		name  string
		make  func(size int) []byte
		parse func(b []byte) error
	}{
		{"commit of Updates", func(n int) []byte {
			each := max(n/maxProposals, 500)
			update := append([]byte{proposalByValue, 0, byte(proposalUpdate)}, leaf(each)...)
			return append(repeat(update, n, maxProposals), 0)
		}, func(b []byte) error { return decode("commit", b, func(r *reader) { r.commit() }) }},
		{"path", func(n int) []byte {
			node := append([]byte{0}, repeat(ciphertext(n/maxDepth/maxLeaves), n/maxDepth, maxLeaves)...)
			return pathOf(bytes.Repeat(node, maxDepth))
		}, func(b []byte) error { return decode("commit", b, func(r *reader) { r.commit() }) }},
		{"tree", func(n int) []byte {
			one := append([]byte{1, nodeTypeLeaf}, leaf(max(n/maxLeaves, 500))...)
			nodes := bytes.Repeat(append(one, 0), min(max(n/(len(one)+1), 1), maxLeaves-1))
			return appendVec(nil, append(nodes, one...))
		}, func(b []byte) error { _, err := parseTree(suites[Suite3], b); return err }},
		{"welcome", func(n int) []byte {
			secret := append(appendVec(nil, make([]byte, 32)), ciphertext(n/MaxMembers-40)...)
			b := slices.Concat(appendMessageHeader(nil, wireWelcome), []byte{0, 3}, repeat(secret, n, MaxMembers))
			return appendVec(b, make([]byte, max(0, n-len(b))))
		}, func(b []byte) error { _, err := parseWelcome(b); return err }},
		{"capabilities", func(n int) []byte { return slices.Concat([]byte{0}, repeat([]byte{0, 1}, n, n), []byte{0, 0, 0}) },
			func(b []byte) error { return decode("capabilities", b, func(r *reader) { r.capabilities() }) }},
	} {
		for _, size := range []int{16 << 10, 128 << 10, 1 << 20, maxInput - 64<<10} {
			input := kind.make(size)
			b.Run(fmt.Sprintf("%s/%dkB", kind.name, len(input)>>10), func(b *testing.B) {
				b.SetBytes(int64(len(input)))
				b.ReportAllocs()
				for b.Loop() {
					if err := kind.parse(input); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
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
