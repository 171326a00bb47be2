package packetmap

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestUnwrap(t *testing.T) {
	for _, test := range []struct {
		name string
		seqs []uint16
		want []int64 // less the first number's distance from its seq
	}{
		{"in order", []uint16{5, 6, 7}, []int64{5, 6, 7}},
		{"wraps", []uint16{65534, 65535, 0, 1}, []int64{65534, 65535, 65536, 65537}},
		{"late across a wrap", []uint16{65535, 1, 0, 65534}, []int64{65535, 65537, 65536, 65534}},
		{"before the first", []uint16{3, 65535}, []int64{3, -1}},
		{"half the space ahead", []uint16{0, 32767}, []int64{0, 32767}},
		{"one that is late does not move the middle", []uint16{30000, 0, 32768 + 20000}, []int64{30000, 0, 52768}},
		{"twice around", []uint16{0, 30000, 60000, 24464, 54464}, []int64{0, 30000, 60000, 90000, 120000}},
	} {
		var u Unwrapper
		for i, seq := range test.seqs {
			if got := u.Unwrap(seq) - wrap; got != test.want[i] {
				t.Errorf("%s: packet %d, seq %d: %d, want %d", test.name, i, seq, got, test.want[i])
			}
		}
	}
}

func TestWindow(t *testing.T) {
	var w Window
	for i, step := range []struct {
		n    int64
		want Verdict
	}{
		{1000, Newest}, {1000, Duplicate}, {999, Late}, {999, Duplicate}, {1003, Newest}, {1002, Late},
		{1003 - WindowSize, TooLate}, {1004 - WindowSize, Late}, {1004 - WindowSize, Duplicate},
		{1003 + WindowSize, Newest}, {1003, TooLate}, {1004, Late}, {1004, Duplicate},
		{1 << 40, Newest}, {1<<40 - 1, Late}, {1<<40 - 1, Duplicate},
	} {
		if got := w.Add(step.n); got != step.want {
			t.Errorf("step %d: Add(%d) = %d, want %d", i, step.n, got, step.want)
		}
	}
}

// TestWindowModel compares the ring of bits with a set.
func TestWindowModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var w Window
	seen, high := map[int64]bool{}, int64(0)
	for range 100_000 {
		n := max(high-WindowSize-10+r.Int64N(WindowSize+40), 1)
		if r.IntN(1000) == 0 {
			n = high + r.Int64N(3*WindowSize)
		}
		want := Late
		switch {
		case n > high:
			want = Newest
		case n <= high-WindowSize:
			want = TooLate
		case seen[n]:
			want = Duplicate
		}
		if got := w.Add(n); got != want {
			t.Fatalf("Add(%d) with high %d = %d, want %d", n, high, got, want)
		}
		high, seen[n] = max(high, n), true
	}
}

// step is one call on a Map, with what it gives.
type step struct {
	do  string // "start", "forward", "skip"
	in  int64
	out int64 // of forward; 0 for refused
}

func TestMap(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"nothing before start", []step{{"forward", 5, 0}, {"skip", 5, 0}}},
		{"starts where the source is", []step{{"start", 500, 0}, {"forward", 500, 500}, {"forward", 501, 501}}},
		{"keeps losses", []step{{"start", 10, 0}, {"forward", 10, 10}, {"forward", 13, 13}, {"forward", 11, 11}}},
		{"closes the gap", []step{
			{"start", 10, 0}, {"forward", 10, 10}, {"skip", 11, 0}, {"skip", 12, 0}, {"forward", 13, 11}, {"forward", 14, 12},
		}},
		{"skip behind a loss", []step{
			{"start", 10, 0}, {"forward", 10, 10}, {"skip", 12, 0}, {"forward", 13, 12}, {"forward", 11, 11}, {"forward", 12, 0},
		}},
		{"skip at the start", []step{{"start", 10, 0}, {"skip", 10, 0}, {"forward", 11, 10}}},
		{"skip what was forwarded, or skipped", []step{
			{"start", 10, 0}, {"forward", 10, 10}, {"skip", 10, 0}, {"forward", 11, 11}, {"skip", 12, 0}, {"skip", 12, 0}, {"forward", 13, 12},
		}},
		{"skip too late", []step{{"start", 10, 0}, {"forward", 12, 12}, {"skip", 11, 0}, {"forward", 13, 13}}},
		{"new source after a late packet before a skipped one", []step{
			{"start", 10, 0}, {"forward", 10, 10}, {"skip", 12, 0}, {"forward", 11, 11}, {"start", 500, 0}, {"forward", 500, 12},
		}},
		{"new source", []step{
			{"start", 10, 0}, {"forward", 10, 10}, {"forward", 12, 12},
			{"start", 9000, 0}, {"forward", 9000, 13}, {"forward", 8999, 0}, {"forward", 9001, 14},
			{"start", 7, 0}, {"forward", 7, 15}, {"forward", 9002, 9010 - 15 + 15},
		}},
		{"restart without a packet", []step{{"start", 10, 0}, {"forward", 10, 10}, {"start", 50, 0}, {"start", 70, 0}, {"forward", 70, 11}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var m Map
			tag := uint64(0)
			for i, s := range test.steps {
				switch s.do {
				case "start":
					tag++
					m.Start(s.in, tag)
				case "skip":
					m.Skip(s.in)
				case "forward":
					if got, ok := m.Forward(s.in); got != s.out && ok || ok != (s.out != 0) {
						t.Errorf("step %d: Forward(%d) = %d, %t, want %d", i, s.in, got, ok, s.out)
					}
				}
			}
		})
	}
}

// TestMapModel checks on random streams what receivers rely on: no number twice,
// no gap but losses, and the way back.
func TestMapModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	type packet struct {
		tag uint64
		in  int64
	}
	for range 200 {
		var m Map
		sent := map[int64]packet{}
		tag, next := uint64(0), int64(0)
		switchTo := func() {
			tag++
			next = wrap + r.Int64N(wrap)
			m.Start(next, tag)
		}
		forward := func(in int64) {
			out, ok := m.Forward(in)
			if !ok {
				return
			}
			if was, ok := sent[out]; ok && was != (packet{tag, in}) {
				t.Fatalf("number %d for %v, then for %v", out, was, packet{tag, in})
			}
			sent[out] = packet{tag, in}
		}
		switchTo()
		for range 300 {
			switch n := r.IntN(100); {
			case n < 2:
				switchTo()
			case n < 12:
				if !m.Skip(next) {
					t.Fatalf("no gap closed for the newest packet, %d", next)
				}
				next++
			case n < 20:
				next++ // lost, or late
			case n < 21:
				high := m.High()
				next += r.Int64N(40000)
				m.Shorten(next, 100)
				if forward(next); m.High() > high+100+20 { // the losses before it are not closed
					t.Fatalf("%d packets ahead", m.High()-high)
				}
				next++
			case n < 28:
				forward(next - 1 - r.Int64N(20))
			default:
				forward(next)
				next++
			}
		}
		for out, p := range sent {
			if out <= m.High()-spanCount/2 {
				continue
			}
			in, tag, ok := m.Lookup(uint16(out))
			if !ok || in != p.in || tag != p.tag {
				t.Fatalf("Lookup(%d) = %d of %d, %t, want %v", out, in, tag, ok, p)
			}
		}
	}
}

// TestShorten: a long gap becomes a short one, and what comes late is in its place as far as
// there is one.
func TestShorten(t *testing.T) {
	var m Map
	m.Shorten(5, 10) // nothing yet
	m.Start(100, 7)
	for _, step := range []struct {
		in   int64
		want int64 // 0: left out
	}{{100, 100}, {105, 105}, {115, 115}, {126, 125}, {127, 126}, {116, 116}, {124, 124}, {125, 0}, {126, 125}, {5000, 136}, {127, 126}, {128, 127}} {
		m.Shorten(step.in, 10)
		out, ok := m.Forward(step.in)
		if ok != (step.want != 0) || out != step.want {
			t.Errorf("packet %d: %d, %t, want %d", step.in, out, ok, step.want)
		}
	}
	if in, tag, ok := m.Lookup(125); in != 126 || tag != 7 || !ok {
		t.Errorf("number 125 is of packet %d, tag %d, %t", in, tag, ok)
	}
	m.Skip(5004)
	m.Shorten(5015, 10)
	if out, _ := m.Forward(5015); out != 136+4+10-1 {
		t.Errorf("after one that was left out: %d", out)
	}
}

func TestMapForgets(t *testing.T) {
	var m Map
	m.Start(1000, 7)
	in := int64(1000)
	for range 3 * spanCount {
		m.Forward(in)
		m.Skip(in + 1)
		in += 2
	}
	if _, _, ok := m.Lookup(uint16(1000)); ok {
		t.Error("a packet from before the ring is found")
	}
	if _, ok := m.Forward(1000); ok {
		t.Error("a packet from before the ring is forwarded")
	}
	if got, tag, ok := m.Lookup(uint16(m.High())); got != in-2 || tag != 7 || !ok {
		t.Errorf("Lookup of the newest: %d of %d, %t, want %d of 7", got, tag, ok, in-2)
	}
	if _, _, ok := m.Lookup(uint16(m.High() + 1)); ok {
		t.Error("a number that did not go out is found")
	}
}

// TestLookupWhileForwarding: any pair that Lookup gives must be one that was sent.
func TestLookupWhileForwarding(t *testing.T) {
	// The packets of source n are 10000*n and some after it.
	var m Map
	m.Start(10000, 1)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				in, tag, ok := m.Lookup(uint16(m.High()))
				if ok && (in < int64(tag)*10000 || in > int64(tag)*10000+100) {
					t.Errorf("packet %d of source %d was never sent", in, tag)
					return
				}
			}
		})
	}
	for tag := uint64(1); tag < 2000; tag++ {
		m.Start(int64(tag)*10000, tag)
		for i := range int64(10) {
			m.Forward(int64(tag)*10000 + i)
		}
		m.Skip(int64(tag)*10000 + 10)
		m.Forward(int64(tag)*10000 + 11)
	}
	close(done)
	readers.Wait()
}

func TestSteps(t *testing.T) {
	for _, test := range []struct {
		elapsed      time.Duration
		video, audio uint32
	}{
		{-time.Second, 1, 960},
		{0, 1, 960},
		{time.Microsecond, 1, 960},
		{33 * time.Millisecond, 2970, 1920},
		{29 * time.Millisecond, 2610, 960},
		{time.Second, 90000, 48000},
		{math.MaxInt64, 60 * 90000, 60 * 48000},
		{math.MinInt64, 1, 960},
	} {
		if got := VideoStep(test.elapsed); got != test.video {
			t.Errorf("VideoStep(%s) = %d, want %d", test.elapsed, got, test.video)
		}
		if got := AudioStep(test.elapsed); got != test.audio {
			t.Errorf("AudioStep(%s) = %d, want %d", test.elapsed, got, test.audio)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, ticks := range []int64{0, 1, 89999, 90000, 90001, -1, -90001, math.MaxInt32, math.MinInt32} {
		// A tick is no whole number of nanoseconds: the way back may lose one.
		if got := Ticks(Duration(ticks, VideoRate), VideoRate); got-ticks > 1 || ticks-got > 1 {
			t.Errorf("%d ticks come back as %d", ticks, got)
		}
	}
}

func FuzzMap(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0, 200, 2, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		var m Map
		var u Unwrapper
		seq, sent := uint16(65500), map[int64]int64{}
		m.Start(u.Unwrap(seq), 0)
		for i := 0; i+1 < len(script); i += 2 {
			seq += uint16(int8(script[i+1]))
			n := u.Unwrap(seq)
			switch script[i] % 4 {
			case 0:
				m.Skip(n)
			case 1:
				clear(sent)
				m.Start(n, uint64(i)+1)
			default:
				out, ok := m.Forward(n)
				if !ok {
					continue
				}
				if was, again := sent[out]; again && was != n {
					t.Fatalf("number %d for %d and %d", out, was, n)
				}
				sent[out] = n
				if in, _, ok := m.Lookup(uint16(out)); ok && m.High()-out < wrap/2 && in != n {
					t.Fatalf("Lookup(%d) = %d, want %d", out, in, n)
				}
			}
		}
	})
}

func BenchmarkForward(b *testing.B) {
	var u Unwrapper
	var w Window
	var m Map
	seq := uint16(0)
	m.Start(wrap, 0)
	for b.Loop() {
		n := u.Unwrap(seq)
		w.Add(n)
		m.Forward(n)
		seq++
	}
}

func BenchmarkLookup(b *testing.B) {
	var m Map
	m.Start(1, 0)
	for i := range int64(500) {
		m.Forward(i + 1)
	}
	for b.Loop() {
		m.Lookup(400)
	}
}

func TestBegin(t *testing.T) {
	var m Map
	m.Begin(70000)
	m.Start(131070, 1)
	for i := range int64(4) {
		if out, ok := m.Forward(131070 + i); !ok || out != 70000+i {
			t.Errorf("packet %d goes out as %d, %t", i, out, ok)
		}
	}
	if out, ok := m.Forward(131069); ok {
		t.Errorf("a packet from before goes out as %d", out)
	}
	if in, tag, ok := m.Lookup(uint16(70002 & 0xffff)); !ok || in != 131072 || tag != 1 {
		t.Errorf("Lookup: %d, %d, %t", in, tag, ok)
	}
}
