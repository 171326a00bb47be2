package sfu

import (
	"slices"
	"time"

	"github.com/conclave-sfu/conclave/sfu/bwe"
)

// A receiver asks for a packet ten times at most, a round trip apart, as libwebrtc does. What has
// not come by then it waits for until three seconds are over, and its picture stands still: the
// publisher repeated the packet late, the path had no room for it, or it was lost again and
// again. So what a receiver has asked for often is owed to it: it is sent again without another
// request, until transport-wide feedback says that it has come.
//
// Requests come faster than feedback. Most packets come with their help alone, and cost nothing
// more than without all this.

const (
	// maxOwed is how many packets of a slot are remembered: what lacks beyond that is a key
	// frame's to mend.
	maxOwed = 64
	// owedAsks is after how many requests, of those that were heard, a packet is owed. With a
	// fifth lost each way one in eight takes more than two.
	owedAsks = 3
	// owedTries is how often a packet is sent again, on request or not, until only requests help,
	// owedAge for how long after the first of these it is of use.
	owedTries = 12
	owedAge   = 2 * time.Second
	// owedPatience is how long feedback on a packet may take, which may be lost, too.
	owedPatience = 250 * time.Millisecond
)

// owed is a packet that a receiver has asked for.
type owed struct {
	seq   uint16 // of the slot's stream
	asks  uint8  // requests that were heard
	tries uint8  // times that it was sent again
	// number is the transport-wide one of the latest of these, at when that was, since when it
	// was first asked for.
	number    uint16
	at, since int64
}

// sent notes that the packet was sent again.
func (o *owed) sent(number uint16, now int64) {
	o.number, o.at = number, now
	o.tries = min(o.tries+1, owedTries)
}

// owe notes a request for a packet. It is nil if too many are remembered: it is the oldest that
// hold up the picture. Who gives no feedback is owed nothing, and what they asked for is forgotten
// here.
func (d *downTrack) owe(seq uint16, now int64) *owed {
	i := slices.IndexFunc(d.owed, func(o owed) bool { return o.seq == seq })
	if i < 0 {
		switch {
		case len(d.owed) < maxOwed:
		case now-d.owed[0].since < int64(owedAge):
			return nil
		default:
			d.owed = d.owed[:0]
		}
		i = len(d.owed)
		d.owed = append(d.owed, owed{seq: seq, since: now})
	}
	o := &d.owed[i]
	o.asks = min(o.asks+1, owedAsks)
	return o
}

// payOwed sends again what receivers have asked for often. The caller holds intake.
func (c *connection) payOwed(e *egress, b *budget) {
	if !c.owing {
		return
	}
	c.owing = false
	for _, d := range c.slots.list {
		if len(d.owed) > 0 {
			d.againVia = e
			d.payOwed(b.estimator, e.now)
			c.owing = c.owing || len(d.owed) > 0
		}
	}
}

// payOwed sends what is due, and forgets what has come.
func (d *downTrack) payOwed(path *bwe.Estimator, now int64) {
	f := d.feed.Load()
	d.owed = slices.DeleteFunc(d.owed, func(o owed) bool {
		return f == nil || now-o.since >= int64(owedAge) || o.tries > 0 && path.Fate(o.number) == bwe.Arrived
	})
	for i := range d.owed {
		if o := &d.owed[i]; o.due(path, now) {
			d.pay(f, o, now)
		}
	}
}

// due says whether the packet is to be sent without a request.
func (o *owed) due(path *bwe.Estimator, now int64) bool {
	if o.asks < owedAsks || o.tries >= owedTries {
		return false
	}
	return o.tries == 0 || path.Fate(o.number) == bwe.Lost || now-o.at >= int64(owedPatience)
}

// pay sends a packet again if it is there, and may be.
func (d *downTrack) pay(f *feed, o *owed, now int64) {
	p, mark, ok := d.cached(f, o.seq)
	if !ok {
		return
	}
	defer p.Release()
	if _, ok := d.mayRepair(now); !ok {
		return
	}
	if size := d.resend(f, p, mark, o.seq); size > 0 {
		d.resent(f, size, o, now)
	}
}
