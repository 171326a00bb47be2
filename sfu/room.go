package sfu

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
)

// Times of a room's housekeeping.
const (
	loudnessInterval = 200 * time.Millisecond // and of what is due below
	reportInterval   = time.Second            // between two sender reports of a slot
	repeatInterval   = time.Second            // until a key frame is asked for again
	maxRepeats       = 3
	layerInterval    = time.Second // over which a layer's bit rate is measured
)

// room is what the participants of one room publish and see. Its lock guards who
// gets what; packets never take it.
type room struct {
	node *Node
	id   string
	done chan struct{}
	// keyFrames wakes keepHouse when an awaited layer has one.
	keyFrames chan struct{}

	mu           sync.Mutex
	transports   map[string]*Transport
	publications map[pubKey]*publication
	arrivals     int
}

// publication is what a participant sends of one source. It outlives a
// PeerConnection that is replaced.
type publication struct {
	key     pubKey
	arrival int // orders the publications of a room
	layers  []*layer
	// loudness is smoothed; for audio.
	loudness float64
}

// layer is one encoding of a publication.
type layer struct {
	up         *upTrack
	connection *connection
	rateMeter
}

func newRoom(n *Node, id string) *room {
	r := &room{
		node: n, id: id, done: make(chan struct{}), keyFrames: make(chan struct{}, 1),
		transports: map[string]*Transport{}, publications: map[pubKey]*publication{},
	}
	n.background.Go(r.keepHouse)
	return r
}

func (r *room) stop() { close(r.done) }

func (r *room) join(participant string, ev Events) (*Transport, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.transports[participant] != nil {
		return nil, false
	}
	t := &Transport{
		room: r, participant: participant, events: newNotifier(ev), negotiating: make(chan struct{}, 1),
	}
	r.transports[participant] = t
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
	delete(r.transports, t.participant)
	if c := t.connection; c != nil {
		r.end(c)
		r.withdraw(t)
		c.closeLater()
	}
	r.assignAll()
	return true
}

func (r *room) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.transports) == 0
}

func (r *room) members() []*Transport {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.transports))
}

// count adds the counters of the streams that are, and counts publications and slots.
func (r *room) count(sum *counters) (publications, slots int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.publications {
		for _, l := range p.layers {
			sum.add(&l.up.counters)
		}
	}
	for _, t := range r.transports {
		if c := t.connection; c != nil {
			slots += len(c.audio) + len(c.video)
		}
	}
	return len(r.publications), slots
}

func (r *room) setView(t *Transport, wants []Want) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.wants = wants
	r.assign(t, r.speakers())
}

func (r *room) setMuted(t *Transport, source Source, muted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.publications[pubKey{t.participant, source}]; p != nil && t.muted[source] && !muted {
		for _, l := range p.layers {
			l.up.forgetKeyFrame()
		}
	}
	t.muted[source] = muted
	r.assignAll()
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
	r.assignAll()
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
	r.assignAll()
}

// connected says that packets can be sent on c.
func (r *room) connected(c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.ready = true
	r.assignAll()
}

func (r *room) isReady(c *connection) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return c.ready
}

// endConnection ends c with all that it published. It is false if it has ended
// already.
func (r *room) endConnection(c *connection) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.end(c) {
		return false
	}
	if t := c.transport; t.connection == c {
		t.connection = nil
		r.withdraw(t)
	}
	r.assignAll()
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
	for _, p := range r.publications {
		p.layers = slices.DeleteFunc(p.layers, func(l *layer) bool {
			return l.connection == c && r.retire(p, l)
		})
	}
	return true
}

// retire frees the slots that a layer feeds and keeps its counters. It is true.
func (r *room) retire(p *publication, l *layer) bool {
	for _, t := range r.transports {
		if t.connection == nil {
			continue
		}
		for _, d := range slices.Concat(t.connection.audio, t.connection.video) {
			if d.up == l.up {
				d.disconnect()
			}
			if d.next == l.up {
				d.next = nil
			}
		}
	}
	r.node.ended.add(&l.up.counters)
	return true
}

// withdraw ends all publications of t.
func (r *room) withdraw(t *Transport) { r.keepOffered(t, plan{}) }

// keepOffered ends the publications of t that a plan no longer has.
func (r *room) keepOffered(t *Transport, p plan) {
	changed := false
	for source := range Source(numSources) {
		key := pubKey{t.participant, source}
		pub := r.publications[key]
		if pub == nil || p.offers(source) {
			continue
		}
		for _, l := range pub.layers {
			r.retire(pub, l)
		}
		delete(r.publications, key)
		changed = true
	}
	if changed {
		r.reportPublished(t)
	}
}

func (p plan) offers(source Source) bool {
	return slices.ContainsFunc(p.sections, func(s section) bool {
		return s.direction == sendonly && s.source == source
	})
}

// addLayer takes in a stream whose first packet has come. It is false if its
// connection has ended.
func (r *room) addLayer(c *connection, source Source, u *upTrack) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.ended {
		return false
	}
	key := pubKey{c.transport.participant, source}
	p := r.publications[key]
	if p == nil {
		r.arrivals++
		p = &publication{key: key, arrival: r.arrivals}
		r.publications[key] = p
		r.reportPublished(c.transport)
	}
	p.layers = slices.DeleteFunc(p.layers, func(l *layer) bool {
		return (l.connection != c || l.up.rid == u.rid) && r.retire(p, l)
	})
	p.layers = append(p.layers, &layer{up: u, connection: c})
	r.assignAll()
	return true
}

// removeLayer takes out a stream that has ended. The publication stays until its
// section or its connection ends: its sender may begin again.
func (r *room) removeLayer(c *connection, source Source, u *upTrack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.publications[pubKey{c.transport.participant, source}]
	if p == nil {
		return
	}
	p.layers = slices.DeleteFunc(p.layers, func(l *layer) bool { return l.up == u && r.retire(p, l) })
	r.assignAll()
}

// reportPublished tells a participant what is received of it.
func (r *room) reportPublished(t *Transport) {
	sources := []Source{}
	for source := range Source(numSources) {
		if r.publications[pubKey{t.participant, source}] != nil {
			sources = append(sources, source)
		}
	}
	t.events.sourcesAre(sources)
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

// dropSlots takes those out of use whose sections a plan no longer has.
func (c *connection) dropSlots(p plan) {
	gone := func(d *downTrack) bool {
		kept := slices.ContainsFunc(p.sections, func(s section) bool {
			return s.mid == d.mid && s.direction == recvonly
		})
		if !kept {
			d.disconnect()
		}
		return !kept
	}
	c.audio = slices.DeleteFunc(c.audio, gone)
	c.video = slices.DeleteFunc(c.video, gone)
}

// keepHouse does what is due from time to time, until the room is empty.
func (r *room) keepHouse() {
	ticker := time.NewTicker(loudnessInterval)
	defer ticker.Stop()
	for {
		select {
		case <-r.done:
			return
		case <-r.keyFrames:
			r.handOver()
		case <-ticker.C:
			r.tick(r.node.now(), time.Now())
		}
	}
}

// wake has keepHouse look for awaited layers with a key frame. It does not block.
func (r *room) wake() {
	select {
	case r.keyFrames <- struct{}{}:
	default:
	}
}

// tick is one round of housekeeping: now by the node's clock, wall by the wall's.
func (r *room) tick(now int64, wall time.Time) {
	for c, reports := range r.housekeeping(now, ntpTime(wall)) {
		_ = c.pc.WriteRTCP(reports)
	}
}

func (r *room) housekeeping(now int64, ntp uint64) map[*connection][]rtcp.Packet {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.publications {
		p.measure(now)
		for _, l := range p.layers {
			l.up.flushKeyFrame(now)
		}
	}
	r.assignAll()
	due := map[*connection][]rtcp.Packet{}
	for _, t := range r.transports {
		if c := t.connection; c != nil && c.ready {
			for _, d := range c.video {
				d.repeatRequest(now)
			}
			if reports := c.senderReports(now, ntp); len(reports) > 0 {
				due[c] = reports
			}
		}
	}
	return due
}

// measure follows loudness and bit rates.
func (p *publication) measure(now int64) {
	for _, l := range p.layers {
		if l.up.video {
			l.measure(l.up.counters.bytesIn.Load(), now)
		} else {
			p.loudness = smoothLoudness(p.loudness, l.up.loudness.read())
		}
	}
}

// repeatRequest asks for a key frame again if none has come since the slot got its
// source, or if the receiver, who may not have known the slot yet, is not heard.
func (d *downTrack) repeatRequest(now int64) {
	u := d.next
	if u == nil && !(d.sent.Load() && d.heard.Load()) {
		u = d.up
	}
	if u == nil || d.asked >= maxRepeats || now-d.mappedAt < int64(repeatInterval)*int64(d.asked+1) {
		return
	}
	d.asked++
	u.requestKeyFrame(now)
}

// senderReports are those of the slots that are due.
func (c *connection) senderReports(now int64, ntp uint64) []rtcp.Packet {
	var list []rtcp.Packet
	for _, d := range slices.Concat(c.audio, c.video) {
		if d.up == nil || now-d.reportedAt < int64(reportInterval) {
			continue
		}
		if sr, ok := d.senderReport(now, ntp); ok {
			d.reportedAt = now
			list = append(list, &sr)
		}
	}
	return list
}

// maxSpeakers bounds the audio publications that compete for slots.
const maxSpeakers = 32

// speakers are the audio publications of the room, the loudest if they are many, in
// the order of their arrival.
func (r *room) speakers() []speaker {
	var list []*publication
	for _, p := range r.publications {
		if p.key.source.Audio() && r.isHeard(p.key) {
			list = append(list, p)
		}
	}
	byArrival := func(a, b *publication) int { return cmp.Compare(a.arrival, b.arrival) }
	slices.SortFunc(list, byArrival)
	if len(list) > maxSpeakers {
		slices.SortStableFunc(list, func(a, b *publication) int { return cmp.Compare(b.loudness, a.loudness) })
		list = list[:maxSpeakers]
		slices.SortFunc(list, byArrival)
	}
	speakers := make([]speaker, len(list))
	for i, p := range list {
		speakers[i] = speaker{p.key, p.loudness}
	}
	return speakers
}

// isHeard says whether a publication is there and not muted.
func (r *room) isHeard(key pubKey) bool {
	t := r.transports[key.participant]
	return t != nil && key.source < numSources && r.publications[key] != nil && !t.muted[key.source]
}
