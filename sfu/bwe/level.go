package bwe

import "time"

const (
	// levelSpan is a stretch of which the lowest delay counts, of levelGroups groups at least.
	levelSpan   = 250 * time.Millisecond
	levelGroups = 4
	// levelSpans of them that are alike make a level if it is deep: 1.5 s. A queue stands still
	// for so long only if what comes in is what goes out to a part in 200, of frames that all
	// differ. A short queue is what the estimate itself strives for: there it takes levelLong.
	levelSpans = 6
	levelLong  = 20
	// levelBand is by how many ms they may differ, beside half of the jitter.
	levelBand = 4.0
	// levelLoss is how many times the usual share may be lost meanwhile: a queue that is full
	// for good stands still too, but loses.
	levelLoss = 1.5
	// usualWindows of the loss model, at least, tell what is usual.
	usualWindows = 3
	// levelUsual is the most that counts as usual: more is a queue that overflows, maybe.
	levelUsual = 0.03
)

// level watches whether the delay stays the same, while nothing is lost. A queue drains or
// grows: a delay that does neither is the path's own, which has become longer. The zero
// value is ready.
type level struct {
	began         int64   // of the stretch that is open, by the receiver's clock
	groups        int     // in it
	low           float64 // lowest delay in it, in ms
	before        float64 // that of the stretch before
	rising        bool    // the latest stretch was above the one before it
	least, most   float64 // of the lowest delays of the stretches before
	spans         int     // of them that are alike
	packets, lost int     // since the first of them
	usual         float64 // share that was lost while there was no queue
}

// count takes one packet that was reported.
func (l *level) count(a *Acked) {
	switch {
	case a.Recovered:
		l.lost = max(0, l.lost-1)
		return
	case !a.Received:
		l.lost++
	}
	l.packets++
}

// add takes the delay of one more group, in ms, and how much it varies.
func (l *level) add(at int64, delay, noise float64) {
	if l.groups == 0 {
		l.began, l.low = at, delay
	}
	l.groups++
	l.low = min(l.low, delay)
	if l.groups < levelGroups || at-l.began < int64(levelSpan) {
		return
	}
	l.groups = 0
	l.rising, l.before = l.low > l.before+levelBand+noise/2, l.low
	least, most := min(l.least, l.low), max(l.most, l.low)
	if l.spans == 0 || most-least > levelBand+noise/2 {
		l.spans, l.packets, l.lost = 0, 0, 0
		least, most = l.low, l.low
	}
	l.least, l.most = least, most
	l.spans++
}

// still says whether the delay has stayed the same for so many stretches, and nothing was
// lost.
func (l *level) still(spans int) bool {
	return l.spans >= spans && float64(l.lost) <= levelLoss*l.usual*float64(l.packets)
}

// restart begins anew.
func (l *level) restart() { *l = level{usual: l.usual, before: l.before} }
