package batchconn

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"runtime"
	"sync/atomic"
)

// Limits of a batch.
const (
	maxPackets  = 1 << 15            // of a batch
	maxPacket   = 1500               // bytes of one packet
	meanPacket  = 1200               // bytes that a batch has for each of its packets
	maxSegments = 16                 // packets of a message: more gain nothing, and come as a burst
	maxMessage  = 65507              // bytes of a message: the largest UDP datagram
	places      = 4096               // of the table of receivers
	probes      = 8                  // places that a receiver may be found at
	none        = int32(-1)          // no packet
	multiplier  = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
)

// Target is a receiver, as the sockets of a node write its address.
type Target struct {
	// What each message touches stands together: one of a large audience is in no cache.

	name sockaddr
	hash uint64
	// whole says that the system did not segment a message to it: its packets, or the
	// route's, do not allow it. From then on they go one by one.
	whole atomic.Bool
	from  source
	addr  netip.AddrPort
}

// AddrPort is the receiver's address.
func (t *Target) AddrPort() netip.AddrPort { return t.addr }

func hash(to netip.AddrPort) uint64 {
	raw := to.Addr().As16()
	x, low := binary.LittleEndian.Uint64(raw[:8]), binary.LittleEndian.Uint64(raw[8:])
	for _, part := range [2]uint64{low, uint64(to.Port())} {
		high, low := bits.Mul64(x^part, multiplier) // every bit that is put in moves those taken out
		x = high ^ low
	}
	return x
}

// Batch gathers packets that one socket sends, and joins those to one receiver into
// messages. Its memory is fixed. It belongs to one goroutine.
type Batch struct {
	socket   *Socket
	bytes    []byte
	packets  []packet
	messages []message
	// table finds a receiver's latest message: its place is 1 + an index of messages,
	// or 0 for free.
	table  [places]uint16
	sender sender
}

// packet is a part of Batch.bytes, and of a chain.
type packet struct {
	at, size int32
	next     int32 // in the same message, or none
}

// message is what goes to one receiver at a time: packets of one size, but for the
// last one, which may be smaller.
type message struct {
	to          *Target
	first, last int32 // of packets
	count       int32
	size        int32 // of each packet but the last
	bytes       int32
	ended       bool // by a smaller packet
}

// NewBatch makes one for a socket, of so many packets of 1,200 bytes at most. The packets'
// own memory is the system's, and taken when it is used.
func NewBatch(s *Socket, packets int) *Batch {
	packets = min(max(packets, 2), maxPackets)
	b := &Batch{socket: s, packets: make([]packet, 0, packets), messages: make([]message, 0, packets)}
	memory, release := allocate(packets * meanPacket)
	b.bytes = memory[:0]
	if release != nil {
		runtime.AddCleanup(b, release, memory)
	}
	b.sender.init(packets)
	return b
}

// Flush sends what was reserved, all of it, and says how many packets those were: what
// fails is left out and counted.
func (b *Batch) Flush() int {
	n := len(b.packets)
	if n == 0 {
		return 0
	}
	b.socket.count.packets.Add(uint64(len(b.packets)))
	b.socket.count.bytes.Add(uint64(len(b.bytes)))
	b.socket.count.messages.Add(uint64(len(b.messages)))
	b.sender.send(b)
	b.reset()
	return n
}

// Len is how many packets wait.
func (b *Batch) Len() int { return len(b.packets) }

func (b *Batch) reset() {
	b.bytes, b.packets, b.messages = b.bytes[:0], b.packets[:0], b.messages[:0]
	clear(b.table[:])
}

// full says whether a packet of any size might find no place.
func (b *Batch) full() bool {
	return len(b.packets) == cap(b.packets) || len(b.bytes)+maxPacket > cap(b.bytes)
}

// Reserve gives the memory for a packet of a size, at most 1,500 bytes, to be written
// before the next call of any method. A full batch is sent first. The packet becomes part of the
// receiver's latest message if it can.
func (b *Batch) Reserve(size int, to *Target) []byte {
	if b.full() {
		b.Flush()
	}
	at, from := int32(len(b.packets)), len(b.bytes)
	b.packets = append(b.packets, packet{at: int32(from), size: int32(size), next: none})
	b.bytes = b.bytes[:from+size]
	b.place(at, to)
	return b.bytes[from : from+size : from+size]
}

// place makes packet at part of a message.
func (b *Batch) place(at int32, to *Target) {
	var place *uint16
	if b.socket.segments() && !to.whole.Load() {
		if n := len(b.messages); n > 0 && b.messages[n-1].to == to && b.extend(&b.messages[n-1], at) {
			return // without a look at the table: often several to one receiver follow each other
		}
		place = b.find(to)
		if place != nil && *place != 0 && b.extend(&b.messages[*place-1], at) {
			return
		}
	}
	size := b.packets[at].size
	b.messages = append(b.messages, message{to: to, first: at, last: at, count: 1, size: size, bytes: size})
	if place != nil {
		*place = uint16(len(b.messages))
	}
}

// extend puts a packet behind those of a message.
func (b *Batch) extend(m *message, at int32) bool {
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
func (b *Batch) find(to *Target) *uint16 {
	for i, at := 0, to.hash; i < probes; i, at = i+1, at+1 {
		place := &b.table[at%places]
		if *place == 0 || b.messages[*place-1].to == to {
			return place
		}
	}
	return nil
}
