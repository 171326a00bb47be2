package bwe

import (
	"math"
	"slices"
	"time"
)

const (
	queueGroups = 128 // that a measurement of the bottleneck goes back
	queueSpan   = 1500 * time.Millisecond
	// rateGroups, and rateLeast, are needed to tell what the bottleneck lets through.
	rateGroups = 4
	rateLeast  = 40 * time.Millisecond
	// rateSure is over what time, if there is so much, jitter says little of a rate.
	rateSure = 100 * time.Millisecond
	// rateSpan is over what time throughput is measured.
	rateSpan = 500 * time.Millisecond
	// baseSlots of baseSpan each are how long the lowest delay holds as that of the empty
	// path: clocks drift, routes change, and others fill queues for good.
	baseSlots = 10
	baseSpan  = 2 * time.Second
)

// queue follows how long packets wait for the bottleneck: the delay above the lowest of
// the last 20 s. The zero value is ready.
type queue struct {
	count   int
	delays  [2]float64 // of the latest group and the one before, in ms
	middles [2]float64 // the same
	lowest  float64    // delay of all slots, in ms
	noise   float64    // how much the delay varies from group to group, in ms
	lately  stretch
	slot    int64              // number of the latest
	base    [baseSlots]float64 // lowest delay of each slot, in ms
	groups  [queueGroups]arrivalOf
}

// arrivalOf is one group: when it came and how long after the one before it was sent, its
// size in bytes, and the middle one of its delay and the two before, in ms: one packet that
// overtook others or was held up is no queue.
type arrivalOf struct {
	at     int64
	sent   time.Duration
	size   int
	middle float64
}

// stretch is the sum of the groups that came within rateSpan of the latest, from the first on. It
// is kept, and not made anew, because each report asks for it some times and it goes over forty
// groups.
type stretch struct {
	first int
	size  int // bytes
	sent  time.Duration
	back  int // the latest group that came before the one in front of it; 0 for none
}

// add takes one more group, and gives its middle delay.
func (q *queue) add(s step, delay float64) (middle float64) {
	middle = delay
	if q.count > 0 {
		before, further := q.delays[0], q.delays[1]
		q.noise += (min(math.Abs(delay-before), 100) - q.noise) / 32
		middle = max(min(before, further), min(max(before, further), delay))
	} else {
		q.delays[0], q.middles[0] = delay, delay
	}
	q.follow(s, middle)
	q.delays = [2]float64{delay, q.delays[0]}
	q.middles = [2]float64{middle, q.middles[0]}
	q.put(arrivalOf{s.at, s.sent, s.size, middle})
	return middle
}

// put enters a group.
func (q *queue) put(g arrivalOf) {
	s := &q.lately
	if q.count-s.first == queueGroups {
		q.drop()
	}
	if q.count > 0 && g.at < q.at(q.count-1).at {
		s.back = q.count
	}
	*q.at(q.count) = g
	q.count++
	s.size += g.size
	s.sent += g.sent
	if s.back > max(0, q.count-queueGroups) {
		q.walk(g.at)
		return
	}
	for g.at-q.at(s.first).at >= int64(rateSpan) {
		q.drop()
	}
}

// drop takes the first group out of what came lately.
func (q *queue) drop() {
	g := q.at(q.lately.first)
	q.lately.first++
	q.lately.size -= g.size
	q.lately.sent -= g.sent
}

// walk adds up what came lately from the latest group on, as long as the order in which groups
// came is not that of their times: the first one is then not where it was left.
func (q *queue) walk(last int64) {
	s := &q.lately
	s.first, s.size, s.sent = q.count, 0, 0
	for s.first > max(0, q.count-queueGroups) && last-q.at(s.first-1).at < int64(rateSpan) {
		s.first--
		s.size += q.at(s.first).size
		s.sent += q.at(s.first).sent
	}
}

// rebase takes a delay for that of the empty path, whatever it was before.
func (q *queue) rebase(delay float64) {
	for i := range q.base {
		q.base[i] = math.Inf(1)
	}
	q.base[q.slot%baseSlots], q.lowest = delay, delay
}

// follow keeps the lowest delay.
func (q *queue) follow(s step, delay float64) {
	slot := s.at / int64(baseSpan)
	renewed := slot != q.slot || q.count == 0
	if q.count == 0 || slot-q.slot >= baseSlots || slot < q.slot {
		for i := range q.base {
			q.base[i] = math.Inf(1)
		}
		q.slot = slot
	}
	for ; q.slot < slot; q.slot++ {
		q.base[(q.slot+1)%baseSlots] = math.Inf(1)
	}
	q.base[slot%baseSlots] = min(q.base[slot%baseSlots], delay)
	if q.lowest = min(q.lowest, delay); renewed {
		q.lowest = slices.Min(q.base[:])
	}
}

func (q *queue) at(i int) *arrivalOf { return &q.groups[uint(i)%queueGroups] }

// standing is how long the latest groups waited, in ms.
func (q *queue) standing() float64 {
	if q.count == 0 {
		return 0
	}
	return max(0, q.above(min(q.middles[0], q.middles[1])))
}

// above is by how many ms a delay is longer than that of the empty path.
func (q *queue) above(delay float64) float64 { return delay - q.lowest }

// rate is what the bottleneck lets through, in bits a second, measured while its queue was
// filling: from the last group that did not wait longer than others to the latest. It
// does not depend on how much is sent on average. Jitter makes that group one from before the queue was
// there, or after: the path was busy only in a part of the time, the one in which most came.
func (q *queue) rate() (bits float64, ok bool) {
	last, first := q.count-1, q.filling()
	elapsed := time.Duration(q.at(last).at - q.at(first).at)
	if q.count-first <= rateGroups || elapsed < rateLeast {
		return 0, false
	}
	size, doubt := 0, time.Duration(q.noise*float64(time.Millisecond)/2)
	for i := last; i > first; i-- {
		size += q.at(i).size
		if d := time.Duration(q.at(last).at - q.at(i-1).at); d >= rateSure {
			bits = max(bits, rate(size, d+doubt))
		}
	}
	bits = max(bits, rate(size, elapsed))
	return bits, true
}

// filling is the group with which the queue began to fill.
func (q *queue) filling() int {
	last := q.at(q.count - 1)
	oldest, lowest := q.count-1, last.middle
	for oldest > max(0, q.count-queueGroups) && last.at-q.at(oldest-1).at < int64(queueSpan) {
		oldest--
		lowest = min(lowest, q.at(oldest).middle)
	}
	for i := q.count - 1; i >= oldest; i-- {
		if q.at(i).middle <= lowest+2+q.noise/2 {
			return i
		}
	}
	return oldest
}

// pace is by how many times what came lately came faster than it was sent: a queue of what this sender
// sends drains above 1, and grows below.
func (q *queue) pace() float64 { return float64(q.lately.sent) / float64(rateSpan) }

// throughput is what came through lately, in bits a second: no more than what was sent in
// the time, whatever the receiver's clock says.
func (q *queue) throughput() float64 {
	return rate(q.lately.size, max(q.lately.sent, rateSpan))
}
