package faults

import (
	"context"
	"encoding/binary"
	"math"
	"testing"

	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
)

// meet has one send video and another see it.
func meet(t *testing.T, s *site, room string) (sender, viewer *probe) {
	t.Helper()
	sender = s.join(room, role{video: true})
	viewer = s.join(room, role{slots: 2, watch: []*probe{sender}})
	return sender, viewer
}

// TestNumbersWrap has sequence numbers and timestamps begin just before their end.
func TestNumbersWrap(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "wrap")
	c := sender.film(math.MaxUint16-30, math.MaxUint32-30*90000/frameRate)
	viewer.awaitFrames(sender, 60)
	// Five times around, in steps that an outage could make: what follows is seen.
	for range 20 {
		c.with(func() { c.seq += 1 << 14; c.stamp += math.MaxUint32 / 10 })
		c.wantKey.Store(true)
		viewer.awaitFilmed(c, 3)
	}
	viewer.unharmed("after the wraps")
}

// TestContiguousWraps goes over the end of the sequence numbers without a gap, in bursts
// of small packets: they come, and none comes twice.
func TestContiguousWraps(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "around")
	c := sender.film(65000, 0)
	viewer.awaitFrames(sender, 1)
	c.stop()
	c.each, c.size = 32, 40
	packets := 1 << 12
	if long {
		packets = 1 << 18
	}
	for range packets / c.each {
		c.shoot()
		if c.frame%4 == 0 { // no more under way than small sockets hold
			until(t, "the frame comes", func() bool { return viewer.eyes.lastOf(sender)+4 > c.frame })
		}
	}
	viewer.unharmed("after the end of the numbers")
	if twice := viewer.eyes.twice.Load(); twice != 0 {
		t.Errorf("%d packets came twice", twice)
	}
	// Sockets may lose some where nobody has time to read them.
	if seen := viewer.eyes.seen(sender); seen < c.sent.Load()/2 {
		t.Errorf("%d of %d frames came", seen, c.sent.Load())
	}
}

// TestSourceRestart has the encoder begin anew under the same SSRC: other numbers,
// other timestamps.
func TestSourceRestart(t *testing.T) {
	t.Parallel()
	s := open(t)
	random := chance(t)
	sender, viewer := meet(t, s, "restart")
	c := sender.film(5000, 1<<31)
	viewer.awaitFrames(sender, 10)
	for range 5 {
		c.with(func() {
			c.seq += uint16(3000 + random.IntN(25000)) // SRTP cannot follow wider jumps
			c.stamp = random.Uint32()
		})
		c.wantKey.Store(true)
		viewer.awaitFilmed(c, 10)
	}
	viewer.unharmed("after restarts")
}

// TestSourceGoesBack has a sender repeat numbers: SRTP takes none of them for new, and
// what is new is seen.
func TestSourceGoesBack(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "back")
	c := sender.film(20000, 1<<31)
	viewer.awaitFrames(sender, 10)
	c.with(func() { c.seq -= 20 })
	c.wantKey.Store(true)
	viewer.awaitFrames(sender, 10)
	viewer.unharmed("after numbers were repeated")
}

// TestNewConnection has a sender replace its PeerConnection, as after a change of
// network that ICE did not survive.
func TestNewConnection(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "anew")
	c := sender.film(1, 1)
	viewer.awaitFrames(sender, 10)
	c.stop()
	for range 2 {
		sender.redial()
		c := sender.film(40000, 7)
		viewer.awaitFrames(sender, 10)
		c.stop()
	}
	viewer.unharmed("after a new PeerConnection")
	viewer.redial()
	sender.film(50000, 9)
	viewer.awaitFrames(sender, 10)
	viewer.unharmed("after its own new PeerConnection")
}

// TestPaddingBursts sends probes for bandwidth, packets of padding alone, amid the
// frames: a viewer's numbers must have no gap where they were.
func TestPaddingBursts(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "padding")
	c := sender.film(65000, 1<<30)
	viewer.awaitFrames(sender, 10)
	for range 20 {
		c.with(func() { pad(c, 50) })
		viewer.awaitFrames(sender, 2)
	}
	viewer.unharmed("amid padding")
	if h := viewer.eyes.holes(); h != 0 {
		t.Errorf("%d numbers are missing where padding was", h)
	}
	until(t, "900 packets of padding of 1000 are counted", func() bool {
		return s.metric(`conclave_media_dropped_packets_total{reason="padding"}`) >= 900
	})
}

// pad sends n packets of padding (RFC 3550, Section 5.1) of the same timestamp.
func pad(c *camera, n int) {
	for range n {
		c.seq++
		h := c.header(false)
		h.Padding = true
		raw, err := h.Marshal()
		if err != nil {
			panic(err)
		}
		padding := make([]byte, 224)
		padding[len(padding)-1] = byte(len(padding))
		c.probe.sendRTP(append(raw, padding...), len(raw))
	}
}

// TestRetransmissionBursts repeats packets on the retransmission stream (RFC 4588) and
// on the stream itself: nothing comes twice.
func TestRetransmissionBursts(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "again")
	c := sender.film(300, 1<<30)
	viewer.awaitFrames(sender, 10)
	rtx := uint16(0)
	for range 10 {
		c.with(func() {
			for range 30 {
				rtx++
				h := rtp.Header{Version: 2, PayloadType: offer.RTX, SSRC: c.ssrc + 1, SequenceNumber: rtx, Timestamp: c.stamp}
				payload := payloadOf(c.mark, c.frame, 1, c.each, c.size, false)
				c.write(h, append(binary.BigEndian.AppendUint16(nil, c.seq), payload...))
			}
		})
		viewer.awaitFrames(sender, 2)
	}
	viewer.unharmed("amid retransmissions")
	if h := viewer.eyes.holes(); h != 0 {
		t.Errorf("%d numbers are missing", h)
	}
	if twice := viewer.eyes.twice.Load(); twice != 0 {
		t.Errorf("%d packets came twice", twice)
	}
}

// TestLookAtNobody takes the camera out of view and in again.
func TestLookAtNobody(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "look")
	sender.film(1, 1)
	for range 4 {
		viewer.awaitFrames(sender, 5)
		if err := viewer.look(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := viewer.look(context.Background(), sender); err != nil {
			t.Fatal(err)
		}
	}
	viewer.awaitFrames(sender, 5)
	viewer.unharmed("after looking away")
}
