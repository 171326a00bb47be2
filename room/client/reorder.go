package client

import (
	"time"

	"github.com/pion/rtp"
)

// maxDatagram bounds a received RTP packet in bytes.
const maxDatagram = 1500

// packet is a received RTP packet together with the memory that it is in.
type packet struct {
	rtp.Packet
	buf      [maxDatagram]byte
	repaired bool // it came as a retransmission
}

const (
	// reorderSize bounds the sequence numbers between the packet that is due and the
	// highest received: two seconds of a fast video. A power of two.
	reorderSize = 512
	// maxDropout is the jump of a sequence number that still counts as loss; a wider
	// one is a source that began anew (RFC 3550, Appendix A.1).
	maxDropout = 3000
	// nackDelay is how long a gap may be mere reordering before its packet is asked for.
	nackDelay = 5 * time.Millisecond
	// firstNackInterval is the time between two requests for one packet while no round trip is
	// known; then it is somewhat more than that, within these bounds.
	firstNackInterval = 100 * time.Millisecond
	minNackInterval   = 20 * time.Millisecond
	maxNackInterval   = 500 * time.Millisecond
	// maxNacks is how often one packet is asked for, as browsers do.
	maxNacks = 10
)

// reorder puts the packets of one SSRC back in order, says which of them to ask for
// again and which are lost for good. It knows no clock: time is an argument.
//
// After each push, and when deadline has come, call pop until ok is false, then nacks.
type reorder struct {
	// wait is how long a missing packet holds up those behind it.
	wait time.Duration
	// nack says whether missing packets are asked for.
	nack bool
	// key says whether a key frame begins with a packet; nil if there are none. What is missing
	// before a whole one is not waited for.
	key func(*packet) bool

	started bool
	next    uint64 // extended sequence number of the packet that is due
	end     uint64 // one past the highest received
	missing int    // sequence numbers in [next, end) without a packet
	gap     bool   // something was given up since the last packet that pop gave
	probe   uint64 // where a source that began anew would go on
	keyAt   uint64 // where the latest key frame begins; 0 for none
	// roundTrip is that of requests, smoothed; 0 if not known.
	roundTrip time.Duration
	slots     [reorderSize]reorderSlot

	stats reorderStats
}

// reorderStats counts packets.
type reorderStats struct {
	received   uint64 // delivered or waiting: neither duplicates nor too late
	lost       uint64 // given up
	duplicates uint64
	late       uint64 // arrived after they were given up
	recovered  uint64 // arrived after they were asked for
	restarts   uint64
}

// reorderSlot is one sequence number in [next, end): held, or missing since a time.
type reorderSlot struct {
	packet *packet // nil: missing
	since  time.Time
	first  time.Time // when it was asked for first
	asked  time.Time // when last
	tries  int
}

func (r *reorder) slot(seq uint64) *reorderSlot { return &r.slots[seq%reorderSize] }

// extend gives the extended sequence number that is closest to the one due.
func (r *reorder) extend(seq uint16) uint64 {
	return r.next + uint64(int64(int16(seq-uint16(r.next))))
}

// push takes a packet and keeps it until pop gives it back. It reports false for a
// duplicate and for one that is no longer waited for: these are not kept.
func (r *reorder) push(now time.Time, p *packet) bool {
	if !r.started {
		// One cycle above zero, so that a number below the first does not wrap.
		first := 1<<16 | uint64(p.SequenceNumber)
		r.started, r.next, r.end = true, first, first
	}
	seq := r.extend(p.SequenceNumber)
	switch {
	case seq >= r.end+maxDropout, seq+maxDropout < r.next && seq == r.probe:
		r.restart(seq)
	case seq < r.next:
		r.probe = seq + 1
		r.stats.late++
		return false
	case seq < r.end && r.slot(seq).packet != nil:
		r.stats.duplicates++
		return false
	}
	r.hold(now, seq, p)
	return true
}

// hold puts the packet into its slot; the slots between it and the end so far are
// missing from now on.
func (r *reorder) hold(now time.Time, seq uint64, p *packet) {
	if seq >= r.next+reorderSize {
		r.skipTo(seq - reorderSize + 1)
	}
	for ; r.end <= seq; r.end++ {
		*r.slot(r.end) = reorderSlot{since: now}
		r.missing++
	}
	s := r.slot(seq)
	if s.tries > 0 {
		r.stats.recovered++
	}
	if p.repaired && s.tries > 0 { // else it came late by itself: the forwarder did not have it
		r.measure(now.Sub(s.first), s.tries)
	}
	if r.key != nil && seq > r.keyAt && r.key(p) {
		r.keyAt = seq
	}
	s.packet = p
	r.missing--
	r.stats.received++
}

// measure takes the time from the first of some requests to their packet into the average. Where
// there were several it is too long, and counts for less: with too short an average every packet
// is asked for twice before it can come, and single requests would never say so.
func (r *reorder) measure(d time.Duration, requests int) {
	share := time.Duration(4)
	if requests > 1 {
		share = 16
	}
	if r.roundTrip == 0 {
		r.roundTrip = d
	}
	r.roundTrip += (d - r.roundTrip) / share
}

// nackInterval is the time between two requests for one packet.
func (r *reorder) nackInterval() time.Duration {
	if r.roundTrip == 0 {
		return firstNackInterval
	}
	return min(max(r.roundTrip*5/4, minNackInterval), maxNackInterval)
}

// pop gives the packet that is due. gap says that packets before it were given up.
func (r *reorder) pop(now time.Time) (p *packet, gap, ok bool) {
	for r.next < r.end {
		s := r.slot(r.next)
		if s.packet == nil && now.Sub(s.since) < r.wait && !r.superseded() {
			return nil, false, false
		}
		p = s.packet
		r.drop()
		if p != nil {
			gap, r.gap = r.gap, false
			return p, gap, true
		}
	}
	return nil, false, false
}

// superseded says whether a key frame behind what is due is whole: decoders go on with it.
func (r *reorder) superseded() bool {
	if r.keyAt <= r.next {
		return false
	}
	for seq := r.keyAt; seq < r.end; seq++ {
		p := r.slot(seq).packet
		if p == nil {
			return false
		}
		if p.Marker {
			return true
		}
	}
	return false
}

// drop leaves the sequence number that is due behind.
func (r *reorder) drop() {
	s := r.slot(r.next)
	if s.packet == nil {
		r.missing--
		r.stats.lost++
		r.gap = true
	}
	*s = reorderSlot{}
	r.next++
}

// skipTo gives up all that waits below seq, to keep within the ring.
func (r *reorder) skipTo(seq uint64) {
	for r.next < min(seq, r.end) {
		r.drop()
	}
	r.gap = true
	r.stats.lost += seq - r.next
	r.next = seq
	r.end = max(r.end, seq)
}

// restart forgets all that waits and goes on at seq, with another source.
func (r *reorder) restart(seq uint64) {
	clear(r.slots[:])
	r.next, r.end, r.missing, r.gap, r.keyAt = seq, seq, 0, true, 0
	r.stats.restarts++
}

// nacks appends the sequence numbers to ask for now (RFC 4585, Section 6.2.1).
func (r *reorder) nacks(now time.Time, dst []uint16) []uint16 {
	if !r.nack || r.missing == 0 {
		return dst
	}
	for seq := r.next; seq < r.end; seq++ {
		if s := r.slot(seq); s.packet == nil && s.tries < maxNacks && !now.Before(r.nackAt(s)) {
			if s.tries++; s.tries == 1 {
				s.first = now
			}
			s.asked = now
			dst = append(dst, uint16(seq))
		}
	}
	return dst
}

// nackAt is when a missing packet is to be asked for.
func (r *reorder) nackAt(s *reorderSlot) time.Time {
	if s.tries == 0 {
		return s.since.Add(nackDelay)
	}
	return s.asked.Add(r.nackInterval())
}

// deadline is when pop or nacks will have more to give without another push; zero if
// nothing is missing.
func (r *reorder) deadline() time.Time {
	if r.missing == 0 {
		return time.Time{}
	}
	var at time.Time
	for seq := r.next; seq < r.end; seq++ {
		if s := r.slot(seq); s.packet == nil {
			at = earlier(at, s.since.Add(r.wait))
			if r.nack && s.tries < maxNacks {
				at = earlier(at, r.nackAt(s))
			}
		}
	}
	return at
}

// earlier is the earlier of two times, of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
