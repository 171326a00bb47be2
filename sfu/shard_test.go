package sfu

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/pace"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// witness is the writer of a slot that remembers what it was given.
type witness struct {
	t    *testing.T
	name string
	// used are the numbers that were sealed: each is a nonce.
	used map[uint16]bool
	runs []run
	// paced says that the path has no room at times, loses that shards miss packets.
	paced, loses bool
}

// run is what came of one source.
type run struct {
	source *publisher
	got    []delivery
}

type delivery struct {
	index uint64
	key   bool
	seq   uint16
}

func (w *witness) writeMedia(o *outgoing) bool {
	if w.used[o.seq] {
		w.t.Errorf("%s: number %d twice", w.name, o.seq)
	}
	w.used[o.seq] = true
	r := &w.runs[len(w.runs)-1]
	payload := o.payload
	if r.source.up.video {
		payload = payload[1:]
	}
	r.got = append(r.got, delivery{binary.BigEndian.Uint64(payload[1:]), o.packet.KeyFrame, o.seq})
	return true
}

func (w *witness) writeRTX(*outgoing, uint16) bool { return true }

// publisher feeds an upTrack, as a media loop does.
type publisher struct {
	source
	up      *upTrack
	egress  egress
	clock   *atomic.Int64
	index   uint64
	late    map[uint64]bool // that were sent out of order
	packets map[*packetcache.Packet]bool
}

func newPublisher(t *testing.T, w *writers, clock *atomic.Int64, video bool) *publisher {
	p := &publisher{clock: clock, late: map[uint64]bool{}, packets: map[*packetcache.Packet]bool{}}
	p.up, _ = newTestUp(video)
	p.up.writers, p.up.via = w, &p.egress
	p.source = source{u: p.up, seq: 65000}
	return p
}

// frame gives what comes at once; some of it in another order.
func (p *publisher) frame(t *testing.T, random *rand.Rand, packets int) {
	p.now = p.clock.Add(int64(time.Millisecond))
	p.stamp += 3000
	var raw [][]byte
	for i := range packets {
		body := binary.BigEndian.AppendUint64([]byte{0}, p.index)
		raw = append(raw, p.packet(t, p.seq, i == 0, p.index%64 < uint64(packets), body))
		p.seq++
		p.index++
	}
	if i := 1 + random.IntN(packets); i+1 < packets && random.IntN(4) == 0 {
		raw[i], raw[i+1] = raw[i+1], raw[i]
		p.late[p.index-uint64(packets-i)] = true
	}
	for _, b := range raw {
		in := packetcache.New()
		p.packets[in] = true
		if !p.up.receive(in, copy(in.Buffer[:], b), p.now) {
			in.Release()
		}
	}
	p.egress.settle()
}

// tick is due each 20 ms.
func (p *publisher) tick() {
	p.egress.now = p.clock.Load()
	p.up.drain(p.egress.now)
	p.egress.settle()
}

// waiting is how many packets wait for the slowest shard.
func (p *publisher) waiting() (n int) {
	if crew := p.up.crew.Load(); crew != nil {
		for _, s := range *crew {
			n = max(n, int(s.ring.put.Load()-s.ring.taken.Load()))
		}
	}
	return n
}

// settle waits until all has been sent.
func (p *publisher) settle() {
	for !p.isQuiet() {
		runtime.Gosched()
	}
}

func (p *publisher) isQuiet() bool {
	crew := p.up.crew.Load()
	return crew == nil || !slices.ContainsFunc(*crew, func(s *shard) bool { return s.scheduled.Load() || !s.isIdle() })
}

// check wants each packet from the first one on, once, in the order in which they came, and
// says how often the slot began anew, with a key frame.
func (w *witness) check(t *testing.T, r run) (anew int) {
	t.Helper()
	if len(r.got) == 0 {
		return 0
	}
	if r.source.up.video && !r.got[0].key {
		t.Errorf("%s: begins with packets %v, no key frame", w.name, r.got[:min(len(r.got), 5)])
	}
	seen := map[uint64]bool{}
	for _, g := range r.got {
		if seen[g.index] {
			t.Errorf("%s: packet %d twice", w.name, g.index)
		}
		seen[g.index] = true
	}
	missing := func(from, to uint64) int {
		n := 0
		for index := from; index < to; index++ {
			if !seen[index] && !r.source.late[index] {
				n++
			}
		}
		return n
	}
	highest := r.got[0].index
	for _, g := range r.got {
		switch {
		case g.index < highest && !r.source.late[g.index]:
			t.Errorf("%s: packet %d after %d", w.name, g.index, highest)
		case g.index <= highest, missing(highest, g.index) == 0:
		case g.key:
			anew++
		case r.source.up.video || !w.loses:
			t.Errorf("%s: %d packets are missing between %d and %d", w.name, missing(highest, g.index), highest, g.index)
		}
		highest = max(highest, g.index)
	}
	return anew
}

// TestCrowdOfShards: slots come, go and change their sources while packets flow, some of
// them late, and fan-outs grow and shrink past their bounds. Each receiver gets each packet
// once, in order, under a number of its own, and nothing is held when all have gone.
func TestCrowdOfShards(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, throttle := range []bool{true, false} {
		t.Run(fmt.Sprintf("throttled %t", throttle), func(t *testing.T) { crowdOfShards(t, seed, throttle) })
	}
}

func crowdOfShards(t *testing.T, seed uint64, throttle bool) {
	var clock atomic.Int64
	clock.Store(int64(time.Second))
	w := newWriters(3, clock.Load, func(int) *egress { return &egress{} })
	w.sizes = sizes{crowd: 8, shard: 4}
	publishers := []*publisher{newPublisher(t, w, &clock, true), newPublisher(t, w, &clock, true), newPublisher(t, w, &clock, false)}
	var stop atomic.Bool
	var group sync.WaitGroup
	divided := make([]atomic.Bool, len(publishers))
	for i, p := range publishers {
		group.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for frame := 0; !stop.Load(); frame++ {
				p.frame(t, random, 4)
				if frame%8 == 0 {
					p.tick()
				}
				if crew := p.up.crew.Load(); crew != nil && len(*crew) > 1 {
					divided[i].Store(true)
				}
				for throttle && p.waiting() > ringSize/4 {
					runtime.Gosched()
				}
				if frame%4 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(seed, 99))
	var slots []*downTrack
	var witnesses []*witness
	for i := range 60 {
		w := &witness{t: t, name: fmt.Sprint("slot ", i), used: map[uint16]bool{}, paced: i%5 == 0, loses: !throttle}
		d := &downTrack{mid: "7", video: i%3 > 0}
		d.bind(w, 111, 222, testTypes())
		if i%5 == 0 {
			d.bucket = &pace.Bucket{}
			d.bucket.SetRate(1_000_000)
		}
		slots, witnesses = append(slots, d), append(witnesses, w)
	}
	var room sync.Mutex
	for step := range 1600 {
		room.Lock()
		i := random.IntN(len(slots))
		if step%400 > 280 { // few are left
			i = random.IntN(len(slots)-6) + 6
		}
		d, w := slots[i], witnesses[i]
		d.disconnect()
		if step%400 <= 280 {
			p := publishers[2]
			if d.video {
				p = publishers[random.IntN(2)]
				if step%400 > 120 {
					p = publishers[0]
				}
			}
			w.runs = append(w.runs, run{source: p})
			d.connect(p.up, clock.Load())
		}
		room.Unlock()
		for began := clock.Load(); clock.Load() < began+int64(random.IntN(4))*int64(time.Millisecond); {
			runtime.Gosched() // a frame a millisecond, of any of them
		}
	}
	for i, d := range slots { // all are there at the end
		p := publishers[2]
		if d.video {
			p = publishers[i%2]
		}
		d.disconnect()
		witnesses[i].runs = append(witnesses[i].runs, run{source: p})
		d.connect(p.up, clock.Load())
	}
	for i := range divided { // as all are by now, or will be
		for !divided[i].Load() {
			runtime.Gosched()
		}
	}
	stop.Store(true)
	group.Wait()
	finish(t, publishers, slots, witnesses)
	w.stop()
}

// finish has what is behind sent, and checks what all have got, and that nothing is held.
func finish(t *testing.T, publishers []*publisher, slots []*downTrack, witnesses []*witness) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		for _, p := range publishers {
			p.settle()
			p.clock.Add(int64(20 * time.Millisecond))
			p.frame(t, random, 4)
			p.settle()
			p.tick()
			p.settle()
		}
	}
	packets, runs, anew := 0, 0, 0
	for i, w := range witnesses {
		for _, r := range w.runs {
			anew += w.check(t, r)
			packets += len(r.got)
			runs++
		}
		if last := w.runs[len(w.runs)-1]; !w.paced && !w.loses && (len(last.got) == 0 || last.got[len(last.got)-1].index+1 != last.source.index) {
			t.Errorf("%s: the last packets are missing, phase %d, %d got", w.name, slots[i].phase, len(last.got))
		}
	}
	for _, p := range publishers {
		anew -= int(p.up.counters.dropped[dropPace].Load())
	}
	if anew > 0 {
		t.Errorf("slots began anew %d times more often than is counted", anew)
	}
	t.Logf("%d packets of %d runs", packets, runs)
	for _, d := range slots {
		d.disconnect()
	}
	for _, p := range publishers {
		p.tick()
		if p.up.crew.Load() != nil {
			t.Error("shards of nobody")
		}
		t.Logf("%d packets, %d missed by shards, %d times anew", p.index, p.up.counters.dropped[dropShard].Load(), p.up.counters.dropped[dropPace].Load())
		if p.up.cache != nil {
			p.up.cache.Close()
		}
	}
	for _, p := range publishers {
		for in := range p.packets {
			if in.Holders() != 0 {
				t.Fatal("a packet is held")
			}
		}
	}
}

// newStill gives a publisher with one shard of its own and one that is run by hand, and
// slots in them.
func newStill(t *testing.T, video bool, slots int) (*publisher, *shard, []*downTrack, []*witness) {
	t.Helper()
	var clock atomic.Int64
	clock.Store(int64(time.Second))
	w := newWriters(1, clock.Load, nil)
	w.sizes, w.begun = sizes{crowd: 1, shard: 1}, true
	p := newPublisher(t, w, &clock, video)
	var list []*downTrack
	var witnesses []*witness
	for i := range slots {
		w := &witness{t: t, name: fmt.Sprint("slot ", i), used: map[uint16]bool{}, runs: []run{{source: p}}}
		d := &downTrack{video: video}
		d.bind(w, 111, 222, testTypes())
		d.connect(p.up, clock.Load())
		list, witnesses = append(list, d), append(witnesses, w)
	}
	p.tick()
	return p, (*p.up.crew.Load())[1], list, witnesses
}

// catchUp runs a shard until it has nothing to do.
func (s *shard) catchUp() {
	if s.up.writers.first == nil {
		return
	}
	s.up.writers.take()
	for s.run(&egress{now: 1 << 40}) {
	}
}

// TestMissedMeanwhile: a shard that is run while a packet that it has no room for is being given to
// the others does not rest before it has gone on to that: slots move between shards that rest, and
// nothing may follow.
func TestMissedMeanwhile(t *testing.T) {
	p, slow, _, witnesses := newStill(t, true, 4)
	p.frame(t, nothing, 4)
	slow.catchUp()
	for range ringSize / 4 {
		p.frame(t, nothing, 4)
	}
	slow.up.writers.take()
	slow.remote = false // the egress runs it, while it is given the next packet
	p.up.crew.Store(&[]*shard{slow, (*p.up.crew.Load())[0]})
	p.egress.deferred = slices.Repeat([]*shard{slow}, mostDeferred)
	p.frame(t, nothing, 1)
	for _, w := range witnesses {
		if got, want := len(w.runs[0].got), 4+ringSize+1; got != want {
			t.Errorf("%s: %d packets, want %d", w.name, got, want)
		}
	}
}

// TestSlowShard: what finds no room in a shard's ring is counted, and harms that shard
// alone; its video reads on from the cache, up to a bound, and its audio has lost it.
func TestSlowShard(t *testing.T) {
	for _, test := range []struct {
		name   string
		video  bool
		behind int // packets that the shard does not take
		after  int // packets that follow
		lost   int // by the slots of the shard
		anew   bool
	}{
		{"a full ring", true, ringSize, 0, 0, false},
		{"more, nothing follows", true, ringSize + 40, 0, 0, false},
		{"more, then others", true, ringSize + 40, 8, 0, false},
		{"too much", true, ringSize + maxBehind + 44, 0, 0, true},
		{"audio", false, ringSize + 40, 8, 40, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(0, 0))
			p, slow, slots, witnesses := newStill(t, test.video, 4)
			p.frame(t, random, 4)
			slow.catchUp()
			p.late = map[uint64]bool{}
			for range test.behind / 4 {
				p.frame(t, nothing, 4)
			}
			if got, want := p.up.waiting(), min(test.behind, ringSize); got != want {
				t.Errorf("%d packets wait, want %d", got, want)
			}
			if test.after > 0 {
				slow.up.writers.take()
				slow.step(&egress{now: 1 << 40}) // has room again
				slow.step(&egress{now: 1 << 40})
				for range test.after / 4 {
					p.frame(t, nothing, 4)
				}
				for slow.run(&egress{now: 1 << 40}) {
				}
			} else {
				slow.catchUp()
			}
			if got := p.up.waiting(); got != 0 {
				t.Errorf("%d packets wait in the end", got)
			}
			if got, want := int(p.up.counters.dropped[dropShard].Load()), max(test.behind-ringSize, 0); got != want {
				t.Errorf("%d packets counted as missed, want %d", got, want)
			}
			for i, d := range slots {
				got, want := len(witnesses[i].runs[0].got), 4+test.behind+test.after
				mine := d.shard.Load() == slow
				switch {
				case mine && test.anew:
					if d.phase != waiting || !d.overflowed.Load() {
						t.Errorf("phase %d after too much", d.phase)
					}
					continue
				case mine:
					want -= test.lost
				}
				if got != want {
					t.Errorf("slot %d, slow %t: %d packets, want %d", i, mine, got, want)
				}
				if test.video {
					witnesses[i].check(t, witnesses[i].runs[0])
				}
			}
			p.settleBy(slow)
			for _, d := range slots {
				d.disconnect()
			}
			p.tick()
			if p.up.crew.Load() != nil {
				t.Error("shards of nobody")
			}
		})
	}
}

func (p *publisher) settleBy(s *shard) {
	p.tick()
	s.catchUp()
}

// nothing is a source of numbers that changes no order.
var nothing = rand.New(constant(1 << 62))

type constant uint64

func (c constant) Uint64() uint64 { return uint64(c) }

// TestSizes: when fan-outs are divided, and that nobody is moved by who comes and goes at a
// bound.
func TestSizes(t *testing.T) {
	z := usualSizes
	for _, test := range []struct{ slots, now, most, want int }{
		{0, 0, 4, 0}, {128, 0, 4, 0}, {129, 0, 4, 2}, {129, 0, 1, 1}, {129, 2, 4, 2},
		{97, 2, 4, 2}, {96, 2, 4, 0}, {128, 0, 4, 0}, {191, 2, 4, 2}, {192, 2, 4, 3}, {145, 3, 4, 3}, {144, 3, 4, 2},
		{256, 3, 4, 4}, {2000, 4, 4, 4}, {2000, 0, 64, 31}, {0, 4, 4, 0}, {200, 4, 4, 4}, {150, 4, 4, 2},
	} {
		if got := z.shards(test.slots, test.now, test.most); got != test.want {
			t.Errorf("%d slots, %d shards now, %d at most: %d, want %d", test.slots, test.now, test.most, got, test.want)
		}
	}
}

// TestSpread: parts become equal by as few moves as that takes.
func TestSpread(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 5))
	for range 1000 {
		parts, next, total := make([][]int, 1+random.IntN(5)), 1+random.IntN(5), 0
		for i := range parts {
			for range random.IntN(30) {
				parts[i] = append(parts[i], total)
				total++
			}
		}
		got := spread(parts, next)
		moved, least, seen := 0, 0, map[int]bool{}
		for i, part := range got {
			if len(part) < total/next || len(part) > total/next+1 {
				t.Fatalf("%d of %d in one of %d", len(part), total, next)
			}
			for _, x := range part {
				seen[x] = true
				if i >= len(parts) || !slices.Contains(parts[i], x) {
					moved++
				}
			}
			if i >= len(parts) {
				least += len(part)
			} else {
				least += max(0, len(part)-len(parts[i]))
			}
		}
		if len(seen) != total || moved != least {
			t.Fatalf("%d of %d, %d moved, want %d", len(seen), total, moved, least)
		}
	}
}

// TestShardsAllocateNothing: from the received packet to what is sent, sealed, on the
// reading goroutine alone, with one shard, and with writers.
func TestShardsAllocateNothing(t *testing.T) {
	for _, shards := range []int{0, 1, 3} {
		f := newFan(t, 30, shards)
		f.transport.room.mu.Lock() // housekeeping allocates
		forward := func() { f.frame(1); f.wait() }
		for range 2 * cacheSize {
			forward()
		}
		before := f.up.counters.packetsOut.Load()
		if got := testing.AllocsPerRun(1000, forward); got != 0 {
			t.Errorf("%d shards: %v allocations a packet", shards, got)
		}
		if got := f.up.counters.packetsOut.Load() - before; got < 1000*30 {
			t.Errorf("%d shards: %d packets sent", shards, got)
		}
		f.transport.room.mu.Unlock()
	}
}

// TestShardsOverTheNetwork: what leaves the node by several goroutines opens, each packet
// once and in order for each receiver.
func TestShardsOverTheNetwork(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	before := runtime.NumGoroutine()
	t.Run("meeting", func(t *testing.T) {
		f := newFan(t, 40, 4)
		sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sink.Close() }()
		_ = sink.SetReadBuffer(4 << 20)
		for _, d := range *f.up.fanOut.Load() {
			c := d.writer.(*slotWriter).conn
			c.way.Store(&way{conn: c, target: f.node().sockets[0].Target(sink.LocalAddr().(*net.UDPAddr).AddrPort())})
		}
		streams, last := map[uint32]*srtp.Stream{}, map[uint32]uint16{}
		buffer := make([]byte, 2048)
		for range 50 {
			f.frame(3)
			f.wait()
			_ = sink.SetReadDeadline(time.Now().Add(patience))
			for range 3 * 40 {
				n, _, err := sink.ReadFrom(buffer)
				if err != nil {
					t.Fatal(err)
				}
				header, _ := srtp.HeaderSize(buffer[:n])
				ssrc, seq := ssrcOf(buffer), binary.BigEndian.Uint16(buffer[2:])
				if streams[ssrc] == nil {
					s := f.cipher.Stream()
					streams[ssrc], last[ssrc] = &s, seq-1
				}
				if _, err := streams[ssrc].Open(buffer[:n], header); err != nil || seq != last[ssrc]+1 {
					t.Fatalf("number %d after %d: %v", seq, last[ssrc], err)
				}
				last[ssrc] = seq
			}
		}
		if len(streams) != 40 {
			t.Errorf("%d receivers", len(streams))
		}
	})
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// TestClosedWriters: what is submitted to writers that have ended is let go.
func TestClosedWriters(t *testing.T) {
	p, s, _, _ := newStill(t, false, 4)
	s.catchUp()
	p.up.writers.stop()
	p.frame(t, nothing, 4)
	if !s.ring.isEmpty() {
		t.Error("packets wait for nobody")
	}
	for in := range p.packets {
		if in.Holders() != 0 {
			t.Error("a packet is held")
		}
	}
}
