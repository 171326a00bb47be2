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
// waits for the first key frame, without asking.
type picture struct {
	begun, whole bool
	of           sender
	asked        time.Time
}

// sender is whose frames they are, whatever the epoch.
type sender struct {
	context framecrypt.Context
	leaf    framecrypt.Leaf
}

// take says whether the next frame can be decoded.
func (p *picture) take(kid sframe.KID, key bool) bool {
	context, leaf, _, _ := framecrypt.SplitKID(kid)
	who := sender{context, leaf}
	switch {
	case key:
		p.begun, p.whole, p.of = true, true, who
	case p.of != who:
		p.damage() // another publication, and not from its key frame on
	}
	p.of = who
	return p.whole
}

// damage says that a frame is missing.
func (p *picture) damage() { p.whole = false }

// wants says whether to ask for a key frame now.
func (p *picture) wants(now time.Time) bool {
	if !p.begun || p.whole || now.Sub(p.asked) < pliInterval {
		return false
	}
	p.asked = now
	return true
}

// vp8Key says whether a VP8 frame is a key frame (RFC 6386, Section 9.1).
func vp8Key(frame []byte) bool { return len(frame) > 0 && frame[0]&1 == 0 }
