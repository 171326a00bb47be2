package sfu

import (
	"cmp"
	"math"
	"slices"

	"github.com/conclave-sfu/conclave/sfu/speaker"
)

// Who is concerned by a change is mapped anew, nobody else: a room of 500 changes all the
// time. touch marks those who want a publication; settle, at the end of a change, marks everybody if
// there are other voices than before, and maps who is marked: a slice of them at once, the rest
// on the room's own goroutine. The caller holds the lock, but where it says otherwise.

// touch marks those whose slots a change of a publication concerns.
func (r *room) touch(key pubKey) {
	if key.source.Audio() {
		return // settle sees it among the voices
	}
	for _, t := range r.transports.list {
		if slices.ContainsFunc(t.wants, func(w Want) bool { return w.Participant == key.participant && w.Source == key.source }) {
			t.stale = true
		}
	}
}

// touchAll marks those whom a change of any publication of a participant concerns.
func (r *room) touchAll(participant string) {
	for _, t := range r.transports.list {
		if slices.ContainsFunc(t.wants, func(w Want) bool { return w.Participant == participant && !w.Source.Audio() }) {
			t.stale = true
		}
	}
}

// wantsAny says whether a participant wants to see any of some publications.
func (t *Transport) wantsAny(keys map[pubKey]bool) bool {
	return len(keys) > 0 && slices.ContainsFunc(t.wants, func(w Want) bool { return keys[pubKey{w.Participant, w.Source}] })
}

// settle maps the slots of those who are marked.
func (r *room) settle() {
	r.noteVoices(r.voices())
	n := 0
	for _, t := range r.transports.list {
		if !t.isMarked() {
			continue
		}
		if n++; n > sliceSize {
			r.wakeFor(r.marked)
			return
		}
		r.assign(t, r.heard)
	}
}

// settleRest maps the slots of all who are marked. The caller does not hold the lock.
func (r *room) settleRest() {
	r.eachTransport(r.mapMarked)
}

// mapMarked maps the slots of a participant that is marked.
func (r *room) mapMarked(t *Transport) {
	if t.isMarked() {
		r.assign(t, r.heard)
	}
}

// noteVoices marks everybody if there are other voices than before.
func (r *room) noteVoices(voices []voice) {
	same := slices.EqualFunc(voices, r.heard, func(a, b voice) bool { return a.Key == b.Key })
	r.heard = voices
	for _, t := range r.transports.list {
		t.deaf = t.deaf || !same
	}
}

// isMarked says whether slots are to be mapped anew, and can be.
func (t *Transport) isMarked() bool { return (t.stale || t.deaf) && t.connection.isMapped() }

// shareOut shares anew what the path of a participant takes among what its slots show: who that is
// does not depend on the path.
func (r *room) shareOut(t *Transport) {
	t.unsteady = false
	switch c := t.connection; {
	case t.stale:
		r.assign(t, r.heard)
	case c.isMapped():
		r.mapSlots(t, c.video, keys(c.video), t.wants)
	}
}

// isMapped says whether slots are mapped: of a connection that stands. There may be none.
func (c *connection) isMapped() bool { return c != nil && c.ready && !c.ended }

// hearVoices marks those who want a publication that has changed, maps the audio slots of those who
// have fewer of them than there are voices, where a voice has become loud enough to take one, after a
// reading of all loudnesses, sees who has the floor, and maps all who are marked, or whose path may take
// something else than before. The caller does not hold the lock.
func (r *room) hearVoices(now int64, others map[pubKey]bool) {
	locked(r, func() { r.listen(now) })
	r.eachTransport(func(t *Transport) {
		c := t.connection
		t.stale = t.stale || t.wantsAny(others)
		t.unsteady = c != nil && c.budget.Load().wavers()
		if c != nil && contested(c.audio, t.participant, r.heard) {
			r.assign(t, r.heard)
		}
	})
	r.eachTransport(func(t *Transport) {
		r.mapMarked(t)
		if t.unsteady {
			r.shareOut(t)
		}
	})
}

// listen sees which voices there are, and who has the floor.
func (r *room) listen(now int64) {
	voices := r.voices()
	before, _ := r.floor.Holder()
	if r.floor.Observe(now, microphones(voices)) {
		after, _ := r.floor.Holder()
		r.touchAll(before.participant)
		r.touchAll(after.participant)
	}
	r.noteVoices(voices)
}

// contested says whether a voice may take one of the slots from another, or is to have
// one that is free. It costs little; assignAudio decides.
func contested(slots []*downTrack, participant string, voices []voice) bool {
	quietest, loudest := speaker.Loudness(math.Inf(1)), speaker.Loudness(-1)
	heard := 0
	for _, v := range voices {
		if slices.ContainsFunc(slots, func(d *downTrack) bool { return d.key == v.Key }) {
			quietest = min(quietest, v.Loudness)
			heard++
		} else if v.Key.participant != participant {
			loudest = max(loudest, v.Loudness)
		}
	}
	return loudest >= 0 && (heard < len(slots) || loudest >= quietest+speaker.Margin)
}

// microphones leaves out what plays from screens.
func microphones(voices []voice) []voice {
	return slices.DeleteFunc(slices.Clone(voices), func(v voice) bool { return v.Key.source != Mic })
}

// assign maps the slots of one participant, those for video if the participant is marked,
// and reports them if they changed.
func (r *room) assign(t *Transport, voices []voice) {
	c := t.connection
	if !c.isMapped() {
		return
	}
	t.deaf = false
	changed := r.mapSlots(t, c.audio, assignAudio(keys(c.audio), t.participant, voices), nil)
	if t.stale {
		t.stale, t.unsteady = false, false
		visible := func(key pubKey) bool {
			if key.participant == t.participant || key.source.Audio() {
				return false
			}
			p := r.publications.get(key)
			return p != nil && p.isHeard() && c.takes(p)
		}
		next := assignVideo(keys(c.video), t.wants, r.dominant(), visible)
		changed = r.mapSlots(t, c.video, next, t.wants) || changed
	}
	if changed || !c.reported {
		c.reported = true
		t.events.slotsAre(c.number, c.report())
	}
}

// dominant is who has the floor, empty for nobody.
func (r *room) dominant() string {
	holder, _ := r.floor.Holder()
	return holder.participant
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
	to := make([]placed, len(next))
	for i, key := range next {
		to[i] = r.placedAs(key, wants)
	}
	chosen := r.share(t.connection, slots, to, now)
	b := t.connection.budget.Load()
	overfull := b != nil && b.overfull
	for i, d := range slots {
		u := chosen[i].up
		if u != nil && d.video {
			d.layers.want(chosen[i].limit)
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
		case same && d.up != nil && !u.hadKeyFrame(now) && !(d.video && overfull):
			d.await(u, now)
		default:
			d.connect(u, now)
			t.connection.reportsDue = 0
		}
	}
	return changed
}

// handOver lets layers take over that are awaited and have a key frame.
// The caller does not hold the lock.
func (r *room) handOver() {
	var waiters []*downTrack
	locked(r, func() {
		for _, p := range r.publications.list {
			for _, e := range p.layers {
				waiters = append(waiters, e.up.waiters...)
			}
		}
	})
	inSlices(r, waiters, func(d *downTrack) {
		if now := r.node.now(); d.next != nil && d.next.hadKeyFrame(now) {
			d.connect(d.next, now)
		}
	})
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

// maxVoices bounds the audio publications that compete for slots.
const maxVoices = 32

// voice is an audio publication that may be heard.
type voice = speaker.Voice[pubKey]

// voices are the audio publications of the room, the loudest if they are many, in the
// order of their arrival.
func (r *room) voices() []voice {
	var list []*publication
	for _, p := range r.publications.list {
		if p.key.source.Audio() && p.isHeard() {
			list = append(list, p)
		}
	}
	byArrival := func(a, b *publication) int { return cmp.Compare(a.arrival, b.arrival) }
	slices.SortFunc(list, byArrival)
	if len(list) > maxVoices {
		slices.SortStableFunc(list, func(a, b *publication) int { return cmp.Compare(b.meter.Loudness(), a.meter.Loudness()) })
		list = list[:maxVoices]
		slices.SortFunc(list, byArrival)
	}
	voices := make([]voice, len(list))
	for i, p := range list {
		voices[i] = voice{Key: p.key, Loudness: p.meter.Loudness()}
	}
	return voices
}
