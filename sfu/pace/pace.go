// Package pace keeps a burst of video, a key frame above all, from overflowing a thin
// line. While there is budget a packet goes straight through:
//
//	if bucket.Take(now, size) {
//		send(p)
//	}
//
// and what does not waits, in order, until a timer of some milliseconds, or the next
// packet, finds budget. Who waits too long, [MaxAge], begins anew with the next key frame.
// Where packets wait is not of this package: the forwarder has them in its caches.
//
// Audio and retransmissions never wait: [Bucket.Charge] lets video pay for them.
package pace

import (
	"sync/atomic"
	"time"
)

// Factor is how much faster than the estimate a burst may go, and Burst how much of it
// at once.
const (
	Factor = 2.5
	Burst  = 40 * time.Millisecond
)

// MaxAge is how long a packet may wait, as media time: a picture that is later is of no
// use.
const MaxAge = 400 * time.Millisecond

// Bucket is the budget of one connection: a token bucket that is one word, for any number
// of goroutines. The zero value is without a limit.
type Bucket struct {
	perByte atomic.Int64 // picoseconds; 0 for no limit
	full    atomic.Int64 // when the budget is whole again, in nanoseconds
	more    atomic.Int64 // nanoseconds by which Take allows for more than Burst
}

// SetBurst has Take allow for another burst than [Burst].
func (b *Bucket) SetBurst(burst time.Duration) { set(&b.more, int64(burst-Burst)) }

// SetRate sets what the path is held to take in bits a second, [Factor] not counted; 0
// or less lifts the limit.
func (b *Bucket) SetRate(bits int64) {
	perByte := int64(0)
	if bits > 0 {
		perByte = int64(8e12 / (Factor * float64(bits)))
	}
	set(&b.perByte, perByte)
}

// set stores another value: mostly it is the same, and a store waits for the cache line.
func set(to *atomic.Int64, value int64) {
	if to.Load() != value {
		to.Store(value)
	}
}

// Take says whether size bytes may go now, and charges them if so. Times do not go back
// by more than what goroutines differ.
func (b *Bucket) Take(now int64, size int) bool {
	perByte := b.perByte.Load()
	if perByte == 0 {
		return true
	}
	cost := int64(size) * perByte / 1000
	for {
		full := b.full.Load()
		if full-now > int64(Burst)+b.more.Load() {
			return false
		}
		if b.full.CompareAndSwap(full, max(full, now)+cost) {
			return true
		}
	}
}

// Charge counts bytes that go in any case. They put video off by no more than [Burst].
func (b *Bucket) Charge(now int64, size int) {
	perByte := b.perByte.Load()
	if perByte == 0 {
		return
	}
	cost := int64(size) * perByte / 1000
	for {
		full := b.full.Load()
		charged := min(max(full, now)+cost, max(full, now+2*int64(Burst)))
		if b.full.CompareAndSwap(full, charged) {
			return
		}
	}
}

// Short says whether a packet would have to wait now.
func (b *Bucket) Short(now int64) bool {
	return b.perByte.Load() != 0 && b.full.Load()-now > int64(Burst)
}

// Waiting says whether so much was sent of late that something may be waiting.
func (b *Bucket) Waiting(now int64) bool {
	return b.perByte.Load() != 0 && b.full.Load()-now > int64(Burst)/2
}
