package client

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/room/signal"
)

// How long a packet is waited for. A frame late by more is of no use to a viewer.
const (
	videoWait = 3 * time.Second        // as browsers do, unless a key frame makes up for it
	audioWait = 150 * time.Millisecond // mere reordering: audio is not retransmitted
)

// receiver is what the downlinks of a participant share. Immutable but for its
// counters.
type receiver struct {
	keys    *keyring
	count   *counters
	early   *atomic.Int64 // bytes of the frames that wait
	onFrame func(Frame)
}

// source is where packets come from: a webrtc.TrackRemote.
type source interface {
	// Read reads a packet, and says whether it came as a retransmission.
	Read([]byte) (n int, repaired bool, err error)
	SetReadDeadline(time.Time) error
}

// downlink receives one slot. All but newDownlink belongs to the goroutine of run.
type downlink struct {
	*receiver
	mid   string
	codec framecrypt.Codec
	ask   asker

	order   reorder
	frames  assembler
	waiting earlyQueue
	picture picture
	opened  []byte
	free    []*packet
	lost    []uint16
	counted reorderStats // what of order.stats is in count already
	broken  uint64       // what of frames.broken is in count already
	timed   bool         // a read deadline is set
}

// asker asks the forwarder; its functions are nil for audio.
type asker struct {
	lost     func([]uint16) // a NACK for the sequence numbers
	keyFrame func()         // a PLI
}

func newDownlink(r *receiver, mid string, audio bool, ask asker) *downlink {
	d := &downlink{receiver: r, mid: mid, codec: framecrypt.VP8, ask: ask, frames: &vp8Assembler{}}
	d.order = reorder{wait: videoWait, nack: ask.lost != nil, key: beginsKey}
	d.waiting.held = r.early
	if audio {
		d.codec, d.frames, d.order.wait = framecrypt.Opus, opusAssembler{}, audioWait
		d.order.key = nil
	}
	return d
}

// nackSender gives the function that asks for packets of a track (RFC 4585, 6.2.1).
func nackSender(pc *webrtc.PeerConnection, track *webrtc.TrackRemote) func([]uint16) {
	ssrc := uint32(track.SSRC())
	return func(lost []uint16) {
		_ = pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
			MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(lost),
		}})
	}
}

// pliSender gives the function that asks for a key frame of a track (RFC 4585, 6.3.1).
func pliSender(pc *webrtc.PeerConnection, track *webrtc.TrackRemote) func() {
	ssrc := uint32(track.SSRC())
	return func() {
		_ = pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
	}
}

// run receives until the source ends.
func (d *downlink) run(src source) {
	defer d.waiting.clear()
	for {
		p := d.take()
		d.setDeadline(src, time.Now())
		n, repaired, err := src.Read(p.buf[:])
		p.repaired = repaired
		now := time.Now()
		var timeout net.Error
		switch {
		case err == nil:
			d.receive(now, p, n)
		case errors.As(err, &timeout) && timeout.Timeout():
			d.free = append(d.free, p)
		default:
			return
		}
		d.drain(now)
	}
}

// take gives an empty packet. There are never more of them than the ring holds.
func (d *downlink) take() *packet {
	if n := len(d.free); n > 0 {
		p := d.free[n-1]
		d.free = d.free[:n-1]
		return p
	}
	return new(packet)
}

// setDeadline lets the next read end when something is due.
func (d *downlink) setDeadline(src source, now time.Time) {
	at := earlier(d.order.deadline(), d.waiting.deadline(now))
	if at.IsZero() && !d.timed {
		return
	}
	d.timed = !at.IsZero()
	_ = src.SetReadDeadline(at)
}

// receive takes a datagram of n bytes.
func (d *downlink) receive(now time.Time, p *packet, n int) {
	if err := p.Unmarshal(p.buf[:n]); err != nil || !d.order.push(now, p) {
		d.free = append(d.free, p)
	}
}

// drain does all that is due: frames out, frames that waited, NACKs.
func (d *downlink) drain(now time.Time) {
	d.waiting.retry(d.keys.version.Load(), func(f arrival) bool { return d.open(f, now, true) })
	for {
		p, gap, ok := d.order.pop(now)
		if !ok {
			break
		}
		frame, ok := d.frames.push(p, gap)
		if gap || d.frames.broken() != d.broken {
			d.picture.damage(d.picture.next())
		}
		if ok {
			d.open(arrival{frame, p.Timestamp, d.picture.next(), now}, now, false)
		}
		d.free = append(d.free, p)
	}
	d.waiting.expire(now, func(f arrival) { d.giveUp(f, now) })
	if d.lost = d.order.nacks(now, d.lost[:0]); len(d.lost) > 0 {
		d.ask.lost(d.lost)
	}
	if d.ask.keyFrame != nil && d.picture.wants(now) {
		d.count.keyFramesWanted.Add(1)
		d.ask.keyFrame()
	}
	d.report()
}

// open opens a frame and passes it on. It reports whether the frame is done with; one
// without a key waits, and one that has waited goes on waiting.
func (d *downlink) open(f arrival, now time.Time, waited bool) bool {
	version := d.keys.version.Load()
	frame, info, from, err := d.keys.open(d.opened[:0], d.codec, f.sealed)
	switch {
	case err == nil:
		d.opened = frame
		d.count.opened.Add(1)
		d.deliver(frame, info, from, f)
	case missing(err) && waited:
		return false
	case missing(err):
		if !d.waiting.add(f, version) {
			d.refuse(f.turn, info, err, now)
		}
	default:
		d.refuse(f.turn, info, err, now)
	}
	return true
}

func (d *downlink) deliver(frame []byte, info framecrypt.Info, from e2ee.Member, f arrival) {
	key := d.codec.Audio() || vp8Key(frame)
	decodable := d.codec.Audio() || d.picture.take(f.turn, info.KID, key)
	if decodable {
		d.count.decodable.Add(1)
	}
	if d.onFrame == nil {
		return
	}
	d.onFrame(Frame{
		From:      from,
		Source:    signal.Source(info.Context.String()),
		Codec:     d.codec,
		Sealed:    Sealed{KID: info.KID, Epoch: info.Epoch, CTR: info.CTR},
		Timestamp: f.timestamp,
		MID:       d.mid,
		Received:  time.Now(),
		Key:       key,
		Decodable: decodable,
		Data:      frame,
	})
}

// giveUp counts a frame for which no key came.
func (d *downlink) giveUp(f arrival, now time.Time) {
	header, err := headerOf(d.codec, f.sealed)
	if err != nil {
		d.count.fail(failure(framecrypt.ErrUnencrypted))
		return
	}
	d.refuse(f.turn, framecrypt.Info{KID: header.KID}, framecrypt.ErrMissingKey, now)
}

// refuse counts a frame that was not opened.
func (d *downlink) refuse(turn uint64, info framecrypt.Info, err error, now time.Time) {
	d.picture.damage(turn)
	switch {
	case errors.Is(err, framecrypt.ErrRemoved):
		d.count.refused.Add(1)
	case missing(err) && !d.keys.owed(info, now):
		d.count.early.Add(1)
	default:
		d.count.fail(failure(err))
	}
}

// report adds what is new to the participant's counters.
func (d *downlink) report() {
	s, was := d.order.stats, d.counted
	d.count.received.Add(s.received - was.received)
	if s.lost != was.lost {
		d.count.lost.Add(s.lost - was.lost)
	}
	if s.recovered != was.recovered {
		d.count.recovered.Add(s.recovered - was.recovered)
	}
	if b := d.frames.broken(); b != d.broken {
		d.count.broken.Add(b - d.broken)
		d.broken = b
	}
	d.counted = s
}
