package sfu

import "github.com/conclave-sfu/conclave/sfu/bwe"

// Probes for bandwidth are sent on the retransmission streams of slots: packets that were
// sent not long ago, again, or nothing but padding. Both are numbered and sealed as any
// other packet, and of no effect to whoever plays the slot. A receiver that takes no
// retransmissions gets no probes.

const (
	// probeRecent is how many of the latest packets of a slot are sent again by turns.
	probeRecent = 16
	// probeRun is how many packets at most go at once: 10 Mbit/s for 20 ms.
	probeRun = 24
	// smallProbe is up to what size in bytes a packet is padding.
	smallProbe = 255 + sealed
)

// explore begins to find out what the path takes, if packets can be sent, and there is
// video to come: before anything is shown.
func (c *connection) explore() {
	b := c.budget.Load()
	if b == nil || c.keys.Load() == nil || !c.takesProbes() {
		return
	}
	e := c.node().byPath
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.batch == nil {
		return // the node is closed
	}
	c.intake.Lock()
	defer c.intake.Unlock()
	e.now = c.node().now()
	b.begin(e.now)
	if c.probe(e, e.now) {
		c.home.rush(c)
	}
	e.batch.Flush()
}

// takesProbes says whether a slot has a stream for them.
func (c *connection) takesProbes() bool {
	c.intake.Lock()
	defer c.intake.Unlock()
	for _, d := range c.slots.list {
		if d.video && d.rtxSSRC != 0 {
			return true
		}
	}
	return false
}

// probe sends what is due of a probe. It is false when there is none, or it is over. The
// caller holds intake.
func (c *connection) probe(e *egress, now int64) bool {
	b := c.budget.Load()
	if b == nil || c.shut {
		return false
	}
	p, bytes, ok := b.estimator.Probe(now)
	for n := 0; ok && bytes > 0 && n < probeRun; n++ {
		if !c.transport.outgoing.take(now, p.Size, ceilingBurst) {
			return ok // it ends by itself
		}
		size := c.pad(e, p, n)
		if size == 0 {
			return ok // nothing can be sent: the probe ends by itself
		}
		c.node().probes.Add(1)
		bytes -= size
	}
	return ok
}

// pad sends one packet of a probe, and gives its size; 0 if no slot can. What was sent not long
// ago is of more use than padding.
func (c *connection) pad(e *egress, p bwe.Probe, turn int) (size int) {
	if p.Size > smallProbe {
		size = c.bySomeSlot(e, func(d *downTrack) int { return d.repeat(turn) })
	}
	if size == 0 {
		size = c.bySomeSlot(e, func(d *downTrack) int { return d.pad(min(p.Size-sealed, 255)) })
	}
	return size
}

// bySomeSlot sends a packet on the first slot that can, and gives its size.
func (c *connection) bySomeSlot(e *egress, send func(*downTrack) int) (size int) {
	for _, d := range c.slots.list {
		if !d.video || d.rtxSSRC == 0 {
			continue
		}
		d.againVia = e
		size = send(d)
		d.againVia = nil
		if size > 0 {
			break
		}
	}
	return size
}

// repeat sends one of the latest packets again, and gives its size; 0 if there is none.
func (d *downTrack) repeat(turn int) int {
	f := d.feed.Load()
	if f == nil || !d.sent.Load() {
		return 0
	}
	seq := uint16(d.numbers.High() - int64(turn%probeRecent))
	p, mark, ok := d.cached(f, seq)
	if !ok {
		return 0
	}
	defer p.Release()
	return d.resend(f, p, mark, seq)
}

// pad sends padding, and gives the packet's size; 0 if the slot takes no retransmissions.
func (d *downTrack) pad(bytes int) int {
	for _, types := range d.types {
		if types.rtx == 0 {
			continue
		}
		d.again = outgoing{via: d.againVia, payloadType: types.rtx, padding: uint8(max(bytes, 1))}
		if d.writer.writeRTX(&d.again, 0) {
			return bytes + sealed
		}
		return 0
	}
	return 0
}
