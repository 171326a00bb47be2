package sfu

import (
	"iter"
	"slices"
	"sync"

	"github.com/conclave-sfu/conclave/sfu/speaker"
)

// room is what the participants of one room publish and see. Its lock guards who
// gets what; packets never take it.
type room struct {
	node *Node
	id   string
	done chan struct{}
	// keyFrames wakes keepHouse when an awaited layer has one.
	keyFrames chan struct{}
	// flows wakes it when an encoding has stalled or is back.
	flows chan struct{}
	// thinned wakes it when the path of somebody has become thinner.
	thinned chan struct{}
	// marked wakes it when more are to be mapped than are at once.
	marked chan struct{}
	// between, if set, is called between two slices, without the lock. It is for tests. Immutable.
	between func()

	mu           sync.Mutex
	transports   listed[string, *Transport]
	publications listed[pubKey, *publication]
	arrivals     int
	mutes        bucket // that are worth a mapping at once
	// heard are the voices of the latest mapping, floor says who is the dominant speaker.
	heard []voice
	floor speaker.Floor[pubKey]
	// round numbers the times that was asked how large everything is shown.
	round int
}

func newRoom(n *Node, id string) *room {
	r := &room{
		node: n, id: id, done: make(chan struct{}), keyFrames: make(chan struct{}, 1), thinned: make(chan struct{}, 1),
		flows: make(chan struct{}, 1), marked: make(chan struct{}, 1),
		mutes: bucket{interval: loudnessInterval, burst: changeBurst},
	}
	n.background.Go(r.keepHouse)
	return r
}

func (r *room) stop() { close(r.done) }

func (r *room) join(participant string, ev Events) (*Transport, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.transports.get(participant) != nil {
		return nil, false
	}
	t := &Transport{
		room: r, participant: participant, events: newNotifier(ev), negotiating: make(chan struct{}, 1),
		views: bucket{interval: loudnessInterval, burst: changeBurst}, asks: map[pubKey]*bucket{},
	}
	t.incoming.set(r.node.limits.Incoming)
	t.outgoing.set(r.node.limits.Outgoing)
	r.transports.put(participant, t)
	return t, true
}

// leave takes a transport out of the room. It is false if it has left already.
func (r *room) leave(t *Transport) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.closed {
		return false
	}
	t.closed = true
	r.transports.remove(t.participant)
	if c := t.connection; c != nil {
		r.end(c)
		r.withdraw(t)
		c.closeLater()
	}
	r.settle()
	return true
}

func (r *room) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.transports.list) == 0
}

func (r *room) members() []*Transport {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.transports.list)
}

// connections are those that participants have now. The caller holds the room's lock.
func (r *room) connections() iter.Seq[*connection] {
	return func(yield func(*connection) bool) {
		for _, t := range r.transports.list {
			if t.connection != nil && !yield(t.connection) {
				return
			}
		}
	}
}

// count adds the counters of the streams that are, and counts publications and the slots
// that carry something.
func (r *room) count(sum *counters) (publications, slots int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.publications.list {
		for _, l := range p.layers {
			sum.add(&l.up.counters)
		}
	}
	for c := range r.connections() {
		slots += len(c.report())
	}
	return len(r.publications.list), slots
}

// setView takes effect at once, or at the next round of housekeeping if views come often.
func (r *room) setView(t *Transport, wants []Want) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.wants, t.stale = wants, true
	if t.views.take(r.node.now()) {
		r.assign(t, r.voices())
	}
}

// setMuted takes effect at once, or at the next round of housekeeping if the room's
// participants mute and unmute often.
func (r *room) setMuted(t *Transport, source Source, muted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.publications.get(pubKey{t.participant, source}); p != nil && t.muted[source] && !muted {
		for _, l := range p.layers {
			l.up.forgetKeyFrame()
		}
	}
	t.muted[source] = muted
	r.touch(pubKey{t.participant, source})
	if r.mutes.take(r.node.now()) {
		r.settle()
	}
}

// replaceConnection makes c the connection of t. Publications that c offers too
// keep their slots while they change over.
func (r *room) replaceConnection(t *Transport, c *connection, p plan, slots []*downTrack) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	before := t.connection
	t.connection, t.highest = c, c.number
	c.addSlotsTo(slots)
	if before != nil {
		r.end(before)
		before.closeLater()
	}
	r.keepOffered(t, p)
	r.touchAll(t.participant)
	t.stale = true
	r.settle()
	return nil
}

// extendConnection takes over what a renegotiation has changed.
func (r *room) extendConnection(c *connection, p plan, added []*downTrack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.ended {
		return
	}
	c.dropSlots(p)
	c.addSlotsTo(added)
	r.keepOffered(c.transport, p)
	r.remap(c.transport)
}

// connected says that packets can be sent on c.
func (r *room) connected(c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.ready = true
	r.remap(c.transport)
}

// remap maps all slots of t, and of whom else a change concerns.
func (r *room) remap(t *Transport) {
	t.stale = true
	r.assign(t, r.voices())
	r.settle()
}

func (r *room) isReady(c *connection) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.ready
}

// endConnection ends c with all that it published, and closes it: under the lock, so
// that who closes the node waits for that. It is false if it has ended
// already.
func (r *room) endConnection(c *connection) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.end(c) {
		return false
	}
	c.closeLater()
	if t := c.transport; t.connection == c {
		t.connection = nil
		r.withdraw(t)
	}
	r.touchAll(c.transport.participant)
	r.settle()
	return true
}

// end takes the slots and streams of c out of use.
func (r *room) end(c *connection) bool {
	if c.ended {
		return false
	}
	c.ended = true
	for _, d := range slices.Concat(c.audio, c.video) {
		d.disconnect()
	}
	for _, p := range r.publications.list {
		p.layers = slices.DeleteFunc(p.layers, func(l *encoding) bool {
			return l.connection == c && r.retire(l)
		})
		p.stale = true
	}
	return true
}

// addSlotsTo puts slots in use.
func (c *connection) addSlotsTo(slots []*downTrack) {
	for _, d := range slots {
		if d.video {
			c.video = append(c.video, d)
		} else {
			c.audio = append(c.audio, d)
		}
	}
}

// receives says whether a slot is offered.
func (p plan) receives(mid string) bool {
	return slices.ContainsFunc(p.sections, func(s section) bool { return s.mid == mid && s.direction == recvonly })
}

// dropSlots takes those out of use whose sections a plan no longer has.
func (c *connection) dropSlots(p plan) {
	gone := func(d *downTrack) bool {
		kept := p.receives(d.mid)
		if !kept {
			d.disconnect()
			c.reported = c.reported && d.key == (pubKey{})
			d.key = pubKey{} // it may come back
		}
		return !kept
	}
	c.audio = slices.DeleteFunc(c.audio, gone)
	c.video = slices.DeleteFunc(c.video, gone)
}
