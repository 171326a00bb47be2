package loadtest

import "github.com/conclave-sfu/conclave/e2ee/framecrypt"

// What share of a video was decoded is a share of what was sent while its viewer could have
// had it: of the frames that were sealed in a phase, whenever they came, from the viewer's
// first epoch on. Before that a joiner has no key: senders take up to a second to change to
// the epoch that it was added in.

// tally counts the frames of a track that were sealed, of each layer, lowest first.
type tally [MaxLayers]uint64

// outOfStep is by how many frames one layer may be behind another though it has not stopped.
// Each keeps its own time, and goes on from now where it is late by half a second.
const outOfStep = 15

// since gives how many frames a viewer of a layer could have had since from: those of the
// layer, and of another one as long as this one was not sent.
func (to tally) since(from tally, layer int) uint64 {
	own := beyond(to[layer], from[layer])
	if most := to.most(from); most > own+outOfStep {
		return most
	}
	return own
}

// most gives the frames since from of the layer that has most.
func (to tally) most(from tally) (n uint64) {
	for i := range to {
		n = max(n, beyond(to[i], from[i]))
	}
	return n
}

// later gives what is in one or the other.
func (to tally) later(other tally) tally {
	for i := range to {
		to[i] = max(to[i], other[i])
	}
	return to
}

// beyond is by how much a is more than b.
func beyond(a, b uint64) uint64 { return a - min(a, b) }

// bound is where a phase begins, or what is counted ends. Immutable.
type bound struct {
	phase  int // uncounted after the last one
	sealed map[*track]tally
}

// uncounted is the time before the first phase, and after the last.
const uncounted = -1

// beginning is when a track began to be sealed in an epoch.
type beginning struct {
	epoch  framecrypt.Epoch
	sealed tally // before
}

// account is what of a track its viewer could have had, and what it decoded. It knows no
// clock, and is not safe for concurrent use.
type account struct {
	begun  bool
	at     tally // up to where it is counted
	layer  int   // that was seen last
	seen   bool  // any was
	phase  int
	next   int // of the bounds
	phases map[int]frameCount
}

// frameCount counts the frames of a phase.
type frameCount struct{ sent, decoded uint64 }

// begin has the account count what is sealed after before.
func (a *account) begin(before tally) {
	a.begun, a.at, a.phase, a.phases = true, before, uncounted, make(map[int]frameCount)
}

// decoded counts a frame that a decoder could show, and those missing before it. Sealed is
// the track's tally with the frame.
func (a *account) decoded(t *track, bounds []bound, layer int, sealed tally) {
	a.pass(t, bounds, func(b tally) bool { return b[layer] < sealed[layer] })
	n := sealed.since(a.at, layer)
	if a.seen && layer != a.layer {
		n = beyond(sealed.most(a.at), 1) // the first frame of a layer stands for one of the other
	}
	a.count(max(n, 1), 1)
	a.at, a.layer, a.seen = a.at.later(sealed), layer, true
}

// close counts what has not come in the phases that are over.
func (a *account) close(t *track, bounds []bound) {
	if !a.begun {
		return
	}
	a.pass(t, bounds, func(tally) bool { return true })
}

// pass goes on to later phases as long as they are over.
func (a *account) pass(t *track, bounds []bound, over func(tally) bool) {
	for ; a.next < len(bounds); a.next++ {
		b := bounds[a.next].sealed[t]
		if !over(b) {
			return
		}
		a.count(b.since(a.at, a.layer), 0)
		a.at, a.phase = a.at.later(b), bounds[a.next].phase
	}
}

func (a *account) count(sent, decoded uint64) {
	if a.phase == uncounted {
		return
	}
	c := a.phases[a.phase]
	a.phases[a.phase] = frameCount{c.sent + sent, c.decoded + decoded}
}
