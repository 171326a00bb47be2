// Package allocate shares what the path to one receiver takes among its slots: which
// layer each one gets. It is a function of its arguments; what has to be remembered, so
// that nobody flaps, is a [Memory] that the slot keeps.
package allocate

// Layer is one way to send a source: an encoding, or one of its spatial and temporal
// parts. Higher layers cost more and show more.
type Layer struct {
	// Rate is what it takes in bits a second, all lower layers that it needs included.
	Rate int64
}

// Class orders the slots: the higher is served first.
type Class uint8

// The classes.
const (
	Tile Class = iota
	Speaker
	Screen
)

// Off is the layer of a slot that gets nothing.
const Off = -1

// Slot is one video that is to be shown.
type Slot struct {
	Class Class
	// Priority is the receiver's own order within a class: the higher first.
	Priority int
	// Pixels is the area at which it is shown.
	Pixels int
	// Layers are those that help at this size, the lowest rate first. None: the source
	// sends nothing.
	Layers []Layer
	// Memory belongs to the slot. Set it to its zero value when the source changes.
	Memory *Memory
}

// Memory is what the allocator remembers of a slot. The zero value is a slot that has
// shown nothing yet.
type Memory struct {
	layer int // + 1; 0 for off
}

// Result says what the slots get.
type Result struct {
	// Layers has an index into Layers for each slot, or [Off].
	Layers []int
	// Used is what they take together with audio, in bits a second.
	Used int64
	// Want is what it would take to give each slot its highest layer.
	Want int64
	// Next is what it would take to give one more step to the slot whose turn it is; 0 if
	// all have their best.
	Next int64
}

// Allocate shares estimate, in bits a second, of which audio takes its part first. layers
// is used for the result if it is large enough.
func Allocate(now, estimate, audio int64, slots []Slot, layers []int) Result {
	return Result{Layers: layers[:0]}
}
