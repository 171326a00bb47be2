package sfu

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/dd"
	"github.com/conclave-sfu/conclave/sfu/layer"
)

// newTestPublication has encodings as listed: rid, place in the offer ("-" for none),
// bytes a second, height ("-" for not known).
func newTestPublication(t *testing.T, text string) *publication {
	t.Helper()
	p := &publication{stale: true}
	for line := range strings.SplitSeq(text, ",") {
		f := strings.Fields(line)
		u := newUpTrack(true, 1)
		u.rid = f[0]
		e := &encoding{up: u, place: -1}
		if f[1] != "-" {
			e.place = int(f[1][0] - '0')
		}
		if f[2] != "-" {
			if _, err := fmt.Sscan(f[2], &e.rate); err != nil {
				t.Fatal(err)
			}
			e.known, e.silent = true, e.rate == 0
			e.measured[0][0] = e.rate
		}
		if f[3] != "-" {
			height := 0
			if _, err := fmt.Sscan(f[3], &height); err != nil {
				t.Fatal(err)
			}
			u.shape.Store(&structure{
				dependencies: &dd.Structure{Resolutions: []dd.Resolution{{Height: height}}},
				targets:      layer.Grid(1, 1),
			})
		}
		p.layers = append(p.layers, e)
	}
	return p
}

func TestBestOption(t *testing.T) {
	const rated, placed = "f - 300000 -,q - 20000 -,h - 80000 -", "q 0 - -,h 1 - -,f 2 - -"
	const sized = "f 0 - 720,q 1 - 180,h 2 - 360"
	for _, test := range []struct {
		name, layers string
		height       int
		present      int // index of the encoding, -1 for none
		want         string
	}{
		{"by rate: not said", rated, 0, -1, "f"},
		{"by rate: thumbnail", rated, 90, -1, "q"},
		{"by rate: up to 240", rated, 240, -1, "q"},
		{"by rate: 360", rated, 360, -1, "h"},
		{"by rate: 540", rated, 540, -1, "h"},
		{"by rate: 720", rated, 720, -1, "f"},
		{"by rate: the highest is silent", "f - 0 -,q - 20000 -,h - 80000 -", 720, -1, "h"},
		{"by rate: not known yet", "f - 300000 -,q - - -,h - 80000 -", 720, 1, "q"},
		{"by place, at once: 720", placed, 720, -1, "f"},
		{"by place, at once: 90", placed, 90, 2, "q"},
		{"by place: 360", placed, 360, -1, "h"},
		{"from the highest down", "f 0 300000 -,h 1 80000 -,q 2 20000 -", 720, -1, "f"},
		{"from the highest down: 90", "f 0 300000 -,h 1 80000 -,q 2 20000 -", 90, -1, "q"},
		{"by size: 90", sized, 90, -1, "q"},
		{"by size: 270", sized, 270, -1, "q"},
		{"by size: 271", sized, 271, -1, "h"},
		{"by size: 540", sized, 540, -1, "h"},
		{"by size: 541", sized, 541, -1, "f"},
		{"by size: 2160", sized, 2160, -1, "f"},
		{"one", "x - - -", 90, -1, "x"},
		{"two: 300", "q 0 - -,f 1 - -", 300, -1, "f"},
	} {
		p := newTestPublication(t, test.layers)
		var present *upTrack
		if test.present >= 0 {
			present = p.layers[test.present].up
		}
		key := camera("bob")
		r := &room{}
		r.publications.put(key, p)
		at := r.placedAs(key, []Want{{Participant: "bob", Source: Camera, Height: test.height}})
		m := menuFor(&at, present)
		if got := m.at(len(m.options) - 1); got.up.rid != test.want {
			t.Errorf("%s: %s, want %s", test.name, got.up.rid, test.want)
		}
	}
}

// TestOptions lists what there is of streams with layers: from the least to the most.
func TestOptions(t *testing.T) {
	svc := newTestPublication(t, "s - - -")
	grid := layer.Grid(3, 2)
	svc.layers[0].up.shape.Store(&structure{
		dependencies: &dd.Structure{Resolutions: []dd.Resolution{{Height: 180}, {Height: 360}, {Height: 720}}}, targets: grid,
	})
	for s := range 3 {
		for at := range 2 {
			svc.layers[0].measured[s][at] = float64(1000 * (s + 1) * (at + 1))
		}
	}
	vp8 := newTestPublication(t, "q 0 - -,h 1 - -")
	for i, e := range vp8.layers {
		e.up.shape.Store(vp8Structure)
		e.measured[0] = [dd.MaxTemporal]float64{float64(1000 * (i + 1)), 0, float64(500 * (i + 1))}
	}
	for _, test := range []struct {
		name   string
		p      *publication
		height int
		want   []string
	}{
		{"SVC", svc, 0, []string{
			"s 0.0 180 8000", "s 0.1 180 24000", "s 1.0 360 24000", "s 1.1 360 72000", "s 2.0 720 48000", "s 255.255 720 144000",
		}},
		{"SVC, small", svc, 200, []string{"s 0.0 180 8000", "s 0.1 180 24000"}},
		{"VP8 without descriptors", vp8, 0, []string{"q 0.0 0 8000", "q 255.255 0 12000", "h 0.0 0 16000", "h 255.255 0 24000"}},
		{"VP8 without descriptors, small", vp8, 100, []string{"q 0.0 0 8000", "q 255.255 0 12000"}},
	} {
		list, settled := test.p.options()
		if !settled {
			t.Errorf("%s: not settled", test.name)
		}
		var got []string
		for _, o := range useful(list, test.height) {
			got = append(got, fmt.Sprintf("%s %d.%d %d %d", o.up.rid, o.limit.Spatial, o.limit.Temporal, o.height, o.rate))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s:\n%s\nwant\n%s", test.name, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
	}
}

func TestRateMeter(t *testing.T) {
	var m rateMeter
	var counted layerBytes
	for i, step := range []struct {
		after   time.Duration
		low, up uint64 // bytes
		known   bool
		silent  bool
		rate    int64 // bits a second, in all and of the lowest layer
		lowest  int64
	}{
		{0, 5000, 0, false, false, 0, 0},
		{500 * time.Millisecond, 5000, 5000, false, false, 0, 0},
		{500 * time.Millisecond, 5000, 5000, true, false, 160000, 80000},
		{2 * time.Second, 10000, 0, true, false, 40000, 40000},
		{time.Second, 0, 0, true, true, 40000, 40000}, // what it took
	} {
		now := int64(time.Minute)
		for _, earlier := range []time.Duration{0, 500 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, time.Second}[:i+1] {
			now += int64(earlier)
		}
		counted.add(layer.Layer{}, int(step.low))
		counted.add(layer.Layer{Temporal: 1}, int(step.up))
		m.measure(&counted, now)
		if m.known != step.known || m.silent != step.silent ||
			m.rateUpTo(layer.Highest) != step.rate || m.rateUpTo(layer.Layer{Spatial: 3}) != step.lowest {
			t.Errorf("step %d: %+v", i, m)
		}
	}
	if m.rate != 20000 {
		t.Errorf("the highest rate is %v", m.rate)
	}
}

// TestRateOfKeyFrames: a second with a key frame does not count as what the encoding takes, be it
// its first or a later one; more for two seconds does.
func TestRateOfKeyFrames(t *testing.T) {
	var m rateMeter
	var counted layerBytes
	now := int64(time.Minute)
	m.measure(&counted, now)
	for i, second := range []struct{ bytes, want uint64 }{
		{500, 500}, {100, 100}, {110, 110}, {600, 110}, {100, 110}, {100, 100}, {300, 100}, {310, 300}, {0, 300}, {50, 300}, {50, 50},
	} {
		counted[0][0].Add(second.bytes)
		now += int64(layerInterval)
		if !m.measure(&counted, now) || m.rateUpTo(layer.Highest) != int64(8*second.want) {
			t.Errorf("second %d, %d bytes: %d bits a second, want %d", i, second.bytes, m.rateUpTo(layer.Highest), 8*second.want)
		}
	}
}
