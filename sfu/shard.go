package sfu

import (
	"runtime"
	"sync/atomic"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// reach is how far a stream is: the turn of the latest packet, and the highest number.
type reach struct{ turn, newest int64 }

// position is where somebody is who serves slots of a stream. What the cache has beyond is
// not there yet, for these slots: so a shard that comes later sends what the others send.
type position struct {
	reach // owned by who serves
	// trailing says that a slot may be behind.
	trailing atomic.Bool
}

// reach is where the stream is now.
func (u *upTrack) reach() reach { return reach{turn: u.turn.Load(), newest: u.newest.Load()} }

// shard is a part of a large fan-out. Packets wait in a ring until it is run: by the
// goroutine that has read them, when it has read what there is, or by a writer. It is run by
// one goroutine at a time, to which its slots belong.
type shard struct {
	// Immutable.
	up *upTrack
	// remote says that writers run it.
	remote bool

	// For any goroutine.
	slots atomic.Pointer[[]*downTrack]
	// serving is the slot that is being served: who wants to take that one out waits.
	serving atomic.Pointer[downTrack]
	// scheduled says that it is being run, or will be.
	scheduled atomic.Bool
	// missed says that packets found no room in the ring; due that it is time to go on with
	// the slots that are behind.
	missed, due atomic.Bool
	ring        ring
	// refused says that the packet at hand found no room. Owned by who reads the stream.
	refused bool

	// Owned by who runs it.
	position

	// next is the one that waits for a writer after this one. Guarded by the writers' lock.
	next *shard
}

func newShard(u *upTrack, remote bool) *shard {
	s := &shard{up: u, remote: remote}
	s.reach = u.position.reach
	s.slots.Store(new([]*downTrack))
	return s
}

// distribute gives p to all shards. The caller must not use it again.
func (u *upTrack) distribute(crew []*shard, p *packetcache.Packet, kept bool, now int64) {
	if !kept {
		p.Share()
	}
	x := item{packet: p, now: now, newest: u.position.newest, padding: u.via.padding}
	turn, refused := p.Turn, false
	for _, s := range crew {
		s.give(x, u.via)
		refused = refused || s.refused
	}
	if !kept {
		p.Release()
	}
	u.turn.Store(turn) // whoever sees it finds the packet in the rings, or missed
	if refused {
		u.remind(crew)
	}
}

// remind tells those who found no room for a packet again: who looked for it meanwhile did not see
// that the stream has gone on, and rests.
func (u *upTrack) remind(crew []*shard) {
	for _, s := range crew {
		if s.refused {
			s.missed.Store(true)
			s.schedule(u.via)
		}
	}
}

// give puts a packet in the ring and sees to it that the shard is run.
func (s *shard) give(x item, e *egress) {
	x.packet.Retain()
	if s.refused = !s.ring.add(x); s.refused {
		x.packet.Release()
		s.up.counters.drop(dropShard)
		s.missed.Store(true)
	}
	s.schedule(e)
}

// schedule has the shard run when e settles.
func (s *shard) schedule(e *egress) {
	if s.scheduled.CompareAndSwap(false, true) {
		e.deferShard(s)
	}
}

// drainShards has those run that may go on with slots that are behind.
func (u *upTrack) drainShards(crew []*shard) {
	for _, s := range crew {
		if s.trailing.Load() {
			s.due.Store(true)
			s.schedule(u.via)
		}
	}
}

// maxRun is how many packets at most go to one slot before those to the next: what goes to
// a receiver in a row goes as one message (batchconn).
const maxRun = 16

// run does what there is to do. It is true if there is more by then: the caller is to run
// it again, or have it run. What a writer has written is sent before: the next who runs it
// may have another socket.
func (s *shard) run(e *egress) (again bool) {
	for range 2 + ringSize/maxRun {
		if !s.step(e) {
			break
		}
	}
	e.padding = 0
	if s.remote {
		e.flush()
	}
	s.scheduled.Store(false)
	return !s.isIdle() && s.scheduled.CompareAndSwap(false, true)
}

func (s *shard) isIdle() bool { return s.ring.isEmpty() && !s.missed.Load() && !s.due.Load() }

// step does one thing of what there is to do. It is false if there is nothing.
func (s *shard) step(e *egress) bool {
	items := s.ring.first(maxRun)
	switch {
	case len(items) > 0:
		s.take(e, items)
	case s.missed.Swap(false):
		s.jump(e)
	case s.due.Swap(false):
		s.drain(e)
	default:
		return false
	}
	return true
}

// take takes the next packets that have no gap between them.
func (s *shard) take(e *egress, items []item) {
	if s.up.video && items[0].packet.Turn != s.turn+1 {
		s.lag(items[0].now)
	}
	n := 1
	for n < len(items) && (!s.up.video || items[n].packet.Turn == items[n-1].packet.Turn+1) {
		n++
	}
	s.serve(e, items[:n])
	s.ring.done(n)
}

// enough is how many packets are sent at once by a shard: no message would become larger by
// more, and what was sealed is still in the processor's cache when the system copies it.
const enough = 256

// serve sends packets to all slots.
func (s *shard) serve(e *egress, items []item) {
	packets, octets := 0, 0
	slots := *s.slots.Load()
	for i, d := range slots {
		fetchAhead(slots, i)
		if !s.claim(d) {
			continue
		}
		if d.via = e; e.waiting() >= enough {
			e.flush()
		}
		n, size := s.sendAll(d, e, items)
		packets, octets = packets+n, octets+size
	}
	s.serving.Store(nil)
	s.reach = items[len(items)-1].reach()
	s.up.counters.packetsOut.Add(uint64(packets))
	s.up.counters.bytesOut.Add(uint64(octets))
}

// sendAll sends packets to one slot, and says how many of them went out, with how many bytes.
func (s *shard) sendAll(d *downTrack, e *egress, items []item) (packets, octets int) {
	for i := range items {
		x := &items[i]
		s.reach, e.padding = x.reach(), x.padding
		if d.forward(s.up, x.packet, x.now) {
			packets++
			octets += len(x.packet.Payload)
		}
	}
	if packets > 0 {
		d.count(packets, octets)
	}
	return packets, octets
}

// claim says whether d is of the shard, and keeps leave from returning until the next claim,
// or until nothing is served.
func (s *shard) claim(d *downTrack) bool {
	s.serving.Store(d)
	return d.shard.Load() == s
}

// leave returns when d, which is taken out, is not being served any more.
func (s *shard) leave(d *downTrack) {
	for s.serving.Load() == d {
		runtime.Gosched()
	}
}

// lag leaves the slots at the last packet before a gap: what is missing is in the cache.
func (s *shard) lag(now int64) {
	for _, d := range *s.slots.Load() {
		if s.claim(d) && d.phase == live && s.turn+1 >= d.since {
			d.fallBehind(s.newest+1, now)
		}
	}
	s.serving.Store(nil)
}

// jump goes on to where the stream is, if packets were missed that nothing has followed.
func (s *shard) jump(e *egress) {
	if !s.up.video {
		return
	}
	at := s.up.reach()
	if !s.ring.isEmpty() {
		s.missed.Store(true) // for when these are done
		return
	}
	if at.turn == s.turn {
		return
	}
	s.lag(e.now)
	s.reach = at
	s.drain(e)
}

// drain goes on with the slots that are behind.
func (s *shard) drain(e *egress) {
	s.trailing.Store(false)
	e.padding = 0
	for _, d := range *s.slots.Load() {
		if !s.claim(d) || d.phase != behind {
			continue
		}
		d.via = e
		if s.turn+1 >= d.since {
			d.drain(s.up, e.now)
		}
		if d.phase == behind {
			s.trailing.Store(true)
		}
	}
	s.serving.Store(nil)
}

// mostDeferred bounds the shards that wait for an egress to settle.
const mostDeferred = inboxSize

// deferShard has a shard run when e settles.
func (e *egress) deferShard(s *shard) {
	if len(e.deferred) == mostDeferred {
		e.settle()
	}
	if e.deferred == nil {
		e.deferred = make([]*shard, 0, mostDeferred)
	}
	e.deferred = append(e.deferred, s)
}

// settle runs the shards that wait: writers are woken for theirs, once for all packets that
// came at once, and the others are run here.
func (e *egress) settle() {
	if len(e.deferred) == 0 {
		return
	}
	for _, s := range e.deferred {
		if s.remote {
			s.up.writers.submit(s)
		}
	}
	for _, s := range e.deferred {
		if !s.remote {
			for s.run(e) {
			}
		}
	}
	clear(e.deferred)
	e.deferred = e.deferred[:0]
}

// flush sends what is written.
func (e *egress) flush() {
	if e.batch != nil {
		e.batch.Flush()
	}
}

// waiting is how many packets are written and not sent.
func (e *egress) waiting() int {
	if e.batch == nil {
		return 0
	}
	return e.batch.Len()
}

// belong gives d, which nobody serves, to a shard of u, or to the goroutine that reads u.
// The caller holds the roster.
func (d *downTrack) belong(s *shard, u *upTrack) {
	d.at = &u.position
	if s != nil {
		d.at = &s.position
	}
	if d.phase == behind {
		d.at.trailing.Store(true)
	}
	d.shard.Store(s)
	if s != nil {
		with(&s.slots, d)
	}
}
