// Package allocate shares what the path to one receiver takes among its slots: which
// layer each one gets.
//
// Audio takes its part first. Then every slot gets its lowest layer, in the order of
// [Class], priority and size, and the first slot gets it whatever the path is held to
// take: somebody is always seen, unless it is known that audio would suffer. What is left goes to the slots of the highest class,
// one layer each in turn, then to those of the next class.
//
// So that nobody flaps, a slot keeps what it has while it fits, and gets more only when
// that fits with [Margin] to spare: at once if it has lost nothing lately, else when it has
// fitted for [Hold], or longer if a layer was lost soon after it came. What that takes is
// reserved meanwhile. Nobody waits for the lowest layer where twice of all fits. All that has to be remembered is a
// [Memory] that the slot keeps: the package is a function of its arguments.
package allocate

import (
	"cmp"
	"slices"
	"time"
)

const (
	// Margin is how much more than all that is sent must fit before a slot gets more.
	Margin = 1.12
	// Hold is how long it must fit for who has lost something, and HoldMost how long at most if a slot keeps losing
	// what it gets.
	Hold     = time.Second
	HoldMost = 30 * time.Second
	// soon is how long after a slot got more a loss counts as a mistake; what it keeps for
	// longer was none.
	soon = 10 * time.Second
	// forgiven is for how long a slot that has lost something waits before it gets more.
	forgiven = time.Minute
)

// Layer is one way to send a source: an encoding, or one of its spatial and temporal
// parts.
type Layer struct {
	// ID tells it from the source's others, whichever of them are there.
	ID uint8
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
	// MustFit says that the lowest layer has to fit, too, where this is the first slot.
	MustFit bool
	// Memory belongs to the slot. Set it to its zero value when the source changes.
	Memory *Memory
}

// Memory is what is remembered of a slot. The zero value is a slot that has shown nothing
// yet.
type Memory struct {
	started bool
	on      bool
	now     Layer         // that it has, if on
	fits    int64         // since when more fits; 0 if it does not
	raised  int64         // when it got more last
	changed int64         // when it got more or less last
	hold    time.Duration // how long more must fit; 0 for no time
}

// Result says what the slots get. Rates are bits a second.
type Result struct {
	// Layers has an index into Layers for each slot, or [Off].
	Layers []int
	// Used is what they take together with audio.
	Used int64
	// Want is what it would take to give each slot its highest layer.
	Want int64
	// Next is what it would take to give one layer more to the slot whose turn it is; 0 if
	// all have their best.
	Next int64
}

// Allocate shares estimate, in bits a second, of which audio takes its part first. Times
// are nanoseconds of a clock that does not go back. layers is used for the result if it
// is large enough.
func Allocate(now, estimate, audio int64, slots []Slot, layers []int) Result {
	s := sharing{now: now, left: estimate - audio, slots: slots, layers: layers[:0]}
	for range slots {
		s.layers = append(s.layers, Off)
	}
	s.sort()
	s.share()
	s.remember()
	return s.result(audio)
}

// sharing is one allocation under way.
type sharing struct {
	now    int64
	left   int64 // bits a second that nobody has
	out    int64 // that are shared out, or reserved
	slots  []Slot
	order  []int // indices of the slots that send something, the first to be served first
	layers []int
	// starved says that somebody has nothing though all others have the lowest at most:
	// nobody gets more than that anew.
	starved bool
	// fits has the layer of each slot that would fit with room to spare, if that is above
	// what it gets.
	fits []int
}

// sort finds out who is to be served, and in which order.
func (s *sharing) sort() {
	s.order = make([]int, 0, len(s.slots))
	for i := range s.slots {
		if slot := &s.slots[i]; len(slot.Layers) > 0 {
			s.order = append(s.order, i)
			slot.Memory.forgive(s.now)
		}
	}
	slices.SortStableFunc(s.order, func(i, j int) int {
		a, b := &s.slots[i], &s.slots[j]
		return cmp.Or(cmp.Compare(b.Class, a.Class), cmp.Compare(b.Priority, a.Priority), cmp.Compare(b.Pixels, a.Pixels))
	})
}

// share gives everybody the lowest layer, then raises class by class.
func (s *sharing) share() {
	s.fits = slices.Repeat([]int{Off}, len(s.slots))
	for n, i := range s.order {
		if n == 0 && !s.slots[i].MustFit {
			s.layers[i], s.fits[i] = 0, 0
			s.take(s.slots[i].Layers[0].Rate)
			continue
		}
		s.starved = !s.raise(i) || s.starved
	}
	for class := Screen + 1; class > 0; class-- {
		for s.round(class - 1) {
		}
	}
}

// round raises each slot of a class by a layer. It is false if none could be.
func (s *sharing) round(class Class) (raised bool) {
	for _, i := range s.order {
		if s.slots[i].Class == class && s.raise(i) {
			raised = true
		}
	}
	return raised
}

// raise gives a slot one layer more, or reserves it, if it may have it.
func (s *sharing) raise(i int) bool {
	slot := &s.slots[i]
	next := s.fits[i] + 1
	if next >= len(slot.Layers) {
		return false
	}
	cost := slot.Layers[next].Rate
	if next > 0 {
		cost -= slot.Layers[next-1].Rate
	}
	kept := slot.kept()
	if s.left < cost || next > kept && (next > 0 && s.starved || !s.spare(cost)) {
		return false
	}
	s.take(cost)
	s.fits[i] = next
	if next <= kept || slot.Memory.ripe(s.now) || next == 0 && s.left >= s.out {
		s.layers[i] = next
	}
	return true
}

// take shares out, or reserves.
func (s *sharing) take(cost int64) { s.left, s.out = s.left-cost, s.out+cost }

// spare says whether cost fits with the margin: of all that is shared out, this included.
func (s *sharing) spare(cost int64) bool {
	return float64(s.left-cost) >= (Margin-1)*float64(s.out+cost)
}

// kept is the index of the layer that the slot has, or what comes nearest below if that
// one is gone; Off for none.
func (s *Slot) kept() int {
	if !s.Memory.on {
		return Off
	}
	kept := Off
	for i, l := range s.Layers {
		if l.ID == s.Memory.now.ID {
			return i
		}
		if l.Rate <= s.Memory.now.Rate {
			kept = i
		}
	}
	return kept
}

// ripe says whether more has fitted for long enough. A slot that has shown nothing yet
// does not wait.
func (m *Memory) ripe(now int64) bool {
	return !m.started || m.hold == 0 || m.fits != 0 && now-m.fits >= int64(m.hold)
}

// forgive ends the waits of a slot that has lost nothing for long enough.
func (m *Memory) forgive(now int64) {
	if now-m.changed > int64(forgiven) {
		m.hold = 0
	}
}

// remember notes what the slots got.
func (s *sharing) remember() {
	for _, i := range s.order {
		slot, layer := &s.slots[i], s.layers[i]
		slot.Memory.note(s.now, slot.kept(), layer, s.fits[i] > layer)
		slot.Memory.on, slot.Memory.started = layer != Off, true
		if layer != Off {
			slot.Memory.now = slot.Layers[layer]
		}
	}
}

// note follows a slot that had one layer and gets another; more says that even more fits.
func (m *Memory) note(now int64, had, gets int, more bool) {
	switch {
	case gets > had:
		m.raised = now
	case gets < had && now-m.raised < int64(soon):
		m.hold = min(max(2*m.hold, 2*Hold), HoldMost)
	case gets < had:
		m.hold = max(m.hold, Hold)
	}
	if gets != had {
		m.changed = now
	}
	if gets != had || !more {
		m.fits = 0
	}
	if more && m.fits == 0 {
		m.fits = now
	}
}

func (s *sharing) result(audio int64) Result {
	r := Result{Layers: s.layers, Used: audio, Want: audio}
	for _, i := range s.order {
		slot := &s.slots[i]
		r.Want += slot.Layers[len(slot.Layers)-1].Rate
		if s.layers[i] != Off {
			r.Used += slot.Layers[s.layers[i]].Rate
		}
	}
	r.Next = s.next(r.Used)
	return r
}

// next is what one layer more takes, for the first slot that is below its best: one that
// is off comes first.
func (s *sharing) next(used int64) int64 {
	next := int64(0)
	for _, i := range s.order {
		layer, all := s.layers[i], s.slots[i].Layers
		switch {
		case layer == Off:
			return used + all[0].Rate
		case layer+1 < len(all) && next == 0:
			next = used + all[layer+1].Rate - all[layer].Rate
		}
	}
	return next
}
