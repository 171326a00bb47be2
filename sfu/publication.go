package sfu

import (
	"cmp"
	"slices"
)

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

// retire frees the slots that a layer feeds and keeps its counters. It is true.
func (r *room) retire(l *layer) bool {
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
			r.retire(l)
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
		return (l.connection != c || l.up.rid == u.rid) && r.retire(l)
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
	p.layers = slices.DeleteFunc(p.layers, func(l *layer) bool { return l.up == u && r.retire(l) })
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

// Heights in pixels up to which the lowest, and the middle, of three layers do.
const (
	lowHeight    = 240
	middleHeight = 540
)

// layerFor chooses the layer that is shown at a height: layers are told apart by
// their bit rates, since sizes are inside the frames. Nil if there is none. Until a
// rate is known, the present one stays.
func (p *publication) layerFor(height int, present *upTrack) *upTrack {
	live := slices.DeleteFunc(slices.Clone(p.layers), func(l *layer) bool { return l.silent })
	if len(live) == 0 {
		live = slices.Clone(p.layers)
	}
	if len(live) == 0 {
		return nil
	}
	settled := !slices.ContainsFunc(live, func(l *layer) bool { return !l.known })
	if !settled && slices.ContainsFunc(live, func(l *layer) bool { return l.up == present }) {
		return present
	}
	slices.SortStableFunc(live, func(a, b *layer) int { return cmp.Compare(a.rate, b.rate) })
	return live[layerIndex(height, len(live))].up
}

// layerIndex is the place of the layer for a height among n, the lowest first.
func layerIndex(height, n int) int {
	switch {
	case height <= 0 || height > middleHeight:
		return n - 1
	case height > lowHeight:
		return n / 2
	}
	return 0
}

// rateMeter measures a layer's bit rate over [layerInterval].
type rateMeter struct {
	known, silent bool
	// rate is the highest measured, in bytes a second: the order of layers stays when
	// the upper ones are throttled.
	rate  float64
	bytes uint64
	since int64
}

func (m *rateMeter) measure(bytes uint64, now int64) {
	elapsed := now - m.since
	if m.since == 0 {
		m.bytes, m.since = bytes, now
	} else if elapsed >= int64(layerInterval) {
		m.known, m.silent = true, bytes == m.bytes
		m.rate = max(m.rate, float64(bytes-m.bytes)/(float64(elapsed)/1e9))
		m.bytes, m.since = bytes, now
	}
}
