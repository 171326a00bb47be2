package sfu

import "time"

// bucket is a token bucket: on average one event an interval, and up to burst at
// once. Times are nanoseconds of the node's clock. It starts full.
type bucket struct {
	interval time.Duration
	burst    int
	// full is when the bucket is full again.
	full int64
}

// take says whether one more event may happen now.
func (b *bucket) take(now int64) bool {
	b.full = max(b.full, now) + int64(b.interval)
	if b.full-now > int64(b.burst)*int64(b.interval) {
		b.full -= int64(b.interval)
		return false
	}
	return true
}
