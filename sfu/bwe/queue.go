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
	groups [queueGroups]arrivalOf
	count  int
	base   [baseSlots]float64 // lowest delay of each slot, in ms
	slot   int64              // number of the latest
	noise  float64            // how much the delay varies from group to group, in ms
}

// arrivalOf is one group: when it came and how long after the one before it was sent, its
// size in bytes, its delay in ms, and the middle one of its and the two delays before:
// one packet that overtook others or was held up is no queue.
type arrivalOf struct {
	at     int64
	sent   time.Duration
	size   int
	delay  float64
	middle float64
}

// add takes one more group, and gives its middle delay.
func (q *queue) add(s step, delay float64) (middle float64) {
	middle = delay
	if q.count > 0 {
		before := q.at(q.count - 1).delay
		q.noise += (min(math.Abs(delay-before), 100) - q.noise) / 32
		further := q.at(max(0, q.count-2)).delay
		middle = max(min(before, further), min(max(before, further), delay))
	}
	q.follow(s, middle)
	*q.at(q.count) = arrivalOf{s.at, s.sent, s.size, delay, middle}
	q.count++
	return middle
}

// rebase takes a delay for that of the empty path, whatever it was before.
func (q *queue) rebase(delay float64) {
	for i := range q.base {
		q.base[i] = math.Inf(1)
	}
	q.base[q.slot%baseSlots] = delay
}

// follow keeps the lowest delay.
func (q *queue) follow(s step, delay float64) {
	slot := s.at / int64(baseSpan)
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
}

func (q *queue) at(i int) *arrivalOf { return &q.groups[i%queueGroups] }

// standing is how long the latest groups waited, in ms.
func (q *queue) standing() float64 {
	if q.count == 0 {
		return 0
	}
	return max(0, q.above(min(q.at(q.count-1).middle, q.at(max(0, q.count-2)).middle)))
}

// above is by how many ms a delay is longer than that of the empty path.
func (q *queue) above(delay float64) float64 { return delay - slices.Min(q.base[:]) }

// rate is what the bottleneck lets through, in bits a second, measured while its queue was
// filling: from the last group that did not wait longer than others to the latest. It
// does not depend on how much is sent on average.
func (q *queue) rate() (bits float64, ok bool) {
	last := q.at(q.count - 1)
	first := q.filling()
	size := 0
	for i := first + 1; i < q.count; i++ {
		size += q.at(i).size
	}
	elapsed := time.Duration(last.at - q.at(first).at)
	if q.count-first <= rateGroups || elapsed < rateLeast {
		return 0, false
	}
	return float64(size) * 8 / elapsed.Seconds(), true
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

// throughput is what came through lately, in bits a second: no more than what was sent in
// the time, whatever the receiver's clock says.
func (q *queue) throughput() float64 {
	if q.count == 0 {
		return 0
	}
	last := q.at(q.count - 1).at
	size, sent := 0, time.Duration(0)
	for i := q.count - 1; i >= max(0, q.count-queueGroups) && last-q.at(i).at < int64(rateSpan); i-- {
		size += q.at(i).size
		sent += q.at(i).sent
	}
	return float64(size) * 8 / max(sent, rateSpan).Seconds()
}
