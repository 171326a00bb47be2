package dd

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// l1t3Bits is the first packet of a key frame of L1T3, as WebRTC writes it, by hand.
var l1t3Bits = bytesOf(`
	1 0 000000 0000000100000010   start, no end, template 0, frame 258
	1 0 0 0 0                     the structure follows
	000000 00010                  ids from 0, three decode targets
	00 01 01 00 11                T0 T0 T1 T2 T2
	10 10 10                      SSS
	10 10 10                      SSS
	00 01 10                      -DS
	00 00 01                      --D
	00 00 01                      --D
	0                             a key frame refers to nothing
	1 0011 0                      four back
	1 0001 0                      two back
	1 0000 0                      one back
	1 0000 0                      one back
	01                            one chain, which protects all without saying so
	0000 0100 0010 0001 0011
	1 0000001001111111 0000000101100111   640 x 360
`)

// bytesOf takes the ones and zeros that begin each line.
func bytesOf(text string) []byte {
	var digits []byte
	for line := range bytes.Lines([]byte(text)) {
		for _, c := range line {
			if c != '0' && c != '1' && c != ' ' && c != '\t' {
				break
			}
			digits = append(digits, c)
		}
	}
	return asBytes(string(digits))
}

func TestStructureByHand(t *testing.T) {
	var r Reader
	var d Descriptor
	if err := r.Read(l1t3Bits, &d); err != nil {
		t.Fatal(err)
	}
	want := l1t3.structure(t, 0)
	got := *d.Structure
	got.bits = ""
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("%+v\nwant %+v", got, *want)
	}
	if !d.Start || d.End || d.FrameNumber != 258 || !d.Attached || d.Active != 7 || !d.ActiveSaid {
		t.Errorf("%+v", d)
	}
	if written := want.keyFrame(0, 258); !bytes.Equal(written, l1t3Bits) {
		t.Errorf("written %x, by hand %x", written, l1t3Bits)
	}
}

// TestStructures: what is written is read, for all structures, and the targets' layers
// are the grid's.
func TestStructures(t *testing.T) {
	for _, v := range []table{l1t3, l3t3, l3t3Key, s3t3} {
		for _, offset := range []uint8{0, 17, 60} {
			want := v.structure(t, offset)
			var r Reader
			var d Descriptor
			if err := r.Read(want.keyFrame(1, 7), &d); err != nil {
				t.Fatalf("%s: %v", v.name, err)
			}
			got := *d.Structure
			got.bits = ""
			if !reflect.DeepEqual(&got, want) {
				t.Errorf("%s: %+v\nwant %+v", v.name, got, *want)
			}
			for i, at := range got.Targets {
				if want := (Layer{uint8(i / 3), uint8(i % 3)}); at != want {
					t.Errorf("%s: decode target %d is %v, want %v", v.name, i, at, want)
				}
			}
			if size, ok := d.Resolution(); !ok || size != v.resolutions[d.Spatial] {
				t.Errorf("%s: resolution %v, %t", v.name, size, ok)
			}
		}
	}
}

func TestFrames(t *testing.T) {
	var r Reader
	var d Descriptor
	read := func(extension []byte) Descriptor {
		t.Helper()
		if err := r.Read(extension, &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	read(l3t3.structure(t, 40).keyFrame(1, 65534))
	for _, test := range []struct {
		name, bits    string
		start, end    bool
		number        uint16
		layer         Layer
		indications   string
		diffs         []uint16
		chains        []uint8
		active        uint32
		activeWasSaid bool
	}{
		{"three bytes", "1 1 101101 0000000000000001",
			true, true, 1, Layer{1, 0}, "---SSSRRR", []uint16{12, 1}, []uint8{1, 1, 1}, 0, false},
		{"a frame's middle", "0 0 110110 0000000000000010",
			false, false, 2, Layer{2, 2}, "--------D", []uint16{3, 1}, []uint8{11, 10, 9}, 0, false},
		{"template ids wrap no further", "0 1 101000 0000000000000011",
			false, true, 3, Layer{0, 0}, "SSSRRRRRR", []uint16{12}, []uint8{12, 11, 10}, 0, false},
		{"active decode targets", "1 0 101000 0000000000000011 01000 000111111",
			true, false, 3, Layer{0, 0}, "SSSRRRRRR", []uint16{12}, []uint8{12, 11, 10}, 0x3f, true},
		{"own indications", "1 0 101000 0000000000000011 00100 10 01 00 11 10 01 00 11 10",
			true, false, 3, Layer{0, 0}, "SD-RSD-RS", []uint16{12}, []uint8{12, 11, 10}, 0, false},
		{"own differences", "1 0 101000 0000000000000011 00010 01 1111 10 11111111 11 111111111111 00",
			true, false, 3, Layer{0, 0}, "SSSRRRRRR", []uint16{16, 256, 4096}, []uint8{12, 11, 10}, 0, false},
		{"no references", "1 0 101000 0000000000000011 00010 00",
			true, false, 3, Layer{0, 0}, "SSSRRRRRR", nil, []uint8{12, 11, 10}, 0, false},
		{"own chains", "1 0 101000 0000000000000011 00001 11111111 00000000 00000010",
			true, false, 3, Layer{0, 0}, "SSSRRRRRR", []uint16{12}, []uint8{255, 0, 2}, 0, false},
		{"all of it", "1 0 101000 0000000000000011 01111 000000111 10 01 00 11 10 01 00 11 10 01 0000 00 11111111 00000000 00000010",
			true, false, 3, Layer{0, 0}, "SD-RSD-RS", []uint16{1}, []uint8{255, 0, 2}, 7, true},
	} {
		got := read(asBytes(test.bits))
		if got.Start != test.start || got.End != test.end || got.FrameNumber != test.number || got.Layer != test.layer ||
			got.Attached || got.Active != test.active || got.ActiveSaid != test.activeWasSaid ||
			!slices.Equal(got.Diffs, test.diffs) || !slices.Equal(got.ChainDiffs, test.chains) {
			t.Errorf("%s: %+v", test.name, got)
		}
		if s := symbols(got.DecodeTargets, 9); s != test.indications {
			t.Errorf("%s: indications %s, want %s", test.name, s, test.indications)
		}
	}
}

func symbols(list Indications, targets int) (text string) {
	for i := range targets {
		text += string("-DSR"[list.At(i)])
	}
	return text
}

func TestMalformed(t *testing.T) {
	key := l3t3.structure(t, 0).keyFrame(1, 7)
	for n := range len(key) - 1 { // its last byte may be padding
		var r Reader
		var d Descriptor
		err := r.Read(key[:n], &d)
		if n == mandatory && errors.Is(err, ErrUnknownTemplate) {
			continue
		}
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes of a key frame's: %v", n, err)
		}
	}
	for _, test := range []struct {
		name, bits string
		want       error
	}{
		{"before any structure", "1 1 000000 0000000000000001", ErrUnknownTemplate},
		{"9 temporal layers", "1 1 000000 0000000000000001 10000 000000 00000 01 01 01 01 01 01 01 01 11", ErrMalformed},
		{"5 spatial layers", "1 1 000000 0000000000000001 10000 000000 00000 10 10 10 10 11", ErrMalformed},
		{"template of another structure", "1 1 000001 0000000000000001 10000 000000 00000 11 10 0 0 0", ErrUnknownTemplate},
		{"nine references", "1 1 000000 0000000000000001 10000 000000 00000 11 10 10000 10000 10000 10000 10000 10000 10000 10000 10000 0", ErrMalformed},
		{"nine references of a frame", "1 1 000000 0000000000000001 10010 000000 00000 11 10 0 0 0" +
			"010000 010000 010000 010000 010000 010000 010000 010000 010000", ErrMalformed},
	} {
		var r Reader
		var d Descriptor
		if err := r.Read(asBytes(test.bits), &d); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// TestLatePackets: a packet that is late refers to the structure before.
func TestLatePackets(t *testing.T) {
	var r Reader
	var d Descriptor
	for _, step := range []struct {
		extension []byte
		layer     Layer
	}{
		{l3t3.structure(t, 0).keyFrame(1, 10), Layer{0, 0}},
		{l1t3.structure(t, 15).keyFrame(0, 20), Layer{0, 0}},
		{[]byte{14, 0, 19}, Layer{2, 2}},
		{[]byte{18, 0, 21}, Layer{0, 2}},
	} {
		if err := r.Read(step.extension, &d); err != nil || d.Layer != step.layer {
			t.Errorf("%x: %v, %v", step.extension[:3], d.Layer, err)
		}
	}
}

func TestShift(t *testing.T) {
	e := []byte{0xc1, 0xff, 0xfe, 0x77}
	Shift(e, 5)
	if !bytes.Equal(e, []byte{0xc1, 0, 3, 0x77}) {
		t.Errorf("%x", e)
	}
	short := []byte{1, 2}
	Shift(short, 5)
	if !bytes.Equal(short, []byte{1, 2}) {
		t.Error("a short one was changed")
	}
}

// TestRewrite: a rewritten descriptor says the same but for the frame number and the
// mask.
func TestRewrite(t *testing.T) {
	structure := l3t3.structure(t, 3)
	for i, extension := range [][]byte{
		structure.keyFrame(1, 65530),
		asBytes("1 0 001000 1111111111111111"),
		asBytes("1 0 001000 0000000000000011 01000 000111111"),
		asBytes("1 0 001000 0000000000000011 01111 000000111 10 01 00 11 10 01 00 11 10 01 0000 00 11111111 00000000 00000010"),
		asBytes("1 0 001000 0000000000000011 00110 10 01 00 11 10 01 00 11 10 01 0000 00"),
	} {
		var r Reader
		var before, after Descriptor
		if i > 0 {
			if err := r.Read(structure.keyFrame(1, 0), &before); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Read(extension, &before); err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, len(extension)+Grown)
		n := Rewrite(dst, extension, before.Structure, 100, 0x155)
		if n == 0 {
			t.Fatalf("%d: no place", i)
		}
		if err := r.Read(dst[:n], &after); err != nil {
			t.Fatal(err)
		}
		if after.FrameNumber != before.FrameNumber+100 || after.Active != 0x155 || !after.ActiveSaid {
			t.Errorf("%d: frame %d, active %x", i, after.FrameNumber, after.Active)
		}
		sameFrame(t, &before, &after)
		if Rewrite(dst[:n-1], extension, before.Structure, 100, 0x155) != 0 {
			t.Errorf("%d: written over the end", i)
		}
	}
}

func sameFrame(t *testing.T, a, b *Descriptor) {
	t.Helper()
	if a.Start != b.Start || a.End != b.End || a.Layer != b.Layer || a.DecodeTargets != b.DecodeTargets ||
		a.Structure != b.Structure || a.Attached != b.Attached ||
		!slices.Equal(a.Diffs, b.Diffs) || !slices.Equal(a.ChainDiffs, b.ChainDiffs) {
		t.Errorf("%+v\nand %+v", *a, *b)
	}
}

// TestIndications checks the masks against the list.
func TestIndications(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 1000 {
		list := Indications(random.Uint64())
		for i := range MaxTargets {
			at := list.At(i)
			if list.Present()>>i&1 != 0 != (at != NotPresent) || list.Switches()>>i&1 != 0 != (at == Switch) {
				t.Fatalf("%x: target %d is %d, masks %x and %x", uint64(list), i, at, list.Present(), list.Switches())
			}
		}
	}
}

// TestBits checks the reader against the writer, and ns against its table.
func TestBits(t *testing.T) {
	for v, want := range []string{"00", "01", "10", "110", "111"} {
		w := bitWriter{bytes: make([]byte, 1)}
		w.ns(5, uint32(v))
		if got := fmt.Sprintf("%08b", w.bytes[0])[:w.at]; got != want {
			t.Errorf("ns(5) of %d is %s, want %s", v, got, want)
		}
	}
	for n := uint32(1); n <= 33; n++ {
		for v := range n {
			w := bitWriter{bytes: make([]byte, 2), at: 3}
			w.ns(n, v)
			r := bitReader{bytes: w.bytes, at: 3}
			if got := r.ns(n); got != v || r.at != w.at || bits.Len32(n) < r.at-3 {
				t.Errorf("ns(%d): %d becomes %d", n, v, got)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, v := range []table{l1t3, l3t3, l3t3Key, s3t3} {
		f.Add(v.structure(f, 5).keyFrame(1, 9), []byte{0xc6, 0, 10})
	}
	f.Add(l1t3Bits, asBytes("1 0 000000 0000000000000011 01111 011 10 01 00 01 0000 00 11111111"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var r Reader
		var d, again Descriptor
		for _, extension := range [][]byte{first, second} {
			if err := r.Read(extension, &d); err != nil {
				if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownTemplate) {
					t.Fatal(err)
				}
				continue
			}
			if len(d.Diffs) > MaxDiffs || len(d.ChainDiffs) > MaxTargets || len(d.Structure.Templates) > MaxTemplates {
				t.Fatalf("%+v", d)
			}
			dst := make([]byte, len(extension)+Grown)
			n := Rewrite(dst, extension, d.Structure, 1, d.Structure.all())
			if n == 0 {
				t.Fatalf("%x: no place in %d bytes", extension, len(dst))
			}
			if err := r.Read(dst[:n], &again); err != nil {
				t.Fatalf("%x rewritten to %x: %v", extension, dst[:n], err)
			}
			if again.FrameNumber != d.FrameNumber+1 || again.Active != d.Structure.all() {
				t.Fatalf("%+v", again)
			}
			sameFrame(t, &d, &again)
		}
	})
}

func TestReadAllocatesNothing(t *testing.T) {
	var r Reader
	var d Descriptor
	key, delta := l3t3.structure(t, 0).keyFrame(1, 7), []byte{0x85, 0, 8}
	dst := make([]byte, len(key)+Grown)
	read := func() {
		for _, e := range [][]byte{key, delta} {
			if err := r.Read(e, &d); err != nil {
				t.Fatal(err)
			}
			Rewrite(dst, e, d.Structure, 3, 0x3f)
		}
	}
	read()
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRead(b *testing.B) {
	var r Reader
	var d Descriptor
	if err := r.Read(l3t3.structure(b, 0).keyFrame(1, 7), &d); err != nil {
		b.Fatal(err)
	}
	delta := []byte{0x85, 0, 8}
	for b.Loop() {
		_ = r.Read(delta, &d)
	}
}
