package sfu

import (
	"slices"
	"time"

	"github.com/pion/rtcp"
)

// Times of a room's housekeeping.
const (
	loudnessInterval = 200 * time.Millisecond // and of what is due below
	reportInterval   = time.Second            // between two sender reports of a slot
	maxReports       = 40                     // in one packet, of 28 bytes each
	repeatInterval   = time.Second            // until a key frame is asked for again
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
		for some := range slices.Chunk(reports, maxReports) {
			_ = c.pc.WriteRTCP(some)
		}
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
			l.measure(l.up.rates, now)
		} else {
			p.loudness = smoothLoudness(p.loudness, l.up.loudness.read())
		}
	}
}

// repeatRequest asks for a key frame again if none has come since the slot got its
// source, if the receiver, who may not have known the slot yet, is not heard, or if a
// layer that is wanted comes with one only.
func (d *downTrack) repeatRequest(now int64) {
	if d.next == nil && d.up != nil && d.layers.blocked.Load() && now-d.askedAt >= int64(askInterval) {
		d.ask(d.up, now)
	}
	u := d.next
	if u == nil && !(d.sent.Load() && d.heard.Load()) {
		u = d.up
	}
	if u == nil || d.asked >= maxRepeats || now-d.mappedAt < int64(repeatInterval)*int64(d.asked+1) {
		return
	}
	if d.ask(u, now) {
		d.asked++
	}
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
