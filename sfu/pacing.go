package sfu

import (
	"github.com/conclave-sfu/conclave/sfu/pace"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/packetmap"
)

// sealed is about how much longer a packet is than its payload: headers, extensions and
// tag, in bytes.
const sealed = 44

// maxBehind is how many packets a slot may be behind its source: half of what a cache
// keeps.
const maxBehind = cacheSize / 2

// forward sends p, which is of the slot's source u, if the source can begin with it or has begun,
// and the path has room. Else p waits in the cache, or is left out.
func (d *downTrack) forward(u *upTrack, p *packetcache.Packet, now int64) (sent bool) {
	if p.Turn < d.since {
		return false // was before the slot
	}
	if d.phase == waiting && !d.prepare(u, p, now) {
		return false
	}
	switch {
	case d.phase == behind && p.Number >= d.cursor:
		d.drain(u, now) // p too, if it is p's turn
		return false
	case d.video && d.phase == live && p.InOrder && !d.affords(p, now):
		d.fallBehind(p.Number, now)
		return false
	case !d.video || !p.InOrder:
		d.charge(len(p.Payload)+sealed, now)
	}
	return d.send(u, p, now)
}

// prepare begins with an in-order packet: with a key frame, or one that has just been, for
// video. The beginning of a key frame may come late: it was lost, and sent again.
func (d *downTrack) prepare(u *upTrack, p *packetcache.Packet, now int64) bool {
	switch {
	case !p.InOrder && !(d.video && p.KeyFrame):
		return false
	case p.InOrder && !d.video, p.InOrder && p.KeyFrame:
		d.start(p, now)
		d.phase = live
		return true
	}
	return d.catchUp(u, now)
}

// catchUp starts the source with a key frame that has just been: what has come since is
// in the cache.
func (d *downTrack) catchUp(u *upTrack, now int64) bool {
	first, at := u.keyFrame.number.Load(), d.at.reach
	switch {
	case !u.hadKeyFrame(now), first > at.newest, at.newest-first >= maxBehind, d.overflowed.Load() && first <= d.from:
		return false
	}
	p, ok := u.cache.Get(first)
	if !ok {
		return false
	}
	if p.Turn > at.turn {
		p.Release()
		return false
	}
	d.start(p, now)
	p.Release()
	d.fallBehind(first, now)
	return true
}

// fallBehind leaves what comes, from a number on, to drain.
func (d *downTrack) fallBehind(number, now int64) {
	d.phase, d.cursor, d.behindAt, d.lag = behind, number, now, 0
	d.queued.Store(max(d.at.newest-number, 0) + 1)
	d.at.trailing.Store(true)
}

// drain sends what waits in the cache, as far as the path has room. What is missing there
// comes late, as always.
func (d *downTrack) drain(u *upTrack, now int64) {
	newest := d.at.newest
	if newest-d.cursor >= maxBehind {
		d.overflow(u)
		return
	}
	for ; d.cursor <= newest; d.cursor++ {
		if !d.advance(u, newest, now) {
			return
		}
	}
	d.phase = live
	d.queued.Store(0)
}

// advance sends the packet at the cursor. It is false if the slot stays there for now, or has given
// up what waits.
func (d *downTrack) advance(u *upTrack, newest, now int64) bool {
	p, ok := u.cache.Get(d.cursor)
	if !ok {
		if u.newest.Load()-d.cursor < cacheSize-1 {
			return true
		}
		d.overflow(u) // it was there
		return false
	}
	defer p.Release()
	switch {
	case p.Turn > d.at.turn: // it comes yet
		return !p.InOrder
	case d.affords(p, now):
		if d.send(u, p, now) {
			d.count(1, len(p.Payload))
			u.counters.packetsOut.Add(1)
			u.counters.bytesOut.Add(uint64(len(p.Payload)))
		}
		return true
	case d.tooLate(u, p, newest, now):
		d.overflow(u)
	default:
		d.queued.Store(newest - d.cursor + 1)
	}
	return false
}

// affords says whether the path has room for p now, and takes it.
func (d *downTrack) affords(p *packetcache.Packet, now int64) bool {
	return d.bucket == nil || d.bucket.Take(now, len(p.Payload)+sealed)
}

// charge counts what goes in any case: audio, what comes late or is sent again.
func (d *downTrack) charge(size int, now int64) {
	if d.bucket != nil {
		d.bucket.Charge(now, size)
	}
}

// tooLate says whether p is older than what may wait, by the source's own time, and the slot
// does not come nearer to its source: a key frame goes whole, and what has piled up behind it
// may be sent as long as that grows less.
func (d *downTrack) tooLate(u *upTrack, p *packetcache.Packet, newest, now int64) bool {
	if p.Timestamp == d.firstIn || now-d.behindAt <= int64(pace.MaxAge) {
		return false
	}
	last, ok := u.cache.Get(newest)
	if !ok {
		return false
	}
	defer last.Release()
	age := packetmap.Duration(int64(int32(last.Timestamp-p.Timestamp)), u.clock.rate)
	if age <= pace.MaxAge {
		return false
	}
	gains := d.lag == 0 || age < d.lag*9/10
	if gains {
		d.lag, d.behindAt = age, now
	}
	return !gains
}

// overflow gives up what waits: the slot begins anew with the next key frame.
func (d *downTrack) overflow(u *upTrack) {
	d.phase = waiting
	d.queued.Store(0)
	d.overflowed.Store(true)
	u.counters.drop(dropPace)
}

// drain goes on with the slots that are behind. It belongs to the goroutine of the stream.
func (u *upTrack) drain(now int64) {
	u.muster()
	if crew := u.crew.Load(); crew != nil {
		u.drainShards(*crew)
		return
	}
	if !u.position.trailing.Load() {
		return
	}
	u.position.trailing.Store(false)
	u.passes.Add(1)
	for _, d := range *u.fanOut.Load() {
		if d.phase != behind {
			continue
		}
		d.via = u.via
		if d.drain(u, now); d.phase == behind {
			u.position.trailing.Store(true)
		}
	}
	u.passes.Add(1)
}
