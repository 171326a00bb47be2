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
		case <-r.marked:
			r.settleRest()
		case <-ticker.C:
			r.tick(r.node.now(), time.Now())
		}
	}
}

// wake has keepHouse look for awaited layers with a key frame. It does not block.
func (r *room) wake() { r.wakeFor(r.keyFrames) }

// wakeFor has keepHouse do what is due by one of its channels.
func (r *room) wakeFor(due chan<- struct{}) {
	select {
	case due <- struct{}{}:
	default:
	}
}

// reshare has keepHouse share anew what the path of c takes, since that has changed. It
// does not block.
func (r *room) reshare(c *connection) {
	c.other.Store(true)
	r.wakeFor(r.thinned)
}

// shareAnew is for those whose path takes something else than before.
func (r *room) shareAnew() {
	r.eachTransport(func(t *Transport) {
		if c := t.connection; c != nil && c.other.Swap(false) {
			r.shareOut(t)
		}
	})
}

// tick is one round of housekeeping: now by the node's clock, wall by the wall's.
func (r *room) tick(now int64, wall time.Time) {
	r.housekeeping(now, ntpTime(wall), func(c *connection, reports []rtcp.Packet) {
		for some := range slices.Chunk(reports, maxReports) {
			c.writeControl(nil, some)
		}
	})
}

// housekeeping has send given the reports that are due, without the lock, which is held for a slice at
// a time.
func (r *room) housekeeping(now int64, ntp uint64, send func(*connection, []rtcp.Packet)) {
	r.hearVoices(now, r.lookAround(now))
	r.refreshDemand(now)
	for some := range slices.Chunk(r.members(), sliceSize) {
		for _, due := range r.refreshSlots(some, now, ntp) {
			send(due.to, due.reports)
		}
		r.giveWay()
	}
}

// lookAround sees what has become of all publications, and names the videos that have other ways to be
// shown than before.
func (r *room) lookAround(now int64) map[pubKey]bool {
	others := map[pubKey]bool{}
	r.eachPublication(func(p *publication) {
		stalls := p.noteStalls(now)
		if p.measure(now) || stalls {
			others[p.key] = true
		}
		for _, l := range p.layers {
			l.up.flushKeyFrame(now)
		}
	})
	return others
}

// dueReports are for one participant.
type dueReports struct {
	to      *connection
	reports []rtcp.Packet
}

// refreshSlots asks for the key frames that some participants lack, and gives the reports that are due.
func (r *room) refreshSlots(some []*Transport, now int64, ntp uint64) (due []dueReports) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range some {
		c := t.connection
		if c == nil || !c.ready {
			continue
		}
		for _, d := range c.video {
			d.repeatRequest(now)
		}
		if reports := c.senderReports(now, ntp); len(reports) > 0 {
			due = append(due, dueReports{c, reports})
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
