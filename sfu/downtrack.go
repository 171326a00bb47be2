package sfu

import (
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/packetmap"
)

// rtpWriter encrypts and sends one packet. It keeps neither argument.
type rtpWriter interface {
	WriteRTP(header *rtp.Header, payload []byte) (int, error)
}

// Limits of what a receiver may ask of a slot: on average, and at once.
const (
	resendInterval  = 2 * time.Millisecond
	resendBurst     = 256
	refreshInterval = 2 * time.Second
	refreshBurst    = 8
)

// downTrack is one slot: an RTP stream to a participant, whose source changes. To
// the receiver it is one stream: sequence numbers have no gap and timestamps go
// forward at each change.
type downTrack struct {
	// Immutable once the stream is bound.
	mid                string
	video              bool
	midExtension       uint8
	ssrc, rtxSSRC      uint32
	payloadType, rtxPT uint8
	writer             rtpWriter

	// Guarded by the room's lock.
	key  pubKey   // what the slot carries; zero for nothing
	up   *upTrack // whose fan-out it is in; nil for none
	next *upTrack // the layer that takes over with its next key frame; nil for none
	// mappedAt is when up or next was set, asked how often the key frame was asked
	// for again.
	mappedAt int64
	asked    int
	// asks bounds how often the slot may ask for key frames of what it carries; nil for
	// no bound.
	asks *bucket
	// reportedAt is when the last sender report went out.
	reportedAt int64

	// For any goroutine.
	numbers packetmap.Map
	feed    atomic.Pointer[feed]
	packets atomic.Uint32
	octets  atomic.Uint32
	// sent says that a packet of the present feed went out; heard that the receiver
	// has reported on the stream.
	sent, heard atomic.Bool

	// Owned by the goroutine of up, by the room while up is nil.
	header    rtp.Header
	phase     phase
	offset    uint32 // from a received to a sent timestamp
	begun     bool   // a packet was sent, ever
	lastIn    uint32 // timestamp of the last packet in order, as received
	lastOut   uint32 // the same as sent
	lastAt    int64  // when it arrived; then, when it was sampled
	mediaTime *mediaClock
	replayed  int64 // number of the last packet that was sent from the cache

	// Owned by the goroutine that reads the receiver's RTCP.
	rtx struct {
		header  rtp.Header
		payload [packetcache.MaxPacket + 2]byte
	}
	resends, refreshes bucket
}

// phase says how far a slot is with its source.
type phase uint8

const (
	waiting phase = iota // for a packet that the source can begin with
	behind               // begun from the cache; more may have come meanwhile
	live
)

// feed is one source that a slot has had. Its generation is in the upper half of
// the tag of its packets in downTrack.numbers, the timestamp offset in the lower.
type feed struct {
	up         *upTrack
	generation uint32
}

// bind sets what negotiation gave.
func (d *downTrack) bind(writer rtpWriter, ssrc, rtxSSRC uint32, payloadType, rtxPT uint8) error {
	d.writer = writer
	d.ssrc, d.rtxSSRC = ssrc, rtxSSRC
	d.payloadType, d.rtxPT = payloadType, rtxPT
	d.header = rtp.Header{Version: 2, PayloadType: payloadType, SSRC: ssrc}
	d.rtx.header = rtp.Header{Version: 2, PayloadType: rtxPT, SSRC: rtxSSRC}
	d.resends = bucket{interval: resendInterval, burst: resendBurst}
	d.refreshes = bucket{interval: refreshInterval, burst: refreshBurst}
	if d.midExtension == 0 {
		return nil
	}
	if d.midExtension > 14 || len(d.mid) > 16 {
		d.header.Extension, d.header.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
	}
	return d.header.SetExtension(d.midExtension, []byte(d.mid))
}

// connect makes u the source, beginning with a key frame that has just been or with
// its next one. The caller holds the room's lock.
func (d *downTrack) connect(u *upTrack, now int64) {
	d.disconnect()
	generation := uint32(1)
	if f := d.feed.Load(); f != nil {
		generation = f.generation + 1
	}
	d.feed.Store(&feed{up: u, generation: generation})
	d.phase, d.mediaTime = waiting, &u.clock
	d.sent.Store(false)
	d.up, d.mappedAt, d.asked = u, now, 0
	if d.catchUp(u, u.newest.Load()+1, now) {
		d.phase = behind
		u.flush()
	} else {
		d.ask(u, now)
	}
	u.attach(d)
}

// await has u take over once it has a key frame; the present source stays until
// then. The caller holds the room's lock, and calls connect when u says so.
func (d *downTrack) await(u *upTrack, now int64) {
	if d.next == u {
		return
	}
	d.next, d.mappedAt, d.asked = u, now, 0
	u.awaited.Store(true)
	d.ask(u, now)
}

// disconnect leaves the slot without a source. The caller holds the room's lock.
func (d *downTrack) disconnect() {
	d.next = nil
	if d.up == nil {
		return
	}
	d.up.detach(d)
	d.up = nil
	if d.begun && d.phase != waiting {
		d.lastAt = d.mediaTime.at(d.lastIn, d.lastAt)
	}
}

// forward sends p, if the source can begin with it or has begun.
func (d *downTrack) forward(p *packetcache.Packet, now int64) bool {
	if d.phase != live && !d.prepare(p, now) {
		return false
	}
	return d.send(p, now)
}

func (d *downTrack) send(p *packetcache.Packet, now int64) bool {
	number, ok := d.numbers.Forward(p.Number)
	if !ok {
		return false
	}
	d.header.SequenceNumber = uint16(number)
	d.header.Timestamp = p.Timestamp + d.offset
	d.header.Marker = p.Marker
	if p.InOrder {
		d.lastIn, d.lastOut, d.lastAt = p.Timestamp, d.header.Timestamp, now
	}
	if _, err := d.writer.WriteRTP(&d.header, p.Payload); err != nil {
		d.feed.Load().up.counters.drop(dropSendError)
		return false
	}
	d.packets.Add(1)
	d.octets.Add(uint32(len(p.Payload)))
	return true
}

// prepare brings the slot to where p is next, if it can: with an in-order key frame,
// or one that has just been, for video.
func (d *downTrack) prepare(p *packetcache.Packet, now int64) bool {
	u := d.feed.Load().up
	switch {
	case !p.InOrder:
		return false
	case d.phase == behind:
		d.replay(u, d.replayed+1, p.Number, now)
	case !d.video || p.KeyFrame:
		d.start(p, now)
	case !d.catchUp(u, p.Number, now):
		return false
	}
	d.phase = live
	return true
}

// catchUp starts the source with a key frame that has just been, and sends what has
// come since, up to before packet end.
func (d *downTrack) catchUp(u *upTrack, end, now int64) bool {
	first := u.keyFrame.number.Load()
	if !u.hadKeyFrame(now) || end-first > maxCatchUp {
		return false
	}
	p, ok := u.cache.Get(first)
	if !ok {
		return false
	}
	d.start(p, now)
	p.Release()
	d.replay(u, first, end, now)
	return true
}

// replay sends the packets from first to before end from the cache. What is missing
// comes late, as always.
func (d *downTrack) replay(u *upTrack, first, end, now int64) {
	for n := first; n < end; n++ {
		if p, ok := u.cache.Get(n); ok {
			if d.send(p, now) {
				u.counters.packetsOut.Add(1)
				u.counters.bytesOut.Add(uint64(len(p.Payload)))
			}
			p.Release()
		}
	}
	d.replayed = end - 1
}

// start makes p the first packet of the source.
func (d *downTrack) start(p *packetcache.Packet, now int64) {
	if d.begun {
		elapsed := time.Duration(d.mediaTime.at(p.Timestamp, now) - d.lastAt)
		d.offset = d.lastOut + d.step(elapsed) - p.Timestamp
	}
	d.begun = true
	d.numbers.Start(p.Number, uint64(d.feed.Load().generation)<<32|uint64(d.offset))
	d.sent.Store(true)
}

func (d *downTrack) step(elapsed time.Duration) uint32 {
	if d.video {
		return packetmap.VideoStep(elapsed)
	}
	return packetmap.AudioStep(elapsed)
}

// present is the source of the slot with the timestamp offset in use. It is false
// before its first packet.
func (d *downTrack) present() (f *feed, offset uint32, ok bool) {
	f = d.feed.Load()
	if f == nil || !d.sent.Load() {
		return nil, 0, false
	}
	_, tag, ok := d.numbers.Lookup(uint16(d.numbers.High()))
	return f, uint32(tag), ok && uint32(tag>>32) == f.generation
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
			if slices.ContainsFunc(packet.Reports, func(r rtcp.ReceptionReport) bool { return r.SSRC == d.ssrc }) {
				d.heard.Store(true)
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

// refresh passes on a request for a key frame.
func (d *downTrack) refresh(f *feed, now int64) {
	f.up.counters.plisIn.Add(1)
	if !d.refreshes.take(now) {
		f.up.counters.drop(dropPLIRate)
		return
	}
	f.up.requestKeyFrame(now)
}

func (d *downTrack) resendAll(f *feed, nacks []rtcp.NackPair, now int64) {
	defer f.up.flush()
	for _, pair := range nacks {
		pair.Range(func(seq uint16) bool {
			f.up.counters.nacks.Add(1)
			if !d.resends.take(now) {
				f.up.counters.drop(dropNACKRate)
				return true
			}
			if !d.resend(f, seq) {
				f.up.counters.drop(dropNACKGone)
			}
			return true
		})
	}
}

// resend sends a packet again on the retransmission stream (RFC 4588, Section 4).
// Never on the media stream: a sequence number under a changed header would repeat
// a nonce.
func (d *downTrack) resend(f *feed, seq uint16) bool {
	in, tag, ok := d.numbers.Lookup(seq)
	if !ok || uint32(tag>>32) != f.generation || f.up.cache == nil || d.rtxPT == 0 || d.rtxSSRC == 0 {
		return false
	}
	p, ok := f.up.cache.Get(in)
	if !ok {
		return false
	}
	defer p.Release()
	binary.BigEndian.PutUint16(d.rtx.payload[:], seq)
	n := 2 + copy(d.rtx.payload[2:], p.Payload)
	h := &d.rtx.header
	h.SequenceNumber++
	h.Timestamp, h.Marker = p.Timestamp+uint32(tag), p.Marker
	if _, err := d.writer.WriteRTP(h, d.rtx.payload[:n]); err != nil {
		return false
	}
	f.up.counters.retransmitted.Add(1)
	return true
}
