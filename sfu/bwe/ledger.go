package bwe

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

// verdict is what is known of a packet.
type verdict uint16

const (
	unreported verdict = iota
	lost
	received
)

const verdictBits = 2

func newLedger(log *SentLog) *ledger {
	return &ledger{log: log, states: make([]uint16, len(log.entries))}
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

// resolve gives take what r says of packets in the log that is new, in the order of
// sending.
func (l *ledger) resolve(now int64, r *Report, take func(Acked)) {
	first, ok := l.number(r.Base)
	if !ok {
		return
	}
	begin, end := max(first, l.log.oldest()), min(first+uint64(r.Span), l.log.Count())
	skipped := l.skip(now, begin, end)
	came := r.Received
	for len(came) > 0 && first+uint64(came[0].Seq-r.Base) < begin {
		came = came[1:]
	}
	for n := begin; n < end; n++ {
		if len(came) > 0 && came[0].Seq == uint16(n) {
			l.settle(now, n, skipped, received, l.unwrap(came[0].At), take)
			came, skipped = came[1:], 0
		} else {
			l.settle(now, n, 0, lost, 0, take)
		}
	}
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
func (l *ledger) settle(now int64, n uint64, skipped int, after verdict, arrival int64, take func(Acked)) {
	state, mark := &l.states[n&uint64(len(l.states)-1)], uint16(n>>l.log.turn+1)<<verdictBits
	before := unreported
	if *state&^(1<<verdictBits-1) == mark {
		before = verdict(*state & (1<<verdictBits - 1))
	}
	if after <= before {
		return
	}
	if sent, ok := l.log.Get(n, now); ok {
		*state = mark | uint16(after)
		take(Acked{Sent: sent, Received: after == received, Arrival: arrival, Recovered: before == lost, Skipped: skipped})
	}
}

// unwrap takes the wraps out of the receiver's clock: the time that is nearest to the
// latest.
func (l *ledger) unwrap(at int64) int64 {
	if !l.began {
		l.began, l.clock = true, at
		return at
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
	return at
}
