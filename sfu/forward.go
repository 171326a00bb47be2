package sfu

import "github.com/conclave-sfu/conclave/sfu/packetcache"

// send sends p, which is of u, if it is of a layer that the receiver gets. Who calls it counts what
// was sent.
func (d *downTrack) send(u *upTrack, p *packetcache.Packet, now int64) bool {
	types := d.types[p.Codec]
	if types.media == 0 {
		u.counters.drop(dropCodec)
		d.leaveOut(p, now)
		return false
	}
	last := false
	if p.Layered {
		forward := false
		if forward, last = d.layers.take(p); !forward {
			u.counters.drop(dropLayer)
			d.leaveOut(p, now)
			return false
		}
	}
	if !d.allows(sizeOf(p), now) {
		u.counters.drop(dropOutgoing)
		return false
	}
	number, ok := d.numbers.Forward(p.Number)
	if !ok {
		return false
	}
	o := d.fill(p, uint16(number), types.media, last)
	if p.InOrder {
		d.note(p, o, now)
	}
	sent := d.writer.writeMedia(o)
	o.forget()
	if !sent {
		u.counters.drop(dropSendError)
	}
	return sent
}

// count adds what was sent to what sender reports tell of it.
func (d *downTrack) count(packets, octets int) {
	d.packets.Add(uint32(packets))
	d.octets.Add(uint32(octets))
}

// fill makes of p what goes out. last says that p ends its picture for this receiver.
func (d *downTrack) fill(p *packetcache.Packet, seq uint16, payloadType uint8, last bool) *outgoing {
	o := d.via.blank()
	*o = outgoing{
		via: d.via, packet: p, payload: p.Payload, seq: seq, stamp: p.Timestamp + d.offset,
		marker: p.Marker || last, payloadType: payloadType,
	}
	switch {
	case d.ddExtension != 0 && p.Descriptor != nil:
		o.descriptor = d.layers.descriptor(p, d.frames, last)
	case p.Front != nil:
		o.front, o.payload = d.front(p), p.Payload[1:]
	}
	return o
}

// note remembers where the slot is with its source, by an in-order packet that goes out as o.
func (d *downTrack) note(p *packetcache.Packet, o *outgoing, now int64) {
	d.lastIn, d.lastOut, d.lastAt = p.Timestamp, o.stamp, now
	if p.Frame.Numbered {
		d.lastFrame = p.Frame.Number + d.frames
	}
}

// forget lets go of what belongs to the packet.
func (o *outgoing) forget() { o.packet, o.payload, o.front, o.descriptor = nil, nil, nil, nil }

// front is p's payload descriptor as it goes out, with the numbers of the slot: those of
// its sources follow each other.
func (d *downTrack) front(p *packetcache.Packet) []byte {
	f, front := d.feed.Load(), d.layers.scratch.front(p)
	count, moved := vp9CountOf(front), f.moved.Load()
	if moved == 0 {
		by := vp9Count{}
		if d.counted {
			by = count.to(vp9Count{d.lastCount.picture + 1, d.lastCount.base + 1})
		}
		moved = by.pack()
		f.moved.Store(moved)
	}
	count = count.add(unpackVP9Count(moved))
	if p.InOrder {
		d.counted, d.lastCount = true, count
	}
	putVP9Count(front, count)
	return front
}

// leaveOut closes the gap that p would leave. Where a later packet has gone out, an empty
// one takes its place: a receiver waits for what seems to be lost.
func (d *downTrack) leaveOut(p *packetcache.Packet, now int64) {
	if d.numbers.Skip(p.Number) || !d.allows(sealed, now) {
		return
	}
	number, ok := d.numbers.Forward(p.Number)
	if !ok {
		return
	}
	if payloadType := d.types[p.Codec].media; payloadType != 0 {
		o := d.via.blank()
		*o = outgoing{via: d.via, seq: uint16(number), stamp: p.Timestamp + d.offset, payloadType: payloadType}
		d.writer.writeMedia(o)
	}
}
