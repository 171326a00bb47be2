package bwe

import "time"

const (
	// groupSpan is how long the sending of a group of packets takes at most: what is sent
	// within it queues behind each other in any case, and says nothing of the path
	// (draft-ietf-rmcat-gcc-02, Section 5.2).
	groupSpan = 5 * time.Millisecond
	// burstSpan is how long a group may become by packets that come together though they
	// were sent apart: the path had stood still.
	burstSpan = 100 * time.Millisecond
	// resetGap between sending and arrival is no queue but a clock that was set.
	resetGap = 3 * time.Second
)

// group is some packets that were sent together.
type group struct {
	first, last int64 // sent
	begin, end  int64 // arrived
	size        int   // bytes
}

// grouper makes groups of packets. The zero value is ready.
type grouper struct {
	open   group
	before group // the last complete one; of size 0 for none
}

// step is what changes from one group to the next.
type step struct {
	sent, arrived time.Duration // between the ends of both groups
	at            int64         // arrival of the second
	size          int           // of the second
}

// add takes a received packet, in the order of sending. It gives the step to the group
// before the one that this packet begins, if it begins one.
func (g *grouper) add(a *Acked) (s step, ok bool) {
	switch {
	case g.open.size == 0:
		g.begin(a)
		return step{}, false
	case a.At < g.open.first:
		return step{}, false // late feedback
	case a.At-g.open.first <= int64(groupSpan) || g.follows(a):
		g.open.last, g.open.end = max(g.open.last, a.At), max(g.open.end, a.Arrival)
		g.open.size += a.Size + a.Skipped
		return step{}, false
	case g.overtook(a):
		g.order(a)
		return step{}, false
	}
	s, ok = g.complete()
	g.begin(a)
	return s, ok
}

func (g *grouper) begin(a *Acked) {
	g.open = group{first: a.At, last: a.At, begin: a.Arrival, end: a.Arrival, size: a.Size + a.Skipped}
}

// complete gives the step from the group before to the open one.
func (g *grouper) complete() (s step, ok bool) {
	before, now := g.before, g.open
	g.before = now
	s = step{time.Duration(now.last - before.last), time.Duration(now.end - before.end), now.end, now.size}
	ok = before.size > 0 && s.arrived >= 0 && s.arrived-s.sent < resetGap && s.sent-s.arrived < resetGap
	return s, ok
}

// overtook says whether a packet came before one that was sent before it. A queue keeps order: one of
// the two went another way, or was held up.
func (g *grouper) overtook(a *Acked) bool {
	ahead := g.open.end - a.Arrival
	return ahead > 0 && ahead < int64(resetGap)
}

// order takes a packet that overtook others. When it came says nothing of a queue, unless it is so far
// ahead that the others must have been held up.
func (g *grouper) order(a *Acked) {
	g.open.size += a.Size + a.Skipped
	if g.open.end-a.Arrival > int64(burstSpan) {
		g.open.last, g.open.begin, g.open.end = a.At, min(g.open.begin, a.Arrival), a.Arrival
	}
}

// follows says whether a packet came with those of the open group, though it was sent later.
func (g *grouper) follows(a *Acked) bool {
	gap := a.Arrival - g.open.end
	return gap >= 0 && gap <= int64(groupSpan) && gap < a.At-g.open.last && a.Arrival-g.open.begin < int64(burstSpan)
}
