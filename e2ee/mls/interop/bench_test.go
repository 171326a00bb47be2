package interop

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/mls"
	"github.com/thomas-vilte/mls-go/group"
)

// The benchmarks run each operation by us and by mls-go, in suite 0x0003, in one run: on a
// machine that does other work as well, only their ratio means something. Both start from
// bytes: KeyPackages are parsed and verified within.

var benchSizes = []int{2, 10, 50, 200}

// benchMember is a member that can be put back to where it was.
type benchMember interface {
	member
	// save returns what puts the member back.
	save(b *testing.B) (restore func())
}

func (m *ours) save(*testing.B) func() {
	group, sender := m.group, m.sender
	return func() { m.group, m.sender = group, sender }
}

func (m *mlsgo) save(b *testing.B) func() {
	if m.group == nil {
		return func() {}
	}
	raw, err := m.group.MarshalState()
	must(b, "marshal", err)
	return func() {
		m.group, err = group.UnmarshalGroupState(raw)
		must(b, "unmarshal", err)
		m.group.LoadPsk(pskID, pskSecret)
	}
}

var benchMakers = []struct {
	name string
	make func(id string) (benchMember, error)
}{
	{"conclave", func(id string) (benchMember, error) { return newOurs(mls.Suite3, id) }},
	{"mls-go", func(id string) (benchMember, error) { return newMLSGo(mls.Suite3, id) }},
}

// benchEach runs f for each size and implementation; make makes members.
func benchEach(b *testing.B, f func(b *testing.B, n int, make func(id string) benchMember)) {
	for _, n := range benchSizes {
		for _, by := range benchMakers {
			b.Run(fmt.Sprintf("N=%d/%s", n, by.name), func(b *testing.B) {
				f(b, n, func(id string) benchMember {
					m, err := by.make(id)
					must(b, id, err)
					return m
				})
			})
		}
	}
}

// timed runs op repeatedly, each time from the same state.
func timed(b *testing.B, m benchMember, op func() error) {
	restore := m.save(b)
	var cpu time.Duration
	for b.Loop() {
		start := cpuTime(b)
		must(b, m.name(), op())
		cpu += cpuTime(b) - start
		b.StopTimer()
		restore()
		b.StartTimer()
	}
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N)/1000, "cpu-ms/op")
}

// cpuTime is the processor time that this process has taken, which says more than the clock on
// a machine that does other work.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, "rusage", syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchGroup is a creator and the n-1 whom it adds in one commit, and the Welcome. mls-go's
// creator has a companion.
func benchGroup(b *testing.B, n int, make func(id string) benchMember) (all []benchMember, welcome []byte) {
	creator := make("creator")
	must(b, "create", creator.create([]byte("group"), nil))
	all = []benchMember{creator}
	var kps [][]byte
	for i := range n - 1 {
		m := make(fmt.Sprint("member ", i))
		all, kps = append(all, m), append(kps, m.keyPackage())
	}
	_, welcome, err := creator.commit(kps, nil, nil)
	must(b, "commit", err)
	must(b, "merge", creator.merge())
	return all, welcome
}

// BenchmarkAdd adds N-1 members in one commit and makes their Welcome.
func BenchmarkAdd(b *testing.B) {
	benchEach(b, func(b *testing.B, n int, make func(id string) benchMember) {
		creator := make("creator")
		must(b, "create", creator.create([]byte("group"), nil))
		var kps [][]byte
		for i := range n - 1 {
			kps = append(kps, make(fmt.Sprint("member ", i)).keyPackage())
		}
		timed(b, creator, func() error {
			_, _, err := creator.commit(kps, nil, nil)
			return err
		})
	})
}

func BenchmarkJoin(b *testing.B) {
	benchEach(b, func(b *testing.B, n int, make func(id string) benchMember) {
		all, welcome := benchGroup(b, n, make)
		timed(b, all[1], func() error { return all[1].join(welcome) })
	})
}

// BenchmarkVerifications is the floor of joining: an Ed25519 verification for each member's
// leaf.
func BenchmarkVerifications(b *testing.B) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(b, "key", err)
	message := make([]byte, 200)
	signature := ed25519.Sign(private, message)
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			start := cpuTime(b)
			defer func() { b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/float64(b.N)/1000, "cpu-ms/op") }()
			for b.Loop() {
				for range n {
					if !ed25519.Verify(public, message, signature) {
						b.Fatal("not verified")
					}
				}
			}
		})
	}
}

// BenchmarkAgreements is the floor of a commit to N members whose tree is blank, and of a
// Welcome for N: with each an ephemeral key, which is one multiplication on Curve25519 in
// crypto/ecdh, and the agreement, which is another.
func BenchmarkAgreements(b *testing.B) {
	remote, err := ecdh.X25519().GenerateKey(rand.Reader)
	must(b, "key", err)
	for _, n := range benchSizes {
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			start := cpuTime(b)
			defer func() { b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/float64(b.N)/1000, "cpu-ms/op") }()
			for b.Loop() {
				for range n {
					ephemeral, err := ecdh.X25519().GenerateKey(rand.Reader)
					must(b, "key", err)
					_, err = ephemeral.ECDH(remote.PublicKey())
					must(b, "agreement", err)
				}
			}
		})
	}
}

// BenchmarkRemove makes a commit that removes one of N members who were all added at once:
// the path is encrypted to each of them.
func BenchmarkRemove(b *testing.B) {
	benchEach(b, func(b *testing.B, n int, make func(id string) benchMember) {
		all, _ := benchGroup(b, n, make)
		timed(b, all[0], func() error {
			_, _, err := all[0].commit(nil, []uint32{uint32(n - 1)}, nil)
			return err
		})
	})
}

func BenchmarkProcessRemove(b *testing.B) {
	benchEach(b, func(b *testing.B, n int, make func(id string) benchMember) {
		all, welcome := benchGroup(b, n+1, make)
		must(b, "join", all[1].join(welcome))
		last := uint32(n)
		if _, ok := all[0].(*mlsgo); ok {
			last++ // the companion
		}
		commit, _, err := all[0].commit(nil, []uint32{last}, nil)
		must(b, "commit", err)
		timed(b, all[1], func() error {
			_, err := all[1].process(commit)
			return err
		})
	})
}
