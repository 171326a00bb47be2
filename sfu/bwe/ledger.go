package bwe

import "time"

// ledger joins what was sent with what is reported, each packet once: feedback may be
// lost, come twice, late or out of order, and may lie.
type ledger struct {
	log  *SentLog
	next uint64 // after the highest that was reported
	// states has one for each packet of the log: what tells its number from others with
	// the same place, and the verdict in the lowest bits.
	states []uint16
	clock  int64 // of the receiver, the latest, without wraps
	began  bool
}

// clockStart is added to the receiver's clock, which may go back by half a wrap, 6 days, so that
// no time is negative.
const clockStart = int64((1 << 20) * time.Second)

// verdict is what is known of a packet.
type verdict uint16

const (
	unreported verdict = iota
	lost
	received
)

const verdictBits = 2

func newLedger(log *SentLog) ledger {
	return ledger{log: log, states: make([]uint16, len(log.entries))}
}

// Acked is what feedback says of one packet that was sent.
type Acked struct {
	Sent
	// Received: it came, at Arrival by the receiver's clock in nanoseconds, which does
	// not wrap here. Otherwise it had not come when the feedback was made.
	Received bool
	Arrival  int64
	// Recovered: it was reported lost before.
	Recovered bool
	// Skipped is the size of packets sent before it of which no report came.
	Skipped int
}

// reading goes through a report, packet by packet, in the order of sending.
type reading struct {
	ledger  *ledger
	now     int64
	n, end  uint64 // next packet, and after the last
	skipped int    // bytes, for the next that came
	came    []Arrival
}

// read begins to go through a report.
func (l *ledger) read(now int64, r *Report) reading {
	first, ok := l.number(r.Base)
	if !ok {
		return reading{}
	}
	begin, end := max(first, l.log.oldest()), min(first+uint64(r.Span), l.log.Count())
	came := r.Received
	for len(came) > 0 && first+uint64(came[0].Seq-r.Base) < begin {
		came = came[1:]
	}
	return reading{ledger: l, now: now, n: begin, end: end, skipped: l.skip(now, begin, end), came: came}
}

// next gives what is new of one more packet in the log. It is false at the end of the report.
func (r *reading) next(a *Acked) bool {
	for r.n < r.end {
		n := r.n
		r.n++
		*a = Acked{}
		after := lost
		if len(r.came) > 0 && r.came[0].Seq == uint16(n) {
			*a = Acked{Received: true, Arrival: r.ledger.unwrap(r.came[0].At), Skipped: r.skipped}
			r.came, r.skipped, after = r.came[1:], 0, received
		}
		if r.ledger.settle(r.now, n, after, a) {
			return true
		}
	}
	return false
}

// skip is what was sent between the highest packet reported so far and this report, which
// ends before end: a report was lost.
func (l *ledger) skip(now int64, begin, end uint64) (size int) {
	if l.next > 0 {
		for n := max(l.next, l.log.oldest()); n < begin; n++ {
			sent, _ := l.log.Get(n, now)
			size += sent.Size
		}
	}
	l.next = max(l.next, end)
	return size
}

// number is the latest that ends in seq and was sent.
func (l *ledger) number(seq uint16) (n uint64, ok bool) {
	count := l.log.Count()
	behind := uint64(uint16(count) - seq)
	return count - behind, behind > 0 && behind <= count
}

// settle notes what became of packet n, unless that is known: what is lost may come yet,
// what has come is not lost any more.
func (l *ledger) settle(now int64, n uint64, after verdict, a *Acked) (isNew bool) {
	state, mark, before := l.verdict(n)
	if after <= before {
		return false
	}
	a.Recovered = before == lost
	if a.Sent, isNew = l.log.Get(n, now); isNew {
		*state = mark | uint16(after)
	}
	return isNew
}

// verdict is what is known of packet n, with its place and what tells it from others there.
func (l *ledger) verdict(n uint64) (state *uint16, mark uint16, v verdict) {
	state, mark = &l.states[n&uint64(len(l.states)-1)], uint16(n>>l.log.turn+1)<<verdictBits
	if *state&^(1<<verdictBits-1) == mark {
		v = verdict(*state & (1<<verdictBits - 1))
	}
	return state, mark, v
}

// unwrap takes the wraps out of the receiver's clock: the time that is nearest to the
// latest, clockStart later.
func (l *ledger) unwrap(at int64) int64 {
	if !l.began {
		l.began, l.clock = true, at
		return clockStart + at
	}
	const half = int64(ClockWrap / 2)
	d := (at - l.clock) % int64(ClockWrap)
	switch {
	case d > half:
		d -= int64(ClockWrap)
	case d < -half:
		d += int64(ClockWrap)
	}
	at = l.clock + d
	l.clock = max(l.clock, at)
	return clockStart + at
}
