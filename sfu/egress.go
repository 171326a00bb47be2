package sfu

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"github.com/conclave-sfu/conclave/sfu/batchconn"
	"github.com/conclave-sfu/conclave/sfu/bwe"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// maxDatagram is the largest packet that is sent, in bytes.
const maxDatagram = 1500

// egress is what a goroutine sends by. A media loop has its own; all others share one,
// under its lock.
type egress struct {
	mu    sync.Mutex       // of the shared ones
	batch *batchconn.Batch // nil once a shared one is closed
	// loop is whose it is; nil for a shared one.
	loop *loop
	// local is our address that the packet at hand was sent to; the zero Addr if there is one
	// only, or for a Path.
	local netip.Addr
	// now is the time of the packets that are being forwarded, by the node's clock.
	now int64
	// padding is by how many bytes packets of media grow, to be as large as the next.
	padding uint8
	// deferred are shards that wait for the end of what is taken in at once; settle runs them.
	deferred []*shard
	// report is the feedback at hand, decoded.
	report bwe.Report
	// sheet is the packet of media that is being written: one for all slots, since what each has of its
	// own has to be fetched for each.
	sheet outgoing
	// scratch is where packets for a Path are written.
	scratch [maxDatagram]byte
}

// blank is where the next packet of media is described. Whoever has no egress gets new memory.
func (e *egress) blank() *outgoing {
	if e == nil {
		return new(outgoing)
	}
	return &e.sheet
}

// room gives memory for a packet of a size; done must be called when it is written.
func (e *egress) room(w *way, size int) []byte {
	if w.target == nil {
		return e.scratch[:size:size]
	}
	return e.batch.Reserve(size, w.target)
}

// done says that a packet is written.
func (e *egress) done(w *way, packet []byte) {
	if w.path != nil {
		w.conn.node().sendBy(w.path, packet)
	}
}

// write sends a copy of a packet with what is flushed next.
func (e *egress) write(w *way, packet []byte) {
	if len(packet) <= maxDatagram {
		b := e.room(w, len(packet))
		copy(b, packet)
		e.done(w, b)
	}
}

// outgoing is one packet of a slot, as its receiver is to see it.
type outgoing struct {
	// via is the egress of the goroutine; nil for those that have none.
	via *egress
	// packet is where payload is from; nil if it is from nowhere. Who keeps the payload
	// longer than a call takes a reference, which only packets in a cache give.
	packet  *packetcache.Packet
	payload []byte // empty: the packet is nothing but padding
	// front goes before payload; nil for nothing. The writer copies it.
	front  []byte
	seq    uint16 // of the slot's stream; retransmissions have the writer's
	stamp  uint32
	marker bool
	// payloadType is that of the codec, or of its retransmissions.
	payloadType uint8
	// padding is how many bytes there are in a packet without payload, one at least.
	padding uint8
	// number is the transport-wide sequence number that the writer gave the packet.
	number uint16
	// descriptor is the Dependency Descriptor; nil for none. The writer copies it.
	descriptor []byte
}

// put copies what the packet carries.
func (o *outgoing) put(b []byte) int {
	n := copy(b, o.front)
	return n + copy(b[n:], o.payload)
}

// rtpWriter seals and sends packets of a slot. It keeps neither argument, and says
// whether the packet is on its way.
type rtpWriter interface {
	writeMedia(o *outgoing) bool
	// writeRTX sends it as retransmission (RFC 4588, Section 4) of the packet that had
	// the sequence number osn.
	writeRTX(o *outgoing, osn uint16) bool
}

// slotWriter is the writer of one slot.
type slotWriter struct {
	conn   *connection
	media  outStream // belongs to who owns the slot
	repair struct {
		sync.Mutex // receivers ask for packets while others probe
		outStream
		seq uint16
	}
}

func newSlotWriter(c *connection, s *section, ssrc, rtxSSRC uint32) *slotWriter {
	w := &slotWriter{conn: c, media: newOutStream(ssrc, s, true)}
	w.repair.outStream = newOutStream(rtxSSRC, s, false)
	return w
}

func (w *slotWriter) writeMedia(o *outgoing) bool {
	if o.via != nil {
		return w.media.write(w.conn, o.via, o, o.seq)
	}
	return w.conn.aside(func(e *egress) bool { return w.media.write(w.conn, e, o, o.seq) })
}

func (w *slotWriter) writeRTX(o *outgoing, osn uint16) bool {
	r := &w.repair
	r.Lock()
	defer r.Unlock()
	r.seq++
	r.osn = osn
	if o.via != nil {
		return r.write(w.conn, o.via, o, r.seq)
	}
	return w.conn.aside(func(e *egress) bool { return r.write(w.conn, e, o, r.seq) })
}

// aside has a packet written to the egress that is shared.
func (c *connection) aside(write func(*egress) bool) bool {
	e := c.node().shared
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.batch == nil {
		return false // the node is closed
	}
	e.now = c.node().now()
	return write(e)
}

// outStream writes the packets of one SSRC: a header that was prepared, patched in
// place, and the payload, sealed right into the batch.
type outStream struct {
	seal       srtp.Stream
	repair     bool
	osn        uint16 // of the packet at hand
	dependency uint8  // id of its extension
	// plain is the header of most packets, described that for a Dependency Descriptor that
	// needs two-byte elements.
	plain, described outHeader
}

// outHeader is a header with its extensions (RFC 8285); what varies is patched.
type outHeader struct {
	size        int
	transportCC int // place of the transport-wide sequence number; 0 for none
	twoBytes    bool
	bytes       [80]byte
}

// Profiles of header extensions (RFC 8285, Sections 4.2 and 4.3).
const (
	oneByteProfile = 0xbede
	twoByteProfile = 0x1000
	// largest id and element, in bytes, of a one-byte header
	oneByteID, oneByteSize = 14, 16
)

func newOutStream(ssrc uint32, s *section, withMID bool) outStream {
	o := outStream{dependency: s.extensions.dependency, repair: !withMID}
	mid := s.mid
	if !withMID {
		mid = ""
	}
	two := s.extensions.transportCC > oneByteID || mid != "" && (s.extensions.mid > oneByteID || len(mid) > oneByteSize)
	o.plain, o.described = newOutHeader(ssrc, s.extensions, mid, two), newOutHeader(ssrc, s.extensions, mid, true)
	return o
}

func newOutHeader(ssrc uint32, ids extensions, mid string, twoBytes bool) outHeader {
	h := outHeader{twoBytes: twoBytes, size: 12}
	h.bytes[0] = 2 << 6
	binary.BigEndian.PutUint32(h.bytes[8:], ssrc)
	if mid != "" && ids.mid != 0 {
		h.element(ids.mid, len(mid))
		h.size += copy(h.bytes[h.size:], mid)
	}
	if ids.transportCC != 0 {
		h.element(ids.transportCC, 2)
		h.transportCC = h.size
		h.size += 2
	}
	return h
}

// element begins an extension; the first one also begins the extensions.
func (h *outHeader) element(id uint8, size int) {
	if h.bytes[0]&0x10 == 0 {
		h.bytes[0] |= 0x10
		h.size += 4
	}
	h.size += putElement(h.bytes[h.size:], id, size, h.twoBytes)
}

// putElement writes the header of an extension.
func putElement(b []byte, id uint8, size int, twoBytes bool) int {
	if twoBytes {
		b[0], b[1] = id, byte(size)
		return 2
	}
	b[0] = id<<4 | byte(size-1)
	return 1
}

// room is how many bytes the header takes with a descriptor.
func (h *outHeader) room(descriptor int) int {
	n := h.size
	if descriptor > 0 {
		n += 2 + descriptor
		if h.bytes[0]&0x10 == 0 {
			n += 4
		}
	}
	return (n + 3) &^ 3
}

// put writes the header, of n bytes as room said, with the descriptor.
func (h *outHeader) put(b []byte, n int, id uint8, descriptor []byte) {
	at := copy(b, h.bytes[:h.size])
	if len(descriptor) > 0 {
		if b[0]&0x10 == 0 {
			b[0] |= 0x10
			at += 4
		}
		at += putElement(b[at:], id, len(descriptor), h.twoBytes)
		at += copy(b[at:], descriptor)
	}
	clear(b[at:n])
	if b[0]&0x10 != 0 {
		profile := uint16(oneByteProfile)
		if h.twoBytes {
			profile = twoByteProfile
		}
		binary.BigEndian.PutUint16(b[12:], profile)
		binary.BigEndian.PutUint16(b[14:], uint16(n-16)/4)
	}
}

// write seals a packet into the egress.
func (s *outStream) write(c *connection, e *egress, o *outgoing, seq uint16) bool {
	w := c.way.Load()
	if w == nil || !s.ready(c) || s.seal.Spent(seq) {
		return false
	}
	head, descriptor := s.headerFor(o.descriptor)
	header, body := head.room(len(descriptor)), s.body(e, o)
	size := header + body + s.seal.Overhead()
	if size > maxDatagram {
		return false
	}
	b := e.room(w, size)
	head.put(b, header, s.dependency, descriptor)
	o.patch(b, seq)
	if head.transportCC != 0 {
		o.number = c.sent.Add(e.now, size)
		binary.BigEndian.PutUint16(b[head.transportCC:], o.number)
	}
	sealed, err := s.seal.Seal(b[:header], s.payload(b, header, body, o))
	if err != nil {
		clear(b) // it is in the batch: nobody can open it
		return false
	}
	e.done(w, sealed)
	return true
}

// headerFor chooses the header for a descriptor, which is nil where the receiver takes none.
func (s *outStream) headerFor(descriptor []byte) (*outHeader, []byte) {
	switch {
	case len(descriptor) == 0 || s.dependency == 0 || len(descriptor) > 255:
		return &s.plain, nil
	case len(descriptor) > oneByteSize || s.dependency > oneByteID:
		return &s.described, descriptor
	}
	return &s.plain, descriptor
}

// body is how many bytes follow the header, without the tag.
func (s *outStream) body(e *egress, o *outgoing) int {
	n := len(o.front) + len(o.payload)
	switch {
	case n == 0:
		return max(1, int(o.padding))
	case s.repair:
		return n + 2
	}
	return n + int(e.padding)
}

// patch writes what of the fixed header varies.
func (o *outgoing) patch(b []byte, seq uint16) {
	b[1] = o.payloadType
	if o.marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], o.stamp)
}

// payload is what is sealed: as it is in the cache, or else put together in its place in the
// packet.
func (s *outStream) payload(b []byte, header, body int, o *outgoing) []byte {
	if body == len(o.payload) {
		return o.payload
	}
	place := b[header : header+body]
	n := 0
	switch {
	case len(o.payload) == 0: // nothing but padding
	case s.repair:
		binary.BigEndian.PutUint16(place, s.osn)
		n = 2 + o.put(place[2:])
	default:
		n = o.put(place)
	}
	if n < body {
		b[0] |= 0x20
		clear(place[n:])
		place[body-1] = byte(body - n)
	}
	return place
}

// ready takes the connection's cipher as soon as there is one.
func (s *outStream) ready(c *connection) bool {
	if s.seal.Ready() {
		return true
	}
	keys := c.keys.Load()
	if keys == nil {
		return false
	}
	s.seal = keys.Stream()
	return true
}
