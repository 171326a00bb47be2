package sfu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/packetmap"
	"github.com/conclave-sfu/conclave/sfu/speaker"
)

// cacheSize is how many packets of a video stream are kept for retransmission: 1.6 s
// at 2.5 Mbit/s, and 760 kB of memory.
const cacheSize = 512

// keyFrameInterval is the least time between two requests for a key frame of one
// stream: a key frame costs every viewer.
const keyFrameInterval = 500 * time.Millisecond

// A request for a key frame is repeated if none has begun after twice the usual time,
// within these bounds, and this often until somebody asks again.
const (
	minKeyFramePatience = 200 * time.Millisecond
	maxKeyFramePatience = time.Second
	maxKeyFrameRepeats  = 3
)

// maxKeyFrameAge is how old a key frame may be that a slot begins with: what has come
// since is sent from the cache at once, which a receiver's jitter buffer bears.
const maxKeyFrameAge = 250 * time.Millisecond

// maxJump is by how many packets the numbers of a stream grow at once, at most; what is lost
// beyond that seems to be less. A receiver that misses what lies between two jumps of half of
// the sequence numbers loses count of the wraps (RFC 3711, Section 3.3.1), and opens nothing
// of the slot any more, whoever is in it. Senders are free to jump.
const maxJump = 1000

// An audio stream takes so many bits a second, with its headers, on average, and of a burst as
// much as of audioBurst. Audio is not paced, so a sender of more would take all that the
// lines of the others carry. Opus has 510 kbit/s at most (RFC 6716, Section 2.1.1).
const (
	maxAudioRate = 768_000
	audioBurst   = time.Second
)

// upTrack is one received RTP stream: a publication, or one layer of it. Its
// packets are forwarded on the goroutine that reads them, to the down tracks in
// its fan-out, without a lock. A large fan-out is divided into shards, which
// other goroutines share with it.
//
// A down track is in the fan-out of one up track at most, and belongs to the
// goroutine of that one, or of its shard. attach and detach, under the room's
// lock, hand it over: when detach returns, the goroutine has left it for good.
type upTrack struct {
	// Immutable.
	video       bool
	format      *uplinkFormat
	ssrc        uint32
	rid         string
	askKeyFrame func(ssrc uint32) // sends the publisher a PLI
	tap         func(payload []byte)
	flush       func()             // sends what was written by no goroutine of a loop
	writers     *writers           // serve shards; nil for none
	cache       *packetcache.Cache // nil for audio

	// For any goroutine.
	fanOut atomic.Pointer[[]*downTrack]
	passes atomic.Uint64 // odd while a packet is being forwarded without shards
	// crew are the shards of a large fan-out; nil for none. roster is held while slots come,
	// go, or change their shards.
	crew     atomic.Pointer[[]*shard]
	roster   sync.Mutex
	clock    mediaClock
	loudness loudnessMeter
	counters counters
	// codec is that of the latest packet in order.
	codec atomic.Uint32
	// shape is what the stream's layers are, as far as they are known.
	shape atomic.Pointer[structure]
	// rates has the bytes received of each layer; nil for audio.
	rates *layerBytes
	// keyFrameAt is when a key frame was last asked for; keyFrameWanted says that
	// one is to be asked for when keyFrameInterval is over.
	keyFrameAt     atomic.Int64
	keyFrameWanted atomic.Bool
	// keyFrameAwaited says that none has come since; keyFrameTime is how long the publisher
	// takes, smoothed, in nanoseconds, 0 if not known; keyFrameRepeats are left.
	keyFrameAwaited atomic.Bool
	keyFrameTime    atomic.Int64
	keyFrameRepeats atomic.Int32
	// keyFrame is the latest in-order key frame: its first packet, and when that came.
	keyFrame struct{ number, at atomic.Int64 }
	// pulse compares an encoding with the others of its source; nil if there are none.
	pulse atomic.Pointer[pulse]
	// gone says that the stream has ended: it is not to become part of a publication.
	gone atomic.Bool
	// turn is that of the latest packet that is forwarded, newest the highest number in the
	// cache.
	turn, newest atomic.Int64
	// awaited says that a slot takes this layer with its next key frame; wake is called
	// then. It must not block.
	awaited atomic.Bool
	wake    func()

	// Guarded by the room's lock. waiters are the slots that take over this layer with its
	// next key frame, wantedAt is when a slot last called for it, shown the largest height at
	// which one did in the round of housekeeping shownIn, or since.
	waiters        []*downTrack
	wantedAt       int64
	shown, shownIn int

	// Owned by the reading goroutine.
	via       *egress  // of that goroutine
	position  position // where that goroutine is
	header    rtp.Header
	frames    frameReader
	unwrapper packetmap.Unwrapper
	window    packetmap.Window
	gaps      packetmap.Map // closes the gaps that packets without payload leave
	begun     bool
	allowance bucket // of audio
}

// never is a time long before the node's clock began.
const never = -int64(time.Hour)

func newUpTrack(video bool, ssrc uint32) *upTrack {
	u := &upTrack{video: video, ssrc: ssrc, wake: func() {}, flush: func() {}}
	u.allowance = bucket{interval: audioBurst, burst: 1}
	u.clock.rate = packetmap.AudioRate
	if video {
		u.clock.rate = packetmap.VideoRate
		u.cache = packetcache.NewCache(cacheSize)
		u.rates = new(layerBytes)
	}
	u.keyFrameAt.Store(never)
	u.keyFrame.at.Store(never)
	u.fanOut.Store(new([]*downTrack))
	return u
}

// receive forwards the packet of n bytes in p.Buffer, which arrived now. It is
// true if p was kept in the cache: the caller must not use it again.
func (u *upTrack) receive(p *packetcache.Packet, n int, now int64) (kept bool) {
	u.counters.packetsIn.Add(1)
	if !u.video && !u.allowance.spend(now, time.Duration(n)*8*time.Second/maxAudioRate) {
		u.counters.drop(dropAudioRate)
		return false
	}
	if !u.parse(p, p.Buffer[:n], now) {
		return false
	}
	u.counters.bytesIn.Add(uint64(len(p.Payload)))
	if pulse := u.pulse.Load(); pulse != nil && p.InOrder {
		pulse.beat(p.Number, p.Timestamp, now)
	}
	p.Turn = u.turn.Load() + 1
	if u.cache != nil {
		kept = u.cache.Put(p)
	}
	if p.InOrder {
		u.newest.Store(p.Number)
		u.position.newest = p.Number
	}
	u.position.turn = p.Turn
	if crew := u.crew.Load(); crew != nil {
		u.distribute(*crew, p, kept, now)
		return true
	}
	u.turn.Store(p.Turn)
	u.forward(p, now)
	return kept
}

// parse fills in p, unless the packet is not to be forwarded.
func (u *upTrack) parse(p *packetcache.Packet, raw []byte, now int64) bool {
	h := &u.header
	size, err := h.Unmarshal(raw)
	payload, ok := withoutPadding(raw, size, h.Padding)
	c := u.format.codecs[h.PayloadType&0x7f]
	if err != nil || !ok || c == codecNone {
		u.counters.drop(dropMalformed)
		return false
	}
	number, inOrder, ok := u.number(h.SequenceNumber, len(payload) == 0)
	if !ok {
		return false
	}
	if u.tap != nil {
		u.tap(payload)
	}
	p.Number, p.InOrder = number, inOrder
	p.Timestamp, p.Marker = h.Timestamp, h.Marker
	p.Codec = uint8(c)
	if inOrder && codec(u.codec.Load()) != c {
		u.codec.Store(uint32(c))
	}
	if !u.readFrame(p, c, payload, now) {
		return false
	}
	if u.clock.anchor.Load() == nil {
		u.clock.anchor.Store(&anchor{at: now, stamp: h.Timestamp})
	}
	if u.format.levelExtension != 0 {
		u.loudness.add(h.GetExtension(u.format.levelExtension))
	}
	return true
}

// withoutPadding cuts header and padding off (RFC 3550, Section 5.1).
func withoutPadding(raw []byte, header int, padded bool) ([]byte, bool) {
	end := len(raw)
	if padded && end > 0 {
		end -= int(raw[end-1])
	}
	if header > end {
		return nil, false
	}
	return raw[header:end], true
}

// number gives the packet's number after gaps were closed. It is false for a
// packet that was here before, comes too late, or is empty.
func (u *upTrack) number(seq uint16, empty bool) (number int64, inOrder, ok bool) {
	n := u.unwrapper.Unwrap(seq)
	verdict := u.window.Add(n)
	switch {
	case verdict == packetmap.Duplicate:
		u.counters.drop(dropDuplicate)
		return 0, false, false
	case verdict == packetmap.TooLate:
		u.counters.drop(dropLate)
		return 0, false, false
	}
	if !u.begun {
		u.begun = true
		u.gaps.Start(n, 0)
	}
	if verdict == packetmap.Newest {
		u.gaps.Shorten(n, maxJump)
	}
	if empty {
		u.gaps.Skip(n)
		u.counters.drop(dropPadding)
		return 0, false, false
	}
	number, ok = u.gaps.Forward(n)
	if !ok {
		u.counters.drop(dropLate)
	}
	return number, verdict == packetmap.Newest, ok
}

// hadKeyFrame says whether a slot can begin with a key frame that has been.
func (u *upTrack) hadKeyFrame(now int64) bool {
	return now-u.keyFrame.at.Load() <= int64(maxKeyFrameAge)
}

// forgetKeyFrame keeps what has come until now from slots that begin later.
func (u *upTrack) forgetKeyFrame() { u.keyFrame.at.Store(never) }

// forward writes p to all down tracks.
func (u *upTrack) forward(p *packetcache.Packet, now int64) {
	u.passes.Add(1)
	sent := uint64(0)
	for _, d := range *u.fanOut.Load() {
		d.via = u.via
		if d.forward(u, p, now) {
			d.count(1, len(p.Payload))
			sent++
		}
	}
	u.passes.Add(1)
	u.counters.packetsOut.Add(sent)
	u.counters.bytesOut.Add(sent * uint64(len(p.Payload)))
}

// needed says whether a slot has the stream, or waits for its key frame.
func (u *upTrack) needed() bool { return len(*u.fanOut.Load()) > 0 || u.awaited.Load() }

// attach puts d in the fan-out. The caller holds the room's lock.
func (u *upTrack) attach(d *downTrack) {
	u.roster.Lock()
	defer u.roster.Unlock()
	d.belong(u.smallest(), u)
	with(&u.fanOut, d)
}

// detach takes d out, and returns when no packet is on its way to it. The caller
// holds the room's lock, which forward never takes.
func (u *upTrack) detach(d *downTrack) {
	if s := u.remove(d); s != nil {
		s.leave(d)
		return
	}
	for pass := u.passes.Load(); pass%2 == 1 && u.passes.Load() == pass; {
		runtime.Gosched()
	}
}

// requestKeyFrame asks the publisher for a key frame, now or as soon as
// keyFrameInterval allows.
func (u *upTrack) requestKeyFrame(now int64) {
	if !u.video {
		return
	}
	u.keyFrameWanted.Store(true)
	u.keyFrameRepeats.Store(maxKeyFrameRepeats)
	u.flushKeyFrame(now)
}

// flushKeyFrame sends the request that waits, if there is one and its time has come, and
// repeats one that was not answered: it was lost, or all that came of the key frame.
func (u *upTrack) flushKeyFrame(now int64) {
	last := u.keyFrameAt.Load()
	repeat := u.keyFrameAwaited.Load() && !u.stalled() && now-last >= int64(u.keyFramePatience()) && u.keyFrameRepeats.Load() > 0
	due := u.keyFrameWanted.Load() && now-last >= int64(keyFrameInterval)
	if !repeat && !due || !u.keyFrameAt.CompareAndSwap(last, now) {
		return
	}
	if !due {
		u.keyFrameRepeats.Add(-1)
	}
	u.keyFrameWanted.Store(false)
	u.keyFrameAwaited.Store(true)
	u.counters.plisOut.Add(1)
	u.askKeyFrame(u.ssrc)
}

// keyFramePatience is how long after a request a key frame may begin: twice what it takes.
func (u *upTrack) keyFramePatience() time.Duration {
	took := time.Duration(u.keyFrameTime.Load())
	if took == 0 {
		return keyFrameInterval
	}
	return min(max(2*took, minKeyFramePatience), maxKeyFramePatience)
}

// keyFrameIsDue says whether one was asked for that may yet come.
func (u *upTrack) keyFrameIsDue(now int64) bool {
	return u.keyFrameWanted.Load() || u.keyFrameAwaited.Load() && now-u.keyFrameAt.Load() < int64(u.keyFramePatience())
}

// keyFrameAnswered notes that one has begun.
func (u *upTrack) keyFrameAnswered(now int64) {
	u.keyFrameWanted.Store(false)
	if !u.keyFrameAwaited.Swap(false) {
		return
	}
	took, before := now-u.keyFrameAt.Load(), u.keyFrameTime.Load()
	if before == 0 {
		before = took
	}
	u.keyFrameTime.Store(max(before+(took-before)/4, 1))
}

// senderReport takes a sender report (RFC 3550, Section 6.4.1) of the stream: the
// time at, by the node's clock, belongs to its RTP timestamp.
func (u *upTrack) senderReport(sr *rtcp.SenderReport, at int64) {
	u.clock.anchor.Store(&anchor{at: at, stamp: sr.RTPTime})
}

// loudnessMeter averages the audio levels (RFC 6464) between two readings.
type loudnessMeter struct {
	// sum has the sum in the lower and the number of packets in the upper half.
	sum atomic.Uint64
}

func (m *loudnessMeter) add(extension []byte) {
	if len(extension) > 0 {
		m.sum.Add(1<<32 | uint64(127-extension[0]&0x7f))
	}
}

// read gives the average loudness since the last reading, 0 (silence) to 127, and the
// number of packets.
func (m *loudnessMeter) read() (average speaker.Loudness, packets int) {
	v := m.sum.Swap(0)
	if v == 0 {
		return 0, 0
	}
	return speaker.Loudness(v&0xffffffff) / speaker.Loudness(v>>32), int(v >> 32)
}
