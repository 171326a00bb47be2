package sfu

import (
	"maps"
	"time"
)

// Limits of what one participant may cause by its views. A key frame costs every viewer.
const (
	askInterval = 2 * time.Second // between key frames of one publication, on average
	askBurst    = 8               // a start takes up to three, a path that becomes thin one or two
	changeBurst = 5               // views, and mutes of a room, before the rest waits for housekeeping
)

// bucket is a token bucket: on average one event an interval, and up to burst at
// once. Times are nanoseconds of the node's clock. It starts full.
type bucket struct {
	interval time.Duration
	burst    int
	// full is when the bucket is full again.
	full int64
}

// take says whether one more event may happen now.
func (b *bucket) take(now int64) bool { return b.spend(now, b.interval) }

// spend says whether an event of another price may: an event costs an interval.
func (b *bucket) spend(now int64, price time.Duration) bool {
	b.full = max(b.full, now) + int64(price)
	if b.full-now > int64(b.burst)*int64(b.interval) {
		b.full -= int64(price)
		return false
	}
	return true
}

// asksFor is the bucket of what t may ask of a publication; nil for none. It outlives the
// slot: taking a publication out of view and in again does not renew it. The caller holds
// the room's lock.
func (t *Transport) asksFor(key pubKey, now int64) *bucket {
	if key == (pubKey{}) {
		return nil
	}
	b := t.asks[key]
	if b == nil {
		maps.DeleteFunc(t.asks, func(_ pubKey, b *bucket) bool { return b.full <= now })
		b = &bucket{interval: askInterval, burst: askBurst}
		t.asks[key] = b
	}
	return b
}

// ask asks for a key frame of u, if the slot may. If not, housekeeping asks later.
func (d *downTrack) ask(u *upTrack, now int64) bool {
	d.askedAt = now
	if d.asks != nil && u.video && !d.asks.take(now) {
		u.counters.drop(dropPLIRate)
		return false
	}
	u.requestKeyFrame(now)
	return true
}
