package allocate

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const second = int64(time.Second)

// camera is what a browser sends: three encodings with two frame rates each.
func camera() []Layer {
	return []Layer{{0, 100e3}, {1, 150e3}, {2, 350e3}, {3, 500e3}, {4, 1_000e3}, {5, 1_500e3}}
}

func slot(class Class, pixels int, layers []Layer) Slot {
	return Slot{Class: class, Pixels: pixels, Layers: layers, Memory: &Memory{}}
}

func TestAllocate(t *testing.T) {
	screen := []Layer{{0, 200e3}, {1, 1_000e3}}
	tests := []struct {
		name            string
		estimate, audio int64
		slots           []Slot
		want            []int
		next            int64
	}{
		{"nothing to show", 1e6, 40e3, nil, nil, 0},
		{"all at their best", 10e6, 40e3, []Slot{slot(Tile, 9, camera()), slot(Speaker, 1, camera())}, []int{5, 5}, 0},
		{"a source that sends nothing", 1e6, 0, []Slot{slot(Speaker, 9, nil), slot(Tile, 1, screen)}, []int{Off, 0}, 1_000e3},
		{"the first slot goes in any case", 10e3, 40e3, []Slot{slot(Tile, 1, camera()), slot(Tile, 9, camera())}, []int{Off, 0}, 240e3},
		{"the margin is kept", 1_111e3, 0, []Slot{slot(Tile, 1, camera())}, []int{3}, 1_000e3},
		{"what fits with the margin goes", 1_121e3, 0, []Slot{slot(Tile, 1, camera())}, []int{4}, 1_500e3},
		{"everybody's lowest comes first", 480e3, 40e3, []Slot{slot(Tile, 1, camera()), slot(Screen, 1, screen), slot(Tile, 2, camera())},
			[]int{Off, 0, 0}, 440e3},
		{"the screen before the speaker before tiles", 2_000e3, 0,
			[]Slot{slot(Tile, 9, camera()), slot(Speaker, 1, camera()), slot(Screen, 1, screen)}, []int{1, 3, 1}, 2_150e3},
		{"equal tiles share", 1_250e3, 0, []Slot{slot(Tile, 2, camera()), slot(Tile, 2, camera()), slot(Tile, 2, camera())}, []int{2, 2, 2}, 1_200e3},
		{"the larger first", 1_350e3, 0, []Slot{slot(Tile, 2, camera()), slot(Tile, 4, camera()), slot(Tile, 3, camera())}, []int{2, 3, 2}, 1_700e3},
		{"the receiver's order within a class", 400e3, 0,
			[]Slot{{Class: Tile, Pixels: 9, Layers: camera(), Memory: &Memory{}}, {Class: Tile, Priority: 1, Pixels: 1, Layers: camera(), Memory: &Memory{}}},
			[]int{1, 1}, 500e3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Allocate(second, tt.estimate, tt.audio, tt.slots, nil)
			if !slices.Equal(r.Layers, tt.want) || r.Next != tt.next {
				t.Errorf("layers %v, next %d, want %v, %d (used %d)", r.Layers, r.Next, tt.want, tt.next, r.Used)
			}
		})
	}
}

// step is an allocation at a time, in seconds.
type step struct {
	at, estimate float64
	want         []int
}

func TestOverTime(t *testing.T) {
	tests := []struct {
		name  string
		slots []Slot
		steps []step
	}{
		{"who has lost nothing waits for nothing", []Slot{slot(Tile, 1, camera())}, []step{
			{0, 600e3, []int{3}}, {0.1, 1.2e6, []int{4}}, {0.2, 2e6, []int{5}}, {2.1, 1.4e6, []int{4}}, {2.2, 90e3, []int{0}},
		}},
		{"what is kept needs no margin", []Slot{slot(Tile, 1, camera())}, []step{
			{0, 1.7e6, []int{5}}, {1, 1.5e6, []int{5}}, {20, 1.499e6, []int{4}}, {21, 1.6e6, []int{4}}, {22, 1.7e6, []int{4}}, {23, 1.7e6, []int{5}},
		}},
		{"a wish that ends starts anew", []Slot{slot(Tile, 1, camera())}, []step{
			{0, 2e6, []int{5}}, {20, 600e3, []int{3}}, {21, 2e6, []int{3}}, {21.5, 600e3, []int{3}}, {22, 2e6, []int{3}}, {22.9, 2e6, []int{3}}, {23, 2e6, []int{5}},
		}},
		{"who loses soon waits longer", []Slot{slot(Tile, 1, camera())}, []step{
			{0, 600e3, []int{3}}, {1, 2e6, []int{5}}, {2, 600e3, []int{3}},
			{4, 2e6, []int{3}}, {5, 2e6, []int{3}}, {6, 2e6, []int{5}}, {7, 600e3, []int{3}},
			{8, 2e6, []int{3}}, {11, 2e6, []int{3}}, {12, 2e6, []int{5}},
		}},
		{"and is forgiven after a minute", []Slot{slot(Tile, 1, camera())}, []step{
			{0, 600e3, []int{3}}, {1, 2e6, []int{5}}, {2, 600e3, []int{3}}, {62, 600e3, []int{3}}, {62.1, 2e6, []int{5}},
		}},
		{"what waits is reserved", []Slot{slot(Speaker, 1, camera()), slot(Tile, 1, camera())}, []step{
			{0, 2e6, []int{5, 1}}, {20, 640e3, []int{3, 0}}, {21, 1.85e6, []int{3, 0}}, {22, 1.85e6, []int{5, 1}},
		}},
		{"who has nothing waits for nothing where there is plenty", []Slot{slot(Tile, 1, camera()), slot(Tile, 2, camera())}, []step{
			{0, 250e3, []int{0, 0}}, {1, 199e3, []int{Off, 0}}, {1.1, 330e3, []int{Off, 1}}, {1.2, 440e3, []int{0, 1}},
		}},
		{"the first goes on, the others end", []Slot{slot(Tile, 1, camera()), slot(Tile, 2, camera())}, []step{
			{0, 250e3, []int{0, 0}}, {1, 199e3, []int{Off, 0}}, {2, 10e3, []int{Off, 0}}, {3, 250e3, []int{Off, 0}}, {4, 250e3, []int{Off, 0}}, {5, 250e3, []int{0, 0}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, s := range tt.steps {
				r := Allocate(int64(s.at*1e9)+second, int64(s.estimate), 0, tt.slots, nil)
				if !slices.Equal(r.Layers, s.want) {
					t.Errorf("at %.1f s with %.0f bit/s: %v, want %v", s.at, s.estimate, r.Layers, s.want)
				}
			}
		})
	}
}

// TestLayersChange has encodings end and begin: the slot keeps what comes nearest.
func TestLayersChange(t *testing.T) {
	s := []Slot{slot(Tile, 1, camera())}
	for i, tt := range []struct {
		layers []Layer
		want   uint8
	}{
		{camera(), 5},
		{camera()[:4], 3},                // a smaller view
		{camera()[2:4], 3},               // the lowest encoding is gone
		{[]Layer{{8, 300e3}}, 8},         // another publisher's numbering
		{[]Layer{{4, 1}, {8, 400e3}}, 8}, // a lower one comes
	} {
		s[0].Layers = tt.layers
		r := Allocate(int64(i+1)*second/10, 5e6, 0, s, nil)
		if r.Layers[0] == Off || tt.layers[r.Layers[0]].ID != tt.want {
			t.Errorf("step %d: layer %v, want number %d", i, r.Layers, tt.want)
		}
	}
}

// TestModel checks what must hold for any slots, estimates, and times.
func TestModel(t *testing.T) {
	const seed = 4
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	for range 300 {
		slots := randomSlots(random)
		now, audio := second, random.Int64N(200e3)
		var before []int
		for range 50 {
			now += random.Int64N(3 * second)
			estimate := random.Int64N(1 << random.IntN(25))
			r := Allocate(now, estimate, audio, slots, nil)
			checkResult(t, r, slots, estimate, audio)
			again := Allocate(now, estimate, audio, slots, nil)
			if !slices.Equal(again.Layers, r.Layers) {
				t.Fatalf("the same again: %+v, then %+v, %d of %d, %+v %+v", r, again, estimate, audio, slots, slots[0].Memory)
			}
			before = r.Layers
		}
		r := Allocate(now+int64(2*HoldMost), 1<<40, audio, slots, nil)
		r = Allocate(now+int64(4*HoldMost), 1<<40, audio, slots, nil)
		if r.Next != 0 || r.Used != r.Want {
			t.Fatalf("with room for all: %+v, before %v", r, before)
		}
	}
}

func randomSlots(random *rand.Rand) []Slot {
	slots := make([]Slot, random.IntN(12))
	for i := range slots {
		rate := int64(0)
		var layers []Layer
		for id := range random.IntN(7) {
			rate += 20e3 + random.Int64N(700e3)
			layers = append(layers, Layer{uint8(id), rate})
		}
		slots[i] = slot(Class(random.IntN(3)), random.IntN(5), layers)
		slots[i].Priority = random.IntN(2)
	}
	return slots
}

// checkResult: nothing above the estimate but the lowest layer of the first slot, audio
// untouched, and nobody without a picture while a lower class has more than the lowest.
func checkResult(t *testing.T, r Result, slots []Slot, estimate, audio int64) {
	t.Helper()
	used, on, forced := audio, 0, false
	for i, layer := range r.Layers {
		if layer == Off {
			continue
		}
		used += slots[i].Layers[layer].Rate
		on++
		forced = layer == 0
	}
	if used != r.Used {
		t.Fatalf("used %d, said %d", used, r.Used)
	}
	if used > estimate && !(on == 0 || on == 1 && forced) {
		t.Fatalf("%d used of %d: %v", used, estimate, r.Layers)
	}
	sending := slices.ContainsFunc(slots, func(s Slot) bool { return len(s.Layers) > 0 })
	if sending && on == 0 {
		t.Fatalf("nobody is seen: %v", r.Layers)
	}
	if (r.Next == 0) != (r.Used == r.Want) || r.Next != 0 && (r.Next <= r.Used || r.Next > r.Want) {
		t.Fatalf("next %d, used %d, want %d", r.Next, r.Used, r.Want)
	}
}

// TestNoFlapping has an estimate that wavers by a tenth around each boundary, and layers
// whose rates waver as encoders' do, for ten minutes.
func TestNoFlapping(t *testing.T) {
	const seed = 9
	for _, mean := range []float64{350e3, 500e3, 700e3, 1_000e3, 1_500e3, 1_680e3, 2_000e3, 2_600e3, 3_000e3} {
		random := rand.New(rand.NewPCG(seed, uint64(mean)))
		slots := []Slot{slot(Speaker, 9, camera()), slot(Tile, 1, camera()), slot(Tile, 2, camera())}
		switches, noise := 0, 0.0
		var before []int
		for i := range 3000 { // 200 ms each
			noise = 0.9*noise + 0.1*(2*random.Float64()-1)
			for _, s := range slots {
				for l, layer := range camera() {
					s.Layers[l].Rate = int64(float64(layer.Rate) * (0.97 + 0.06*random.Float64()))
				}
			}
			r := Allocate(int64(i+1)*second/5, int64(mean*(1+0.3*noise)), 40e3, slots, nil)
			if before != nil {
				for s := range r.Layers {
					if r.Layers[s] != before[s] {
						switches++
					}
				}
			}
			before = slices.Clone(r.Layers)
		}
		t.Logf("seed %d, %.0f kbit/s: %d switches in 10 minutes, %v at the end", seed, mean/1e3, switches, before)
		if switches > 60 {
			t.Errorf("%.0f kbit/s: %d switches of three slots in 10 minutes", mean/1e3, switches)
		}
	}
}

func BenchmarkAllocate25(b *testing.B) {
	var slots []Slot
	for i := range 25 {
		slots = append(slots, slot(Tile, i, camera()))
	}
	layers := make([]int, 25)
	now := int64(0)
	for b.Loop() {
		now += second / 5
		Allocate(now, 6e6, 40e3, slots, layers)
	}
}
