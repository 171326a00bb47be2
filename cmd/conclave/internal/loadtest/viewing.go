package loadtest

import "time"

// A picture is frozen when the next frame takes longer than usual: more than three
// times the average of the frames before, and 150 ms more than it (webrtc-stats,
// freezeCount).
const (
	freezeFactor = 3
	freezeMore   = 150 * time.Millisecond
	freezeWindow = 30 // frames that the average is of
	freezeLeast  = 5  // frames before there is an average
	// smoothRun is how many frames in a row without a freeze make a picture that has
	// recovered.
	smoothRun = 10
)

func freezeAfter(average time.Duration) time.Duration {
	return max(freezeFactor*average, average+freezeMore)
}

// viewing is one subscription to a video as its viewer sees it, in phases: the times
// under each of the conditions. It knows no clock, and is not safe for concurrent use.
type viewing struct {
	nominal time.Duration // of a frame
	phases  []viewed
	account account

	last      time.Time // of the last frame; zero before the first
	lastPhase int
	durations [freezeWindow]time.Duration
	shown     int           // frames that have a duration
	sum       time.Duration // of the last freezeWindow

	run     int // frames in a row without a freeze
	runFrom time.Time
}

// viewed is what was seen in a phase: of what came in it, whenever that was sealed.
type viewed struct {
	began  time.Time
	frames uint64
	bytes  uint64
	layers [3]uint64 // frames of each layer, lowest first
	// Freezes that began in the phase.
	freezes         uint64
	frozen, longest time.Duration
	// recovered is from the beginning of the phase to the first of smoothRun frames
	// without a freeze, sharp to the first frame of the best layer; negative: never.
	recovered, sharp time.Duration
}

// phase gives the phase of an index, which began at a time; phases come in order.
func (v *viewing) phase(index int, began time.Time) *viewed {
	for len(v.phases) <= index {
		v.phases = append(v.phases, viewed{began: began, recovered: -1, sharp: -1})
		v.run = 0
	}
	return &v.phases[index]
}

// frame takes the time of a frame that a decoder could show, in the phase of an index.
func (v *viewing) frame(at time.Time, index int, began time.Time, layer, top, size int) {
	p := v.phase(index, began)
	p.frames++
	p.bytes += uint64(size)
	p.layers[layer]++
	if layer == top && p.sharp < 0 {
		p.sharp = at.Sub(began)
	}
	took := at.Sub(v.last)
	if v.last.IsZero() {
		took = 0
	} else {
		v.freeze(took)
		v.push(took)
	}
	v.last, v.lastPhase = at, index
	v.follow(p, at, took)
}

// freeze counts a freeze if it took so long to the next frame.
func (v *viewing) freeze(took time.Duration) {
	if v.shown < freezeLeast || took <= freezeAfter(v.average()) {
		return
	}
	p := &v.phases[v.lastPhase]
	p.freezes++
	p.frozen += took
	p.longest = max(p.longest, took)
}

func (v *viewing) average() time.Duration {
	return v.sum / time.Duration(min(v.shown, freezeWindow))
}

func (v *viewing) push(took time.Duration) {
	slot := &v.durations[v.shown%freezeWindow]
	v.sum += took - *slot
	*slot = took
	v.shown++
}

// follow looks for the run of frames with which a picture has recovered.
func (v *viewing) follow(p *viewed, at time.Time, took time.Duration) {
	if v.run == 0 || took > freezeAfter(v.nominal) {
		v.run, v.runFrom = 0, at
	}
	v.run++
	if v.run >= smoothRun && p.recovered < 0 {
		p.recovered = max(0, v.runFrom.Sub(p.began))
	}
}

// isSmooth says whether the last frames came without a freeze, all in the phase of an index.
func (v *viewing) isSmooth(index int) bool { return v.lastPhase == index && v.run >= smoothRun }

// end closes the last phase: a picture that stands still then is frozen.
func (v *viewing) end(now time.Time, index int, began time.Time) {
	v.phase(index, began)
	if !v.last.IsZero() {
		v.freeze(now.Sub(v.last))
	}
}
