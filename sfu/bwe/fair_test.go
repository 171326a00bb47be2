package bwe

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// greedy is a flow that knows of nothing but loss, as TCP with NewReno (RFC 6582) or CUBIC: it sends a
// window of packets each round trip, doubles it at first, then adds to it, and has it shrink once a round
// trip in which something was lost.
type greedy struct {
	net       *network
	cubic     bool
	round     time.Duration // round trip without a queue
	window    float64       // packets
	threshold float64       // up to which it is doubled
	most      float64       // the window before the latest loss, for CUBIC (RFC 9438)
	cutAt     int64         // when that was
	flying    int
	sent      uint64
	recovered uint64 // losses of packets before this one are the same loss
	bytes     int    // that came
	stopped   bool
}

const greedySize = 1500

func (n *network) compete(cubic bool, round time.Duration) *greedy {
	g := &greedy{net: n, window: 10, threshold: 1e9, cubic: cubic, round: round}
	n.greedy = append(n.greedy, g)
	return g
}

// stop sends no more.
func (g *greedy) stop() { g.stopped = true }

// step sends what the window allows.
func (g *greedy) step(now int64) {
	for !g.stopped && float64(g.flying) < g.window {
		g.sent++
		g.flying++
		number := g.sent
		at, copies := g.net.link.Send(now, greedySize)
		if copies == 0 { // it is noticed by what comes after it
			g.net.at(now+int64(g.round)+int64(g.net.link.Backlog(now)), func(now int64) { g.lost(now, number) })
			continue
		}
		g.net.at(at[0]+int64(g.round/2), func(now int64) { g.acked(now) })
	}
}

func (g *greedy) acked(now int64) {
	g.flying--
	g.bytes += greedySize
	switch {
	case g.window < g.threshold:
		g.window++
	case g.cubic:
		const c, beta = 0.4, 0.7
		t := time.Duration(now - g.cutAt).Seconds()
		k := math.Cbrt(g.most * (1 - beta) / c)
		goal := c*(t-k)*(t-k)*(t-k) + g.most
		reno := g.most*beta + 3*(1-beta)/(1+beta)*t/g.round.Seconds()
		g.window += min(max(max(goal, reno)-g.window, 0), g.window/2) / g.window
	default:
		g.window += 1 / g.window
	}
}

func (g *greedy) lost(now int64, number uint64) {
	g.flying--
	if number < g.recovered {
		return
	}
	beta := 0.5
	if g.cubic {
		beta = 0.7
	}
	g.most = g.window
	g.window = max(2, g.window*beta)
	g.threshold = g.window
	g.cutAt, g.recovered = now, g.sent+1
}

// TestCompetition: what is left beside a flow that fills any queue and knows of nothing but loss, and what
// we leave it. Who sends less until the queue is gone, though it is not theirs, is left with nothing.
func TestCompetition(t *testing.T) {
	for _, tt := range []struct {
		queue  time.Duration
		line   int
		cubic  bool
		least  float64 // share that we get
		lowest float64 // target in bits a second
	}{
		{50 * ms, 3_000_000, false, 0, 0},
		{50 * ms, 3_000_000, true, 0, 0},
		{100 * ms, 10_000_000, false, 0.15, 500e3},
		{100 * ms, 10_000_000, true, 0.15, 500e3},
		{200 * ms, 3_000_000, false, 0.1, 250e3},
		{200 * ms, 3_000_000, true, 0.1, 250e3},
		{200 * ms, 10_000_000, true, 0.06, 400e3},
		{500 * ms, 3_000_000, false, 0.1, 150e3},
		{500 * ms, 3_000_000, true, 0.05, 150e3},
		{500 * ms, 10_000_000, true, 0.04, 150e3},
	} {
		for _, seed := range seeds {
			n := newNetwork(seed, impair.Conditions{Rate: tt.line, Delay: 20 * ms, Queue: tt.queue})
			f := n.add("a", 400_000, elastic)
			n.run(20 * second)
			g := n.compete(tt.cubic, 40*ms)
			n.run(20 * second)
			before := g.bytes
			n.run(40 * second)
			g.stop()
			n.run(10 * second)
			what := fmt.Sprintf("queue %v, %d Mbit/s, CUBIC %t, seed %d", tt.queue, tt.line/1e6, tt.cubic, seed)
			theirs := float64(g.bytes-before) * 8 / 40 / float64(tt.line)
			ours := f.between(40*second, 80*second, useOf) / float64(tt.line)
			lowest := f.lowest(40*second, 80*second)
			back := f.reached(80*second, func(s sample) bool { return s.target > min(0.7*float64(tt.line), 4e6) })
			t.Logf("%s: %.2f for us, %.2f for them, %.0f kbit/s at least; back after %v, then a queue of %.0f ms",
				what, ours, theirs, lowest/1e3, back, f.between(85*second, 90*second, queueOf))
			between(t, what+": ours", ours, tt.least, 0.8)
			between(t, what+": theirs", theirs, 0.2, 1)
			between(t, what+": lowest", lowest, tt.lowest, 5e6)
			within(t, what+": back", back, 8*second)
			between(t, what+": left by those who have gone", f.est.others, 0, 0)
			between(t, what+": queue afterwards", f.between(85*second, 90*second, queueOf), 0, 80)
		}
	}
}

// TestTooHigh: where nothing shows it the estimate may be above the line, since a receiver that stood
// still while the opening probes came has made them look faster than they were. When more is wanted then
// that shows within a second or so, by itself and beside others, and nothing of it stays.
func TestTooHigh(t *testing.T) {
	for _, beside := range []bool{false, true} {
		for _, seed := range seeds {
			n := newNetwork(seed, impair.Conditions{Rate: 3_000_000, Delay: 20 * ms, Loss: 0.05})
			f := n.add("a", 400_000, source{most: 1e6, audio: true})
			n.run(10 * second)
			if beside {
				n.cross = 1e6
			}
			n.run(10 * second)
			f.est.rise(5e6)
			f.est.full = 0
			n.run(5 * second)
			kept, calmed := f.est.Estimate(), f.between(21*second, 25*second, queueOf)
			f.source = elastic
			n.run(20 * second)
			room := 3e6 - n.cross
			down := f.reached(25*second, func(s sample) bool { return s.target <= 1.1*room })
			drained := f.reached(25*second+down, func(s sample) bool { return s.queue < 60*ms })
			t.Logf("beside others %t, seed %d: %d kbit/s kept with a queue of %.0f ms; no more than there is after %v, drained %v later, then %.0f ms",
				beside, seed, kept/1000, calmed, down, drained, f.between(30*second, 45*second, queueOf))
			between(t, "queue before", calmed, 0, 30)
			within(t, "down", down, 1500*ms)
			within(t, "drained", drained, 1500*ms)
			between(t, "queue", f.between(30*second, 45*second, queueOf), 0, 80)
		}
	}
}

// TestOthersLeave: what a queue of others leaves is a lower bound of cuts, nothing that raises the estimate, and
// holds only while what is sent comes.
func TestOthersLeave(t *testing.T) {
	e := New(Config{Start: 600e3, Min: 50e3, Max: 5e6}, NewSentLog(64))
	e.others, e.newest = 500e3, 1
	e.cutTo(1, 300e3)
	if e.Estimate() != 500_000 {
		t.Errorf("%d after a cut", e.Estimate())
	}
	e.set(400e3) // for loss
	if e.cutTo(2, 100e3); e.Estimate() != 400_000 {
		t.Errorf("%d after a cut below what others leave", e.Estimate())
	}
	e.lengthen(3)
	if e.others != 0 {
		t.Error("another path is held to be shared")
	}
	// Of a queue that is deep since just now nothing is known, whatever came beside one before.
	e.passed, e.passedAt, e.deepAt = 3e6, 0, int64(second)
	e.queue.lately.sent = rateSpan
	if e.watchOthers(int64(second) + 1); e.others != 0 || e.passed > 1e6 {
		t.Errorf("%.0f is left of %.0f", e.others, e.passed)
	}
}

// TestThinBesideOthers: a line that becomes thin just after others have left it is no line of others.
func TestThinBesideOthers(t *testing.T) {
	for _, seed := range seeds {
		c := impair.Conditions{Rate: 3_000_000, Delay: 20 * ms, Queue: 500 * ms}
		n := newNetwork(seed, c)
		f := n.add("a", 400_000, elastic)
		n.run(20 * second)
		g := n.compete(true, 40*ms)
		n.run(20 * second)
		between(t, "what others leave", f.est.others, 200e3, 700e3)
		g.stop()
		n.run(second)
		c.Rate = 200_000
		n.link.Set(c)
		n.run(20 * second)
		down := f.reached(41*second, func(s sample) bool { return s.target <= 200e3 })
		t.Logf("seed %d: under the new capacity after %v, then a queue of %.0f ms", seed, down, f.between(50*second, 60*second, queueOf))
		within(t, "down", down, 3*second)
		between(t, "queue", f.between(50*second, 60*second, queueOf), 0, 120)
	}
}
