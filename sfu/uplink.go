package sfu

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/conclave-sfu/conclave/sfu/nack"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/packetmap"
	"github.com/conclave-sfu/conclave/sfu/reception"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

const (
	// maxUplinks is how many SSRCs of a connection are told apart. Four sources with
	// three layers and retransmissions each take less.
	maxUplinks = 40
	// uplinkIdle is how long a stream that is silent keeps its place when others want it.
	uplinkIdle = 10 * time.Second
	// heirSilence is how long a stream that has taken the place of another is silent before that
	// one gets it back. Late packets take nothing back.
	heirSilence = time.Second
)

// uplink is one SSRC that a connection receives. The connection's intake guards it.
type uplink struct {
	ssrc    uint32
	in      srtp.Stream
	section *section // nil while nothing has said what it carries
	rid     string
	heardAt int64

	// Of a media stream.
	up        *upTrack
	unwrapper packetmap.Unwrapper
	missing   nack.Generator
	reception reception.Stream
	heir      *uplink // that has its section and rid since, under another SSRC; nil for none
	// Of a stream of retransmissions (RFC 4588).
	repair bool
	media  *uplink // nil while it is not known
	format payload
}

// end gives back what the stream keeps. The caller holds intake.
func (u *uplink) end() {
	if u.up != nil && u.up.cache != nil {
		u.up.cache.Close()
	}
}

// due are the sequence numbers that are to be asked for now, of a stream that somebody is
// shown or waits for. Of others it is remembered what lacks of a key frame and what follows it
// for as long as a slot may begin with them. For what is given up a key frame is asked for:
// browsers would wait for it, each for three seconds.
func (u *uplink) due(now int64) []uint16 {
	switch {
	case u.up == nil:
		return nil
	case !u.up.needed():
		u.missing.Forget(now - int64(maxKeyFrameAge))
		return nil
	case !u.asks():
		return nil
	}
	ask := u.missing.Due(nil, now)
	if u.missing.GaveUp() {
		u.up.requestKeyFrame(now)
	}
	return ask
}

// asks says whether something is missing that can be asked for.
func (u *uplink) asks() bool {
	return u.up != nil && u.missing.Waiting() && u.format.rtx != 0 && u.up.needed() && !u.up.stalled()
}

// takeProtected takes an SRTP or SRTCP packet that came by w. It is true if p was kept.
func (c *connection) takeProtected(e *egress, p *packetcache.Packet, size int, w *way) (kept bool) {
	c.intake.Lock()
	defer c.intake.Unlock()
	if c.shut {
		return false
	}
	if c.in == nil {
		return c.keepEarly(p, size)
	}
	return c.takeOpen(e, p, size, w)
}

// maxEarly is how many packets of a connection are kept until the handshake's goroutine
// has the keys: the peer has them a moment before.
const maxEarly = 64

// early is a packet that came too soon.
type early struct {
	packet *packetcache.Packet
	size   int
}

// keepEarly keeps a packet if the handshake has begun. The caller holds intake.
func (c *connection) keepEarly(p *packetcache.Packet, size int) (kept bool) {
	if !c.greeted.Load() || len(c.early) == maxEarly {
		c.node().ended.drop(dropUnknown)
		return false
	}
	c.early = append(c.early, early{p, size})
	return true
}

// takeEarly takes what came too soon. The caller holds intake and the lock of e.
func (c *connection) takeEarly(e *egress) {
	for _, p := range c.early {
		if !c.takeOpen(e, p.packet, p.size, nil) {
			p.packet.Release()
		}
	}
	c.early = nil
}

// takeOpen takes a packet when there are keys. w is nil for one that came some time ago.
// The caller holds intake.
func (c *connection) takeOpen(e *egress, p *packetcache.Packet, size int, w *way) (kept bool) {
	raw := p.Buffer[:size]
	if isControl(raw) {
		c.takeControl(e, raw, w)
		return false
	}
	header, ok := srtp.HeaderSize(raw)
	if !ok {
		c.node().ended.drop(dropMalformed)
		return false
	}
	u, known := c.uplinks[ssrcOf(raw)], true
	if u == nil {
		u, known = &uplink{ssrc: ssrcOf(raw), in: c.in.Stream()}, false
	}
	plain, err := u.in.Open(raw, header)
	if err != nil {
		c.node().ended.drop(reasonOf(err))
		return false
	}
	c.prove(w)
	if !known && !c.admit(u, e.now) {
		c.node().ended.drop(dropUnknown)
		return false
	}
	u.heardAt = e.now
	if !c.allows(u, size, e.now) {
		c.node().ended.drop(dropIncoming)
		return false
	}
	return c.takeMedia(e, u, p, plain, header)
}

// prove notes that the peer has the keys, and sends by w.
func (c *connection) prove(w *way) {
	c.follow(w)
	if !c.proved.Load() {
		c.proved.Store(true)
	}
}

// reasonOf says why a packet did not open.
func reasonOf(err error) reason {
	switch err {
	case srtp.ErrReplayed:
		return dropDuplicate
	case srtp.ErrAuthentication:
		return dropUnauthentic
	}
	return dropMalformed
}

// admit keeps the state of an SSRC of which a packet has opened: what anybody can send
// takes nobody's place. It is false if there are too many. The caller holds intake.
func (c *connection) admit(u *uplink, now int64) bool {
	if len(c.uplinks) >= maxUplinks && !c.evict(now) {
		return false
	}
	c.uplinks[u.ssrc] = u
	return true
}

// evict makes room by the stream that has been silent for the longest time.
func (c *connection) evict(now int64) bool {
	var idle *uplink
	for _, u := range c.uplinks {
		if now-u.heardAt >= int64(uplinkIdle) && (idle == nil || u.heardAt < idle.heardAt) {
			idle = u
		}
	}
	if idle != nil {
		c.removeUplink(idle)
	}
	return idle != nil
}

// removeUplink forgets a stream. The caller holds intake.
func (c *connection) removeUplink(u *uplink) {
	delete(c.uplinks, u.ssrc)
	for _, other := range c.uplinks {
		if other.media == u {
			other.media = nil
		}
	}
	u.end()
	if up, source := u.up, u.section; up != nil {
		up.gone.Store(true) // which may be before it was added
		c.node().background.Go(func() { c.transport.room.removeLayer(c, source.source, up) })
	}
}

// dropUplinks forgets the streams of sections that are no uplinks any more.
func (c *connection) dropUplinks() {
	c.intake.Lock()
	defer c.intake.Unlock()
	for _, u := range c.uplinks {
		if u.section == nil {
			continue
		}
		s := c.section(u.section.mid)
		if s == nil || s.direction != sendonly {
			c.removeUplink(u)
			continue
		}
		u.section = s
	}
}

// takeMedia takes an opened RTP packet. It is true if p was kept.
func (c *connection) takeMedia(e *egress, u *uplink, p *packetcache.Packet, plain []byte, header int) (kept bool) {
	if u.section == nil && !c.identify(u, plain, header) {
		c.node().ended.drop(dropUnknown)
		return false
	}
	c.noteArrival(u, plain, header, e.now)
	size, repair := len(plain), u.repair
	if repair {
		if size = u.restore(plain, header); size == 0 || u.media == nil && !c.findMedia(u, plain, header) {
			c.node().ended.drop(dropPadding)
			return false
		}
		u = u.media
		binary.BigEndian.PutUint32(plain[8:], u.ssrc)
	}
	if u.heir != nil && (repair || !c.comesBack(u, e.now)) {
		c.node().ended.drop(dropLate)
		return false
	}
	number := u.unwrapper.Unwrap(binary.BigEndian.Uint16(plain[2:]))
	if u.up.video {
		if u.missing.Received(number, e.now); !c.hunting && u.asks() {
			c.hunt(e)
		}
	}
	if !repair { // reports tell what the path lost, repaired or not
		u.reception.Received(number, binary.BigEndian.Uint32(plain[4:]), e.now)
	}
	u.up.via = e
	before := u.up.keyFrame.number.Load()
	kept = u.up.receive(p, size, e.now)
	if u.up.keyFrame.number.Load() != before {
		u.missing.KeyFrame(number)
	}
	return kept
}

// noteArrival notes when a packet came, for what its sender is told of the path.
func (c *connection) noteArrival(u *uplink, plain []byte, header int, now int64) {
	if id := u.section.extensions.transportCC; id != 0 {
		if v := extension(plain[:header], id); len(v) >= 2 {
			c.arrivals.Record(u.ssrc, binary.BigEndian.Uint16(v), now/int64(time.Microsecond))
		}
	} else if u.section.remb {
		c.followUplink(u.section, plain[:header], len(plain)+srtp.MaxOverhead, now)
	}
}

// restore makes the original of a retransmission, in place, and gives its size (RFC
// 4588, Section 4); 0 if it is a probe without one.
func (u *uplink) restore(plain []byte, header int) int {
	payload, ok := withoutPadding(plain, header, plain[0]&0x20 != 0)
	if !ok || len(payload) <= 2 {
		return 0
	}
	format, repair, ok := u.section.payloadOf(plain[1] & 0x7f) // the codec may have changed
	if !ok || !repair {
		return 0
	}
	copy(plain[2:4], payload[:2])
	copy(plain[header:], payload[2:])
	plain[0] &^= 0x20
	plain[1] = plain[1]&0x80 | format.payloadType
	return header + len(payload) - 2
}

// identify finds out what a stream carries: by the SSRCs of the offer, the mid and the
// rid of the packet, or a payload type that only one section has. The caller holds
// intake.
func (c *connection) identify(u *uplink, plain []byte, header int) bool {
	s, rid, repairs := c.match(u.ssrc, plain, header)
	if s == nil {
		return false
	}
	format, repair, ok := s.payloadOf(plain[1] & 0x7f)
	if !ok || s.contradicts(u.ssrc, repair) {
		return false
	}
	u.section, u.rid, u.repair, u.format = s, rid, repair, format
	if repair {
		if repairs != "" {
			u.rid = repairs
		}
		c.findMedia(u, plain, header)
		return true
	}
	c.begin(u)
	return true
}

// contradicts says whether the offer names an SSRC as the other one of a pair: what is sent, not what is
// sent again, or the other way round.
func (s *section) contradicts(ssrc uint32, repair bool) bool {
	return slices.ContainsFunc(s.ssrcs, func(p ssrcPair) bool {
		return p.rtx != 0 && (repair && p.media == ssrc || !repair && p.rtx == ssrc)
	})
}

// match finds the section of a stream, and what its packet says of encodings.
func (c *connection) match(ssrc uint32, plain []byte, header int) (found *section, rid, repairs string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var byPayload []*section
	for _, s := range c.sections {
		if s.direction != sendonly {
			continue
		}
		if _, _, ok := s.payloadOf(plain[1] & 0x7f); ok {
			byPayload = append(byPayload, s)
		}
		mid := string(extension(plain[:header], s.extensions.mid))
		if mid == s.mid || mid == "" && slices.ContainsFunc(s.ssrcs, func(p ssrcPair) bool { return p.media == ssrc || p.rtx == ssrc }) {
			found = s
		}
	}
	if found == nil && len(byPayload) == 1 && extension(plain[:header], byPayload[0].extensions.mid) == nil {
		found = byPayload[0]
	}
	if found == nil {
		return nil, "", ""
	}
	if len(found.rids) > 0 {
		rid = string(extension(plain[:header], found.extensions.rid))
		repairs = string(extension(plain[:header], found.extensions.repairedRID))
		if rid == "" && repairs == "" || rid != "" && !slices.Contains(found.rids, rid) {
			return nil, "", "" // an encoding that is not known yet, or was not offered
		}
	}
	return found, strings.Clone(rid), repairs
}

// begin makes the received stream of a publication. The caller holds intake.
func (c *connection) begin(u *uplink) {
	t := c.transport
	u.up = newUpTrack(u.section.kind == videoKind, u.ssrc)
	u.up.rid, u.up.format = u.rid, u.section.format()
	u.up.askKeyFrame, u.up.wake, u.up.flush = c.askKeyFrame, t.room.wake, t.room.node.flushShared
	u.up.writers = t.room.node.writers
	u.reception.Rate = packetmap.AudioRate
	if u.up.video {
		u.reception.Rate = packetmap.VideoRate
	}
	source := u.section.source
	if tap := t.room.node.tap; tap != nil {
		room, participant := t.room.id, t.participant
		u.up.tap = func(payload []byte) { tap(Tapped{room, participant, source, payload}) }
	}
	c.home.hurry(c)
	former := c.inherit(u)
	up := u.up
	t.room.node.background.Go(func() {
		t.room.addLayer(c, source, up)
		for _, cache := range former {
			cache.Close() // no slot reads from it any more
		}
	})
}

// inherit has u take the place of the streams that had its section and rid: of a sender that has begun
// anew with another SSRC. It gives what they keep. The caller holds intake.
func (c *connection) inherit(u *uplink) (former []*packetcache.Cache) {
	for _, other := range c.uplinks {
		if other == u || other.up == nil || other.section.mid != u.section.mid || other.rid != u.rid {
			continue
		}
		if other.heir == nil && other.up.cache != nil {
			former = append(former, other.up.cache)
		}
		other.heir = u
		other.up.gone.Store(true) // it may be on its way to the room yet
	}
	return former
}

// comesBack says whether a stream has its place back, since the one that had taken it is silent. The
// caller holds intake.
func (c *connection) comesBack(u *uplink, now int64) bool {
	if now-u.heir.heardAt < int64(heirSilence) {
		return false
	}
	u.heir, u.missing = nil, nack.Generator{}
	c.begin(u)
	return true
}

// findMedia finds the stream that another one repairs: that which is sent now. The caller holds intake.
func (c *connection) findMedia(u *uplink, plain []byte, header int) bool {
	var only *uplink
	n := 0
	for _, other := range c.uplinks {
		if other.section == nil || other.repair || other.heir != nil || other.section.mid != u.section.mid {
			continue
		}
		if slices.Contains(u.section.ssrcs, ssrcPair{other.ssrc, u.ssrc}) || u.rid != "" && other.rid == u.rid {
			u.media = other
			return true
		}
		only = other
		n++
	}
	if n == 1 && len(u.section.rids) == 0 {
		u.media = only
	}
	return u.media != nil
}

// extension finds a header extension (RFC 8285); nil for none.
func extension(header []byte, id uint8) []byte {
	at := 12 + 4*int(header[0]&0x0f)
	if header[0]&0x10 == 0 || id == 0 || len(header) < at+4 {
		return nil
	}
	profile, rest := binary.BigEndian.Uint16(header[at:]), header[at+4:]
	two := profile&0xfff0 == twoByteProfile
	if !two && profile != oneByteProfile {
		return nil
	}
	for len(rest) > 0 {
		if rest[0] == 0 {
			rest = rest[1:]
			continue
		}
		found, size := rest[0]>>4, int(rest[0]&0x0f)+1
		switch {
		case two && len(rest) < 2, !two && (found == 15 || found == 0): // nothing counts from there on
			return nil
		case two:
			found, size, rest = rest[0], int(rest[1]), rest[2:]
		default:
			rest = rest[1:]
		}
		if size > len(rest) {
			return nil
		}
		if found == id {
			return rest[:size:size]
		}
		rest = rest[size:]
	}
	return nil
}
