package sfu

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// What a path takes is known by what its receiver reports, and reports may lie: whoever says that
// everything has come, at once, seems to have a path without end, and whoever says nothing is
// sent what it wants. So what a participant sends, and is sent, has a ceiling, too, whatever is
// said and wanted. It outlives PeerConnections: a new one does not renew it.
//
// Whoever sends by the rules does not meet it: allocation gives out less than the ceiling
// (budget.most), and publishers see in their feedback that more does not come through.

// ceilingBurst is how much goes at once, at most, after a pause: key frames of all that is shown.
// voiceBurst is the same for audio, so that it still goes where video has used up its part.
const (
	ceilingBurst = time.Second
	voiceBurst   = 2 * time.Second
)

// leastIncoming is what a packet that is received counts for at least, in bytes: many small ones
// cost as much work as larger ones, here and for each receiver.
const leastIncoming = 300

// unlimited is the rate of a ceiling that is none, in bits a second, and the target of those who
// should say what arrives, and do not (see deaf).
const unlimited = math.MaxInt64 / 4

// ceiling is the most that goes one way: a token bucket of one word, for any number of
// goroutines. The zero value is without a limit.
type ceiling struct {
	perByte int64        // picoseconds; 0 for no limit. Immutable once packets go
	full    atomic.Int64 // when the whole burst may go again, in nanoseconds of the node's clock
}

// set makes it that of so many bits a second; 0 or less for no limit.
func (c *ceiling) set(bits int64) {
	c.perByte = 0
	if bits > 0 {
		c.perByte = max(8e12/bits, 1)
	}
}

// room is how many bits a second may be given out: the rest is for retransmissions and probes, and
// for sources that vary.
func (c *ceiling) room() int64 {
	if c.perByte == 0 {
		return unlimited
	}
	return 8e12 / c.perByte * 9 / 10
}

// take says whether size bytes may go now of a kind that has a burst, and counts them if so.
// Over any time no more goes than the rate gives, and the longest burst.
func (c *ceiling) take(now int64, size int, burst time.Duration) bool {
	if c.perByte == 0 {
		return true
	}
	cost := int64(size) * c.perByte / 1000
	for {
		full := c.full.Load()
		if full-now > int64(burst) {
			return false
		}
		if c.full.CompareAndSwap(full, max(full, now)+cost) {
			return true
		}
	}
}

// burstOf is that of video, or of audio.
func burstOf(video bool) time.Duration {
	if video {
		return ceilingBurst
	}
	return voiceBurst
}

// sizeOf is about what p takes when it is sent, in bytes: what its sender puts before the payload,
// and chooses the size of, counts.
func sizeOf(p *packetcache.Packet) int {
	return len(p.Payload) + len(p.Front) + len(p.Descriptor) + sealed
}

// allows says whether the participant may be sent size bytes more of what the slot carries.
func (d *downTrack) allows(size int, now int64) bool {
	return d.ceiling == nil || d.ceiling.take(now, size, burstOf(d.video))
}

// allows says whether the participant may send so much more of a stream. What is not known yet
// counts as video. The caller holds intake.
func (c *connection) allows(u *uplink, size int, now int64) bool {
	return c.transport.incoming.take(now, max(size, leastIncoming), burstOf(u.up == nil || u.up.video))
}
