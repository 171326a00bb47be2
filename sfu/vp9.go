package sfu

import (
	"encoding/binary"

	"github.com/conclave-sfu/conclave/sfu/layer"
)

// The bits of the VP9 payload descriptor (RFC 9628, Section 4.2):
//
//	     0 1 2 3 4 5 6 7
//	    +-+-+-+-+-+-+-+-+
//	    |I|P|L|F|B|E|V|Z|  required
//	    +-+-+-+-+-+-+-+-+
//	I:  |M| PICTURE ID  |  if I; two bytes if M
//	L:  | TID |U| SID |D|  if L
//	    |   TL0PICIDX   |  if L and not F
//	P:  | P_DIFF      |N|  if P and F, up to three times, while N
//	V:  | N_S |Y|G|-|-|-|  if V: the scalability structure
//	Y:  | WIDTH, HEIGHT |  if Y, four bytes for each of N_S + 1 spatial layers
//	G:  |      N_G      |  if G, then N_G times:
//	    | TID |U| R |-|-|  and R bytes
const (
	vp9PictureID  = 0x80
	vp9Inter      = 0x40
	vp9Layers     = 0x20
	vp9Flexible   = 0x10
	vp9Begins     = 0x08
	vp9Ends       = 0x04
	vp9Scalable   = 0x02
	vp9Keep       = vp9Inter | vp9Begins | vp9Ends | 0x01
	vp9LongID     = 0x80
	vp9SwitchUp   = 0x10
	vp9InterLayer = 0x01
	vp9MoreDiffs  = 0x01
	vp9Sizes      = 0x10
	vp9Group      = 0x08
	vp9MaxDiffs   = 3
)

// vp9Grid are the targets of a stream whose layers its descriptors name.
var vp9Grid = layer.Grid(vp9Spatial, temporalLayers)

// vp9Spatial is how many spatial layers are told apart; encoders make three.
const vp9Spatial = 4

// vp9Cursor walks along a descriptor.
type vp9Cursor struct {
	rest []byte
	ok   bool
}

func (c *vp9Cursor) next() byte {
	if len(c.rest) == 0 {
		c.ok = false
		return 0
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return b
}

func (c *vp9Cursor) skip(n int) {
	if n > len(c.rest) {
		c.ok, n = false, len(c.rest)
	}
	c.rest = c.rest[n:]
}

// readVP9 reads the payload descriptor, and nothing of the frame.
func readVP9(payload []byte) (unit, bool) {
	c := vp9Cursor{rest: payload, ok: true}
	first := c.next()
	if first&vp9PictureID != 0 && c.next()&vp9LongID != 0 {
		c.next()
	}
	u := unit{starts: first&vp9Begins != 0, ends: first&vp9Ends != 0, independent: first&vp9Inter == 0}
	onLower := false // the frame refers to the spatial layer below
	if first&vp9Layers != 0 {
		b := c.next()
		u.layered, u.layer = true, layer.Layer{Spatial: b >> 1 & 7, Temporal: b >> 5}
		u.switches, onLower = b&vp9SwitchUp != 0, b&vp9InterLayer != 0
		if first&vp9Flexible == 0 {
			c.next()
		}
	}
	if first&vp9Inter != 0 && first&vp9Flexible != 0 {
		c.skipDiffs()
	}
	if first&vp9Scalable != 0 {
		c.skipStructure()
	}
	if !c.ok || len(c.rest) == 0 {
		return unit{}, false
	}
	u.begins = u.starts && u.independent && u.layer.Spatial == 0
	size := len(payload) - len(c.rest)
	if countsVP9(payload[:size]) {
		u.front, u.frontEnd = payload[:size], payload[size-1]
	}
	kept := first & vp9Keep
	if onLower {
		// Without the layer indices, a frame that refers to the layer below would pass
		// for a key frame.
		kept |= vp9Inter
	}
	u.payload = cutDescriptor(payload, size, kept)
	return u, true
}

// Places in a descriptor that names layers and has a picture id of two bytes.
const (
	vp9PictureAt = 1
	vp9BaseAt    = 4 // TL0PICIDX, unless F
	vp9Pictures  = 1<<15 - 1
	vp9MaxFront  = 255 // of what is sent whole: the structure for three layers takes some 30
)

// countsVP9 says whether a descriptor is of a kind whose numbers can be moved.
func countsVP9(front []byte) bool {
	const named = vp9PictureID | vp9Layers
	return front[0]&named == named && front[vp9PictureAt]&vp9LongID != 0 && len(front) <= vp9MaxFront
}

// vp9Count is where a stream is by its descriptors: the picture id, of 15 bits, and
// TL0PICIDX, which counts the pictures of the lowest temporal layer.
type vp9Count struct {
	picture uint16
	base    uint8
}

// pack makes a number that is never 0.
func (n vp9Count) pack() uint32 { return 1<<24 | uint32(n.picture)<<8 | uint32(n.base) }

func unpackVP9Count(v uint32) vp9Count { return vp9Count{uint16(v >> 8 & vp9Pictures), uint8(v)} }

// to is what has to be added to n so that next comes out.
func (n vp9Count) to(next vp9Count) vp9Count {
	return vp9Count{(next.picture - n.picture) & vp9Pictures, next.base - n.base}
}

func (n vp9Count) add(o vp9Count) vp9Count {
	return vp9Count{(n.picture + o.picture) & vp9Pictures, n.base + o.base}
}

// vp9CountOf reads the numbers of a descriptor that has them all.
func vp9CountOf(front []byte) vp9Count {
	n := vp9Count{picture: binary.BigEndian.Uint16(front[vp9PictureAt:]) & vp9Pictures}
	if front[0]&vp9Flexible == 0 {
		n.base = front[vp9BaseAt]
	}
	return n
}

// putVP9Count writes them.
func putVP9Count(front []byte, n vp9Count) {
	binary.BigEndian.PutUint16(front[vp9PictureAt:], vp9LongID<<8|n.picture)
	if front[0]&vp9Flexible == 0 {
		front[vp9BaseAt] = n.base
	}
}

func (c *vp9Cursor) skipDiffs() {
	for range vp9MaxDiffs {
		if c.next()&vp9MoreDiffs == 0 {
			return
		}
	}
	c.ok = false // RFC 9628 has no fourth
}

func (c *vp9Cursor) skipStructure() {
	b := c.next()
	if b&vp9Sizes != 0 {
		c.skip(4 * (int(b>>5) + 1))
	}
	if b&vp9Group != 0 {
		for range c.next() {
			c.skip(int(c.next() >> 2 & 3))
		}
	}
}
