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
		return key.participant != t.participant && !key.source.Audio() && r.isHeard(key)
	}
	changed := r.mapSlots(c.audio, assignAudio(keys(c.audio), others), nil)
	changed = r.mapSlots(c.video, assignVideo(keys(c.video), t.wants, visible), t.wants) || changed
	if changed || !c.reported {
		c.reported = true
		t.events.slotsAre(c.number, c.report())
	}
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
func (r *room) mapSlots(slots []*downTrack, next []pubKey, wants []Want) (changed bool) {
	now := r.node.now()
	for i, d := range slots {
		var u *upTrack
		if p := r.publications[next[i]]; p != nil {
			u = p.layerFor(heightOf(next[i], wants), d.up)
		}
		same := d.key == next[i]
		d.key, changed = next[i], changed || !same
		switch {
		case u == nil:
			d.disconnect()
		case u == d.up:
			d.next = nil
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
	for _, t := range r.transports {
		if t.connection == nil {
			continue
		}
		for _, d := range t.connection.video {
			if d.next != nil && d.next.hadKeyFrame(now) {
				d.connect(d.next, now)
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
	rate          float64 // bytes a second
	bytes         uint64
	since         int64
}

func (m *rateMeter) measure(bytes uint64, now int64) {
	elapsed := now - m.since
	if m.since == 0 {
		m.bytes, m.since = bytes, now
	} else if elapsed >= int64(layerInterval) {
		m.known, m.silent = true, bytes == m.bytes
		m.rate = float64(bytes-m.bytes) / (float64(elapsed) / 1e9)
		m.bytes, m.since = bytes, now
	}
}
