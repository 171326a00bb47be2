package layer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// encoder makes the frames of a scalable stream as WebRTC's encoders do: every second
// picture is of the highest temporal layer, every fourth of the one below, and a spatial
// layer refers to the one below it always (full), in key frames only (key), or never
// (simulcast in one stream).
type encoder struct {
	mode              string
	spatial, temporal int
	targets           *Targets
	number            uint16
	stamp             uint32
	phase             int
	latest            [3][3]uint16 // number of the latest frame of each layer since the key frame
	have              [3][3]bool
}

func newEncoder(mode string, spatial, temporal int, number uint16, stamp uint32) *encoder {
	e := &encoder{mode: mode, spatial: spatial, temporal: temporal, number: number, stamp: stamp}
	var layers []Layer
	var patterns []uint32
	for s := range spatial {
		for t := range temporal {
			layers = append(layers, Layer{uint8(s), uint8(t)})
			for _, key := range []bool{true, false} {
				present, _ := e.indications(s, t, key && t == 0)
				patterns = append(patterns, present)
			}
		}
	}
	e.targets = NewTargets(layers, patterns)
	return e
}

// indications are the masks of a frame of a layer.
func (e *encoder) indications(s, t int, key bool) (present, switches uint32) {
	for i := range e.spatial {
		for j := range e.temporal {
			at := uint32(1) << (i*e.temporal + j)
			if i < s || j < t || i > s && (e.mode == "simulcast" || e.mode == "key" && !key) {
				continue
			}
			present |= at
			if discardable := j == t && t > 0; i == s && !discardable || i > s && key {
				switches |= at
			}
		}
	}
	return present, switches
}

// temporalOf is the temporal layer of a picture.
func (e *encoder) temporalOf(phase int) int {
	switch {
	case phase%4 == 0 || e.temporal == 1:
		return 0
	case e.temporal == 2:
		return phase % 2
	case phase%4 == 2:
		return 1
	}
	return 2
}

// picture makes the frames of the next picture; a key frame if it is to be one. Spatial
// layers from active on are left out.
func (e *encoder) picture(key bool, active int) []Frame {
	if key {
		e.phase, e.have = 0, [3][3]bool{}
	}
	t := e.temporalOf(e.phase)
	key = e.phase == 0 && !e.have[0][0]
	e.phase++
	e.stamp += 3000
	var frames []Frame
	for s := range active {
		if !key && !e.have[s][0] {
			continue // this one waits for a key frame
		}
		present, switches := e.indications(s, t, key)
		f := Frame{
			Picture: e.stamp, Number: e.number, Numbered: true, Start: true, End: true,
			Begin: key && (s == 0 || e.mode == "simulcast"), Spatial: uint8(s), Temporal: uint8(t),
			Present: present, Switch: switches, Active: 1<<(active*e.temporal) - 1,
		}
		refer := func(n uint16) {
			f.Diffs[f.DiffCount] = e.number - n
			f.DiffCount++
		}
		if !key {
			refer(e.reference(s, t))
		}
		if s > 0 && (e.mode == "full" || e.mode == "key" && key) {
			refer(frames[len(frames)-1].Number)
		}
		e.latest[s][t], e.have[s][t] = e.number, true
		if t == 0 {
			e.have[s][1], e.have[s][2] = false, false
		}
		e.number++
		frames = append(frames, f)
	}
	for s := active; s < e.spatial; s++ {
		e.have[s] = [3]bool{}
	}
	return frames
}

// reference is the frame before in the layer, or in a lower temporal one.
func (e *encoder) reference(s, t int) uint16 {
	for t = max(t-1, 0); !e.have[s][t]; t-- {
	}
	return e.latest[s][t]
}

// TestModel sends random streams to a receiver that wants now this, now that: each frame
// that is forwarded can be decoded, its picture ends once, and what is wanted comes with
// the next key frame at the latest.
func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 5))
	for _, mode := range []string{"full", "key", "simulcast"} {
		for spatial := range 3 {
			for temporal := range 3 {
				for _, loss := range []float64{0, 0.05} {
					t.Run(fmt.Sprintf("%s L%dT%d loss %v", mode, spatial+1, temporal+1, loss), func(t *testing.T) {
						e := newEncoder(mode, spatial+1, temporal+1, uint16(random.Uint32()), random.Uint32())
						runModel(t, random, e, loss)
					})
				}
			}
		}
	}
}

func runModel(t *testing.T, random *rand.Rand, e *encoder, loss float64) {
	var s Selector
	sent, gone := map[uint16]bool{}, map[uint16]bool{} // frames the receiver has; frames lost before
	want, active := Highest, e.spatial
	for i := range 3000 {
		if random.IntN(15) == 0 {
			want = Layer{uint8(random.IntN(4)), uint8(random.IntN(4))}
		}
		key := i == 0 || random.IntN(40) == 0
		if key {
			active = e.spatial // encoders bring layers back with key frames
		}
		if random.IntN(60) == 0 {
			active = 1 + random.IntN(active)
		}
		var pictureSent []Frame
		marks := 0
		for _, f := range e.picture(key, active) {
			delete(sent, f.Number)
			delete(gone, f.Number)
			if i > 0 && random.Float64() < loss {
				gone[f.Number] = true
				continue
			}
			forward, last := s.Take(&f, e.targets, want, false)
			if !forward {
				continue
			}
			if last {
				marks++
			}
			pictureSent = append(pictureSent, f)
			sent[f.Number] = true
			for _, d := range f.Diffs[:f.DiffCount] {
				if n := f.Number - d; !sent[n] && !gone[n] {
					t.Fatalf("picture %d: frame %d {%d %d} is sent, but not %d, to which it refers",
						i, f.Number, f.Spatial, f.Temporal, n)
				}
			}
		}
		checkPicture(t, i, &s, pictureSent, marks, loss > 0 || s.since == e.stamp)
		if at, ok := s.Current(); loss == 0 && key && (!ok || at != bestOf(e, want, active)) {
			t.Fatalf("picture %d, a key frame: %v is sent, wanted %v of %d layers", i, at, want, active)
		}
	}
}

// checkPicture: nothing above what is wanted is sent, and the picture ends with its last
// frame, once unless it has changed layers.
func checkPicture(t *testing.T, i int, s *Selector, frames []Frame, marks int, exempt bool) {
	t.Helper()
	if len(frames) == 0 || exempt {
		return
	}
	at, _ := s.Current()
	top := frames[len(frames)-1]
	if top.Spatial == at.Spatial && marks != 1 {
		t.Fatalf("picture %d ends %d times", i, marks)
	}
	if top.Spatial > at.Spatial || top.Temporal > at.Temporal {
		t.Fatalf("picture %d: frame {%d %d} is sent at %v", i, top.Spatial, top.Temporal, at)
	}
}

func bestOf(e *encoder, want Layer, active int) Layer {
	return Layer{min(want.Spatial, uint8(active-1)), min(want.Temporal, uint8(e.temporal-1))}
}

// TestDownAtOnce: with the next picture, nothing of the layers that are not wanted is
// sent, in streams whose layers contain each other.
func TestDownAtOnce(t *testing.T) {
	for _, to := range []Layer{{0, 0}, {1, 0}, {2, 0}, {0, 2}, {1, 1}} {
		var s Selector
		e := newEncoder("full", 3, 3, 1, 1)
		for i := range 30 {
			want := Highest
			if i >= 9 {
				want = to
			}
			var got []string
			for _, f := range e.picture(i == 0, 3) {
				if forward, last := s.Take(&f, e.targets, want, false); forward {
					got = append(got, fmt.Sprint(f.Spatial, f.Temporal, last))
				}
			}
			var wanted []string
			temporal := e.temporalOf(i)
			for spatial := range min(int(want.Spatial), 2) + 1 {
				if temporal <= int(want.Temporal) {
					wanted = append(wanted, fmt.Sprint(spatial, temporal, spatial == min(int(want.Spatial), 2)))
				}
			}
			if !slices.Equal(got, wanted) {
				t.Fatalf("to %v, picture %d: %v, want %v", to, i, got, wanted)
			}
		}
	}
}

// TestTranscript writes down what happens to one receiver of L3T3_KEY, picture by
// picture: what is sent, and whether a key frame is needed.
func TestTranscript(t *testing.T) {
	var s Selector
	e := newEncoder("key", 3, 3, 100, 5)
	var lines []string
	for _, step := range []struct {
		want     Layer
		key      bool
		pictures int
	}{
		{Layer{2, 2}, true, 4}, {Layer{2, 0}, false, 4}, {Layer{2, 2}, false, 5}, {Layer{1, 2}, false, 3},
		{Layer{1, 2}, true, 2}, {Layer{0, 1}, false, 2}, {Layer{0, 1}, true, 3},
	} {
		line := fmt.Sprintf("want %d.%d:", step.want.Spatial, step.want.Temporal)
		for i := range step.pictures {
			var sent []string
			for _, f := range e.picture(step.key && i == 0, 3) {
				if forward, _ := s.Take(&f, e.targets, step.want, false); forward {
					sent = append(sent, fmt.Sprintf("%d.%d", f.Spatial, f.Temporal))
				}
			}
			line += " [" + strings.Join(sent, " ") + "]"
		}
		if s.Blocked() {
			line += " needs a key frame"
		}
		lines = append(lines, line)
	}
	want := []string{
		"want 2.2: [0.0 1.0 2.0] [2.2] [2.1] [2.2]",
		"want 2.0: [2.0] [] [] []",
		"want 2.2: [2.0] [2.2] [2.1] [2.2] [2.0]",
		"want 1.2: [2.2] [2.1] [2.2] needs a key frame",
		"want 1.2: [0.0 1.0] [1.2]",
		"want 0.1: [1.1] [1.2] needs a key frame",
		"want 0.1: [0.0] [] [0.1]",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
