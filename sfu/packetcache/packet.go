// Package packetcache keeps the latest packets of a received stream, so that what
// a receiver has lost can be sent again (RFC 4588). All receivers of the stream
// share one cache.
//
// A [Packet] is filled by one goroutine, then put in a [Cache], and immutable from
// then on. Readers hold references; the last one to let go gives the buffer back:
//
//	p := packetcache.New()
//	p.Payload = p.Buffer[:read(p.Buffer[:])]
//	p.Number = 17
//	if !cache.Put(p) {
//		defer p.Release()
//	}
//	forward(p)
//
// Nobody waits for anybody.
package packetcache

import (
	"sync"
	"sync/atomic"
)

// MaxPacket is the size in bytes of the largest RTP packet taken. Larger ones
// would not pass an Ethernet link together with the SRTP tag.
const MaxPacket = 1460

// Packet is one received RTP packet.
type Packet struct {
	// refs is 0 while the packet belongs to the one who fills it.
	refs atomic.Int32

	// Number is the packet's number in the stream, after gaps were closed.
	Number int64
	// Turn numbers the packets of the stream in the order in which they came.
	Turn int64
	// Timestamp and Marker are the header's.
	Timestamp uint32
	Marker    bool
	// KeyFrame says that a key frame begins here.
	KeyFrame bool
	// InOrder says that the packet came after none with a higher number.
	InOrder bool
	// Codec is what the payload type means, in the owner's numbers.
	Codec uint8
	// Layered says that Frame is known, or would be, had its structure come.
	Layered bool
	Frame   Frame
	// Structure is what Frame's masks refer to, of a type of the owner's; nil if it is
	// not known.
	Structure any
	// Descriptor is the Dependency Descriptor's part of Buffer; nil if there is none.
	Descriptor []byte
	// Payload is the part of Buffer that is forwarded.
	Payload []byte
	// Front is the payload descriptor that Payload lacks all of but a byte, where a receiver
	// may need it; nil if there is none. Its last byte has become the first of Payload:
	// FrontEnd is what it was.
	Front    []byte
	FrontEnd byte
	// Buffer holds the packet as it was received.
	Buffer [MaxPacket]byte
}

var pool = sync.Pool{New: func() any { return new(Packet) }}

// New gives a packet that belongs to the caller, who fills all fields.
func New() *Packet { return pool.Get().(*Packet) }

// Release lets go of a packet that [Cache.Get] or New gave. The caller must not
// use it after that.
func (p *Packet) Release() {
	if p.refs.Load() == 0 || p.refs.Add(-1) == 0 {
		pool.Put(p)
	}
}

// Share gives p, which no cache keeps, to several holders: the caller is the first, and
// nobody fills it any more.
func (p *Packet) Share() { p.refs.Store(1) }

// Retain adds a holder. The caller must be one, or have had the packet kept by a cache.
func (p *Packet) Retain() { p.refs.Add(1) }

// Holders is how many hold p now, caches included: 0 while it belongs to the one who fills
// it, or to nobody.
func (p *Packet) Holders() int { return int(p.refs.Load()) }

// tryRetain takes a reference, unless the last one is gone.
func (p *Packet) tryRetain() bool {
	for {
		n := p.refs.Load()
		if n == 0 {
			return false
		}
		if p.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Frame is what is known of the frame that a packet is part of. It has the fields of
// layer.Frame, to which it converts.
type Frame struct {
	Picture                 uint32
	Number                  uint16
	Numbered                bool
	Start, End              bool
	Begin                   bool
	Spatial, Temporal       uint8
	Present, Switch, Active uint32
	Diffs                   [8]uint16
	DiffCount               uint8
}
