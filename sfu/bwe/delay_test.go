package bwe

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// ack is a received packet, times in milliseconds.
func ack(n uint64, sent, arrival float64, size int) Acked {
	return Acked{Sent: Sent{Number: n, At: int64(sent * 1e6), Size: size}, Received: true, Arrival: int64(arrival * 1e6)}
}

func TestGroups(t *testing.T) {
	tests := []struct {
		name string
		acks []Acked
		want []step
	}{
		{"sent within 5 ms", []Acked{ack(0, 0, 100, 10), ack(1, 5, 104, 20), ack(2, 10, 110, 40), ack(3, 20, 125, 80), ack(4, 30, 136, 1)},
			[]step{{5 * ms, 6 * ms, 110e6, 40}, {10 * ms, 15 * ms, 125e6, 80}}},
		{"a path that stood still gives what it has at once", []Acked{
			ack(0, 0, 100, 1), ack(1, 10, 150, 1), ack(2, 20, 151, 1), ack(3, 30, 152, 1), ack(4, 40, 160, 1)},
			[]step{{30 * ms, 52 * ms, 152e6, 3}}},
		{"late feedback is left out", []Acked{ack(5, 50, 150, 1), ack(6, 60, 160, 1), ack(1, 10, 110, 1), ack(7, 70, 170, 1), ack(8, 80, 180, 1)},
			[]step{{10 * ms, 10 * ms, 160e6, 1}, {10 * ms, 10 * ms, 170e6, 1}}},
		{"what is within a group may overtake", []Acked{ack(0, 0, 100, 1), ack(1, 10, 112, 1), ack(2, 11, 110, 1), ack(3, 20, 120, 1)},
			[]step{{11 * ms, 12 * ms, 112e6, 2}}},
		{"what overtakes is no shorter queue", []Acked{ack(0, 0, 100, 1), ack(1, 10, 112, 1), ack(2, 20, 105, 1), ack(3, 30, 130, 1), ack(4, 40, 140, 1)},
			[]step{{10 * ms, 12 * ms, 112e6, 2}, {20 * ms, 18 * ms, 130e6, 1}}},
		{"what was held up alone is no queue", []Acked{ack(0, 0, 100, 1), ack(1, 10, 400, 1), ack(2, 20, 121, 1), ack(3, 30, 130, 1), ack(4, 40, 140, 1)},
			[]step{{20 * ms, 21 * ms, 121e6, 2}, {10 * ms, 9 * ms, 130e6, 1}}},
		{"a clock that is set back hides nothing for long", []Acked{ack(0, 0, 1e6, 1), ack(1, 10, 1e6+10, 1), ack(2, 20, 120, 1), ack(3, 30, 130, 1), ack(4, 40, 140, 1)},
			[]step{{10 * ms, 10 * ms, 1e12 + 10e6, 1}, {10 * ms, 10 * ms, 130e6, 1}}},
		{"a clock that is set is no delay", []Acked{ack(0, 0, 100, 1), ack(1, 10, 110, 1), ack(2, 20, 1e7, 1), ack(3, 30, 1e7+10, 1), ack(4, 40, 1e7+20, 1)},
			[]step{{10 * ms, 10 * ms, 110e6, 1}, {10 * ms, 10 * ms, 1e13 + 10e6, 1}}},
		{"unreported packets count with the next", []Acked{ack(0, 0, 100, 1), {Sent: Sent{At: 10e6, Size: 1}, Received: true, Arrival: 110e6, Skipped: 50}, ack(3, 20, 120, 1)},
			[]step{{10 * ms, 10 * ms, 110e6, 51}}},
	}
	for _, tt := range tests {
		var g grouper
		var got []step
		for _, a := range tt.acks {
			if s, ok := g.add(&a); ok {
				got = append(got, s)
			}
		}
		if len(got) != len(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: step %d is %v, want %v", tt.name, i, got[i], tt.want[i])
			}
		}
	}
}

// TestGroupEnds: what a path that stood still gives bit by bit is one group for 100 ms at most.
func TestGroupEnds(t *testing.T) {
	var g grouper
	first := ack(0, 0, 100, 1)
	g.add(&first)
	for i := 1; i <= 30; i++ {
		a := ack(uint64(i), float64(10*i), float64(496+4*i), 1)
		s, ok := g.add(&a)
		if want := (step{250 * ms, 496 * ms, 596e6, 25}); ok != (i == 26) || ok && s != want {
			t.Errorf("packet %d: %v, %t", i, s, ok)
		}
	}
}

// delays feeds groups 20 ms apart whose delay is given, and says whether the path was
// ever overused, and with which group first.
func delays(t *trend, n int, delay func(i int) float64) (first int) {
	first = -1
	last := delay(0)
	for i := range n {
		d := delay(i)
		at := int64(time.Second) + int64((20*float64(i)+d)*1e6)
		s := step{sent: 20 * ms, arrived: time.Duration((20 + d - last) * 1e6), at: at, size: 1200}
		if t.add(s) == overusing && first < 0 {
			first = i
		}
		last = d
	}
	return first
}

func TestTrend(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	tests := []struct {
		name     string
		delay    func(i int) float64
		from, to int // group at which overuse is noticed; -1 for never
	}{
		{"flat", func(int) float64 { return 50 }, -1, -1},
		{"noise of 5 ms", func(int) float64 { return 50 + 5*random.Float64() }, -1, -1},
		{"2 ms a group from the 40th on", func(i int) float64 { return 2 * max(0, float64(i-40)) }, 42, 60},
		{"20 ms a group from the 40th on", func(i int) float64 { return 20 * max(0, float64(i-40)) }, 42, 48},
		{"drift of 50 ppm", func(i int) float64 { return float64(i) * 0.001 }, -1, -1},
		{"a queue that drains", func(i int) float64 { return 100 - min(100, 2*float64(i)) }, -1, -1},
		{"a step of 30 ms", func(i int) float64 { return map[bool]float64{true: 30}[i > 40] }, 41, 60},
	}
	for _, tt := range tests {
		got := delays(&trend{}, 200, tt.delay)
		if got < tt.from || got > tt.to {
			t.Errorf("%s: overuse noticed at group %d, want %d to %d", tt.name, got, tt.from, tt.to)
		}
	}
}

// TestThresholdAdapts: the threshold follows a slope that stays, within its bounds, and
// comes back.
func TestThresholdAdapts(t *testing.T) {
	var tr trend
	delays(&tr, 100, func(int) float64 { return 0 })
	if tr.threshold != thresholdMin {
		t.Errorf("threshold %.1f on a quiet path, want %.1f", tr.threshold, thresholdMin)
	}
	tr = trend{}
	delays(&tr, 400, func(i int) float64 { return 40 * math.Sin(float64(i)/8) })
	if tr.threshold < 1.5*thresholdMin || tr.threshold > thresholdMax {
		t.Errorf("threshold %.1f on a path that wavers", tr.threshold)
	}
}

func TestSlope(t *testing.T) {
	if got := slope([]point{{0, 1}, {1, 3}, {2, 5}, {3, 7}}); math.Abs(got-2) > 1e-9 {
		t.Errorf("slope %f, want 2", got)
	}
	if got := slope([]point{{5, 1}, {5, 3}}); got != 0 {
		t.Errorf("slope %f of a vertical line, want 0", got)
	}
}

// TestQueueRate fills the queue of a bottleneck of 1 Mbit/s by a burst after little has
// been sent: what is measured is the bottleneck, not the average.
func TestQueueRate(t *testing.T) {
	for _, jitter := range []float64{0, 3, 10} {
		random := rand.New(rand.NewPCG(7, 7))
		var q queue
		at, delay := 0.0, 0.0
		for i := range 60 {
			s := step{sent: 20 * ms, size: 250} // 100 kbit/s
			if i >= 40 {
				s = step{sent: 5 * ms, size: 1250} // 2 Mbit/s, which take 10 ms each
				delay += 5
			}
			at += milliseconds(s.sent)
			wait := delay + jitter*random.Float64()
			s.at = int64((at + wait) * 1e6)
			q.add(s, wait)
		}
		rate, ok := q.rate()
		if !ok || rate < 0.85e6 || rate > 1.15e6 {
			t.Errorf("jitter %.0f ms: the bottleneck of 1 Mbit/s is measured as %.0f bit/s, %t", jitter, rate, ok)
		}
		if through := q.throughput(); through > 0.6e6 {
			t.Errorf("throughput %.0f bit/s over half a second, of which little was busy", through)
		}
		if s := q.standing(); math.Abs(s-95) > 5+jitter {
			t.Errorf("the queue stands at %.0f ms, want about 95", s)
		}
	}
}

// TestQueueRateUnderJitter fills a queue while jitter of 40 ms makes groups from long before it look as
// if they had waited as little: not what was sent on average is measured.
func TestQueueRateUnderJitter(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 7))
		var q queue
		at, wait, came := 0.0, 0.0, 0.0
		for i := range 120 {
			s := step{sent: 20 * ms, size: 1250} // 500 kbit/s
			if i >= 100 {
				s = step{sent: 5 * ms, size: 1250} // 2 Mbit/s, which take 10 ms each over 1 Mbit/s
				wait += 5
			}
			at += milliseconds(s.sent)
			came = max(came, at+wait+40*random.Float64()) // in order
			s.at = int64(came * 1e6)
			q.add(s, came-at)
		}
		if rate, ok := q.rate(); !ok || rate < 0.8e6 || rate > 1.25e6 {
			t.Errorf("seed %d: the bottleneck of 1 Mbit/s is measured as %.0f bit/s, %t", seed, rate, ok)
		}
	}
}

// TestQueueForgets: a delay that stays is the path's own after 20 s.
func TestQueueForgets(t *testing.T) {
	var q queue
	for i := range 3000 {
		delay := 0.0
		if i > 500 {
			delay = 80
		}
		q.add(step{sent: 20 * ms, at: int64(i) * 20e6, size: 100}, delay)
		if s := q.standing(); i == 600 && s != 80 || i == 2000 && s != 0 {
			t.Errorf("group %d: standing %.0f ms", i, s)
		}
	}
	q.add(step{sent: 20 * ms, at: int64(time.Hour), size: 100}, 200)
	q.add(step{sent: 20 * ms, at: 0, size: 100}, 200)
	if s := q.standing(); s < 0 || s > 200 {
		t.Errorf("after jumps of the clock: standing %.0f ms", s)
	}
}

func TestCapacity(t *testing.T) {
	var c capacity
	if c.near(1e6) || c.above(1e6) {
		t.Error("it knows what nobody has told")
	}
	for range 10 {
		c.add(1e6)
	}
	if !c.near(1.05e6) || c.near(1.4e6) || !c.above(1.4e6) || c.above(0.9e6) {
		t.Errorf("mean %.0f, deviation %.0f", c.mean, c.deviation())
	}
	c.add(3e5)
	if c.mean != 3e5 {
		t.Errorf("mean %.0f after the path became thin, want 300000", c.mean)
	}
}

// TestLately: what came lately is what a walk over all groups finds, whatever the order of their
// times.
func TestLately(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 3))
		var q queue
		at := int64(time.Hour)
		for i := range 5000 {
			switch at += int64(random.ExpFloat64() * float64([]time.Duration{ms, 5 * ms, 40 * ms}[i/600%3])); {
			case seed%2 == 1 && random.IntN(200) == 0:
				at -= random.Int64N(int64(2 * second))
			case random.IntN(400) == 0:
				at += random.Int64N(int64(2 * second))
			}
			q.add(step{sent: time.Duration(random.IntN(20)) * ms, at: at, size: random.IntN(5000)}, random.Float64())
			size, sent := 0, time.Duration(0)
			for n := i; n > i-queueGroups && n >= 0 && at-q.at(n).at < int64(rateSpan); n-- {
				size, sent = size+q.at(n).size, sent+q.at(n).sent
			}
			if q.lately.size != size || q.lately.sent != sent {
				t.Fatalf("seed %d, group %d: %+v, want %d bytes and %v", seed, i, q.lately, size, sent)
			}
			if lowest := slices.Min(q.base[:]); q.lowest != lowest {
				t.Fatalf("seed %d, group %d: the lowest is %f, want %f", seed, i, q.lowest, lowest)
			}
		}
	}
}
