package sfu

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/sfu/allocate"
	"github.com/conclave-sfu/conclave/sfu/pace"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/packetmap"
)

// Limits of what a receiver may ask of a slot: on average, and at once. A key frame has the
// full price, of refreshInterval, where it costs refreshAudience viewers or more.
const (
	refreshAudience = 4
	resendInterval  = 2 * time.Millisecond
	resendBurst     = 256
	refreshInterval = 2 * time.Second
	refreshBurst    = 8
)

// downTrack is one slot: an RTP stream to a participant, whose source changes. To
// the receiver it is one stream: sequence numbers have no gap and timestamps go
// forward at each change.
type downTrack struct {
	// What each packet touches stands first and together: between two frames of a large audience
	// the slots of all others have driven it out of the processor's cache.

	// Immutable once the stream is bound.
	types         [numCodecs]payloadTypes
	video         bool
	ddExtension   uint8
	ssrc, rtxSSRC uint32
	writer        rtpWriter
	// bucket is the budget of the connection; nil for no limit.
	bucket *pace.Bucket
	// ceiling is that of what the participant is sent; nil for none.
	ceiling *ceiling
	// layers are what the slot is sent of a source with layers; nil for audio.
	layers *layerChoice

	// Owned by the goroutine of up, by the room while up is nil.
	via       *egress   // of that goroutine; nil for none
	at        *position // of who serves the slot
	since     int64     // turn of the first packet that is for the slot
	lastAt    int64     // when the last packet in order arrived; then, when it was sampled
	lastIn    uint32    // its timestamp, as received
	lastOut   uint32    // the same as sent
	offset    uint32    // from a received to a sent timestamp
	frames    uint16    // from a received to a sent frame number
	lastFrame uint16    // highest frame number that went out
	phase     phase
	begun     bool // a packet was sent, ever
	counted   bool // lastCount went out, ever

	// For any goroutine.
	shard   atomic.Pointer[shard] // that serves the slot; nil for none
	packets atomic.Uint32
	octets  atomic.Uint32
	feed    atomic.Pointer[feed]
	numbers packetmap.Map
	// queued is how many packets of the source wait in its cache for room on the path.
	queued atomic.Int64
	// sent says that a packet of the present feed went out; heard that the receiver
	// has reported on the stream.
	sent, heard atomic.Bool
	// overflowed says that the path had no room for too long: the slot waits for a key
	// frame, which has to be asked for.
	overflowed atomic.Bool

	// Owned as above.
	behindAt  int64         // when it fell behind, or was found to come nearer
	lag       time.Duration // how far it was behind then; 0 if that is not known
	from      int64         // number of the first packet of the source
	firstIn   uint32        // its timestamp, as received
	mediaTime *mediaClock
	cursor    int64    // number of the first packet that is yet to be sent, while behind
	before    position // where the source was when it became the slot's
	lastCount vp9Count

	// Immutable once the stream is bound.
	mid string
	// repairs is the budget of retransmissions; nil for no limit.
	repairs *pace.Bucket

	// unused says that no section of the latest offer is for the slot. Guarded by the
	// connection's intake.
	unused bool

	// Guarded by the room's lock.
	key  pubKey   // what the slot carries; zero for nothing
	up   *upTrack // whose fan-out it is in; nil for none
	next *upTrack // the layer that takes over with its next key frame; nil for none
	// wanted is the encoding that the size calls for, wantedHeight that size.
	wanted       *upTrack
	wantedHeight int
	// mappedAt is when up or next was set, asked how often the key frame was asked
	// for again.
	mappedAt int64
	asked    int
	// askedAt is when the slot last wanted a key frame, cameBefore how many packets of its source
	// had come when it asked though it had asked often.
	askedAt    int64
	cameBefore uint64
	// asks bounds how often the slot may ask for key frames of what it carries; nil for
	// no bound.
	asks *bucket
	// memory is what allocation remembers of the slot.
	memory allocate.Memory
	// reportedAt is when the last sender report went out.
	reportedAt int64

	// Owned by the goroutine that takes the receiver's RTCP; againVia is its egress.
	again              outgoing
	againVia           *egress
	resends, refreshes bucket
	// losing says that the receiver has lost much lately, as it reports.
	losing bool
	owed   []owed // the oldest first
}

// phase says how far a slot is with its source.
type phase uint8

const (
	waiting phase = iota // for a packet that the source can begin with
	behind               // what is to be sent is in the cache, from cursor on
	live
)

// feed is one source that a slot has had. Packets in downTrack.numbers bear a tag of
// its generation and of what was added to their timestamps and frame numbers.
type feed struct {
	up         *upTrack
	generation uint16
	// moved is what is added to the numbers of payload descriptors, a vp9Count; 0 before one
	// went out whole.
	moved atomic.Uint32
}

// tag is what a feed's packets are marked with.
type tag uint64

func newTag(generation, frames uint16, stamps uint32) tag {
	return tag(generation)<<48 | tag(frames)<<32 | tag(stamps)
}

func (t tag) generation() uint16 { return uint16(t >> 48) }

// frames is what is added to frame numbers, stamps what is added to timestamps.
func (t tag) frames() uint16 { return uint16(t >> 32) }
func (t tag) stamps() uint32 { return uint32(t) }

// bind sets what negotiation gave.
func (d *downTrack) bind(writer rtpWriter, ssrc, rtxSSRC uint32, types [numCodecs]payloadTypes) {
	d.writer = writer
	d.ssrc, d.rtxSSRC, d.types = ssrc, rtxSSRC, types
	d.resends = bucket{interval: resendInterval, burst: resendBurst}
	d.refreshes = bucket{interval: refreshInterval, burst: refreshBurst}
	if d.video {
		d.layers = newLayerChoice(d.ddExtension == 0)
	}
}

// takes says whether the receiver takes what u sends, as far as is known.
func (d *downTrack) takes(u *upTrack) bool {
	c := codec(u.codec.Load())
	return c == codecNone || d.types[c].media != 0
}

// connect makes u the source, beginning with a key frame that has just been or with
// its next one. The caller holds the room's lock.
func (d *downTrack) connect(u *upTrack, now int64) {
	d.disconnect()
	generation := uint16(1)
	if f := d.feed.Load(); f != nil {
		generation = f.generation + 1
	}
	d.feed.Store(&feed{up: u, generation: generation})
	d.phase, d.mediaTime = waiting, &u.clock
	if d.layers != nil {
		d.layers.reset()
	}
	d.sent.Store(false)
	d.overflowed.Store(false)
	d.via = nil // until u's goroutine has it
	d.before.reach = u.reach()
	d.at, d.since = &d.before, d.before.turn+1
	d.up, d.mappedAt, d.asked = u, now, 0
	if d.catchUp(u, now) {
		d.drain(u, now)
		d.phase = behind // of what comes until it is attached
	} else {
		d.ask(u, now)
	}
	u.attach(d)
	u.flush() // what was sent from the cache
}

// await has u take over once it has a key frame; the present source stays until
// then. The caller holds the room's lock, and calls connect when u says so.
func (d *downTrack) await(u *upTrack, now int64) {
	if d.next == u {
		return
	}
	d.stopWaiting()
	d.next, d.mappedAt, d.asked = u, now, 0
	u.waiters = append(u.waiters, d)
	u.awaited.Store(true)
	d.ask(u, now)
}

// stopWaiting stays with the present source. The caller holds the room's lock.
func (d *downTrack) stopWaiting() {
	u := d.next
	if u == nil {
		return
	}
	d.next = nil
	u.waiters = slices.DeleteFunc(u.waiters, func(other *downTrack) bool { return other == d })
	u.awaited.Store(len(u.waiters) > 0)
}

// disconnect leaves the slot without a source. The caller holds the room's lock.
func (d *downTrack) disconnect() {
	d.stopWaiting()
	if d.up == nil {
		return
	}
	d.up.detach(d)
	d.up = nil
	d.queued.Store(0)
	if d.begun && d.phase != waiting {
		d.lastAt = d.mediaTime.at(d.lastIn, d.lastAt)
	}
}

// start makes p the first packet of the source.
func (d *downTrack) start(p *packetcache.Packet, now int64) {
	frames := uint16(0)
	if d.begun {
		elapsed := time.Duration(d.mediaTime.at(p.Timestamp, now) - d.lastAt)
		d.offset = d.lastOut + d.step(elapsed) - p.Timestamp
		frames = d.lastFrame + 1 - p.Frame.Number
	}
	d.begun = true
	d.frames = frames
	d.from, d.firstIn = p.Number, p.Timestamp
	d.numbers.Start(p.Number, uint64(newTag(d.feed.Load().generation, frames, d.offset)))
	d.sent.Store(true)
	d.overflowed.Store(false)
}

func (d *downTrack) step(elapsed time.Duration) uint32 {
	if d.video {
		return packetmap.VideoStep(elapsed)
	}
	return packetmap.AudioStep(elapsed)
}
