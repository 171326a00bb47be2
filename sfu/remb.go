package sfu

import (
	"slices"
	"time"

	"github.com/pion/rtcp"

	"github.com/conclave-sfu/conclave/sfu/bwe"
)

// A publisher that takes no transport-wide feedback is told what its path takes by REMB
// (draft-alvestrand-rmcat-remb-03), if it takes that. What the path takes shows in when its
// packets come, if they say when they were sent (abs-send-time); else it is told the most
// that is taken of anybody.

const (
	firstReceived  = 600_000                // bits a second, until packets say more
	lowestReceived = 50_000                 // of an estimate
	mostReceived   = 10_000_000             // of anybody: all sources at their best
	rembInterval   = time.Second            // between two messages
	rembHaste      = 97                     // percent of what was said: less is said at once
	rembLeast      = 100 * time.Millisecond // between two messages in any case
)

// uplinkPath is what is known of the path from a publisher. The connection's intake guards it.
type uplinkPath struct {
	estimator *bwe.Receiver // nil if packets do not say when they were sent
	said      int64         // bits a second
	saidAt    int64
	heardAt   int64 // when a packet came last
}

// usesREMB says whether the sender of a section knows no better.
func (s *section) usesREMB() bool {
	return s.extensions.transportCC == 0 && slices.ContainsFunc(s.payloads, func(p payload) bool { return p.remb })
}

// followUplink takes a packet that came by the path. header is its RTP header, size that of all of
// it, in bytes.
func (c *connection) followUplink(s *section, header []byte, size int, now int64) {
	if c.from == nil {
		c.from = &uplinkPath{said: mostReceived, saidAt: now}
	}
	c.from.heardAt = now
	sent := extension(header, s.extensions.sendTime)
	if len(sent) < 3 {
		return
	}
	if c.from.estimator == nil {
		c.from.estimator = bwe.NewReceiver(bwe.Config{Start: firstReceived, Min: lowestReceived, Max: mostReceived})
	}
	c.from.estimator.Add(now, uint32(sent[0])<<16|uint32(sent[1])<<8|uint32(sent[2]), size)
}

// due gives what the publisher is to be told now, in bits a second: each second, and at once
// if it is less than before.
func (u *uplinkPath) due(now int64) (bits int64, ok bool) {
	bits = mostReceived
	if u.estimator != nil {
		bits = u.estimator.Estimate()
	}
	elapsed := now - u.saidAt
	if elapsed < int64(rembLeast) || elapsed < int64(rembInterval) && bits >= u.said/100*rembHaste {
		return 0, false
	}
	u.said, u.saidAt = bits, now
	return bits, now-u.heardAt < int64(10*rembInterval)
}

// writeREMB tells the publisher what its path takes, when that is due. The caller holds
// intake.
func (c *connection) writeREMB(e *egress, now int64) {
	if c.from == nil {
		return
	}
	bits, ok := c.from.due(now)
	if !ok {
		return
	}
	remb := &rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: c.ssrc, Bitrate: float32(bits)}
	for ssrc, u := range c.uplinks {
		if u.up != nil && u.section.remb {
			remb.SSRCs = append(remb.SSRCs, ssrc)
		}
	}
	if len(remb.SSRCs) > 0 {
		c.writeControl(e, []rtcp.Packet{remb})
	}
}
