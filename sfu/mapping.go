package sfu

import (
	"cmp"
	"slices"
)

// assignAll maps the slots of all participants anew. The caller holds the lock, as
// everywhere in this file.
func (r *room) assignAll() {
	speakers := r.speakers()
	for _, t := range r.transports {
		r.assign(t, speakers)
	}
}

// assign maps the slots of one participant, and reports them if they changed.
func (r *room) assign(t *Transport, speakers []speaker) {
	c := t.connection
	if c == nil || !c.ready || c.ended {
		return
	}
	others := slices.DeleteFunc(slices.Clone(speakers), func(s speaker) bool {
		return s.key.participant == t.participant
	})
	visible := func(key pubKey) bool {
		return key.participant != t.participant && !key.source.Audio() && r.isHeard(key) && c.takes(r.publications[key])
	}
	changed := r.mapSlots(t, c.audio, assignAudio(keys(c.audio), others), nil)
	changed = r.mapSlots(t, c.video, assignVideo(keys(c.video), t.wants, visible), t.wants) || changed
	if changed || !c.reported {
		c.reported = true
		t.events.slotsAre(c.number, c.report())
	}
}

// takes says whether the participant takes the codecs of a video publication.
func (c *connection) takes(p *publication) bool {
	return len(c.video) == 0 || !slices.ContainsFunc(p.layers, func(e *encoding) bool { return !c.video[0].takes(e.up) })
}

func keys(slots []*downTrack) []pubKey {
	list := make([]pubKey, len(slots))
	for i, d := range slots {
		list[i] = d.key
	}
	return list
}

// mapSlots gives each slot its source, and says whether a publication changed. A
// layer may change without that.
func (r *room) mapSlots(t *Transport, slots []*downTrack, next []pubKey, wants []Want) (changed bool) {
	now := r.node.now()
	for i, d := range slots {
		var u *upTrack
		if p := r.publications[next[i]]; p != nil {
			if o, ok := p.optionFor(heightOf(next[i], wants), d.up); ok {
				u = o.up
				d.limit(o)
			}
		}
		same := d.key == next[i]
		d.key, changed = next[i], changed || !same
		if d.video && !same {
			d.asks = t.asksFor(d.key, now)
		}
		switch {
		case u == nil:
			d.disconnect()
		case u == d.up:
			d.stopWaiting()
		case same && d.up != nil:
			d.await(u, now)
		default:
			d.connect(u, now)
		}
	}
	return changed
}

// handOver lets layers take over that are awaited and have a key frame.
func (r *room) handOver() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.node.now()
	for _, p := range r.publications {
		for _, e := range p.layers {
			if !e.up.hadKeyFrame(now) {
				continue
			}
			for _, d := range slices.Clone(e.up.waiters) {
				d.connect(e.up, now)
			}
		}
	}
}

// report lists what the slots carry.
func (c *connection) report() []Slot {
	list := []Slot{}
	for _, d := range slices.Concat(c.audio, c.video) {
		if d.key != (pubKey{}) {
			list = append(list, Slot{MID: d.mid, Participant: d.key.participant, Source: d.key.source})
		}
	}
	return list
}

// heightOf is the height in pixels at which a publication is shown; 0 if it is not
// said.
func heightOf(key pubKey, wants []Want) int {
	for _, w := range wants {
		if w.Participant == key.participant && w.Source == key.source {
			return w.Height
		}
	}
	return 0
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
