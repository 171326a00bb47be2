package sfu

import (
	"slices"
	"time"
)

// A publisher need not send what nobody watches. An encoding is wanted while a slot is
// shown at a size that calls for it, and with it all lower ones, which a thin line falls
// back to. It is asked for at once and let go after a while: views change all the time.

// demandLinger is how long an encoding is asked for after nobody wants it any more.
const demandLinger = 5 * time.Second

// resumeGrace is how long an encoding may take to come once it is asked for.
const resumeGrace = 2 * time.Second

// inOrder are all encodings from the lowest to the highest, sent or not.
func (p *publication) inOrder() []*encoding {
	list, _ := order(slices.Clone(p.layers))
	return list
}

// wish says that a slot is to show the publication with encoding u, at a height in pixels,
// if the line allows.
func (r *room) wish(p *publication, u *upTrack, height int, now int64) {
	u.shownAt(height, now, r.round)
	if !p.demands(u) || p.grows(u) {
		r.demand(p, now)
	}
}

// demands says whether the publisher is asked to send u.
func (p *publication) demands(u *upTrack) bool {
	return slices.ContainsFunc(p.layers, func(e *encoding) bool { return e.up == u && !e.paused })
}

// demand sees which encodings are wanted, and tells the publisher if they have changed.
func (r *room) demand(p *publication, now int64) {
	changed := false
	wanted := false // one above or this one is
	list := p.inOrder()
	slices.Reverse(list)
	for _, e := range list {
		wanted = wanted || now-e.up.wantedAt < int64(demandLinger)
		if e.paused != !wanted {
			changed = true
			e.pause(!wanted, now)
		}
		changed = e.resize(now) || changed
	}
	if t := r.transports.get(p.key.participant); changed && t != nil {
		p.stale = true
		r.reportDemand(t)
	}
}

// refreshDemand is the same for all publications, at each round of housekeeping. The caller does not
// hold the lock.
func (r *room) refreshDemand(now int64) {
	locked(r, func() { r.round++ })
	r.eachTransport(func(t *Transport) { r.wishAgain(t, now) })
	r.eachPublication(func(p *publication) {
		if !p.key.source.Audio() {
			r.demand(p, now)
		}
	})
}

// wishAgain notes what the slots of a participant call for.
func (r *room) wishAgain(t *Transport, now int64) {
	if t.connection == nil {
		return
	}
	for _, d := range t.connection.video {
		if d.wanted != nil && d.key != (pubKey{}) {
			d.wanted.shownAt(d.wantedHeight, now, r.round)
		}
	}
}

// reportDemand tells a participant which encodings of its videos are wanted.
func (r *room) reportDemand(t *Transport) {
	c := t.connection
	if c == nil {
		return
	}
	list := []Demand{}
	for source := range Source(numSources) {
		p := r.publications.get(pubKey{t.participant, source})
		if p == nil || source.Audio() {
			continue
		}
		d := Demand{Source: source, RIDs: []string{}}
		for _, e := range p.layers {
			if e.connection == c && !e.paused {
				d.Watched, d.Height = true, e.size.height()
				if e.up.rid != "" {
					d.RIDs = append(d.RIDs, e.up.rid)
				}
			}
		}
		if d.Watched {
			d.RIDs = append(d.RIDs, p.unseen(c)...)
		}
		list = append(list, d)
	}
	t.events.demandIs(c.number, list)
}

// unseen are the encodings that c offers, and of which nothing has come yet: a browser begins
// with the lower ones, and the higher follow as its estimate grows. They are asked for while the
// publication is watched at all: whether anybody wants them is known when they are there.
func (p *publication) unseen(c *connection) (rids []string) {
	var seen, offered []string
	for _, e := range p.layers {
		if e.connection == c && e.up.format != nil {
			seen, offered = append(seen, e.up.rid), e.up.format.rids
		}
	}
	for _, rid := range offered {
		if !slices.Contains(seen, rid) {
			rids = append(rids, rid)
		}
	}
	return rids
}

// pause stops or resumes an encoding, as far as is known here.
func (e *encoding) pause(paused bool, now int64) {
	e.paused = paused
	if !paused {
		e.silent, e.stalled, e.dueBy = false, false, now+int64(resumeGrace)
		e.up.resumes()
	}
}
