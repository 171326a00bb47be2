package sfu

import (
	"slices"

	"github.com/conclave-sfu/conclave/sfu/speaker"
)

// publication is what a participant sends of one source. It outlives a
// PeerConnection that is replaced.
type publication struct {
	key     pubKey
	owner   *Transport
	arrival int // orders the publications of a room
	layers  []*encoding
	// flow compares encodings of one connection; nil if there is but one.
	flow *flow
	// meter follows the loudness; for audio.
	meter speaker.Meter
	// list are the options, settled says whether their order is known, and stale that both
	// are to be found anew.
	list    []option
	settled bool
	// whole are the options of all encodings, sent or not, menus those for the first so many of
	// list, as far as they were asked for.
	whole []option
	menus []menu
	stale bool
}

// renew finds the options anew.
func (p *publication) renew() {
	p.list, p.settled = p.options()
	p.stale, p.whole = false, nil
	clear(p.menus)
}

// isHeard says whether the publication is not muted.
func (p *publication) isHeard() bool { return !p.owner.muted[p.key.source] }

// retire frees the slots that a layer feeds and keeps its counters. It is true.
func (r *room) retire(l *encoding) bool {
	for _, d := range slices.Concat(*l.up.fanOut.Load(), l.up.waiters) {
		if d.next == l.up {
			d.stopWaiting()
		}
		if d.up == l.up {
			d.disconnect()
		}
	}
	l.up.unfollow()
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
		pub := r.publications.get(key)
		if pub == nil || p.offers(source) {
			continue
		}
		for _, l := range pub.layers {
			r.retire(l)
		}
		r.publications.remove(key)
		r.touch(key)
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

// addLayer takes in a stream whose first packet has come. It is false if it
// has ended since, or its connection has.
func (r *room) addLayer(c *connection, source Source, u *upTrack) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.ended || u.gone.Load() {
		return false
	}
	key := pubKey{c.transport.participant, source}
	p := r.publications.get(key)
	if p == nil {
		r.arrivals++
		p = &publication{key: key, owner: c.transport, arrival: r.arrivals}
		r.publications.put(key, p)
		r.reportPublished(c.transport)
	}
	p.layers = slices.DeleteFunc(p.layers, func(l *encoding) bool {
		return (l.connection != c || l.up.rid == u.rid) && r.retire(l)
	})
	p.follow(u, r.flowed)
	u.wantedAt = r.node.now()
	p.layers, p.stale = append(p.layers, newEncoding(u, c)), true
	r.touch(key)
	r.settle()
	return true
}

// removeLayer takes out a stream that has ended. The publication stays until its
// section or its connection ends: its sender may begin again.
func (r *room) removeLayer(c *connection, source Source, u *upTrack) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.publications.get(pubKey{c.transport.participant, source})
	if p == nil {
		return
	}
	p.layers = slices.DeleteFunc(p.layers, func(l *encoding) bool { return l.up == u && r.retire(l) })
	p.stale = true
	r.touch(p.key)
	r.settle()
}

// reportPublished tells a participant what is received of it.
func (r *room) reportPublished(t *Transport) {
	sources := []Source{}
	for source := range Source(numSources) {
		if r.publications.get(pubKey{t.participant, source}) != nil {
			sources = append(sources, source)
		}
	}
	t.events.sourcesAre(sources)
}
