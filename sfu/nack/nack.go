// Package nack finds out which packets of a received stream are missing, and when to
// ask for them again (RFC 4585, Section 6.2.1).
//
//	g.Received(number, now)            // for each packet, also repaired ones
//	ask = g.Due(ask[:0], now)          // now and then
//
// A gap is asked for as soon as Due is called after it was seen, then once a round trip,
// no more than [MaxAsks] times and not after two seconds. The round trip is that of what
// comes when it was asked for once.
//
// Where most of what is asked for does not come, the path is full, and more
// retransmissions would keep it so: less is asked for at a time, the newest first, and
// each packet after twice the time again: its answer may wait in the queue.
//
// The package knows no socket, clock or lock. Times are nanoseconds.
package nack

import (
	"math"
	"slices"
	"time"
)

// Limits.
const (
	// MaxMissing is how many packets are asked for at a time. What is missing beyond
	// that is too much to be repaired: a key frame does it.
	MaxMissing = 256
	// MaxAsks is how often one packet is asked for.
	MaxAsks = 10
	// maxGap is the largest step that is a loss; a larger one is another beginning.
	maxGap = 1000

	firstRoundTrip = 100 * time.Millisecond // until one is known
	minInterval    = 20 * time.Millisecond
	maxInterval    = 500 * time.Millisecond
	// maxAge is how long a packet is of use.
	maxAge = 2 * time.Second

	// What is asked for and open is bounded by a window, which each answer widens by
	// widens, and what does not come narrows by its narrows-th part: where a fifth is lost at
	// random each way 57 may be open, where two fifths are 18, where nearly all is lost
	// minWindow. Up to thinWindow there is only room for what a picture needs. All that fails
	// at once narrows by no more than the narrowsAtOnce-th part: one request that was lost is
	// no full path, however many packets it named.
	minWindow     = 2
	thinWindow    = 16
	firstWindow   = 64
	widens        = 4
	narrows       = 8
	narrowsAtOnce = 6
)

// Generator is the state of one stream. The zero value is ready.
type Generator struct {
	high      int64
	begun     bool
	roundTrip int64 // smoothed; 0 if not known
	missing   []lost
	window    int // how many may be asked for and open; 0 before the first
	key       int64
	gaveUp    bool // something was, since GaveUp was called
}

type lost struct {
	number int64
	seen   int64 // when it was found missing
	asked  int64 // when last
	asks   int
	failed int // of these, known to have brought nothing
}

// Received notes a packet, by its extended sequence number (RFC 3550, Appendix A.1).
func (g *Generator) Received(number, now int64) {
	switch ahead := number - g.high; {
	case !g.begun || ahead > maxGap || ahead < -maxGap:
		g.begun, g.high, g.missing, g.key = true, number, g.missing[:0], math.MinInt64
	case ahead > 0:
		g.skip(g.high+1, number, now)
		g.high = number
	default:
		g.found(number, now)
	}
}

// skip adds what lies from first to before next.
func (g *Generator) skip(first, next, now int64) {
	for n := max(first, next-MaxMissing); n < next; n++ {
		if len(g.missing) == MaxMissing {
			g.drop(0)
		}
		g.missing = append(g.missing, lost{number: n, seen: now})
	}
}

// found takes a packet off the list that came after all.
func (g *Generator) found(number, now int64) {
	for i := range g.missing {
		if l := &g.missing[i]; l.number == number {
			if l.asks == 1 {
				g.measure(now - l.asked)
			}
			if l.asks > 0 {
				g.widen(widens)
			}
			g.drop(i)
			return
		}
	}
}

func (g *Generator) drop(i int) { g.missing = append(g.missing[:i], g.missing[i+1:]...) }

// measure takes a round trip into the average.
func (g *Generator) measure(d int64) {
	if g.roundTrip == 0 {
		g.roundTrip = d
	}
	g.roundTrip += (d - g.roundTrip) / 4
}

// interval is the time between two requests for one packet: somewhat more than a round
// trip.
func (g *Generator) interval() int64 {
	if g.roundTrip == 0 {
		return int64(firstRoundTrip)
	}
	return min(max(g.roundTrip*5/4, int64(minInterval)), int64(maxInterval))
}

// patience is how long an answer to the latest request for a packet may take.
func (g *Generator) patience(l *lost) int64 {
	interval := g.interval()
	if g.window <= thinWindow && l.asks > 1 {
		return min(interval<<min(l.asks-1, 8), int64(maxInterval))
	}
	return interval
}

// Forget gives up what was found missing before a time: nobody is shown the stream.
func (g *Generator) Forget(before int64) {
	g.missing = slices.DeleteFunc(g.missing, func(l lost) bool { return l.seen < before })
}

// Waiting says whether anything is missing.
func (g *Generator) Waiting() bool { return len(g.missing) > 0 }

// GaveUp says whether something was given up since it was called last that no key frame has
// made up for: whoever decodes the stream needs one.
func (g *Generator) GaveUp() bool {
	gaveUp := g.gaveUp
	g.gaveUp = false
	return gaveUp
}

// KeyFrame notes that a key frame begins with a packet that was received: where there is
// little room, what was missing before is not asked for any more.
func (g *Generator) KeyFrame(number int64) { g.key = max(g.key, number) }

// useless says whether what is missing would come too late, or before a key frame for which
// there is hardly room.
func (g *Generator) useless(l lost, now int64) bool {
	return now-l.seen >= int64(maxAge) || l.number < g.key && g.window <= thinWindow
}

// widen makes the window larger, or gives it its first size.
func (g *Generator) widen(by int) {
	if g.window == 0 {
		g.window = firstWindow
	}
	g.window = min(g.window+by, MaxMissing)
}

// Due appends the sequence numbers that are to be asked for now, in order.
func (g *Generator) Due(ask []uint16, now int64) []uint16 {
	g.expire(now)
	room := g.window
	for i := range g.missing {
		if g.open(&g.missing[i], now) {
			room--
		}
	}
	first := len(g.missing) // of the newest that there is room for
	for n := 0; first > 0 && n < room; first-- {
		if !g.open(&g.missing[first-1], now) {
			n++
		}
	}
	for i := first; i < len(g.missing); i++ {
		l := &g.missing[i]
		if g.open(l, now) {
			continue
		}
		l.asks++
		l.asked = now
		ask = append(ask, uint16(l.number))
	}
	return ask
}

// open says whether an answer may still come.
func (g *Generator) open(l *lost, now int64) bool { return l.asks > 0 && now-l.asked < g.patience(l) }

// expire narrows the window by what has not come, and gives up what is of no use any more.
func (g *Generator) expire(now int64) {
	g.widen(0)
	least := g.window - g.window/narrowsAtOnce
	kept := g.missing[:0]
	for _, l := range g.missing {
		if l.asks > l.failed && !g.open(&l, now) {
			l.failed = l.asks
			g.narrow(least)
		}
		if l.failed == MaxAsks || g.useless(l, now) {
			g.gaveUp = g.gaveUp || l.number > g.key
			continue
		}
		kept = append(kept, l)
	}
	g.missing = kept
}

// narrow makes the window smaller by what has not come, but not smaller than least.
func (g *Generator) narrow(least int) {
	g.window = max(g.window-max(g.window/narrows, 1), least, minWindow)
}
