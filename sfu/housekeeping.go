package sfu

import (
	"slices"
	"time"

	"github.com/pion/rtcp"

	"github.com/conclave-sfu/conclave/sfu/speaker"
)

// Times of a room's housekeeping.
const (
	loudnessInterval = speaker.Interval // and of what is due below
	reportInterval   = time.Second      // between two sender reports of a slot
	maxReports       = 40               // in one packet, of 28 bytes each
	repeatInterval   = time.Second      // until a key frame is asked for again
	maxRepeats       = 3
	layerInterval    = time.Second // over which a layer's bit rate is measured
)

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
		case <-r.flows:
			r.followFlow(r.node.now())
		case <-r.thinned:
			r.shareAnew()
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

// reshare has keepHouse share anew what the path of c takes, since that has changed. It
// does not block.
func (r *room) reshare(c *connection) {
	c.other.Store(true)
	select {
	case r.thinned <- struct{}{}:
	default:
	}
}

// shareAnew is for those whose path takes something else than before.
func (r *room) shareAnew() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.transports.list {
		if c := t.connection; c != nil && c.other.Swap(false) {
			r.shareOut(t)
		}
	}
}

// tick is one round of housekeeping: now by the node's clock, wall by the wall's.
func (r *room) tick(now int64, wall time.Time) {
	for c, reports := range r.housekeeping(now, ntpTime(wall)) {
		for some := range slices.Chunk(reports, maxReports) {
			c.writeControl(nil, some)
		}
	}
}

func (r *room) housekeeping(now int64, ntp uint64) map[*connection][]rtcp.Packet {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.publications.list {
		stalls := p.noteStalls(now)
		if p.measure(now) || stalls {
			r.touch(p.key)
		}
		for _, l := range p.layers {
			l.up.flushKeyFrame(now)
		}
	}
	for _, t := range r.transports.list {
		t.unsteady = t.connection != nil && t.connection.budget.Load().wavers()
	}
	r.hearVoices(now)
	r.refreshDemand(now)
	due := map[*connection][]rtcp.Packet{}
	for c := range r.connections() {
		if c.ready {
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

// measure follows loudness and bit rates. It is true if there are other ways to show the
// publication than before.
func (p *publication) measure(now int64) (changed bool) {
	if p.key.source.Audio() {
		for _, l := range p.layers {
			p.meter.Hear(l.up.loudness.read())
		}
		return false
	}
	measured := false
	for _, l := range p.layers {
		measured = l.measure(l.up.rates, now) || measured
		l.silent = l.silent && now >= l.dueBy
		changed = l.noteCodec() || changed
	}
	if !measured {
		return changed
	}
	before, was := p.list, p.settled
	p.renew()
	return changed || was != p.settled || !slices.EqualFunc(before, p.list, func(a, b option) bool {
		return a.up == b.up && a.limit == b.limit && a.height == b.height
	})
}

// repeatRequest asks for a key frame again, a few times, if none has come since the slot got its
// source, if the receiver, who may not have known the slot yet, is not heard, or if a
// layer that is wanted comes with one only.
func (d *downTrack) repeatRequest(now int64) {
	if u := d.up; u != nil && d.overflowed.Load() && !u.keyFrameIsDue(now) && now-d.askedAt >= int64(u.keyFramePatience()) {
		d.ask(u, now) // and again, until the slot has begun anew
	}
	if d.next == nil && d.up != nil && d.layers.blocked.Load() && now-d.askedAt >= int64(askInterval) {
		d.ask(d.up, now)
	}
	u := d.next
	if u == nil && !(d.sent.Load() && d.heard.Load()) {
		u = d.up
	}
	if u == nil {
		return
	}
	if d.asked < maxRepeats && now-d.mappedAt >= int64(repeatInterval)*int64(d.asked+1) {
		if d.ask(u, now) {
			d.asked++
		}
		return
	}
	d.repeatLater(u, now)
}

// repeatLater asks on where all requests seem to be lost, as long as the source goes on: a receiver
// that has had no packet of it misses none.
func (d *downTrack) repeatLater(u *upTrack, now int64) {
	dark := d.next != nil || !d.sent.Load()
	if d.asked < maxRepeats || !dark || now-d.askedAt < int64(askInterval) {
		return
	}
	if came := u.counters.packetsIn.Load(); came != d.cameBefore {
		d.cameBefore = came
		d.ask(u, now)
	}
}

// senderReports are those of the slots that are due.
func (c *connection) senderReports(now int64, ntp uint64) []rtcp.Packet {
	if now < c.reportsDue {
		return nil
	}
	var list []rtcp.Packet
	c.reportsDue = now + int64(reportInterval)
	for _, slots := range [][]*downTrack{c.audio, c.video} {
		for _, d := range slots {
			if d.up == nil {
				continue
			}
			if now-d.reportedAt >= int64(reportInterval) {
				if sr, ok := d.senderReport(now, ntp); ok {
					d.reportedAt = now
					list = append(list, &sr)
				}
			}
			c.reportsDue = min(c.reportsDue, d.reportedAt+int64(reportInterval))
		}
	}
	return list
}
