package sfu

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/conclave-sfu/conclave/sfu/batchconn"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// fan is a publisher with many viewers at a node, and a socket that takes what they are
// sent and reads nothing.
type fan struct {
	*rig
	up     *upTrack
	viewed uint64 // packets so far, times viewers
	slots  int
	raw    []byte
	header int
	seq    uint16
	in     *packetcache.Packet
	sealed []byte
}

// newFan makes one whose packets are forwarded by so many shards, 0 for none.
func newFan(t testing.TB, viewers, shards int) *fan {
	t.Helper()
	n := startNode(t, nil)
	n.patience = time.Hour // nobody connects here
	n.writers.count = max(shards-1, 0)
	n.writers.sizes = sizes{crowd: viewers * 4, shard: 1}
	if shards > 0 {
		n.writers.sizes.crowd = 0
	}
	from := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc:70 cname:x\r\n"))
	from.send(from.packet(70, 96, 1, keyFrame+strings.Repeat("x", 1000), id(rigCC), "\x00\x01"))
	f := &fan{rig: from, up: from.uplinks[70].up, seq: 1, slots: viewers, in: packetcache.New(), sealed: make([]byte, 1500)}
	from.egress.batch = batchconn.NewBatch(n.sockets[0], loopBatch)
	var sinks []*batchconn.Target // several, since what is written to one takes turns
	for range 64 {
		sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sink.Close() })
		sinks = append(sinks, n.sockets[0].Target(sink.LocalAddr().(*net.UDPAddr).AddrPort()))
	}
	from.checkedAt.Store(n.now() + int64(time.Hour)) // nobody checks either
	for i := range viewers {
		to := newRig(t, n, fmt.Sprint("bob", i), nil, rigSection("video", "v", "recvonly"))
		to.checkedAt.Store(n.now() + int64(time.Hour))
		to.way.Store(&way{conn: to.connection, target: n.sockets[0].Target(sinks[i%len(sinks)].AddrPort())})
		for _, d := range to.slots.list {
			d.connect(f.up, n.now())
		}
	}
	var err error
	if f.raw, err = from.packet(70, 96, 2, keyFrame+strings.Repeat("x", 1000), id(rigCC), "\x00\x01").Marshal(); err != nil {
		t.Fatal(err)
	}
	f.header, _ = srtp.HeaderSize(f.raw)
	f.tick()
	if crew := f.up.crew.Load(); shards > 0 && (crew == nil || len(*crew) != shards) {
		t.Fatalf("no %d shards of %d viewers", shards, viewers)
	}
	return f
}

// tick is the publisher's.
func (f *fan) tick() {
	f.intake.Lock()
	f.up.via = f.egress
	f.up.drain(f.egress.now)
	f.intake.Unlock()
	f.egress.settle()
	f.egress.flush()
}

// frame has packets forwarded that come at once.
func (f *fan) frame(packets int) {
	for range packets {
		f.seq++
		f.egress.now += int64(20 * time.Millisecond) // pacing lets it through
		binary.BigEndian.PutUint16(f.raw[2:], f.seq)
		packet, err := f.out[70].Seal(append(f.sealed[:0], f.raw[:f.header]...), f.raw[f.header:])
		if err != nil {
			f.t.Fatal(err)
		}
		if f.takeProtected(f.egress, f.in, copy(f.in.Buffer[:], packet), nil) {
			f.in = packetcache.New()
		}
	}
	f.viewed += uint64(packets * f.slots)
	f.egress.settle()
	f.egress.flush()
}

// wait returns when all has been sent.
func (f *fan) wait() {
	for !f.isQuiet() {
		time.Sleep(20 * time.Microsecond)
	}
}

// waiting is how many packets wait for the slowest shard.
func (f *fan) waiting() (n int) {
	if crew := f.up.crew.Load(); crew != nil {
		for _, s := range *crew {
			n = max(n, int(s.ring.put.Load()-s.ring.taken.Load()))
		}
	}
	return n
}

func (f *fan) isQuiet() bool {
	crew := f.up.crew.Load()
	if crew == nil {
		return true
	}
	for _, s := range *crew {
		if s.scheduled.Load() || !s.isIdle() {
			return false
		}
	}
	return true
}

// processorTime is what the process has taken.
func processorTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFan is a packet to all its viewers, opened, sealed and sent, in frames of
// several: wall time a packet, and processor time for each packet that goes out.
func BenchmarkFan(b *testing.B) {
	for _, packets := range []int{1, 8} {
		for _, viewers := range []int{10, 100, 1000} {
			for _, shards := range []int{0, 1, 2, 4} {
				b.Run(fmt.Sprintf("frame=%d/viewers=%d/shards=%d", packets, viewers, shards), func(b *testing.B) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(shards, 1)))
					f := newFan(b, viewers, shards)
					for range cacheSize/packets + 1 {
						f.frame(packets)
						f.wait()
					}
					b.ReportAllocs()
					b.ResetTimer()
					began, took := time.Now(), processorTime()
					for range b.N {
						f.frame(packets)
						for f.waiting() > ringSize/2 {
							time.Sleep(100 * time.Microsecond)
						}
					}
					f.wait()
					n := float64(b.N * packets)
					b.ReportMetric(float64(time.Since(began).Nanoseconds())/n/1000, "us/packet")
					b.ReportMetric(float64((processorTime()-took).Nanoseconds())/n/float64(viewers), "cpu-ns/sent")
					b.StopTimer()
					if n := len(*f.up.fanOut.Load()); n != viewers {
						b.Fatalf("%d viewers are left of %d", n, viewers)
					}
				})
			}
		}
	}
}

// nowhere is a Path whose packets are lost.
type nowhere struct{}

func (nowhere) Send([]byte) {}

func (nowhere) RemoteAddr() netip.AddrPort { return netip.AddrPort{} }

// BenchmarkCold is what a packet costs each of its receivers up to the system's door: mapped,
// sealed, and sent nowhere. The state of ten of them stays in the processor's cache, that of thousands
// does not. The times are those of the undisturbed frames: one in twenty, and one in four, was faster.
func BenchmarkCold(b *testing.B) {
	for _, viewers := range []int{10, 500, 2000} {
		for _, packets := range []int{1, 6} {
			b.Run(fmt.Sprintf("viewers=%d/frame=%d", viewers, packets), func(b *testing.B) {
				f := newFan(b, viewers, 1)
				for d := range f.viewers() {
					c := d.writer.(*slotWriter).conn
					c.way.Store(&way{conn: c, path: nowhere{}})
				}
				f.frame(packets)
				var times []time.Duration
				for b.Loop() {
					began := time.Now()
					f.frame(packets)
					times = append(times, time.Since(began))
				}
				slices.Sort(times)
				b.ReportMetric(float64(times[len(times)/20])/float64(packets*viewers), "p5-ns/sent")
				b.ReportMetric(float64(times[len(times)/4])/float64(packets*viewers), "p25-ns/sent")
			})
		}
	}
}

// viewers are the slots that see the publisher.
func (f *fan) viewers() iter.Seq[*downTrack] { return slices.Values(*f.up.fanOut.Load()) }
