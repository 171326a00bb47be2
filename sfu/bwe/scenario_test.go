package bwe

import (
	"fmt"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

const (
	ms     = time.Millisecond
	second = time.Second
)

// What senders send in the scenarios.
var (
	// elastic takes all it may: many tiles.
	elastic = source{most: 5e6, audio: true}
	// layered is one camera with three layers, whose key frames are 8 times as large.
	layered = source{most: 2e6, steps: []float64{150e3, 500e3, 2e6}, audio: true, keyFrames: 5 * second}
)

// seeds of the scenarios: what holds must hold for all of them.
var seeds = []uint64{1, 2, 3}

// TestCapacitySteps takes the path from 3 Mbit/s to 300 kbit/s and back.
func TestCapacitySteps(t *testing.T) {
	const high, low = 3_000_000, 300_000
	for _, delay := range []time.Duration{10 * ms, 50 * ms, 150 * ms} {
		for _, seed := range seeds {
			c := impair.Conditions{Rate: high, Delay: delay, Queue: 500 * ms}
			n := newNetwork(seed, c)
			f := n.add("a", 600_000, elastic)
			f.feedbackDelay = delay
			n.run(20 * second)
			c.Rate = low
			n.link.Set(c)
			n.run(20 * second)
			c.Rate = high
			n.link.Set(c)
			n.run(20 * second)

			rtt := 2*delay + f.feedbackEvery
			start := f.reached(0, func(s sample) bool { return s.target > 0.8*high })
			down := f.reached(20*second, func(s sample) bool { return s.target <= low })
			drained := f.reached(20*second+down, func(s sample) bool { return s.queue < 100*ms })
			back := f.reached(40*second, func(s sample) bool { return s.target > 0.8*high })
			worst := f.between(23*second, 40*second, queueOf)
			t.Logf("delay %v seed %d: 80 %% after %v; under the new capacity after %v (%.1f RTT), drained after %v; mean queue then %.0f ms, use %.2f; back above 80 %% after %v",
				delay, seed, start, down, float64(down)/float64(rtt), drained, worst, f.between(25*second, 40*second, useOf)/low, back)
			within(t, "start", start, 3*second+8*rtt)
			within(t, "down", down, 3*second/2+2*rtt)
			within(t, "drained", drained, 3*second)
			within(t, "back", back, 6*second+8*rtt)
			if worst > 120 {
				t.Errorf("seed %d: the queue stands at %.0f ms", seed, worst)
			}
			between(t, "use of the low capacity", f.between(25*second, 40*second, useOf)/low, 0.75, 1.01)
			between(t, "use of the high capacity", f.between(10*second, 20*second, useOf)/high, 0.75, 1.01)
		}
	}
}

// TestSteadyPaths has paths with every fault, at a capacity that does not change. The
// estimate is to stay near it, and the queue short.
func TestSteadyPaths(t *testing.T) {
	for _, tt := range []struct {
		name       string
		c          impair.Conditions
		least, top float64 // of the estimate, as a share of the capacity
		queue      float64 // ms, mean
	}{
		{"clean", impair.Conditions{}, 0.8, 1.05, 60},
		{"loss 1 %", impair.Conditions{Loss: .01}, 0.8, 1.05, 60},
		{"loss 5 %", impair.Conditions{Loss: .05}, 0.8, 1.1, 60},
		{"loss 10 %", impair.Conditions{Loss: .10}, 0.8, 1.2, 60},
		{"loss 20 %", impair.Conditions{Loss: .20}, 0.75, 1.3, 70},
		{"loss 5 % in bursts of 5", impair.Conditions{Loss: .05, Burst: 5}, 0.75, 1.1, 70},
		{"loss 20 % in bursts of 8", impair.Conditions{Loss: .20, Burst: 8}, 0.7, 1.3, 80},
		{"delay 50 ms", impair.Conditions{Delay: 50 * ms}, 0.8, 1.05, 60},
		{"delay 150 ms", impair.Conditions{Delay: 150 * ms}, 0.8, 1.05, 60},
		{"delay 300 ms", impair.Conditions{Delay: 300 * ms}, 0.75, 1.05, 60},
		{"jitter 30 ms", impair.Conditions{Jitter: 30 * ms}, 0.7, 1.1, 60},
		{"reordering 5 %", impair.Conditions{Reorder: .05}, 0.75, 1.1, 60},
		{"duplicates 5 %", impair.Conditions{Duplicate: .05}, 0.8, 1.05, 60},
		{"queue of 1 s", impair.Conditions{Queue: second}, 0.8, 1.05, 60},
		// Shorter than a key frame at the low rate: that loss is there at any rate.
		{"queue of 50 ms", impair.Conditions{Queue: 50 * ms}, 0.6, 1.6, 60},
		{"everything", impair.Conditions{Loss: .03, Burst: 3, Jitter: 15 * ms, Reorder: .02, Duplicate: .01, Delay: 80 * ms}, 0.7, 1.2, 60},
	} {
		for _, rate := range []int{3_000_000, 300_000} {
			for _, s := range []struct {
				name   string
				source source
			}{{"elastic", elastic}, {"layered", layered}} {
				line := fmt.Sprintf("%-26s %4d kbit/s %s:", tt.name, rate/1000, s.name)
				for _, seed := range seeds {
					c := tt.c
					c.Rate, c.Delay = rate, max(c.Delay, 25*ms)
					n := newNetwork(seed, c)
					f := n.add("a", 600_000, s.source)
					f.feedbackDelay = c.Delay
					n.run(45 * second)
					share := f.between(15*second, 45*second, targetOf) / float64(rate)
					queue := f.between(15*second, 45*second, queueOf)
					line += fmt.Sprintf("  %.2f, %2.0f ms", share, queue)
					between(t, line+": estimate", share, tt.least, tt.top)
					between(t, line+": queue", queue, 0, tt.queue)
				}
				t.Log(line)
			}
		}
	}
}

// TestFeedbackFaults spoils the way back.
func TestFeedbackFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(f *flow)
	}{
		{"a fifth is lost", func(f *flow) { f.feedbackLoss = 0.2 }},
		{"half is lost", func(f *flow) { f.feedbackLoss = 0.5 }},
		{"out of order", func(f *flow) { f.feedbackJitter = 300 * ms }},
		{"twice", func(f *flow) { f.feedbackTwice, f.feedbackJitter = 1, 50*ms }},
		{"seldom", func(f *flow) { f.feedbackEvery = 250 * ms }},
		{"often", func(f *flow) { f.feedbackEvery = 20 * ms }},
	} {
		for _, seed := range seeds {
			n := newNetwork(seed, impair.Conditions{Rate: 2_000_000, Delay: 40 * ms})
			f := n.add("a", 600_000, elastic)
			tt.spoil(f)
			n.run(40 * second)
			share, queue := f.between(10*second, 40*second, targetOf)/2e6, f.between(10*second, 40*second, queueOf)
			t.Logf("%s, seed %d: %.2f, %.0f ms", tt.name, seed, share, queue)
			between(t, tt.name, share, 0.7, 1.1)
			between(t, tt.name+": queue", queue, 0, 110)
		}
	}
}

// TestApplicationLimited sends 200 kbit/s where 3 Mbit/s fit: the first probes find that, and
// after them there are none; the estimate does not fall to what is sent. Behind a path of
// 700 kbit/s that becomes wide later, nothing rises without proof. Then a layer of 1.5
// Mbit/s is wanted, and a probe must find the room.
func TestApplicationLimited(t *testing.T) {
	for _, jitter := range []time.Duration{0, 10 * ms, 30 * ms} {
		for _, seed := range seeds {
			c := impair.Conditions{Rate: 700_000, Delay: 30 * ms, Jitter: jitter}
			n := newNetwork(seed, c)
			f := n.add("a", 600_000, source{most: 200e3, audio: true, keyFrames: 5 * second})
			n.run(10 * second)
			opened := f.est.State().Counts.Probes
			c.Rate = 3_000_000
			n.link.Set(c)
			n.run(50 * second)
			before, probes := float64(f.est.Estimate()), f.est.State().Counts.Probes-opened
			between(t, "estimate while little is sent", before, 500e3, 850e3)
			if probes != 0 {
				t.Errorf("%d probes, though nothing more was wanted", probes)
			}
			f.source.most = 1_500_000
			n.run(20 * second)
			found := f.reached(60*second, func(s sample) bool { return s.target >= 1_500_000 })
			t.Logf("jitter %v seed %d: %.0f kbit/s held for a minute, 1.5 Mbit/s found after %v", jitter, seed, before/1e3, found)
			within(t, "the layer", found, 3*second)
		}
	}
}

// TestCompetingFlow has 1.5 of 3 Mbit/s taken by somebody else for 20 s.
func TestCompetingFlow(t *testing.T) {
	for _, seed := range seeds {
		n := newNetwork(seed, impair.Conditions{Rate: 3_000_000, Delay: 30 * ms, Queue: 300 * ms})
		f := n.add("a", 600_000, elastic)
		n.run(20 * second)
		n.cross = 1.5e6
		n.run(20 * second)
		n.cross = 0
		n.run(20 * second)
		down := f.reached(20*second, func(s sample) bool { return s.target < 1.5e6 })
		during := f.between(25*second, 40*second, targetOf) / 1.5e6
		back := f.reached(40*second, func(s sample) bool { return s.target > 0.8*3e6 })
		t.Logf("seed %d: under what is left after %v, then %.2f of it, back after %v", seed, down, during, back)
		within(t, "down", down, 2*second)
		within(t, "back", back, 10*second)
		between(t, "of what is left", during, 0.6, 1.15)
	}
}

// TestFairness has two subscribers share a link, one of them late.
func TestFairness(t *testing.T) {
	for _, line := range []int{1_000_000, 3_000_000} {
		for _, seed := range seeds {
			n := newNetwork(seed, impair.Conditions{Rate: line, Delay: 30 * ms})
			a := n.add("a", 400_000, elastic)
			n.run(15 * second)
			b := n.add("b", 400_000, elastic)
			n.run(60 * second)
			x, y := a.between(35*second, 75*second, useOf), b.between(35*second, 75*second, useOf)
			t.Logf("%d kbit/s, seed %d: %.0f and %.0f kbit/s, queue %.0f ms", line/1000, seed, x/1e3, y/1e3, a.between(35*second, 75*second, queueOf))
			between(t, "ratio", x/y, 0.4, 2.5)
			between(t, "sum", (x+y)/float64(line), 0.75, 1.01)
		}
	}
}

// TestSilence stops the way back, or the path: the estimate shrinks step by step, and is
// found again.
func TestSilence(t *testing.T) {
	n := newNetwork(1, impair.Conditions{Rate: 2_000_000, Delay: 30 * ms})
	f := n.add("a", 600_000, elastic)
	n.run(10 * second)
	f.feedbackLoss = 1
	n.run(5 * second)
	low := float64(f.est.Target())
	f.feedbackLoss = 0
	n.run(10 * second)
	back := f.reached(15*second, func(s sample) bool { return s.target > 0.8*2e6 })
	t.Logf("%.0f kbit/s after 5 s without feedback, back after %v", low/1e3, back)
	between(t, "after 5 s", low, 200e3, 900e3)
	within(t, "back", back, 6*second)
}

// TestNothingToSend pauses for a minute: no feedback comes, and none is missed.
func TestNothingToSend(t *testing.T) {
	n := newNetwork(1, impair.Conditions{Rate: 2_000_000, Delay: 30 * ms})
	f := n.add("a", 600_000, elastic)
	n.run(10 * second)
	before := f.est.Estimate()
	f.source = source{}
	n.run(60 * second)
	if after := f.est.Estimate(); after < before*8/10 {
		t.Errorf("%d bit/s after a pause, %d before", after, before)
	}
}

// TestLyingReceiver: reports of its own making give a receiver no more than it would
// drown in: what is sent is bounded by what is wanted and by Max, and a report of loss
// or delay that is not there lowers its own estimate only.
func TestLyingReceiver(t *testing.T) {
	tests := []struct {
		name string
		lie  func(r *receiver)
		most float64
	}{
		{"all came at once", func(r *receiver) {
			for n := range r.arrived {
				r.arrived[n] = r.offset + int64(time.Hour)
			}
		}, 20e6},
		{"nothing was lost", func(r *receiver) {
			for n := r.base; r.began && n <= r.high; n++ {
				if r.arrived[n] == 0 {
					r.arrived[n] = r.offset + int64(time.Hour) + n*1000
				}
			}
		}, 20e6},
		{"time runs backwards", func(r *receiver) {
			for n, at := range r.arrived {
				r.arrived[n] = max(1, 2*(r.offset+int64(time.Hour))-at)
			}
		}, 20e6},
		{"all was lost", func(r *receiver) {
			for n := range r.arrived {
				if n != r.high {
					delete(r.arrived, n)
				}
			}
		}, 2e6},
	}
	for _, tt := range tests {
		n := newNetwork(1, impair.Conditions{Rate: 1_000_000, Delay: 30 * ms})
		f := n.add("a", 600_000, elastic)
		f.lie = tt.lie
		n.run(30 * second)
		t.Logf("%s: %.0f kbit/s, %d probes", tt.name, float64(f.est.Target())/1e3, f.est.State().Counts.Probes)
		between(t, tt.name, float64(f.est.Target()), 30e3, tt.most)
		if sent := float64(f.sentBytes) * 8 / 30; sent > 1.5*5e6 {
			t.Errorf("%s: %.0f bit/s were sent, 5 Mbit/s were wanted", tt.name, sent)
		}
	}
}

func within(t *testing.T, what string, got, most time.Duration) {
	t.Helper()
	if got < 0 || got > most {
		t.Errorf("%s: %v, want %v at most", what, got, most)
	}
}

func between(t *testing.T, what string, got, low, high float64) {
	t.Helper()
	if !(got >= low && got <= high) {
		t.Errorf("%s: %.3f, want %.3f to %.3f", what, got, low, high)
	}
}
