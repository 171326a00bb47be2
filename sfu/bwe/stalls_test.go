package bwe

import (
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// TestStalls has an empty path of 100 Mbit/s between two machines that have too much to do:
// their threads stand still for 5 to 50 ms, some times a second. What is delayed so is not
// the path's: the estimate stays above what is in use.
func TestStalls(t *testing.T) {
	for _, tt := range []struct {
		name  string
		found time.Duration // until the estimate is above what is wanted, at most
		stall func(f *flow, seed uint64)
	}{
		{"receiver", second, func(f *flow, seed uint64) { f.receiving = newStalls(seed, 5*ms, 50*ms, 150*ms) }},
		{"receiver, most of the time", second, func(f *flow, seed uint64) { f.receiving = newStalls(seed, 5*ms, 50*ms, 30*ms) }},
		{"sender", second, func(f *flow, seed uint64) { f.sending = newStalls(seed, 5*ms, 50*ms, 150*ms) }},
		{"kernel of the sender", second, func(f *flow, seed uint64) { f.writing = newStalls(seed, 5*ms, 50*ms, 150*ms) }},
		{"feedback in bursts", second, func(f *flow, seed uint64) { f.reading = newStalls(seed, 50*ms, 400*ms, 100*ms) }},
		{"everything", 3 * second, func(f *flow, seed uint64) {
			f.receiving, f.sending = newStalls(seed, 5*ms, 50*ms, 100*ms), newStalls(seed+1, 5*ms, 50*ms, 100*ms)
			f.writing, f.reading = newStalls(seed+2, 5*ms, 50*ms, 100*ms), newStalls(seed+3, 5*ms, 100*ms, 100*ms)
		}},
	} {
		for _, use := range []source{
			{most: 200e3, audio: true, keyFrames: 5 * second},
			{most: 1.5e6, audio: true, keyFrames: 5 * second},
			{most: 6e6, audio: true, keyFrames: 5 * second},
		} {
			for _, seed := range seeds {
				n := newNetwork(seed, impair.Conditions{Rate: 100_000_000, Delay: 5 * ms})
				f := n.add("a", 600_000, use)
				f.feedbackDelay = 5 * ms
				tt.stall(f, seed)
				n.run(60 * second)
				found := f.reached(0, func(s sample) bool { return s.target >= use.most })
				lowest, at := float64(20e6), time.Duration(0)
				for _, s := range f.series {
					if s.at > tt.found && s.target < lowest {
						lowest, at = s.target, s.at
					}
				}
				counts := f.est.State().Counts
				t.Logf("%-28s %4.1f Mbit/s, seed %d: found after %v, then %.2f Mbit/s at least (at %v); %+v", tt.name, use.most/1e6, seed, found, lowest/1e6, at, counts)
				within(t, tt.name+": found", found, tt.found)
				if lowest < use.most {
					t.Errorf("%s, seed %d: the estimate fell to %.0f where %.0f are in use", tt.name, seed, lowest, use.most)
				}
			}
		}
	}
}
