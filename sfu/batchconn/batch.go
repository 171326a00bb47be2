package batchconn

import (
	"encoding/binary"
	"net/netip"
)

// Limits of a batch.
const (
	maxPackets  = 512
	maxPacket   = 1500               // bytes of one packet; larger ones go by themselves
	maxBytes    = 512 * 1200         // of all packets of a batch
	maxSegments = 16                 // packets of a message: more gain nothing, and come as a burst
	maxMessage  = 65507              // bytes of a message: the largest UDP datagram
	places      = 2048               // of the table of receivers
	probes      = 8                  // places that a receiver may be found at
	none        = int32(-1)          // no packet
	multiplier  = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
)

// batch gathers packets and joins those to one receiver into messages. Its memory is
// fixed.
type batch struct {
	bytes    []byte
	packets  []packet
	messages []message
	// table finds a receiver's latest message: its place is 1 + an index of messages,
	// or 0 for free.
	table [places]uint16
}

// packet is a part of batch.bytes, and of a chain.
type packet struct {
	at, size int32
	next     int32 // in the same message, or none
}

// message is what goes to one receiver at a time: packets of one size, but for the
// last one, which may be smaller.
type message struct {
	to          netip.AddrPort
	first, last int32 // of packets
	count       int32
	size        int32 // of each packet but the last
	bytes       int32
	ended       bool // by a smaller packet
}

func newBatch() *batch {
	return &batch{
		bytes: make([]byte, 0, maxBytes), packets: make([]packet, 0, maxPackets),
		messages: make([]message, 0, maxPackets),
	}
}

func (b *batch) reset() {
	b.bytes, b.packets, b.messages = b.bytes[:0], b.packets[:0], b.messages[:0]
	clear(b.table[:])
}

// full says whether a packet of any size might find no place.
func (b *batch) full() bool {
	return len(b.packets) == cap(b.packets) || len(b.bytes)+maxPacket > cap(b.bytes)
}

// add takes a copy of a packet, if there is room for any. With join it becomes part of
// the receiver's latest message if it can.
func (b *batch) add(raw []byte, to netip.AddrPort, join bool) bool {
	if b.full() {
		return false
	}
	at := int32(len(b.packets))
	b.packets = append(b.packets, packet{at: int32(len(b.bytes)), size: int32(len(raw)), next: none})
	b.bytes = append(b.bytes, raw...)
	var place *uint16
	if join {
		place = b.find(to)
		if place != nil && *place != 0 && b.extend(&b.messages[*place-1], at) {
			return true
		}
	}
	b.messages = append(b.messages, message{
		to: to, first: at, last: at, count: 1, size: int32(len(raw)), bytes: int32(len(raw)),
	})
	if place != nil {
		*place = uint16(len(b.messages))
	}
	return true
}

// extend puts a packet behind those of a message.
func (b *batch) extend(m *message, at int32) bool {
	size := b.packets[at].size
	if m.ended || size > m.size || m.count == maxSegments || m.bytes+size > maxMessage {
		return false
	}
	b.packets[m.last].next = at
	m.last = at
	m.count++
	m.bytes += size
	m.ended = size < m.size
	return true
}

// find gives the place of a receiver, or a free one for it; nil if it has none within
// reach.
func (b *batch) find(to netip.AddrPort) *uint16 {
	for i, at := 0, hash(to); i < probes; i, at = i+1, at+1 {
		place := &b.table[at%places]
		if *place == 0 || b.messages[*place-1].to == to {
			return place
		}
	}
	return nil
}

func hash(to netip.AddrPort) uint64 {
	raw := to.Addr().As16()
	high, low := binary.LittleEndian.Uint64(raw[:8]), binary.LittleEndian.Uint64(raw[8:])
	return ((high^low)*multiplier ^ uint64(to.Port())) * multiplier >> 32
}
