package faults

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
)

// A frame is known by its bytes: behind the one byte of the VP8 payload descriptor that
// the forwarder leaves (RFC 7741, Section 4.2), and the frame's first byte, stand the
// sender's mark, the number of the frame, the number of the packet in it and how many
// there are, and a pattern that follows from these.
const (
	markAt    = 2
	patternAt = markAt + 12
	frameRate = 30
)

// payloadOf makes packet i of n of a frame.
func payloadOf(mark, frame uint32, i, n, size int, key bool) []byte {
	b := make([]byte, max(size, patternAt))
	if i == 0 {
		b[0] = 0x10 // the start of a partition
	}
	if !key {
		b[1] = 1 // RFC 6386, Section 9.1
	}
	binary.BigEndian.PutUint32(b[markAt:], mark)
	binary.BigEndian.PutUint32(b[markAt+4:], frame)
	binary.BigEndian.PutUint16(b[markAt+8:], uint16(i))
	binary.BigEndian.PutUint16(b[markAt+10:], uint16(n))
	for j := patternAt; j < len(b); j++ {
		b[j] = byte(frame*31) + byte(i*7) + byte(j)
	}
	return b
}

// camera sends video until it is stopped: 30 frames a second, a key frame first and
// when one is asked for.
type camera struct {
	probe  *probe
	mark   uint32
	ssrc   uint32
	labels map[uint8][]byte // header extensions
	each   int              // packets of a frame
	size   int              // bytes of a packet

	mu    sync.Mutex
	seq   uint16 // Guarded by mu.
	stamp uint32 // Guarded by mu.

	frame   uint32 // Guarded by mu.
	wantKey atomic.Bool
	sent    atomic.Uint64 // frames
	halt    chan struct{}
	halted  chan struct{}
}

// film begins to send the video of a probe, at a sequence number and a timestamp.
func (p *probe) film(seq uint16, stamp uint32) *camera {
	return p.filmAs(p.videoSSRC(0), seq, stamp, map[uint8][]byte{offer.MID: []byte(p.videoMID())})
}

func (p *probe) filmAs(ssrc uint32, seq uint16, stamp uint32, labels map[uint8][]byte) *camera {
	c := &camera{
		probe: p, mark: p.ssrc, ssrc: ssrc, labels: labels, each: 2, size: 400, seq: seq, stamp: stamp,
		halt: make(chan struct{}), halted: make(chan struct{}),
	}
	c.wantKey.Store(true)
	asked := func(ssrc uint32) {
		if ssrc == c.ssrc {
			c.wantKey.Store(true)
		}
	}
	p.onKeyFrame.Store(&asked)
	go c.run()
	p.t.Cleanup(c.stop)
	return c
}

func (c *camera) run() {
	defer close(c.halted)
	tick := time.NewTicker(time.Second / frameRate)
	defer tick.Stop()
	for {
		c.shoot()
		select {
		case <-tick.C:
		case <-c.halt:
			return
		}
	}
}

// stop ends it; it may be called again.
func (c *camera) stop() {
	select {
	case <-c.halt:
	default:
		close(c.halt)
	}
	<-c.halted
}

// shoot sends one frame.
func (c *camera) shoot() {
	key := c.wantKey.Swap(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frame++
	c.stamp += 90000 / frameRate
	for i := range c.each {
		c.seq++
		h := c.header(i == c.each-1)
		c.write(h, payloadOf(c.mark, c.frame, i, c.each, c.size, key))
	}
	c.sent.Add(1)
}

func (c *camera) header(marker bool) rtp.Header {
	h := rtp.Header{Version: 2, PayloadType: offer.VP8, SSRC: c.ssrc, SequenceNumber: c.seq, Timestamp: c.stamp, Marker: marker}
	for id, value := range c.labels {
		_ = h.SetExtension(id, value)
	}
	return h
}

func (c *camera) write(h rtp.Header, payload []byte) {
	raw, err := h.Marshal()
	if err != nil {
		panic(err) // nothing in it is from outside
	}
	c.probe.sendRTP(append(raw, payload...), len(raw))
}

// with runs f between two frames.
func (c *camera) with(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// eyes look at what a probe receives.
type eyes struct {
	// wrong are the packets that are not what was sent, refused those that did not open, unsent those that the system did not take.
	wrong, refused, unsent atomic.Uint64
	twice                  atomic.Uint64 // packets of one frame
	// more has something in it after frames have come.
	more chan struct{}

	mu    sync.Mutex
	of    map[uint32]*sight   // Guarded by mu. By the sender's mark.
	slots map[uint32]*inOrder // Guarded by mu. By SSRC.
}

// sight is what was seen of one sender.
type sight struct {
	frames, keys uint64
	last         uint32 // number of the last frame
	got          map[uint32]int
}

// inOrder follows the sequence numbers of a slot.
type inOrder struct {
	begun bool
	high  uint16
	holes uint64 // numbers that were jumped over; those that come later are taken off
}

func newEyes() *eyes {
	return &eyes{more: make(chan struct{}, 1), of: make(map[uint32]*sight), slots: make(map[uint32]*inOrder)}
}

// see takes an RTP packet.
func (e *eyes) see(raw []byte) {
	var p rtp.Packet
	if err := p.Unmarshal(raw); err != nil {
		e.wrong.Add(1)
		return
	}
	if p.PayloadType != offer.VP8 || len(p.Payload) == 0 {
		return // a retransmission, a probe or sound
	}
	b := p.Payload
	if len(b) < patternAt {
		e.wrong.Add(1)
		return
	}
	mark, frame := binary.BigEndian.Uint32(b[markAt:]), binary.BigEndian.Uint32(b[markAt+4:])
	i, n := int(binary.BigEndian.Uint16(b[markAt+8:])), int(binary.BigEndian.Uint16(b[markAt+10:]))
	key := b[1]&1 == 0
	if !bytes.Equal(b, payloadOf(mark, frame, i, n, len(b), key)) || p.Marker != (i == n-1) {
		e.wrong.Add(1)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.follow(p.SSRC, p.SequenceNumber)
	e.count(mark, frame, n, key)
}

func (e *eyes) follow(ssrc uint32, seq uint16) {
	s := e.slots[ssrc]
	if s == nil {
		s = &inOrder{}
		e.slots[ssrc] = s
	}
	switch step := int16(seq - s.high); {
	case !s.begun:
		s.begun, s.high = true, seq
	case step > 0:
		s.holes += uint64(step - 1)
		s.high = seq
	case s.holes > 0:
		s.holes--
	}
}

func (e *eyes) count(mark, frame uint32, n int, key bool) {
	s := e.of[mark]
	if s == nil {
		s = &sight{got: make(map[uint32]int)}
		e.of[mark] = s
	}
	if s.got[frame]++; s.got[frame] != n {
		if s.got[frame] > n {
			e.twice.Add(1)
		}
		return
	}
	s.frames++
	s.last = frame
	select {
	case e.more <- struct{}{}:
	default:
	}
	if key {
		s.keys++
	}
	if len(s.got) > 1<<14 {
		clear(s.got)
	}
}

// seen are the complete frames of a sender.
func (e *eyes) seen(of *probe) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.of[of.ssrc]; s != nil {
		return s.frames
	}
	return 0
}

// lastOf is the number of the last complete frame of a sender.
func (e *eyes) lastOf(of *probe) uint32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.of[of.ssrc]; s != nil {
		return s.last
	}
	return 0
}

// high is the highest sequence number that came in a slot.
func (e *eyes) high(ssrc uint32) uint16 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.slots[ssrc]; s != nil {
		return s.high
	}
	return 0
}

// holes are the sequence numbers that never came, in all slots.
func (e *eyes) holes() (n uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.slots {
		n += s.holes
	}
	return n
}

// awaitFrames waits until so many more frames of a sender have come.
func (p *probe) awaitFrames(of *probe, more uint64) {
	p.t.Helper()
	from := p.eyes.seen(of)
	until(p.t, "frames go on", func() bool { return p.eyes.seen(of) >= from+more })
}

// awaitFilmed waits for the frame that is so many after the last that a camera has sent by now:
// those that are under way do not count.
func (p *probe) awaitFilmed(c *camera, more uint32) {
	p.t.Helper()
	var from uint32
	c.with(func() { from = c.frame })
	until(p.t, "frames go on", func() bool { return p.eyes.lastOf(c.probe) >= from+more })
}

// unharmed says that all that came is right.
func (p *probe) unharmed(when string) {
	p.t.Helper()
	if w, r := p.eyes.wrong.Load(), p.eyes.refused.Load(); w+r > 0 {
		p.t.Errorf("%s: %d packets are not what was sent, %d did not open", when, w, r)
	}
}
