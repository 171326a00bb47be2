// Package layer decides which frames of a scalable video stream go to one receiver.
//
// A stream offers decode targets: sets of frames that can be decoded without the
// others, each for a place in the grid of spatial and temporal layers. A [Selector]
// holds the one that a receiver is sent, and moves to the one that is wanted where that
// does no harm:
//
//	var s layer.Selector
//	...
//	forward, last := s.Take(&frame, targets, want)
//
// Down it goes with the next picture, if the frames of the lower target are all among
// those of the present one. Up, and across, it goes at a frame with a switch indication
// for the new target, all of whose references were sent; a key frame is such a frame.
// So whatever is sent can be decoded. If what is wanted comes with a key frame only,
// [Selector.Blocked] says so.
//
// The package knows no codec: what a frame belongs to is said by its Dependency
// Descriptor, or made up from the layer numbers of a payload descriptor with [Grid].
package layer

// Layer is a place in the grid of spatial and temporal layers.
type Layer struct{ Spatial, Temporal uint8 }

// Highest is the layer above all.
var Highest = Layer{255, 255}

// within says whether l is not above limit in either direction.
func (l Layer) within(limit Layer) bool {
	return l.Spatial <= limit.Spatial && l.Temporal <= limit.Temporal
}

// above says whether l is better than other: more pixels come before more pictures.
func (l Layer) above(other Layer) bool {
	return l.Spatial > other.Spatial || l.Spatial == other.Spatial && l.Temporal > other.Temporal
}

// MaxTargets is how many decode targets a stream may have.
const MaxTargets = 32

// Targets are the decode targets of a stream. They are immutable, and shared by all
// receivers.
type Targets struct {
	layers []Layer
	// under has for each target those whose frames are all frames of it too.
	under []uint32
}

// NewTargets makes the decode targets of the layers, 1 to [MaxTargets]. Patterns has
// the mask of targets that a frame belongs to, for each kind of frame in the stream.
func NewTargets(layers []Layer, patterns []uint32) *Targets {
	t := &Targets{layers: layers, under: make([]uint32, len(layers))}
	for i := range layers {
		for j := range layers {
			subset := i != j
			for _, p := range patterns {
				subset = subset && (p>>j&1 == 0 || p>>i&1 == 1)
			}
			if subset {
				t.under[i] |= 1 << j
			}
		}
	}
	return t
}

// Grid makes the targets of a stream with so many spatial and temporal layers, in each
// of which a frame may refer to all lower ones. Target s*temporal+t is that of layer
// {s, t}.
func Grid(spatial, temporal int) *Targets {
	var layers []Layer
	var patterns []uint32
	for s := range spatial {
		for t := range temporal {
			at := Layer{uint8(s), uint8(t)}
			layers = append(layers, at)
			patterns = append(patterns, GridPresent(spatial, temporal, at))
		}
	}
	return NewTargets(layers, patterns)
}

// GridPresent is the mask of the targets of a grid that a frame of the layer belongs to.
// Layers above the grid count as its highest.
func GridPresent(spatial, temporal int, at Layer) uint32 {
	row := uint32(1<<temporal-1) &^ (1<<min(int(at.Temporal), temporal-1) - 1)
	mask := uint32(0)
	for s := min(int(at.Spatial), spatial-1); s < spatial; s++ {
		mask |= row << (s * temporal)
	}
	return mask
}

// Len is the number of targets.
func (t *Targets) Len() int { return len(t.layers) }

// Layer is the place of a target.
func (t *Targets) Layer(target int) Layer { return t.layers[target] }

// Below is the mask of the targets within a limit.
func (t *Targets) Below(limit Layer) uint32 {
	mask := uint32(0)
	for i, l := range t.layers {
		if l.within(limit) {
			mask |= 1 << i
		}
	}
	return mask
}

// best is the highest target of a mask, none if there is none.
func (t *Targets) best(mask uint32) int {
	found := none
	for i, l := range t.layers {
		if mask>>i&1 == 1 && (found == none || l.above(t.layers[found])) {
			found = i
		}
	}
	return found
}

// lowest is the lowest target of a mask, none if there is none.
func (t *Targets) lowest(mask uint32) int {
	found := none
	for i, l := range t.layers {
		if mask>>i&1 == 1 && (found == none || t.layers[found].above(l)) {
			found = i
		}
	}
	return found
}

// none is no target.
const none = -1
