package speaker

import "time"

// How the floor changes hands.
const (
	// challenge is how long another voice must lead before it gets the floor: longer
	// than a cough or a yes.
	challenge = 800 * time.Millisecond
	// opening is the same where the holder is silent.
	opening = 400 * time.Millisecond
	// tenure is how long whoever got the floor keeps it at least, if heard.
	tenure = 2 * time.Second
	// lead is how much louder than the holder a challenger must be, in dB.
	lead Loudness = 3
)

// Floor says who the dominant speaker is. The zero value has none. Whoever spoke last
// keeps the floor in silence.
type Floor[K comparable] struct {
	held       bool
	holder     K
	since      int64
	challenged bool
	challenger K
	from       int64
}

// Holder is the dominant speaker. It is false if there is none.
func (f *Floor[K]) Holder() (K, bool) { return f.holder, f.held }

// Observe takes the voices at a time, in nanoseconds, and says whether the holder has
// changed. A holder who is no longer among the voices loses the floor.
func (f *Floor[K]) Observe(now int64, voices []Voice[K]) (changed bool) {
	holding := Loudness(0)
	present := false
	var loudest Voice[K]
	for _, v := range voices {
		if f.held && v.Key == f.holder {
			present, holding = true, v.Loudness
		} else if v.Loudness > loudest.Loudness {
			loudest = v
		}
	}
	if f.held && !present {
		*f = Floor[K]{}
		changed = true
	}
	if loudest.Loudness < audible || f.held && loudest.Loudness < holding+lead {
		f.challenged = false
		return changed
	}
	if !f.challenged || f.challenger != loudest.Key {
		f.challenged, f.challenger, f.from = true, loudest.Key, now
	}
	if !f.mayTake(now, holding) {
		return changed
	}
	*f = Floor[K]{held: true, holder: loudest.Key, since: now}
	return true
}

// mayTake says whether the challenger has waited long enough.
func (f *Floor[K]) mayTake(now int64, holding Loudness) bool {
	waited := time.Duration(now - f.from)
	if !f.held || holding < audible {
		return waited >= opening
	}
	return waited >= challenge && time.Duration(now-f.since) >= tenure
}
