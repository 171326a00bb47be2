package layer

import "testing"

func TestGrid(t *testing.T) {
	g := Grid(2, 3)
	for _, test := range []struct {
		at   Layer
		want uint32
	}{
		{Layer{0, 0}, 0b111111}, {Layer{0, 1}, 0b110110}, {Layer{0, 2}, 0b100100},
		{Layer{1, 0}, 0b111000}, {Layer{1, 2}, 0b100000}, {Layer{0, 7}, 0b100100}, {Layer{3, 0}, 0b111000},
	} {
		if got := GridPresent(2, 3, test.at); got != test.want {
			t.Errorf("%v: %06b, want %06b", test.at, got, test.want)
		}
	}
	if got := g.Below(Layer{0, 1}); got != 0b11 {
		t.Errorf("below {0 1}: %b", got)
	}
	for i, want := range []uint32{0, 0b1, 0b11, 0b1, 0b1011, 0b11111} {
		if got := g.under[i]; got != want {
			t.Errorf("under %v: %06b, want %06b", g.Layer(i), got, want)
		}
	}
}

// TestTemporal: layers known from a payload descriptor alone, as VP8 has them: down at
// once, up at a layer synchronisation.
func TestTemporal(t *testing.T) {
	g := Grid(1, 4)
	var s Selector
	stamp := uint32(1000)
	for i, step := range []struct {
		temporal   uint8
		begin, up  bool
		want       uint8
		forward    bool
		thenTop    uint8
		blockedNow bool
	}{
		{0, true, true, 2, true, 2, false},
		{2, false, false, 2, true, 2, false},
		{1, false, false, 0, false, 0, false},
		{2, false, false, 2, false, 0, false},
		{0, false, false, 2, true, 0, false},
		{2, false, true, 2, true, 2, false},
		{1, false, true, 1, true, 1, false},
	} {
		stamp += 3000
		f := Frame{
			Picture: stamp, Start: true, End: true, Begin: step.begin, Temporal: step.temporal,
			Present: GridPresent(1, 4, Layer{0, step.temporal}), Active: 15,
		}
		if step.up {
			f.Switch = f.Present
		}
		forward, last := s.Take(&f, g, Layer{255, step.want}, false)
		at, _ := s.Current()
		if forward != step.forward || last != step.forward || at.Temporal != step.thenTop || s.Blocked() != step.blockedNow {
			t.Errorf("step %d: forward %t, last %t, at %v, blocked %t", i, forward, last, at, s.Blocked())
		}
	}
}

// TestLate: a packet that is late goes by what was sent when its picture came.
func TestLate(t *testing.T) {
	e := newEncoder("full", 1, 3, 9, 1)
	var s Selector
	var pictures []Frame
	for i := range 4 {
		pictures = append(pictures, e.picture(i == 0, 1)...)
	}
	take := func(f Frame, top uint8, late bool) bool {
		forward, _ := s.Take(&f, e.targets, Layer{0, top}, late)
		return forward
	}
	take(pictures[0], 2, false)
	take(pictures[1], 2, false)
	if take(pictures[3], 0, false) {
		t.Error("a picture of layer 2 is sent to who wants 0")
	}
	if !take(pictures[1], 0, true) {
		t.Error("a late packet of before is not sent")
	}
	if take(pictures[3], 0, true) {
		t.Error("a late packet of what is left out is sent")
	}
}

// TestBeginningLost: until the beginning of a sequence with new targets comes, all goes,
// to those who have begun.
func TestBeginningLost(t *testing.T) {
	old, next := newEncoder("full", 3, 3, 9, 1), newEncoder("full", 1, 2, 70, 90000)
	var s Selector
	first := next.picture(true, 1)[0]
	if forward, _ := s.Take(&first, nil, Highest, false); forward {
		t.Error("who has not begun gets what is not known")
	}
	for i := range 3 {
		for _, f := range old.picture(i == 0, 3) {
			s.Take(&f, old.targets, Highest, false)
		}
	}
	second := next.picture(false, 1)[0]
	if forward, _ := s.Take(&second, nil, Highest, false); !forward {
		t.Error("what is not known is held back")
	}
	if forward, last := s.Take(&first, next.targets, Highest, true); !forward || !last {
		t.Error("the beginning that was missing is held back")
	}
	if at, _ := s.Current(); at != (Layer{0, 1}) {
		t.Errorf("at %v", at)
	}
	stray := old.picture(false, 3)[0]
	if forward, _ := s.Take(&stray, old.targets, Highest, true); forward {
		t.Error("a late packet of the old sequence is sent")
	}
}

// TestRestart: a source that begins anew with other numbers and timestamps goes on.
func TestRestart(t *testing.T) {
	e := newEncoder("full", 2, 3, 40000, 1<<31)
	var s Selector
	for _, at := range []struct {
		number uint16
		stamp  uint32
	}{{40000, 1 << 31}, {30000, 5}, {31000, 1 << 30}, {100, 3 << 30}} {
		e.number, e.stamp = at.number, at.stamp
		for i := range 9 {
			want := Layer{1, 2}
			if i == 1 {
				want = Layer{1, 0}
			}
			for _, f := range e.picture(i == 0, 2) {
				forward, _ := s.Take(&f, e.targets, want, false)
				if i >= 4 && !forward {
					t.Errorf("from %d: picture %d of layer {%d %d} is held back", at.number, i, f.Spatial, f.Temporal)
				}
			}
		}
	}
}

func TestWindow(t *testing.T) {
	var w window
	for _, n := range []uint16{65530, 65531, 3, 2, 200} {
		w.add(n)
	}
	for n, want := range map[uint16]bool{65529: false, 65530: true, 65531: true, 65532: false, 2: true, 3: true, 4: false, 200: true, 201: false} {
		if w.has(n) != want {
			t.Errorf("%d: %t", n, !want)
		}
	}
	w.add(249)
	if w.has(65529) || w.has(65530) != true {
		t.Error("the window is too small")
	}
	w.add(250)
	if w.has(65530) {
		t.Error("the window is too large")
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	e := newEncoder("full", 3, 3, 1, 1)
	frames := e.picture(true, 3)
	var s Selector
	if n := testing.AllocsPerRun(100, func() {
		for i := range frames {
			s.Take(&frames[i], e.targets, Layer{uint8(i % 3), 2}, false)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzTake(f *testing.F) {
	f.Add([]byte{0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	f.Fuzz(func(t *testing.T, script []byte) {
		targets := []*Targets{Grid(3, 3), Grid(1, 4), nil}
		var s Selector
		for len(script) >= 8 {
			b := script[:8]
			script = script[8:]
			fr := Frame{
				Picture: uint32(b[0]) << 24, Number: uint16(b[1]) << 8, Numbered: b[7]&1 != 0, Start: b[7]&2 != 0,
				End: b[7]&4 != 0, Begin: b[7]&8 != 0, Present: uint32(b[2]), Switch: uint32(b[3]), Active: uint32(b[4]),
				Diffs: [MaxDiffs]uint16{uint16(b[5])}, DiffCount: b[5] % 9, Spatial: b[6] & 7, Temporal: b[6] >> 4,
			}
			s.Take(&fr, targets[int(b[7]>>4)%3], Layer{b[6] >> 6, b[6] & 3}, b[7]&128 != 0)
			s.Current()
			s.Mask()
		}
	})
}

func BenchmarkTake(b *testing.B) {
	e := newEncoder("full", 3, 3, 1, 1)
	var s Selector
	for _, f := range e.picture(true, 3) {
		s.Take(&f, e.targets, Highest, false)
	}
	frames := e.picture(false, 3)
	for b.Loop() {
		s.Take(&frames[2], e.targets, Highest, false)
	}
}
