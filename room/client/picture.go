package client

import (
	"time"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

// pliInterval is the time between two requests for a key frame: that of browsers, and
// more than a round trip of most.
const pliInterval = 300 * time.Millisecond

// picture is what a decoder of a slot would show: it begins with a key frame, and is
// damaged from the first frame that is missing to the next key frame. The zero value
// waits for the first frame that can be opened, which is a key frame unless that was lost:
// until then nothing is asked for, since frames may be of an epoch before ours.
type picture struct {
	opened, whole bool
	of            sender
	asked         time.Time
	// turn is that of the latest frame, key that of the latest key frame.
	turn, key uint64
}

// sender is whose frames they are, whatever the epoch.
type sender struct {
	context framecrypt.Context
	leaf    framecrypt.Leaf
}

// next gives the next frame its turn.
func (p *picture) next() uint64 {
	p.turn++
	return p.turn
}

// take says whether the frame of this turn can be decoded: the newest, or one that waited.
func (p *picture) take(turn uint64, kid sframe.KID, key bool) bool {
	context, leaf, _, _ := framecrypt.SplitKID(kid)
	who := sender{context, leaf}
	p.opened = true
	switch {
	case turn < p.key:
		return false // shown is what came after it
	case key:
		p.whole, p.of, p.key = true, who, turn
	case p.of != who:
		p.damage(turn) // another publication, and not from its key frame on
	}
	p.of = who
	return p.whole
}

// damage says that the frame of this turn is missing, or one before it. What was before the
// latest key frame is not missed: a joiner's slots fill with frames of the epoch before its
// own, which are given up when the first key frame that it can open has come.
func (p *picture) damage(turn uint64) {
	if turn > p.key {
		p.whole = false
	}
}

// wants says whether to ask for a key frame now.
func (p *picture) wants(now time.Time) bool {
	if !p.opened || p.whole || now.Sub(p.asked) < pliInterval {
		return false
	}
	p.asked = now
	return true
}

// beginsKey says whether a key frame of VP8 begins with a packet.
func beginsKey(p *packet) bool {
	start, frame, err := splitVP8(p.Payload)
	return err == nil && start && vp8Key(frame)
}

// vp8Key says whether a VP8 frame is a key frame (RFC 6386, Section 9.1).
func vp8Key(frame []byte) bool { return len(frame) > 0 && frame[0]&1 == 0 }
