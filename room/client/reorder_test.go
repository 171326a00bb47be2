package client

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// epochTime is where the tests' clocks start.
var epochTime = time.Unix(1_700_000_000, 0)

func at(ms int) time.Time { return epochTime.Add(time.Duration(ms) * time.Millisecond) }

func packetWith(seq uint16) *packet {
	return &packet{Packet: rtp.Packet{Header: rtp.Header{SequenceNumber: seq}}}
}

// popAll gives what pop gives at a time: the sequence numbers, and where a gap was.
func popAll(r *reorder, now time.Time) (seqs []uint16, gaps []uint16) {
	for {
		p, gap, ok := r.pop(now)
		if !ok {
			return seqs, gaps
		}
		seqs = append(seqs, p.SequenceNumber)
		if gap {
			gaps = append(gaps, p.SequenceNumber)
		}
	}
}

func TestReorder(t *testing.T) {
	const wait = 100 // ms
	type arrival struct {
		ms  int
		seq uint16
	}
	tests := []struct {
		name     string
		arrivals []arrival
		end      int // ms, when the rest is popped
		want     []uint16
		gaps     []uint16
		stats    reorderStats
	}{
		{"in order", []arrival{{0, 7}, {1, 8}, {2, 9}}, 3,
			[]uint16{7, 8, 9}, nil, reorderStats{received: 3}},
		{"across the wrap", []arrival{{0, 65534}, {1, 0}, {2, 65535}, {3, 1}}, 4,
			[]uint16{65534, 65535, 0, 1}, nil, reorderStats{received: 4}},
		{"swapped", []arrival{{0, 1}, {1, 3}, {2, 2}, {3, 4}}, 4,
			[]uint16{1, 2, 3, 4}, nil, reorderStats{received: 4}},
		{"before the first", []arrival{{0, 10}, {1, 9}, {2, 11}}, 3,
			[]uint16{10, 11}, nil, reorderStats{received: 2, late: 1}},
		{"duplicates", []arrival{{0, 1}, {1, 3}, {2, 3}, {3, 1}, {4, 2}}, 5,
			[]uint16{1, 2, 3}, nil, reorderStats{received: 3, duplicates: 1, late: 1}},
		{"still waited for", []arrival{{0, 1}, {1, 3}}, wait,
			[]uint16{1}, nil, reorderStats{received: 2}},
		{"lost", []arrival{{0, 1}, {1, 3}, {2, 5}}, 1 + wait,
			[]uint16{1, 3}, []uint16{3}, reorderStats{received: 3, lost: 1}},
		{"lost, then late", []arrival{{0, 1}, {1, 3}, {1 + wait, 4}, {2 + wait, 2}}, 3 + wait,
			[]uint16{1, 3, 4}, []uint16{3}, reorderStats{received: 3, lost: 1, late: 1}},
		{"a gap wider than the ring", []arrival{{0, 1}, {1, 1001}}, 1,
			[]uint16{1}, nil, reorderStats{received: 2, lost: 1001 - 2 - (reorderSize - 1)}},
		{"a source that began anew ahead", []arrival{{0, 1}, {1, 2 + maxDropout}}, 1,
			[]uint16{1, 2 + maxDropout}, []uint16{2 + maxDropout}, reorderStats{received: 2, restarts: 1}},
		{"a source that began anew behind", []arrival{{0, 20000}, {1, 5}, {2, 6}, {3, 7}}, 4,
			[]uint16{20000, 6, 7}, []uint16{6}, reorderStats{received: 3, late: 1, restarts: 1}},
		{"one stray packet from far behind", []arrival{{0, 20000}, {1, 5}, {2, 20001}}, 3,
			[]uint16{20000, 20001}, nil, reorderStats{received: 2, late: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := &reorder{wait: wait * time.Millisecond}
			var got, gaps []uint16
			take := func(ms int) {
				s, g := popAll(r, at(ms))
				got, gaps = append(got, s...), append(gaps, g...)
			}
			for _, a := range test.arrivals {
				r.push(at(a.ms), packetWith(a.seq))
				take(a.ms)
			}
			take(test.end)
			if !slices.Equal(got, test.want) || !slices.Equal(gaps, test.gaps) {
				t.Errorf("got %v with gaps at %v, want %v with %v", got, gaps, test.want, test.gaps)
			}
			if r.stats != test.stats {
				t.Errorf("stats %+v, want %+v", r.stats, test.stats)
			}
		})
	}
}

func TestReorderNacks(t *testing.T) {
	for _, test := range []struct {
		roundTrip, wait int   // ms
		want            []int // when packets are asked for, ms
	}{
		{0, 200, []int{5, 105}},
		{40, 200, []int{5, 55, 105, 155}},
		{1, 100, []int{5, 25, 45, 65, 85}},
		{2000, 1200, []int{5, 505, 1005}},
		{40, 3000, []int{5, 55, 105, 155, 205, 255, 305, 355, 405, 455}},
	} {
		r := &reorder{wait: time.Duration(test.wait) * time.Millisecond, nack: true, roundTrip: time.Duration(test.roundTrip) * time.Millisecond}
		r.push(at(0), packetWith(1))
		r.push(at(0), packetWith(4))
		popAll(r, at(0))
		var asked []int
		for now := r.deadline(); !now.IsZero(); now = r.deadline() {
			popAll(r, now)
			if lost := r.nacks(now, nil); len(lost) > 0 {
				if !slices.Equal(lost, []uint16{2, 3}) {
					t.Fatalf("asked for %v", lost)
				}
				asked = append(asked, int(now.Sub(epochTime)/time.Millisecond))
			}
		}
		if !slices.Equal(asked, test.want) {
			t.Errorf("round trip of %d ms: asked at %v ms, want %v", test.roundTrip, asked, test.want)
		}
		if want := (reorderStats{received: 2, lost: 2}); r.stats != want {
			t.Errorf("stats %+v, want %+v", r.stats, want)
		}
	}
}

// TestReorderMeasures: the time from a request to its answer is what is waited for until the
// next; not that to a packet that was on its way to the forwarder.
func TestReorderMeasures(t *testing.T) {
	for _, test := range []struct {
		name     string
		asked    []int // ms
		repaired bool
		want     time.Duration
	}{
		{"an answer", []int{5}, true, 30 * time.Millisecond},
		{"the packet, late", []int{5}, false, 0},
		{"an answer to either request", []int{5, 110}, true, 135 * time.Millisecond},
	} {
		r := &reorder{wait: time.Second, nack: true}
		r.push(at(0), packetWith(1))
		r.push(at(0), packetWith(3))
		for _, ms := range test.asked {
			r.nacks(at(ms), nil)
		}
		p := packetWith(2)
		p.repaired = test.repaired
		r.push(at(test.asked[len(test.asked)-1]+30), p)
		if r.roundTrip != test.want {
			t.Errorf("%s: a round trip of %v, want %v", test.name, r.roundTrip, test.want)
		}
	}
}

// TestReorderTooShort: an average that is too short, so that every packet is asked for again before
// it can come, does not stay so.
func TestReorderTooShort(t *testing.T) {
	r := &reorder{wait: time.Second, nack: true, roundTrip: 10 * time.Millisecond}
	now := 0
	for n := uint16(1); n < 200; n += 2 {
		r.push(at(now), packetWith(n))
		r.push(at(now), packetWith(n+2))
		first := now + 5
		for ; now < first+40; now++ {
			r.nacks(at(now), nil)
		}
		p := packetWith(n + 1)
		p.repaired = true
		r.push(at(now), p)
		for _, _, ok := r.pop(at(now)); ok; _, _, ok = r.pop(at(now)) {
		}
	}
	if got := r.roundTrip; got < 38*time.Millisecond || got > 42*time.Millisecond || r.nackInterval() < 40*time.Millisecond {
		t.Errorf("a round trip of %v is taken for one of 40 ms", got)
	}
}

// TestReorderKeyFrame: what is missing is waited for until a key frame behind it is whole.
func TestReorderKeyFrame(t *testing.T) {
	frame := func(seq uint16, key, marker bool) *packet {
		p := packetWith(seq)
		p.Marker, p.Payload = marker, []byte{vp8S, 1}
		if key {
			p.Payload[1] = 0
		}
		return p
	}
	r := &reorder{wait: time.Second, key: beginsKey}
	for _, p := range []*packet{frame(1, false, true), frame(3, false, true), frame(5, true, false), frame(8, false, true)} {
		r.push(at(0), p)
	}
	if got, _ := popAll(r, at(0)); !slices.Equal(got, []uint16{1}) {
		t.Fatalf("got %v", got)
	}
	last := packetWith(7)
	last.Marker = true
	r.push(at(10), last)
	if got, _ := popAll(r, at(10)); got != nil {
		t.Fatalf("got %v before the key frame was whole", got)
	}
	r.push(at(20), packetWith(6))
	if got, gaps := popAll(r, at(20)); !slices.Equal(got, []uint16{3, 5, 6, 7, 8}) || !slices.Equal(gaps, []uint16{3, 5}) {
		t.Errorf("got %v with gaps at %v", got, gaps)
	}
}

func TestReorderRepaired(t *testing.T) {
	r := &reorder{wait: 200 * time.Millisecond, nack: true}
	for _, seq := range []uint16{1, 3} {
		r.push(at(0), packetWith(seq))
	}
	popAll(r, at(0))
	if lost := r.nacks(at(5), nil); !slices.Equal(lost, []uint16{2}) {
		t.Fatalf("asked for %v", lost)
	}
	r.push(at(20), packetWith(2))
	if got, gaps := popAll(r, at(20)); !slices.Equal(got, []uint16{2, 3}) || gaps != nil {
		t.Errorf("got %v with gaps at %v", got, gaps)
	}
	if want := (reorderStats{received: 3, recovered: 1}); r.stats != want {
		t.Errorf("stats %+v, want %+v", r.stats, want)
	}
	if !r.deadline().IsZero() {
		t.Error("something is still due")
	}
}

// TestReorderRandom shuffles, drops and repeats packets: whatever happens, what comes
// out is in order, and every packet is either received or lost.
func TestReorderRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		r := &reorder{wait: 50 * time.Millisecond, nack: rng.IntN(2) == 0}
		first := uint16(rng.Uint32())
		const n = 400
		order := []int{0} // the first is the first to arrive
		for i := 1; i < n-1; i++ {
			if rng.IntN(10) > 0 {
				order = append(order, i)
			}
			if rng.IntN(20) == 0 {
				order = append(order, i)
			}
		}
		for i := 1; i < len(order); i++ {
			if j := i + rng.IntN(5); j < len(order) {
				order[i], order[j] = order[j], order[i]
			}
		}
		order = append(order, n-1)
		last, delivered := -1, uint64(0)
		drain := func(now time.Time) {
			got, _ := popAll(r, now)
			for _, seq := range got {
				i := int(seq - first)
				if i <= last {
					t.Fatalf("%d after %d", i, last)
				}
				last, delivered = i, delivered+1
			}
			r.nacks(now, nil)
		}
		for ms, i := range order {
			r.push(at(ms), packetWith(first+uint16(i)))
			drain(at(ms))
		}
		drain(at(len(order) + 1000))
		if r.stats.received != delivered || delivered+r.stats.lost != n || last != n-1 || r.missing != 0 {
			t.Fatalf("%+v, %d delivered, last %d, %d missing", r.stats, delivered, last, r.missing)
		}
	}
}
