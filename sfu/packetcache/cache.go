package packetcache

import "sync/atomic"

// Cache is a ring of the latest packets of one stream. One goroutine at a time may
// call Put; Get and Close may be called from any.
type Cache struct {
	ring []atomic.Pointer[Packet]
}

// NewCache makes a cache of size packets; it holds size*(MaxPacket+100) bytes when
// full.
func NewCache(size int) *Cache {
	return &Cache{ring: make([]atomic.Pointer[Packet], size)}
}

// Put keeps p and drops the packet that is Len packets older. It is false, and p
// stays the caller's, if p itself is that old. A kept packet is valid for the
// caller until its next Put.
func (c *Cache) Put(p *Packet) bool {
	place := c.at(p.Number)
	old := place.Load()
	if old != nil && old.Number >= p.Number {
		return false
	}
	p.refs.Store(1)
	// Close may have emptied the place meanwhile; only one of the two takes old out.
	if old = place.Swap(p); old != nil {
		old.Release()
	}
	return true
}

// Get finds a packet by its number. The caller must release it.
func (c *Cache) Get(number int64) (*Packet, bool) {
	p := c.at(number).Load()
	if p == nil || !c.hold(p, number) {
		return nil, false
	}
	return p, true
}

// hold takes a reference to p, which was in the place of a number. Meanwhile it may have
// become another packet, of another cache even, with the same number: what that holds is
// not meant for who asks here.
func (c *Cache) hold(p *Packet, number int64) bool {
	if !p.tryRetain() {
		return false
	}
	if p.Number != number || c.at(number).Load() != p {
		p.Release()
		return false
	}
	return true
}

// Close drops all packets. No Put may follow.
func (c *Cache) Close() {
	for i := range c.ring {
		if p := c.ring[i].Swap(nil); p != nil {
			p.Release()
		}
	}
}

// Len is the number of packets that the cache has place for.
func (c *Cache) Len() int { return len(c.ring) }

func (c *Cache) at(number int64) *atomic.Pointer[Packet] {
	n := int64(len(c.ring))
	return &c.ring[(number%n+n)%n]
}
