package bwe

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

var matrixSeeds = flag.Uint64("seeds", 1, "of each path of TestMatrix")

// Sources beside those of the scenarios: one camera of which no more than 1.5 Mbit/s is wanted, and many
// that come to 4.5, each of them shown a little better or worse.
var (
	camera = source{most: 1.5e6, steps: []float64{150e3, 500e3, 1.5e6}, audio: true, keyFrames: 5 * second}
	tiles  = source{most: 4.5e6, steps: []float64{150e3, 300e3, 450e3, 800e3, 1150e3, 1.5e6, 2.5e6, 3.5e6, 4.5e6}, audio: true}
)

// matrixPaths are all kinds of paths; those without a delay have one of 20 ms.
var matrixPaths = []struct {
	name string
	c    impair.Conditions
}{
	{"clean", impair.Conditions{}},
	{"jitter 10 ms", impair.Conditions{Jitter: 10 * ms}},
	{"jitter 40 ms", impair.Conditions{Jitter: 40 * ms}},
	{"the same, 10 % overtake", impair.Conditions{Jitter: 40 * ms, Reorder: .1}},
	{"10 % overtake by 30 ms", impair.Conditions{Reorder: .1, Delay: 60 * ms}},
	{"5 % lost, runs of 4", impair.Conditions{Loss: .05, Burst: 4}},
	{"10 % lost, runs of 10", impair.Conditions{Loss: .1, Burst: 10}},
	{"5 % lost", impair.Conditions{Loss: .05}},
	{"10 % lost", impair.Conditions{Loss: .1}},
	{"20 % lost", impair.Conditions{Loss: .2}},
	{"delay 50 ms", impair.Conditions{Delay: 50 * ms}},
	{"delay 150 ms", impair.Conditions{Delay: 150 * ms}},
	{"delay 300 ms", impair.Conditions{Delay: 300 * ms}},
	{"all, less of each", impair.Conditions{Loss: .03, Burst: 3, Delay: 40 * ms, Jitter: 20 * ms, Reorder: .03, Duplicate: .03}},
}

// cell is what a path of the matrix came to, after the first 10 of 40 s.
type cell struct {
	use, estimate float64 // mean share of the line
	queue, late   float64 // ms: the mean, and what it is not above for 95 % of the time
	cuts          float64
}

func (c cell) String() string {
	return fmt.Sprintf("%.2f %.2f %3.0f %3.0f %4.1f", c.use, c.estimate, c.queue, c.late, c.cuts)
}

// measure runs a source over a path.
func measure(seed uint64, c impair.Conditions, s source) cell {
	n := newNetwork(seed, c)
	f := n.add("a", 400_000, s)
	f.feedbackDelay = c.Delay
	n.run(40 * second)
	var queue []float64
	for _, s := range f.series {
		if s.at >= 10*second {
			queue = append(queue, queueOf(s))
		}
	}
	slices.Sort(queue)
	counts := f.est.State().Counts
	return cell{
		use:      f.between(10*second, 40*second, useOf) / float64(c.Rate),
		estimate: f.between(10*second, 40*second, targetOf) / float64(c.Rate),
		queue:    mean(queue), late: queue[len(queue)*95/100],
		cuts: float64(counts.DelayCuts + counts.LossCuts),
	}
}

// TestMatrix takes one who wants little, one who wants much in steps, and one who takes all there is,
// over all kinds of paths and lines: whoever wants little is known to get it, a line is used, and its
// queue stays short. -v prints the table, -seeds says over how many runs.
func TestMatrix(t *testing.T) {
	for _, who := range []struct {
		name   string
		source source
		least  float64 // of the estimate, as a share of the line, or of what is wanted
		queue  float64 // ms
	}{{"camera, 1.5 Mbit/s", camera, 0.7, 35}, {"tiles, 4.5 Mbit/s", tiles, 0.7, 40}, {"elastic, 5 Mbit/s", elastic, 0.8, 70}} {
		lines := []int{300_000, 1_000_000, 3_000_000, 10_000_000}
		t.Logf("%-24s | use, estimate, queue, late, cuts over %v", who.name, lines)
		for _, path := range matrixPaths {
			row := fmt.Sprintf("%-24s", path.name)
			for _, line := range lines {
				var sum cell
				for seed := uint64(1); seed <= *matrixSeeds; seed++ {
					c := path.c
					c.Rate, c.Delay = line, max(c.Delay, 20*ms)
					m, k := measure(seed, c, who.source), float64(*matrixSeeds)
					sum = cell{sum.use + m.use/k, sum.estimate + m.estimate/k, sum.queue + m.queue/k, sum.late + m.late/k, sum.cuts + m.cuts/k}
				}
				row += " | " + sum.String()
				what := fmt.Sprintf("%s, %s, %d kbit/s", who.name, path.name, line/1000)
				between(t, what+": estimate", sum.estimate, min(who.least, 1.1*who.source.most/float64(line)), 1.4)
				between(t, what+": queue", sum.queue, 0, who.queue)
			}
			t.Log(row)
		}
	}
}
