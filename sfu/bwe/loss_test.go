package bwe

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// lossy plays packets of 1,000 bytes: at second i the sender sends at rate(i), and a
// packet is lost with probability lose(rate).
// lossy gives what is thought at the end, and the lowest bandwidth that was thought of.
func lossy(seed uint64, seconds int, rate func(i int) float64, lose func(rate float64) float64) (m *lossModel, bandwidth, lowest float64) {
	m = &lossModel{}
	lowest = m.play(seed, seconds, rate, lose)
	return m, m.judge(), lowest
}

// play gives a model such packets, and the lowest bandwidth that is thought of.
func (m *lossModel) play(seed uint64, seconds int, rate func(i int) float64, lose func(rate float64) float64) (lowest float64) {
	random := rand.New(rand.NewPCG(seed, 1))
	lowest = math.Inf(1)
	now, n := int64(0), uint64(0)
	for now < int64(seconds)*int64(time.Second) {
		r := rate(int(now / int64(time.Second)))
		a := Acked{Sent: Sent{Number: n, At: now, Size: 1000}, Received: random.Float64() >= lose(r)}
		if m.add(&a) {
			lowest = min(lowest, m.judge())
		}
		n++
		now += int64(8000 / r * 1e9)
	}
	return lowest
}

func TestLossModel(t *testing.T) {
	steady := func(int) float64 { return 1e6 }
	wavering := func(i int) float64 { return []float64{0.5e6, 1e6, 0.7e6, 1.4e6}[i%4] }
	full := func(b, p0 float64) func(float64) float64 {
		return func(rate float64) float64 { return p0 + (1-p0)*max(0, 1-b/rate) }
	}
	inf := math.Inf(1)
	for _, tt := range []struct {
		name       string
		rate       func(int) float64
		lose       func(float64) float64
		low, top   float64 // of the bandwidth
		experiment bool    // it is thought of once
	}{
		{"none", steady, full(inf, 0), inf, inf, false},
		{"1 % at random", steady, full(inf, 0.01), inf, inf, false},
		{"5 % at random", steady, full(inf, 0.05), inf, inf, false},
		{"10 % at random, many rates", wavering, full(inf, 0.1), inf, inf, false},
		{"20 % at random, many rates", wavering, full(inf, 0.2), inf, inf, false},
		{"30 % at random, many rates", wavering, full(inf, 0.3), inf, inf, false},
		{"25 % where nothing tells: an experiment", steady, full(inf, 0.25), 0.6e6, 0.97e6, true},
		{"full at 800 kbit/s", wavering, full(0.8e6, 0), 0.65e6, 0.95e6, false},
		{"full at 800 kbit/s, 5 % at random", wavering, full(0.8e6, 0.05), 0.65e6, 0.95e6, false},
		{"full at 500 kbit/s, steady", steady, full(0.5e6, 0), 0.4e6, 0.6e6, true},
	} {
		for seed := range uint64(5) {
			_, bandwidth, lowest := lossy(seed, 12, tt.rate, tt.lose)
			if tt.experiment {
				bandwidth = lowest
			}
			if bandwidth < tt.low || bandwidth > tt.top {
				t.Errorf("%s, seed %d: bandwidth %.0f, want %.0f to %.0f", tt.name, seed, bandwidth, tt.low, tt.top)
			}
		}
	}
}

// TestLossProven: what was proven to be lost at any rate is remembered, and forgotten when
// it ends.
func TestLossProven(t *testing.T) {
	rate := func(i int) float64 { return []float64{0.5e6, 1e6}[i/2%2] }
	m, _, _ := lossy(1, 12, rate, func(float64) float64 { return 0.2 })
	if math.Abs(m.proven-0.2) > 0.06 || math.Abs(m.inherent-0.2) > 0.04 {
		t.Errorf("proven %.2f, inherent %.2f, want 0.2", m.proven, m.inherent)
	}
	for i := range 2000 {
		if m.add(&Acked{Sent: Sent{At: int64(time.Minute) + int64(i)*8e6, Size: 1000}, Received: true}) {
			m.judge()
		}
	}
	if m.inherent > 0.01 || m.proven > 0.02 || m.average > 0.01 {
		t.Errorf("%.3f inherent, %.3f on average after the loss has ended", m.inherent, m.average)
	}
}

// TestAllLost: a receiver may say so, and does where a path is cut.
func TestAllLost(t *testing.T) {
	m, _, lowest := lossy(1, 12, func(int) float64 { return 1e6 }, func(float64) float64 { return 1 })
	if lowest > 0.2e6 || m.proven > lossMost || m.inherent > lossMost {
		t.Errorf("bandwidth %.0f, proven %.2f, inherent %.2f", lowest, m.proven, m.inherent)
	}
}

// TestRecovered: what came after all is not lost.
func TestRecovered(t *testing.T) {
	var m lossModel
	for i := range 100 {
		m.add(&Acked{Sent: Sent{At: int64(i) * 8e6, Size: 1000}})
		m.add(&Acked{Sent: Sent{At: int64(i) * 8e6, Size: 1000}, Received: true, Recovered: true})
	}
	if m.count == 0 || m.average > 0.03 {
		t.Errorf("%d windows, average %.2f", m.count, m.average)
	}
}

func BenchmarkJudge(b *testing.B) {
	m, _, _ := lossy(1, 12, func(i int) float64 { return float64(5+i%5) * 2e5 }, func(float64) float64 { return 0.1 })
	for b.Loop() {
		m.judge()
	}
}

// TestProbeTellsLoss: what is lost of a probe as of what is sent steadily at a lower rate is lost at
// any rate, mostly with no experiment; and where more is lost than a probe has shown, it is held for less
// than the path takes all the same.
func TestProbeTellsLoss(t *testing.T) {
	steady := func(int) float64 { return 1e6 }
	experiments := 0
	for seed := range uint64(20) {
		for _, share := range []float64{0.15, 0.2, 0.3} {
			lost := int(20*share) + int(seed%3) - 1
			m := &lossModel{}
			m.try(4e6, 20, lost)
			if lowest := m.play(seed, 6, steady, func(float64) float64 { return share }); !math.IsInf(lowest, 1) {
				t.Logf("%.0f %% at random, %d of 20 of the probe, seed %d: bandwidth %.0f", 100*share, lost, seed, lowest)
				experiments++
			}
			if m.proven < share/2 {
				t.Errorf("%.0f %% at random, seed %d: only %.2f is proven", 100*share, seed, m.proven)
			}
		}
		m := &lossModel{}
		m.try(4e6, 20, 0)
		if lowest := m.play(seed, 6, steady, func(rate float64) float64 { return 1 - 0.3e6/rate }); lowest > 0.5e6 {
			t.Errorf("a path of 300 kbit/s, seed %d: %.0f", seed, lowest)
		}
	}
	if experiments > 2 {
		t.Errorf("%d experiments in 60 runs", experiments)
	}
}

// TestRunsOfLosses: packets that are lost in runs are few events, however many they are, and of few events
// some come by chance where more was sent. Where more is lost at higher rates in runs, that is seen.
func TestRunsOfLosses(t *testing.T) {
	wavering := func(i int) float64 { return []float64{0.9e6, 1e6, 0.95e6, 1.1e6}[i%4] }
	thought, found := 0, 0
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 2))
		bad := false
		m := &lossModel{}
		if low := m.play(seed, 12, wavering, func(float64) float64 { // runs of 5, a twentieth in all
			if bad {
				bad = random.IntN(5) != 0
			} else {
				bad = random.IntN(95) == 0
			}
			return map[bool]float64{true: 1}[bad]
		}); !math.IsInf(low, 1) {
			thought++
		}
		n, burst := 0, 0
		m = &lossModel{}
		if low := m.play(seed, 12, func(i int) float64 { return []float64{0.5e6, 1.2e6}[i%2] }, func(rate float64) float64 {
			if n++; n%20 == 0 && rate > 1e6 { // what overflows at 1 Mbit/s comes at the end of frames
				burst = 4
			}
			burst--
			return map[bool]float64{true: 1}[burst >= 0]
		}); low < 1.2e6 {
			found++
		}
	}
	if thought > 4 || found < 36 {
		t.Errorf("%d of 40 paths with runs of losses were taken for full, %d of 40 full ones were", thought, found)
	}
}

// TestFewPackets: three of fifteen packets are no reason to send less.
func TestFewPackets(t *testing.T) {
	var m lossModel
	for i := range 16 {
		a := Acked{Sent: Sent{Number: uint64(i), At: int64(i) * int64(20*ms), Size: 100}, Received: i%5 != 2}
		if m.add(&a) && !math.IsInf(m.judge(), 1) {
			t.Errorf("after %d packets less is sent", i)
		}
	}
	if m.count != 1 || m.average < 0.15 {
		t.Errorf("%d windows, %.2f lost", m.count, m.average)
	}
}
