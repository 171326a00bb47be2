package sfu

import "sync/atomic"

// Stats counts since the node began, or says what is now.
type Stats struct {
	// Now.
	Rooms, Transports, Publications, Slots int
	// LayerSlots are the video slots that are sent the lowest layer of what they carry,
	// the next one, and so on.
	LayerSlots [maxRanks]int
	// BehindSlots wait for room on the path to their participant, with BehindPackets.
	BehindSlots, BehindPackets int
	// ShardPackets wait for shards of large audiences, once for each shard.
	ShardPackets int
	// SocketQueue is what waits in the receive buffers of the media port, in bytes.
	SocketQueue int
	// BackgroundTasks are handshakes, new and ending connections, and what else is done aside.
	BackgroundTasks int
	// Estimates are what the paths to participants are held to take in bits a second, of
	// those who say what arrives and watch somebody, in no order. Allocated is what these are sent, Wanted
	// what they would be sent if it fitted.
	Estimates         []int64
	Allocated, Wanted int64
	// Feedbacks counts what they said since the node began, ProbePackets what was sent to
	// find out what else fits.
	Feedbacks, ProbePackets uint64
	// Since the node began. Packets and bytes are those of RTP payloads, without
	// retransmissions.
	PacketsIn, BytesIn, PacketsOut, BytesOut uint64
	// SendMessages counts what the system was given to send media, runs of packets to
	// one receiver, and SendCalls the calls that gave them. Fewer is cheaper.
	SendMessages, SendCalls uint64
	// ReceiveCalls counts the system calls that gave Datagrams, FullReceives those of them
	// that gave as many as can be taken at once, so that others had to wait.
	ReceiveCalls, Datagrams, FullReceives uint64
	// SocketDropped counts datagrams for which the receive buffers had no room.
	SocketDropped uint64
	// NACKs counts packets that receivers asked for again, Retransmitted those that
	// were sent again, PLIsIn the key frames that receivers asked for, PLIsOut those
	// asked of publishers.
	NACKs, Retransmitted, PLIsIn, PLIsOut uint64
	// Dropped counts packets that were received and not forwarded, and requests that
	// were not answered, by reason.
	Dropped map[string]uint64
}

// reason says why a packet was not forwarded.
type reason int

const (
	dropMalformed   reason = iota // no RTP, or no payload descriptor
	dropOversized                 // larger than packetcache.MaxPacket
	dropPadding                   // no payload: a probe for bandwidth
	dropDuplicate                 // seen before: a probe, or sent again needlessly
	dropLate                      // too far behind
	dropSendError                 // the connection took it no more
	dropNACKRate                  // asked for again too often
	dropNACKGone                  // asked for again, but no longer kept
	dropPLIRate                   // key frames asked for too often
	dropLayer                     // of a layer that the receiver is not sent
	dropCodec                     // of a codec that the receiver does not take
	dropMalformedDD               // not the packet: a Dependency Descriptor that cannot be read
	dropUnauthentic               // not sealed with the connection's keys
	dropReport                    // feedback on what was sent that is malformed, or too much
	dropAudioRate                 // audio of more than any codec takes
	dropIncoming                  // of a participant that sends more than any may (Limits)
	dropOutgoing                  // for a participant that is sent more than any may be (Limits)
	dropPace                      // times that a slot began anew, since the path had no room
	dropShard                     // of a shard that does not follow; video is read on from the cache
	dropUnknown                   // from nobody, or a stream of which nothing is known
	reasonCount
)

var reasonNames = [reasonCount]string{
	"malformed", "oversized", "padding", "duplicate", "late", "send_error", "nack_rate", "nack_gone", "pli_rate",
	"layer", "codec", "malformed_dd", "unauthentic", "report", "audio_rate", "incoming_rate", "outgoing_rate", "pace", "shard", "unknown",
}

// counters are those of one stream, or the sum of those that have ended.
type counters struct {
	packetsIn, bytesIn, packetsOut, bytesOut atomic.Uint64
	nacks, retransmitted, plisIn, plisOut    atomic.Uint64
	dropped                                  [reasonCount]atomic.Uint64
}

func (c *counters) drop(why reason) { c.dropped[why].Add(1) }

// all lists the counters in a fixed order.
func (c *counters) all() []*atomic.Uint64 {
	list := []*atomic.Uint64{
		&c.packetsIn, &c.bytesIn, &c.packetsOut, &c.bytesOut,
		&c.nacks, &c.retransmitted, &c.plisIn, &c.plisOut,
	}
	for i := range c.dropped {
		list = append(list, &c.dropped[i])
	}
	return list
}

// add adds what other counts.
func (c *counters) add(other *counters) {
	from := other.all()
	for i, to := range c.all() {
		to.Add(from[i].Load())
	}
}

func (c *counters) stats() Stats {
	s := Stats{
		PacketsIn: c.packetsIn.Load(), BytesIn: c.bytesIn.Load(),
		PacketsOut: c.packetsOut.Load(), BytesOut: c.bytesOut.Load(),
		NACKs: c.nacks.Load(), Retransmitted: c.retransmitted.Load(),
		PLIsIn: c.plisIn.Load(), PLIsOut: c.plisOut.Load(),
		Dropped: make(map[string]uint64, reasonCount),
	}
	for i, name := range reasonNames {
		s.Dropped[name] = c.dropped[i].Load()
	}
	return s
}
