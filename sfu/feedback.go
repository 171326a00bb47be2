package sfu

import (
	"slices"
	"time"

	"github.com/pion/rtcp"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// present is the source of the slot with the timestamp offset in use. It is false
// before its first packet.
func (d *downTrack) present() (f *feed, offset uint32, ok bool) {
	f = d.feed.Load()
	if f == nil || !d.sent.Load() {
		return nil, 0, false
	}
	_, mark, ok := d.numbers.Lookup(uint16(d.numbers.High()))
	return f, tag(mark).stamps(), ok && tag(mark).generation() == f.generation
}

// senderReport says which RTP timestamp the slot's stream has now, at the NTP time
// ntp: the receiver can tell what belongs together (RFC 3550, Section 6.4.1).
func (d *downTrack) senderReport(now int64, ntp uint64) (rtcp.SenderReport, bool) {
	f, offset, ok := d.present()
	if !ok {
		return rtcp.SenderReport{}, false
	}
	a := f.up.clock.anchor.Load()
	return rtcp.SenderReport{
		SSRC: d.ssrc, NTPTime: ntp, RTPTime: a.stampAt(now, f.up.clock.rate) + offset,
		PacketCount: d.packets.Load(), OctetCount: d.octets.Load(),
	}, true
}

// feedback takes what the receiver reports. A compound packet comes to every slot
// that any of its parts names.
func (d *downTrack) feedback(packets []rtcp.Packet, now int64) {
	f := d.feed.Load()
	for _, packet := range packets {
		switch packet := packet.(type) {
		case *rtcp.ReceiverReport:
			if i := slices.IndexFunc(packet.Reports, func(r rtcp.ReceptionReport) bool { return r.SSRC == d.ssrc }); i >= 0 {
				d.heard.Store(true)
				d.losing = packet.Reports[i].FractionLost >= muchLost
			}
		case *rtcp.TransportLayerNack:
			if f != nil && packet.MediaSSRC == d.ssrc {
				d.resendAll(f, packet.Nacks, now)
			}
		case *rtcp.PictureLossIndication:
			if f != nil && packet.MediaSSRC == d.ssrc {
				d.refresh(f, now)
			}
		case *rtcp.FullIntraRequest:
			if f != nil && slices.ContainsFunc(packet.FIR, func(e rtcp.FIREntry) bool { return e.SSRC == d.ssrc }) {
				d.refresh(f, now)
			}
		}
	}
}

// muchLost is the share of packets, in 256ths, from which on a receiver needs key frames
// more often than others: one in twenty.
const muchLost = 13

// refresh passes on a request for a key frame. One that is due anyway costs nothing, and one
// of an encoding that has stopped is of no use.
func (d *downTrack) refresh(f *feed, now int64) {
	f.up.counters.plisIn.Add(1)
	if f.up.keyFrameIsDue(now) || f.up.stalled() {
		return
	}
	if !d.refreshes.spend(now, refreshPrice(len(*f.up.fanOut.Load()), d.losing)) {
		f.up.counters.drop(dropPLIRate)
		return
	}
	f.up.requestKeyFrame(now)
}

// refreshPrice is what a key frame costs who asks for it, as time until it may have the
// next: more if more others have to take it too. Nobody gets more than one each
// keyFrameInterval. Who has lost much pays half: for whoever lies about that, everybody
// else takes one a second.
func refreshPrice(viewers int, losing bool) time.Duration {
	price := refreshInterval * time.Duration(min(max(viewers, 1), refreshAudience)) / refreshAudience
	if losing {
		return max(price/2, keyFrameInterval)
	}
	return price
}

// repairSize is what a retransmission is held to take, in bytes.
const repairSize = 1200

// resendAll sends again what the receiver asks for.
func (d *downTrack) resendAll(f *feed, nacks []rtcp.NackPair, now int64) {
	for _, pair := range nacks {
		pair.Range(func(seq uint16) bool {
			f.up.counters.nacks.Add(1)
			d.answer(f, seq, now)
			return true
		})
	}
}

// answer sends a packet again that the receiver asks for, or counts why not.
func (d *downTrack) answer(f *feed, seq uint16, now int64) {
	o := d.owe(seq, now)
	p, mark, ok := d.cached(f, seq)
	if !ok {
		f.up.counters.drop(dropNACKGone) // and takes nothing from those that can be sent
		return
	}
	defer p.Release()
	if why, ok := d.mayRepair(now); !ok {
		f.up.counters.drop(why)
		return
	}
	size := d.resend(f, p, mark, seq)
	if size == 0 {
		f.up.counters.drop(dropNACKGone)
		return
	}
	d.resent(f, size, o, now)
}

// resent counts a packet that was sent again, and notes what became of it. o is nil if it is not
// remembered.
func (d *downTrack) resent(f *feed, size int, o *owed, now int64) {
	f.up.counters.retransmitted.Add(1)
	d.charge(size, now)
	if o != nil {
		o.sent(d.again.number, now)
	}
}

// mayRepair takes one packet out of what may be sent again, or says why not.
func (d *downTrack) mayRepair(now int64) (why reason, ok bool) {
	switch {
	case !d.resends.take(now):
		return dropNACKRate, false
	case d.repairs != nil && !d.repairs.Take(now, repairSize):
		return dropPace, false // the receiver asks again
	case !d.allows(repairSize, now):
		return dropOutgoing, false
	}
	return 0, true
}

// cached finds the packet of the source that went out under a number, with its tag, if it can be
// sent again: one that the publisher has yet to repeat, or one before the source, cannot. The
// caller must release it.
func (d *downTrack) cached(f *feed, seq uint16) (p *packetcache.Packet, mark tag, ok bool) {
	in, bits, ok := d.numbers.Lookup(seq)
	if mark = tag(bits); !ok || mark.generation() != f.generation || f.up.cache == nil || d.rtxSSRC == 0 {
		return nil, 0, false
	}
	p, ok = f.up.cache.Get(in)
	return p, mark, ok
}

// resend sends p, which went out as seq with a tag, again on the retransmission stream (RFC
// 4588, Section 4). Never on the media stream: a sequence number under a changed header would
// repeat a nonce. It gives the packet's size in bytes, 0 if it is not sent.
func (d *downTrack) resend(f *feed, p *packetcache.Packet, mark tag, seq uint16) (size int) {
	types := d.types[p.Codec]
	if types.rtx == 0 {
		return 0
	}
	d.again = outgoing{
		via: d.againVia, packet: p, payload: p.Payload, stamp: p.Timestamp + mark.stamps(),
		marker: p.Marker || d.layers.ends(p), payloadType: types.rtx,
	}
	switch moved := f.moved.Load(); {
	case d.ddExtension != 0 && p.Descriptor != nil:
		d.again.descriptor = d.layers.again.shift(p.Descriptor, mark.frames())
	case p.Front != nil && moved != 0:
		front := d.layers.again.front(p)
		putVP9Count(front, vp9CountOf(front).add(unpackVP9Count(moved)))
		d.again.front, d.again.payload = front, p.Payload[1:]
	}
	if !d.writer.writeRTX(&d.again, seq) {
		return 0
	}
	return len(p.Payload) + sealed
}
