package bwe

import (
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// TestPathBecomesLonger: the delay jumps, and nothing else changes. It looks like a queue
// until it has stayed the same for a while; then the estimate is back, and so are probes.
func TestPathBecomesLonger(t *testing.T) {
	sole := source{most: 2e6, steps: []float64{1.5e6}, audio: true, keyFrames: 5 * second}
	for _, tt := range []struct {
		name   string
		source source
		c      impair.Conditions
		jump   time.Duration // one way
		most   time.Duration // until the estimate is above what is sent at best
	}{
		{"one encoding", sole, impair.Conditions{Rate: 3_000_000}, 280 * ms, 5 * second},
		{"one encoding, wide", sole, impair.Conditions{Rate: 100_000_000}, 280 * ms, 5 * second},
		{"one encoding, jitter", sole, impair.Conditions{Rate: 3_000_000, Jitter: 20 * ms}, 280 * ms, 6 * second},
		{"one encoding, loss", sole, impair.Conditions{Rate: 3_000_000, Loss: .02}, 280 * ms, 8 * second},
		{"layers", layered, impair.Conditions{Rate: 3_000_000}, 280 * ms, 6 * second},
		{"layers, less", layered, impair.Conditions{Rate: 3_000_000}, 100 * ms, 6 * second},
		{"layers, little", layered, impair.Conditions{Rate: 3_000_000}, 40 * ms, 8 * second},
		{"elastic", elastic, impair.Conditions{Rate: 3_000_000}, 280 * ms, 6 * second},
	} {
		for _, seed := range seeds {
			c := tt.c
			c.Delay = 20 * ms
			n := newNetwork(seed, c)
			f := n.add("a", 600_000, tt.source)
			n.run(20 * second)
			c.Delay += tt.jump
			n.link.Set(c)
			f.feedbackDelay += tt.jump
			n.run(30 * second)
			wanted := min(tt.source.most, 0.8*3e6)
			fell := f.reached(20*second, func(s sample) bool { return s.target < wanted })
			back := f.reached(20*second+max(fell, 0), func(s sample) bool { return s.target >= wanted })
			t.Logf("%s, seed %d: less after %v, back %v later; queue %.0f ms, %+v",
				tt.name, seed, fell, back, f.between(30*second, 50*second, queueOf), f.est.State().Counts)
			within(t, tt.name, back, tt.most)
			between(t, tt.name+": queue", f.between(30*second, 50*second, queueOf), 0, 60)
		}
	}
}

// TestQueueIsNotThePath: what others put into a queue, or a path that has become thin, is
// never taken for a longer path by a sender that sends what it may.
func TestQueueIsNotThePath(t *testing.T) {
	for _, rate := range []int{3_000_000, 300_000} {
		for _, s := range []source{elastic, layered, {most: 250e3, audio: true}} {
			for _, c := range []impair.Conditions{
				{}, {Jitter: 30 * ms}, {Queue: second}, {Loss: .05}, {Queue: 50 * ms},
				{Jitter: 15 * ms, Loss: .03, Burst: 3, Delay: 80 * ms},
			} {
				for _, seed := range seeds {
					c.Rate, c.Delay = rate, max(c.Delay, 25*ms)
					n := newNetwork(seed, c)
					f := n.add("a", 600_000, s)
					f.feedbackDelay = c.Delay
					n.run(15 * second)
					n.cross = float64(rate) / 2
					n.run(15 * second)
					n.cross = 0
					c.Rate = 300_000
					n.link.Set(c)
					n.run(15 * second)
					if counts := f.est.State().Counts; counts.Longer > 0 {
						t.Errorf("%+v, at most %.0f of %v, seed %d: %+v", c, s.most, s.steps, seed, counts)
					}
				}
			}
		}
	}
}
