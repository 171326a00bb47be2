package client

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Stats are counters since [Join].
type Stats struct {
	// Connected says whether there is a signalling connection now, in which the room has
	// answered.
	Connected bool
	// PacketsReceived are RTP packets in the slots, each counted once; PacketsLost those
	// that did not come, though they were asked for again; PacketsRecovered those that
	// came when asked for.
	PacketsReceived, PacketsLost, PacketsRecovered uint64
	// FramesOpened were decrypted and passed on.
	FramesOpened uint64
	// FramesFailed are the frames that should have opened and did not, by code: not
	// authentic, not encrypted, replayed, or sealed in an epoch of which this
	// participant was a member and had no key.
	FramesFailed map[string]uint64
	// FramesEarly were sealed in an epoch of which this participant was no member: it
	// had its slots before its Welcome, or the sender had not yet changed to the epoch
	// that it is in. Nobody expects it to open them.
	FramesEarly uint64
	// FramesRefused were sent by a member that has been removed.
	FramesRefused uint64
	// FramesBroken were not complete, since packets were lost.
	FramesBroken uint64
	// FramesSent were sealed and written. FramesUnsent came before there was a key to
	// seal them with, and were dropped.
	FramesSent, FramesUnsent uint64
	// FramesDecodable are those of FramesOpened that a decoder could show.
	FramesDecodable uint64
	// KeyFramesAsked are requests of viewers for a key frame, KeyFramesWanted those that
	// this participant made since its picture was damaged.
	KeyFramesAsked, KeyFramesWanted uint64
	// Uplink is what the forwarder says of the path to it.
	Uplink Uplink
	// Resumed counts connections that were lost and resumed, Rejoined those that ended in
	// joining anew, Connections the PeerConnections, Restarts those of their ICE.
	Resumed, Rejoined, Connections, Restarts uint64
}

// Uplink is what transport-wide feedback says of what was sent.
type Uplink struct {
	Acknowledged, Lost uint64 // packets
	// Rate of what arrived, in bits a second, and Delay that the path added to its
	// shortest, over the last second that there was feedback for.
	Rate  uint64
	Delay time.Duration
}

// Failed is the sum of FramesFailed.
func (s Stats) Failed() uint64 {
	var n uint64
	for _, f := range s.FramesFailed {
		n += f
	}
	return n
}

// counters are what Stats is a picture of.
type counters struct {
	connected                          atomic.Bool
	received, lost, recovered          atomic.Uint64
	opened, early, refused, broken     atomic.Uint64
	decodable, keyFramesWanted         atomic.Uint64
	sent, unsent, keyFramesAsked       atomic.Uint64
	resumed, rejoined, peerConnections atomic.Uint64
	restarts                           atomic.Uint64
	acknowledged, uplinkLost           atomic.Uint64
	uplinkRate                         atomic.Uint64
	uplinkDelay                        atomic.Int64

	mu     sync.Mutex
	failed map[string]uint64 // Guarded by mu. Keys are stable codes, so few.
}

func (c *counters) fail(code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = make(map[string]uint64)
	}
	c.failed[code]++
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	failed := maps.Clone(c.failed)
	c.mu.Unlock()
	return Stats{
		Connected:        c.connected.Load(),
		PacketsReceived:  c.received.Load(),
		PacketsLost:      c.lost.Load(),
		PacketsRecovered: c.recovered.Load(),
		FramesOpened:     c.opened.Load(),
		FramesFailed:     failed,
		FramesEarly:      c.early.Load(),
		FramesRefused:    c.refused.Load(),
		FramesBroken:     c.broken.Load(),
		FramesSent:       c.sent.Load(),
		FramesUnsent:     c.unsent.Load(),
		FramesDecodable:  c.decodable.Load(),
		KeyFramesAsked:   c.keyFramesAsked.Load(),
		KeyFramesWanted:  c.keyFramesWanted.Load(),
		Uplink: Uplink{
			Acknowledged: c.acknowledged.Load(), Lost: c.uplinkLost.Load(),
			Rate: c.uplinkRate.Load(), Delay: time.Duration(c.uplinkDelay.Load()),
		},
		Resumed:     c.resumed.Load(),
		Rejoined:    c.rejoined.Load(),
		Connections: c.peerConnections.Load(),
		Restarts:    c.restarts.Load(),
	}
}
