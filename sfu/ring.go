package sfu

import (
	"sync/atomic"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// ringSize is how many packets wait for a shard at most: several frames, and half of how
// far slots may be behind (maxBehind), so that who has lost some can still read on from the
// cache.
const ringSize = 128

// item is a packet on its way to a shard, which holds a reference to it.
type item struct {
	packet  *packetcache.Packet
	now     int64 // when it arrived
	newest  int64 // the highest number by then
	padding uint8 // of egress
}

// reach is where the stream is with the item.
func (x *item) reach() reach { return reach{turn: x.packet.Turn, newest: x.newest} }

// ring is a queue of bounded size. One goroutine at a time may put, one at a time may take.
type ring struct {
	items [ringSize]item
	taken atomic.Uint64 // how many were, ever
	_     [56]byte      // the two are written by different processors
	put   atomic.Uint64
}

// add puts an item in. It is false if there is no room.
func (r *ring) add(x item) bool {
	at := r.put.Load()
	if at-r.taken.Load() == ringSize {
		return false
	}
	r.items[at%ringSize] = x
	r.put.Store(at + 1)
	return true
}

// waiting is how many items there are, for any goroutine: one that is neither of the two may
// see them as they were at two moments.
func (r *ring) waiting() int {
	taken := r.taken.Load() // first: what is taken meanwhile was put before
	return int(min(r.put.Load()-taken, ringSize))
}

// first gives up to so many items, oldest first. They stay until done says that they are.
func (r *ring) first(most int) []item {
	taken := r.taken.Load()
	at, waiting := int(taken%ringSize), int(r.put.Load()-taken)
	return r.items[at:min(at+min(waiting, most), ringSize)]
}

// done takes the oldest items out and lets go of their packets.
func (r *ring) done(n int) {
	for i, items := 0, r.first(n); i < len(items); i++ {
		items[i].packet.Release()
		items[i].packet = nil
	}
	r.taken.Add(uint64(n))
}

func (r *ring) isEmpty() bool { return r.taken.Load() == r.put.Load() }

// clear takes all items out.
func (r *ring) clear() {
	for items := r.first(ringSize); len(items) > 0; items = r.first(ringSize) {
		r.done(len(items))
	}
}
