package bwe

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pion/rtcp"
)

// vector is a feedback packet written by hand from the draft's figures.
var vectors = []struct {
	name string
	raw  []byte
	want Report
}{
	{"run of not received, then small deltas", []byte{
		0x8f, 205, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2,
		0xff, 0xfe, 0, 5, 0, 0, 1, 7, // base 65534, 5 packets, reference 1
		0x00, 0x03, 0x20, 0x02, // 3 not received, 2 small
		4, 8, 0, 0,
	}, Report{Base: 65534, Span: 5, Received: []Arrival{
		{1, int64(referenceUnit) + 4*int64(deltaUnit)}, {2, int64(referenceUnit) + 12*int64(deltaUnit)},
	}}},
	{"vector of one bit", []byte{
		0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2,
		0, 10, 0, 14, 0, 0, 0, 0,
		0xa0, 0x01, // received, 12 not, received
		1, 255,
	}, Report{Base: 10, Span: 14, Received: []Arrival{{10, int64(deltaUnit)}, {23, 256 * int64(deltaUnit)}}}},
	{"vector of two bits, a large delta backwards, a reference beyond the sign", []byte{
		0x8f, 205, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2,
		0, 10, 0, 3, 0x80, 0, 0, 255,
		0xd8, 0x00, // 01 10 00: small, large, not received
		2, 0xff, 0xff, 0, 0, 0,
	}, Report{Base: 10, Span: 3, Received: []Arrival{
		{10, 0x800000*int64(referenceUnit) + 2*int64(deltaUnit)}, {11, 0x800000*int64(referenceUnit) + int64(deltaUnit)},
	}}},
	{"padding", []byte{
		0xaf, 205, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2,
		0, 10, 0, 1, 0, 0, 0, 0,
		0x20, 0x01, 3, 0,
		0, 0, 0, 4,
	}, Report{Base: 10, Span: 1, Received: []Arrival{{10, 3 * int64(deltaUnit)}}}},
}

func TestReport(t *testing.T) {
	var r Report
	for _, v := range vectors {
		if err := r.Unmarshal(v.raw); err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if r.Base != v.want.Base || r.Span != v.want.Span || !slices.Equal(r.Received, v.want.Received) {
			t.Errorf("%s: %+v, want %+v", v.name, r, v.want)
		}
	}
}

// TestReportCutShort: no length of a packet is read past its end.
func TestReportCutShort(t *testing.T) {
	for _, v := range vectors {
		for n := range len(v.raw) {
			if err := new(Report).Unmarshal(slices.Clone(v.raw[:n])); !errors.Is(err, ErrReport) {
				t.Errorf("%s: %d of %d bytes: %v", v.name, n, len(v.raw), err)
			}
		}
	}
}

func TestReportRefused(t *testing.T) {
	head := []byte{0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 10, 0, 3, 0, 0, 0, 0}
	for name, raw := range map[string][]byte{
		"reserved status":         append(slices.Clone(head), 0xfc, 0, 0, 0),
		"no deltas":               append(slices.Clone(head), 0x40, 3, 0, 0),
		"too few chunks":          append([]byte{0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 10, 0xff, 0xff, 0, 0, 0, 0}, 0x9f, 0xff, 0x9f, 0xff),
		"padding beyond the head": append([]byte{0xaf, 205, 0, 5}, append(slices.Clone(head[4:]), 0, 0, 0, 8)...),
		"another format":          append([]byte{0x81, 205, 0, 5}, append(slices.Clone(head[4:]), 0, 0, 0, 0)...),
	} {
		if err := new(Report).Unmarshal(raw); !errors.Is(err, ErrReport) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReportAgainstPion decodes what another implementation made, and the other way round.
func TestReportAgainstPion(t *testing.T) {
	const seed = 5
	random := rand.New(rand.NewPCG(seed, seed))
	for range 2000 {
		at := make([]int64, 1+random.IntN(200))
		clock := random.Int64N(1<<23) * int64(referenceUnit)
		for i := range at {
			clock += random.Int64N(200) * int64(deltaUnit) * random.Int64N(4)
			if random.IntN(5) > 0 {
				at[i] = max(clock-random.Int64N(100)*int64(deltaUnit), 1)
			}
		}
		if !slices.ContainsFunc(at, func(t int64) bool { return t != 0 }) {
			continue
		}
		raw := encodeReport(uint16(random.Uint32()), at, 9)
		var theirs rtcp.TransportLayerCC
		if err := theirs.Unmarshal(raw); err != nil {
			t.Fatalf("seed %d: Pion refuses what the receiver of the simulation makes: %v", seed, err)
		}
		var ours Report
		if err := ours.Unmarshal(raw); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if len(ours.Received) != len(theirs.RecvDeltas) || ours.Base != theirs.BaseSequenceNumber || ours.Span != theirs.PacketStatusCount {
			t.Fatalf("seed %d: %d received from %d of %d, Pion says %d", seed, len(ours.Received), ours.Base, ours.Span, len(theirs.RecvDeltas))
		}
		clock = int64(theirs.ReferenceTime) * int64(referenceUnit)
		for i, d := range theirs.RecvDeltas {
			clock += d.Delta * 1000
			if ours.Received[i].At != clock {
				t.Fatalf("seed %d: packet %d at %d, Pion says %d", seed, i, ours.Received[i].At, clock)
			}
		}
	}
}

func TestReportAllocatesNothing(t *testing.T) {
	at := make([]int64, 100)
	for i := range at {
		at[i] = int64(i+1) * 1e6
	}
	raw := encodeReport(1, at, 0)
	var r Report
	if err := r.Unmarshal(raw); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = r.Unmarshal(raw) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

func FuzzReport(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r Report
		if err := r.Unmarshal(raw); err != nil {
			if !errors.Is(err, ErrReport) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		if len(r.Received) > len(raw) || len(r.Received) > int(r.Span) {
			t.Fatalf("%d received of %d in %d bytes", len(r.Received), r.Span, len(raw))
		}
		last := -1
		for _, a := range r.Received {
			if n := int(a.Seq - r.Base); n <= last || n >= int(r.Span) {
				t.Fatalf("packet %d after %d of %d", n, last, r.Span)
			} else {
				last = n
			}
		}
	})
}

// FuzzFeedback gives an estimator whatever a receiver may say: the estimate stays within
// its bounds.
func FuzzFeedback(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.raw, uint16(20))
	}
	f.Fuzz(func(t *testing.T, raw []byte, sent uint16) {
		log := NewSentLog(256)
		e := New(Config{Start: 600_000, Min: 30_000, Max: 5_000_000}, log)
		now := int64(1)
		for range sent % 2048 {
			now += 1_000_000
			log.Add(now, 1000)
		}
		e.Want(now, 1<<40, 1<<30)
		var r Report
		for len(raw) >= reportHeader {
			size := min(len(raw), 4*(int(raw[2])<<8|int(raw[3]))+4)
			if r.Unmarshal(raw[:size]) == nil {
				e.OnReport(now, &r)
			}
			raw = raw[size:]
			now += 50_000_000
			e.Tick(now)
			e.Probe(now)
		}
		for _, bits := range []int64{e.Target(), e.Estimate()} {
			if bits < 30_000 || bits > 5_000_000 {
				t.Fatalf("target %d, estimate %d", e.Target(), e.Estimate())
			}
		}
	})
}
