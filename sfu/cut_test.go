package sfu

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// A publisher's line is cut from 3 Mbit/s to 300 kbit/s and comes back, in virtual time.
const (
	cutStep   = 5 * time.Millisecond
	cutPacket = 1100 // bytes of frame in a packet, at most
	// cutReact is how long the publisher takes to stop its upper encodings, cutKey when after
	// that the lowest begins anew by itself.
	cutReact = 350 * time.Millisecond
	cutKey   = 200 * time.Millisecond
	// cutTrip is what a request takes to the publisher.
	cutTrip = 20 * time.Millisecond
)

// cutSizes are those of frames, in bytes: 150, 500 and 1500 kbit/s.
var cutSizes = []int{625, 2083, 6250}

// cutLine is the publisher, its line, the room and a viewer.
type cutLine struct {
	*crowd
	link    *impair.Link
	now     time.Duration
	layers  []*cutLayer
	slot    *downTrack
	seen    *fakeWriter
	transit []cutTransit
	woken   bool // a key frame of an encoding that is awaited has come

	// What the viewer's decoder has: the frame that is incomplete, and the latest whole one.
	parts, last, layer int
	whole              bool
	shownAt            time.Duration
	longest            time.Duration // between two frames
	best               time.Duration // when the first of the best layer was shown
	pliAt              time.Duration
	plis               int
}

type cutLayer struct {
	source
	frame int
	live  bool
	keyAt time.Duration // a key frame is due from then on; negative: none
}

type cutTransit struct {
	at    time.Duration
	layer int
	raw   []byte
}

func newCutLine(t *testing.T) *cutLine {
	l := &cutLine{crowd: newCrowd(t, 1), link: impair.NewLink(1, impair.Conditions{}), best: -1}
	l.room.flows = make(chan struct{}, 1)
	m, _ := l.publisher(t)
	for i, e := range l.room.publications.get(pubKey{m.participant, Camera}).layers {
		c := &cutLayer{source: source{u: e.up}, live: true}
		e.up.askKeyFrame = func(uint32) { c.keyAt = l.now + 2*cutTrip }
		e.up.wake = func() { l.woken = true }
		c.seq = uint16(i) << 12
		l.layers = append(l.layers, c)
	}
	l.slot = l.members[0].connection.video[0]
	l.seen = l.slot.writer.(*fakeWriter)
	l.seen.discard = false
	l.members[0].View([]Want{{Participant: m.participant, Source: Camera, Height: 720}})
	return l
}

// shoot sends a frame of each encoding that is live.
func (l *cutLine) shoot(t *testing.T) {
	for i, c := range l.layers {
		c.stamp += 3000
		if !c.live {
			continue
		}
		key := c.keyAt >= 0 && l.now >= c.keyAt
		size := cutSizes[i]
		if c.frame++; key {
			c.keyAt, size = -1, 4*size
		}
		packets := (size + cutPacket - 1) / cutPacket
		for n := range packets {
			l.send(i, c.packet(t, c.seq, n == 0, key, cutFrame(key, i, c.frame, n, packets, size/packets)))
			c.seq++
		}
	}
}

func cutFrame(key bool, layer, frame, n, packets, size int) []byte {
	b := make([]byte, size)
	b[1], b[6], b[7] = byte(layer), byte(n), byte(packets)
	if key {
		b[8] = 1
	}
	binary.BigEndian.PutUint32(b[2:], uint32(frame))
	return b
}

func (l *cutLine) send(layer int, raw []byte) {
	if at, n := l.link.Send(int64(l.now), len(raw)+28); n > 0 {
		l.transit = append(l.transit, cutTransit{time.Duration(at[0]), layer, raw})
	}
}

// run lets time pass.
func (l *cutLine) run(t *testing.T, d time.Duration) {
	for end := l.now + d; l.now < end; l.now += cutStep {
		if l.now/(time.Second/30) != (l.now-cutStep)/(time.Second/30) {
			l.shoot(t)
		}
		for len(l.transit) > 0 && l.transit[0].at <= l.now {
			p := l.transit[0]
			l.transit = l.transit[1:]
			s := &l.layers[p.layer].source
			s.now = l.room.node.now()
			s.receive(t, 0, p.raw)
		}
		select {
		case <-l.room.flows:
			l.room.followFlow(l.room.node.now())
		default:
		}
		if l.woken {
			l.woken = false
			l.room.handOver()
		}
		if l.now%loudnessInterval == 0 {
			l.room.housekeeping(l.room.node.now(), 0, unsent)
		}
		l.watch()
		l.room.node.born = l.room.node.born.Add(-cutStep)
	}
}

// watch shows what has come, and asks for a key frame while the picture is damaged.
func (l *cutLine) watch() {
	for _, p := range l.seen.packets {
		l.take(p.Payload[1:]) // behind the descriptor
	}
	l.seen.packets = l.seen.packets[:0]
	if !l.whole && l.now-l.pliAt >= 300*time.Millisecond {
		l.pliAt = l.now
		l.plis++
		l.slot.feedback([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: l.slot.ssrc}}, l.room.node.now())
	}
}

func (l *cutLine) take(b []byte) {
	layer, frame, key := int(b[1]), int(binary.BigEndian.Uint32(b[2:])), b[8] == 1
	switch {
	case b[6] == 0:
		l.whole = key || l.whole && layer == l.layer && frame == l.last+1
		l.parts, l.layer, l.last = 0, layer, frame
	case layer != l.layer || frame != l.last || int(b[6]) != l.parts:
		l.whole = false
	}
	if l.parts++; l.parts != int(b[7]) || !l.whole {
		return
	}
	l.longest = max(l.longest, l.now-l.shownAt)
	l.shownAt = l.now
	if layer == len(cutSizes)-1 && l.best < 0 {
		l.best = l.now
	}
}

// TestUplinkIsCut: a viewer stands still for well under a second when the upper encodings
// have gone, sees the lowest as long as there is nothing else, and the best soon after it
// has come back.
func TestUplinkIsCut(t *testing.T) {
	for offset := time.Duration(0); offset < 200*time.Millisecond; offset += 35 * time.Millisecond {
		l := newCutLine(t)
		wide := impair.Conditions{Rate: 3_000_000, Delay: cutTrip}
		l.link.Set(wide)
		l.run(t, 5*time.Second+offset)
		if l.best < 0 || l.now-l.shownAt > 100*time.Millisecond {
			t.Fatalf("no picture before the cut: the best at %v, the last at %v", l.best, l.shownAt)
		}
		l.longest, l.plis = 0, 0
		l.link.Set(impair.Conditions{Rate: 300_000, Delay: cutTrip})
		l.run(t, cutReact)
		l.layers[1].live, l.layers[2].live = false, false
		l.run(t, cutKey)
		l.layers[0].keyAt = l.now
		l.run(t, 10*time.Second)
		if l.longest > 900*time.Millisecond || l.slot.up.rid != "q" {
			t.Errorf("cut at %v: the picture stood still for %v; it has %s", offset, l.longest, l.slot.up.rid)
		}
		t.Logf("cut at %v: stood still for %v, %d PLI", offset, l.longest, l.plis)
		l.link.Set(wide)
		l.run(t, time.Second)
		l.longest, l.best = 0, -1
		back := l.now
		for _, c := range l.layers[1:] {
			c.live, c.keyAt = true, 0
		}
		l.run(t, 5*time.Second)
		if took := l.best - back; l.best < 0 || took > 1200*time.Millisecond || l.longest > 150*time.Millisecond {
			t.Errorf("cut at %v: the best after %v, a picture each %v at most", offset, took, l.longest)
		}
		if slices.ContainsFunc(l.layers, func(c *cutLayer) bool { return c.u.stalled() }) {
			t.Errorf("cut at %v: an encoding counts as stalled", offset)
		}
	}
}
