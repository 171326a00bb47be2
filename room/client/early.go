package client

import (
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
	frames []earlyFrame
	// version is that of the keyring when they were last tried.
	version uint64
}

type earlyFrame struct {
	sealed    []byte
	timestamp uint32
	since     time.Time
}

// add keeps a copy of a frame. It reports false if there is no room.
func (q *earlyQueue) add(sealed []byte, timestamp uint32, now time.Time, version uint64) bool {
	if q.held.Add(int64(len(sealed))) > maxEarly {
		q.held.Add(-int64(len(sealed)))
		return false
	}
	if len(q.frames) == 0 {
		q.version = version
	}
	q.frames = append(q.frames, earlyFrame{append([]byte(nil), sealed...), timestamp, now})
	return true
}

// retry passes every waiting frame to open if the keyring's version is another than
// before, and keeps those for which it reports false.
func (q *earlyQueue) retry(version uint64, open func(earlyFrame) bool) {
	if len(q.frames) == 0 || version == q.version {
		return
	}
	q.version = version
	q.filter(func(f earlyFrame) bool { return !open(f) })
}

// expire gives up the frames that have waited for too long.
func (q *earlyQueue) expire(now time.Time, giveUp func(earlyFrame)) {
	q.filter(func(f earlyFrame) bool {
		if now.Sub(f.since) < earlyWait {
			return true
		}
		giveUp(f)
		return false
	})
}

// clear forgets all frames.
func (q *earlyQueue) clear() { q.filter(func(earlyFrame) bool { return false }) }

func (q *earlyQueue) filter(keep func(earlyFrame) bool) {
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
