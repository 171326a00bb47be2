package sfu

import (
	"time"

	"github.com/pion/rtcp"

	"github.com/conclave-sfu/conclave/sfu/packetmap"
)

// How a viewer of the simulation receives, as native participants do (room/client).
const (
	screenWait     = 3 * time.Second        // for a packet that is missing
	screenNack     = 5 * time.Millisecond   // until it is asked for
	screenNacks    = 10                     // times that it is
	screenRequests = 300 * time.Millisecond // between two requests for a key frame
	// The time between two requests for a packet, while no round trip is known, and its bounds.
	screenFirst, screenLeast, screenMost = 100 * time.Millisecond, 20 * time.Millisecond, 500 * time.Millisecond
)

// screen is what a decoder shows of one slot: packets in order, those that are missing asked
// for, from a key frame on as long as nothing is missing.
type screen struct {
	*simulation
	slot      *downTrack
	unwrapper packetmap.Unwrapper
	next, end int64 // number of the packet that is due, and after the highest that came
	held      map[int64]screenPart
	missing   map[int64]*screenGap
	roundTrip time.Duration // of requests, smoothed; 0 if not known
	keyAt     int64         // where the latest key frame begins

	parts int // of the frame under way
	begun bool
	whole bool
	asked time.Duration // when a key frame was asked for last

	shownAt time.Duration // when the latest frame was shown
	of      byte          // the encoding that it is of
	// still is the longest time between two frames that were shown, shown how many, and
	// requests those for key frames, since clear.
	still           time.Duration
	shown, requests int
	stills          []time.Duration
}

// screenPart is a packet of a frame.
type screenPart struct {
	name        byte
	part, parts int
	key         bool
}

type screenGap struct {
	since, asked, first time.Duration
	tries               int
}

func newScreen(s *simulation, d *downTrack) *screen {
	return &screen{simulation: s, slot: d, held: map[int64]screenPart{}, missing: map[int64]*screenGap{}}
}

// readPart reads what simSource.send has written behind the payload descriptor.
func readPart(payload []byte) (p screenPart, ok bool) {
	if len(payload) < 6 {
		return p, false
	}
	return screenPart{name: payload[2], parts: int(payload[3]), key: payload[4] == 1, part: int(payload[5])}, true
}

func (c *screen) now() time.Duration { return time.Duration(c.turn) * time.Millisecond }

// push takes a packet of the slot that has come, repaired or not.
func (c *screen) push(seq uint16, p screenPart, repaired bool) {
	n := c.unwrapper.Unwrap(seq)
	if c.end == 0 {
		c.next, c.end, c.asked = n, n, c.now()
	}
	if n < c.next {
		return
	}
	for ; c.end <= n; c.end++ {
		c.missing[c.end] = &screenGap{since: c.now()}
	}
	if gap := c.missing[n]; gap != nil && gap.tries > 0 && repaired {
		c.measure(c.now()-gap.first, gap.tries)
	}
	if p.key && p.part == 0 {
		c.keyAt = max(c.keyAt, n)
	}
	delete(c.missing, n)
	c.held[n] = p
}

// measure takes the time from the first of some requests to their packet into the average.
func (c *screen) measure(d time.Duration, requests int) {
	share := time.Duration(4)
	if requests > 1 {
		share = 16
	}
	if c.roundTrip == 0 {
		c.roundTrip = d
	}
	c.roundTrip += (d - c.roundTrip) / share
}

// interval is the time between two requests for one packet.
func (c *screen) interval() time.Duration {
	if c.roundTrip == 0 {
		return screenFirst
	}
	return min(max(c.roundTrip*5/4, screenLeast), screenMost)
}

// superseded says whether a key frame behind what is due is whole: decoders go on with it.
func (c *screen) superseded() bool {
	if c.keyAt <= c.next {
		return false
	}
	for n := c.keyAt; n < c.end; n++ {
		if p, ok := c.held[n]; !ok || p.part == p.parts-1 {
			return ok
		}
	}
	return false
}

// look shows what can be shown, and asks for what is missing.
func (c *screen) look() {
	for ; c.next < c.end; c.next++ {
		if gap := c.missing[c.next]; gap != nil {
			if c.now()-gap.since < screenWait && !c.superseded() {
				break
			}
			delete(c.missing, c.next)
			c.whole = false
			continue
		}
		c.take(c.held[c.next])
		delete(c.held, c.next)
	}
	if len(c.missing) > 0 {
		c.askAgain()
	}
	if c.end > 0 && !c.whole && c.now()-c.asked >= screenRequests {
		c.asked = c.now()
		c.requests++
		c.tell(&rtcp.PictureLossIndication{MediaSSRC: c.slot.ssrc})
	}
}

// take takes the next packet.
func (c *screen) take(p screenPart) {
	switch {
	case p.parts == 0:
		return // in place of one that was left out
	case p.part == 0:
		c.parts = 0
		c.whole = c.whole || p.key
		c.begun = c.begun || p.key
	case p.part != c.parts:
		c.whole = false
	}
	if c.parts++; c.parts < p.parts || !c.whole {
		return
	}
	c.still = max(c.still, c.now()-c.shownAt)
	c.stills = append(c.stills, c.now()-c.shownAt)
	c.shownAt, c.of = c.now(), p.name
	c.shown++
}

func (c *screen) askAgain() {
	var list []uint16
	for n := c.next; n < c.end; n++ {
		gap := c.missing[n]
		if gap == nil || gap.tries == screenNacks || gap.tries == 0 && c.now()-gap.since < screenNack || gap.tries > 0 && c.now()-gap.asked < c.interval() {
			continue
		}
		if gap.tries++; gap.tries == 1 {
			gap.first = c.now()
		}
		gap.asked = c.now()
		list = append(list, uint16(n))
	}
	if len(list) > 0 {
		c.tell(&rtcp.TransportLayerNack{MediaSSRC: c.slot.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(list)})
	}
}

// tell sends feedback to the server.
func (c *screen) tell(p rtcp.Packet) {
	c.answer(func() {
		c.slot.feedback([]rtcp.Packet{p}, c.room.node.now())
		c.viewer.connection.owing = true
	})
}

// clear begins to measure anew.
func (c *screen) clear() { c.still, c.shown, c.requests, c.stills = 0, 0, 0, nil }
