package sfu

import (
	"sync/atomic"

	"github.com/conclave-sfu/conclave/sfu/dd"
	"github.com/conclave-sfu/conclave/sfu/layer"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// layerChoice is what a slot is sent of a source that has layers.
type layerChoice struct {
	// For any goroutine. limit is what is wanted at most, current what is sent, both
	// packed, current 0 for nothing yet. blocked says that only a key frame brings what
	// is wanted.
	limit, current atomic.Uint32
	blocked        atomic.Bool

	// flat says that the slot has no Dependency Descriptor: it gets the lowest spatial layer
	// of a stream with several, unless the payload descriptor tells their frames apart too.
	// Immutable.
	flat bool

	// Owned by the goroutine of the slot's source.
	selector layer.Selector
	// told is the mask of active decode targets that the receiver knows of; telling
	// says that it has just changed.
	told    uint32
	telling bool
	scratch descriptorBuffer

	// Owned by the goroutine that reads the receiver's RTCP.
	again descriptorBuffer
}

// descriptorBuffer holds a descriptor that is rewritten: at most what a header extension
// can hold (RFC 8285, Section 4.3).
type descriptorBuffer [255]byte

func newLayerChoice(flat bool) *layerChoice {
	c := &layerChoice{flat: flat}
	c.want(layer.Highest)
	return c
}

// packLayer packs a layer into a number that is never 0.
func packLayer(l layer.Layer) uint32 { return 1<<16 | uint32(l.Spatial)<<8 | uint32(l.Temporal) }

func unpackLayer(v uint32) layer.Layer {
	return layer.Layer{Spatial: uint8(v >> 8), Temporal: uint8(v)}
}

// want sets the highest layer that is to be sent.
func (c *layerChoice) want(limit layer.Layer) { c.limit.Store(packLayer(limit)) }

// reset is for a new source.
func (c *layerChoice) reset() {
	c.selector.Reset()
	c.told, c.telling = 0, false
	c.current.Store(0)
	c.blocked.Store(false)
}

// take decides on a packet: whether it goes, and whether it ends its picture.
func (c *layerChoice) take(p *packetcache.Packet) (forward, last bool) {
	var targets *layer.Targets
	if s, ok := p.Structure.(*structure); ok {
		targets = s.targets
	}
	frame, limit := (*layer.Frame)(&p.Frame), unpackLayer(c.limit.Load())
	if c.flat && p.Front == nil {
		limit.Spatial = 0
	}
	forward, last = c.selector.Take(frame, targets, limit, !p.InOrder)
	if p.Frame.Start && p.InOrder {
		c.publish()
	}
	return forward, last
}

// publish tells the others what has been chosen.
func (c *layerChoice) publish() {
	now := uint32(0)
	if at, ok := c.selector.Current(); ok {
		now = packLayer(at)
	}
	if c.current.Load() != now {
		c.current.Store(now)
	}
	if blocked := c.selector.Blocked(); c.blocked.Load() != blocked {
		c.blocked.Store(blocked)
	}
}

// ends says whether a packet that is sent again ends its picture.
func (c *layerChoice) ends(p *packetcache.Packet) bool {
	if c == nil || !p.Layered || !p.Frame.End {
		return false
	}
	now := c.current.Load()
	return now != 0 && p.Frame.Spatial >= unpackLayer(now).Spatial
}

// descriptor is p's Dependency Descriptor as it goes out: with the frame number moved by
// offset, and with the active decode targets where the receiver has to be told (AV1 RTP
// specification, Section A.4): with a new structure, and from a change on until a picture
// of the lowest temporal layer ends, whose loss is noticed.
func (c *layerChoice) descriptor(p *packetcache.Packet, offset uint16, last bool) []byte {
	s, _ := p.Structure.(*structure)
	if s == nil || s.dependencies == nil {
		return c.scratch.shift(p.Descriptor, offset)
	}
	active := c.selector.Mask() & p.Frame.Active
	if p.Frame.Begin {
		c.told = p.Frame.Active
	}
	if active != c.told {
		c.told, c.telling = active, true
	}
	if !c.telling && !p.Frame.Begin {
		return c.scratch.shift(p.Descriptor, offset)
	}
	c.telling = c.telling && !(last && p.Frame.Temporal == 0)
	if n := dd.Rewrite(c.scratch[:], p.Descriptor, s.dependencies, offset, active); n > 0 {
		return c.scratch[:n]
	}
	return c.scratch.shift(p.Descriptor, offset)
}

// front copies p's payload descriptor as it came.
func (b *descriptorBuffer) front(p *packetcache.Packet) []byte {
	n := copy(b[:], p.Front)
	b[n-1] = p.FrontEnd
	return b[:n]
}

// shift copies a descriptor with its frame number moved.
func (b *descriptorBuffer) shift(descriptor []byte, offset uint16) []byte {
	n := copy(b[:], descriptor)
	dd.Shift(b[:n], offset)
	return b[:n]
}
