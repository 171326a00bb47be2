package sfu

import (
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/sfu/packetmap"
)

// The node has one clock: nanoseconds since it began. Each received stream has an
// anchor, one moment of that clock with the RTP timestamp that belongs to it, so
// that times of streams can be compared: at switches, and in sender reports.

// anchor says that stamp is what a stream's source sampled at the node's time at.
type anchor struct {
	at    int64
	stamp uint32
}

// time is when the source sampled what bears stamp.
func (a anchor) time(stamp uint32, rate int64) int64 {
	return a.at + int64(packetmap.Duration(int64(int32(stamp-a.stamp)), rate))
}

// stampAt is the RTP timestamp of the node's time at.
func (a anchor) stampAt(at int64, rate int64) uint32 {
	return a.stamp + uint32(packetmap.Ticks(time.Duration(at-a.at), rate))
}

// maxClockError is how far an anchor may lie from a packet's arrival and still be
// believed: sender reports are the participant's word.
const maxClockError = int64(time.Second)

// mediaClock holds the anchor of one stream.
type mediaClock struct {
	rate   int64
	anchor atomic.Pointer[anchor]
}

// at is when the source sampled what bears stamp and arrived at the time arrival.
func (c *mediaClock) at(stamp uint32, arrival int64) int64 {
	a := c.anchor.Load()
	if a == nil {
		return arrival
	}
	at := a.time(stamp, c.rate)
	if at-arrival > maxClockError || arrival-at > maxClockError {
		return arrival
	}
	return at
}

// senderClock maps a participant's NTP times to the node's. One for all streams of
// a PeerConnection, so that what belongs together stays together: it is the basis
// of lip sync. It is guarded by its owner.
type senderClock struct {
	known  bool
	offset int64 // node's time minus the sender's
}

// creep is the share of a larger difference that is taken over a report: clocks
// drift, and a path may become longer for good.
const creep = 64

// report takes the NTP time (RFC 3550, Section 4) of a sender report that arrived
// now, and gives that time by the node's clock. The report with the shortest way
// counts most.
func (c *senderClock) report(ntp uint64, now int64) int64 {
	sent := ntpNanoseconds(ntp)
	if d := now - sent; !c.known || d < c.offset {
		c.known, c.offset = true, d
	} else {
		c.offset += (d - c.offset) / creep
	}
	return sent + c.offset
}

// ntpNanoseconds is an NTP timestamp in nanoseconds. It wraps, which differences
// bear.
func ntpNanoseconds(ntp uint64) int64 {
	seconds, fraction := ntp>>32, ntp&0xffffffff
	return int64(seconds*uint64(time.Second) + fraction*uint64(time.Second)>>32)
}

// ntpEpoch is the distance of the NTP epoch, 1900, from that of Unix, in seconds.
const ntpEpoch = 2208988800

// ntpTime is t as NTP timestamp.
func ntpTime(t time.Time) uint64 {
	fraction := uint64(t.Nanosecond()) << 32 / uint64(time.Second)
	return uint64(t.Unix()+ntpEpoch)<<32 | fraction
}
