package client

import (
	"bytes"
	"sync/atomic"
	"time"
)

const (
	// earlyWait is how long a frame waits for the key of its epoch.
	earlyWait = 500 * time.Millisecond
	// earlyPoll is how often a slot looks for new keys while frames wait.
	earlyPoll = 10 * time.Millisecond
	// maxEarly bounds the frames that wait in all slots of a participant, in bytes.
	maxEarly = 4 << 20
)

// earlyQueue holds the frames of one slot whose epoch is not known yet, oldest first.
type earlyQueue struct {
	// held counts the bytes that wait in all slots.
	held   *atomic.Int64
	frames []arrival
	// version is that of the keyring when they were last tried.
	version uint64
}

// arrival is a frame as it came.
type arrival struct {
	sealed    []byte
	timestamp uint32
	turn      uint64 // among those of the slot
	since     time.Time
}

// add keeps a copy of a frame to be opened later. It reports false if there is no room.
func (q *earlyQueue) add(f arrival, version uint64) bool {
	if q.held.Add(int64(len(f.sealed))) > maxEarly {
		q.held.Add(-int64(len(f.sealed)))
		return false
	}
	if len(q.frames) == 0 {
		q.version = version
	}
	f.sealed = bytes.Clone(f.sealed)
	q.frames = append(q.frames, f)
	return true
}

// retry passes every waiting frame to open if the keyring's version is another than
// before, and keeps those for which it reports false.
func (q *earlyQueue) retry(version uint64, open func(arrival) bool) {
	if len(q.frames) == 0 || version == q.version {
		return
	}
	q.version = version
	q.filter(func(f arrival) bool { return !open(f) })
}

// expire gives up the frames that have waited for too long.
func (q *earlyQueue) expire(now time.Time, giveUp func(arrival)) {
	q.filter(func(f arrival) bool {
		if now.Sub(f.since) < earlyWait {
			return true
		}
		giveUp(f)
		return false
	})
}

// clear forgets all frames.
func (q *earlyQueue) clear() { q.filter(func(arrival) bool { return false }) }

func (q *earlyQueue) filter(keep func(arrival) bool) {
	kept := q.frames[:0]
	for _, f := range q.frames {
		if keep(f) {
			kept = append(kept, f)
		} else {
			q.held.Add(-int64(len(f.sealed)))
		}
	}
	clear(q.frames[len(kept):])
	q.frames = kept
}

// deadline is when to look again; zero if nothing waits.
func (q *earlyQueue) deadline(now time.Time) time.Time {
	if len(q.frames) == 0 {
		return time.Time{}
	}
	return now.Add(earlyPoll)
}
