package sfu

import (
	"time"

	"github.com/pion/rtcp"

	"github.com/conclave-sfu/conclave/sfu/packetmap"
)

// How a viewer of the simulation receives, as native participants do (room/client).
const (
	screenWait     = 400 * time.Millisecond // for a packet that is missing
	screenNack     = 5 * time.Millisecond   // until it is asked for
	screenNacks    = 8                      // times that it is, screenAgain apart
	screenAgain    = 40 * time.Millisecond
	screenRequests = 300 * time.Millisecond // between two requests for a key frame
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
}

// screenPart is a packet of a frame.
type screenPart struct {
	name        byte
	part, parts int
	key         bool
}

type screenGap struct {
	since, asked time.Duration
	tries        int
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

// push takes a packet of the slot that has come.
func (c *screen) push(seq uint16, p screenPart) {
	n := c.unwrapper.Unwrap(seq)
	if c.end == 0 {
		c.next, c.end = n, n
	}
	if n < c.next {
		return
	}
	for ; c.end <= n; c.end++ {
		c.missing[c.end] = &screenGap{since: c.now()}
	}
	delete(c.missing, n)
	c.held[n] = p
}

// look shows what can be shown, and asks for what is missing.
func (c *screen) look() {
	for ; c.next < c.end; c.next++ {
		if gap := c.missing[c.next]; gap != nil {
			if c.now()-gap.since < screenWait {
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
	if c.begun && !c.whole && c.now()-c.asked >= screenRequests {
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
	c.shownAt, c.of = c.now(), p.name
	c.shown++
}

func (c *screen) askAgain() {
	var list []uint16
	for n := c.next; n < c.end; n++ {
		gap := c.missing[n]
		if gap == nil || gap.tries == screenNacks || gap.tries == 0 && c.now()-gap.since < screenNack || gap.tries > 0 && c.now()-gap.asked < screenAgain {
			continue
		}
		gap.tries++
		gap.asked = c.now()
		list = append(list, uint16(n))
	}
	if len(list) > 0 {
		c.tell(&rtcp.TransportLayerNack{MediaSSRC: c.slot.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(list)})
	}
}

// tell sends feedback to the server.
func (c *screen) tell(p rtcp.Packet) {
	c.after(c.back, func() { c.slot.feedback([]rtcp.Packet{p}, c.room.node.now()) })
}

// clear begins to measure anew.
func (c *screen) clear() { c.still, c.shown, c.requests = 0, 0, 0 }
