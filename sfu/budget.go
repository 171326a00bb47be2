package sfu

import (
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/sfu/allocate"
	"github.com/conclave-sfu/conclave/sfu/bwe"
	"github.com/conclave-sfu/conclave/sfu/pace"
)

// Bounds of what the path to a participant is held to take, in bits a second.
const (
	firstEstimate  = 400_000 // until feedback says more: a few cameras at their lowest
	lowestEstimate = 50_000
	mostEstimate   = 50_000_000
)

// ample is how many times what was given out must fit for pacing to be of no use.
const ample = 3

// plenty is how many times what is shown must fit for a path not to be thin any more.
const plenty = 2

// mistaken is how many times what was given out must come through for its prices to be wrong: probes and
// retransmissions come through as well.
const mistaken = 1.5

// overfull is how many times what the path takes must have been given out for that to end at
// once, and not only when what comes instead has a key frame: most of it is lost, and it keeps
// the queue full that the key frame has to pass.
const overfull = 2

// crowdedFactor is how much faster than the estimate video goes while a deep queue stands, and
// until what had to wait for that has gone: about what the path lets through.
const crowdedFactor = 1.15

// repairShare is how much of what a full path takes may be retransmissions, crowdedShare while a
// deep queue stands: what has overflown is not to keep it full. Where a fifth is lost at random each
// way, a receiver asks for half as much again as it is sent. repairBurst is how much of it goes at
// once where no queue stands: what lacks of a key frame is asked for in one message.
const (
	repairShare  = 1.0
	crowdedShare = 0.5
	repairBurst  = 250 * time.Millisecond
)

// deaf is after how long those who should say what arrives, and do not, get what they want, up
// to their ceiling, as if they had not offered to.
const deaf = 2 * time.Second

// Limits of a receiver's feedback: on average, and at once. Browsers send up to 20 a
// second.
const (
	reportsInterval = 10 * time.Millisecond
	reportsBurst    = 50
)

// budget is what the path to a participant takes, and what the participant could use. A
// connection whose receiver gives no feedback on it has none.
type budget struct {
	// For any goroutine. target is what the path is held to take in bits a second, room
	// what may be given out, best what the slots could use, next what it takes for the next
	// to get more, used what they were given.
	bucket, repairs                *pace.Bucket // of the connection
	target, room, best, next, used atomic.Int64
	// given is what room was when it was given out. off says that it has become less than
	// what is used since, or enough for what is next.
	given atomic.Int64
	off   atomic.Bool
	// through is what came through of late, in bits a second, some times a second.
	through atomic.Int64
	// overfull says that far more was given out before than now. Guarded by the room's lock.
	overfull bool
	// thin says that the path is known not to take even the least that is shown in any case,
	// shows that some video is.
	thin, shows atomic.Bool
	// full says that the path was full, crowded that a deep queue stands in it.
	full, crowded atomic.Bool
	// heard says that the receiver has told what arrives, or what it takes.
	heard atomic.Bool

	most int64 // bits a second: the ceiling. Immutable

	// Guarded by the connection's intake.
	log       *bwe.SentLog
	estimator *bwe.Estimator
	reports   bucket
	// speaking is since when something is sent; 0 before.
	speaking int64
}

// newBudget gives that of a connection whose packets log records. A log that stays empty
// is for those who say what they take themselves. most is what is given out at most, in bits a
// second, whatever they say.
func newBudget(log *bwe.SentLog, paced, repairs *pace.Bucket, most int64) *budget {
	bounds := bwe.Config{Start: min(firstEstimate, most), Min: min(lowestEstimate, most), Max: min(mostEstimate, most)}
	b := &budget{
		bucket: paced, repairs: repairs, most: most, log: log,
		estimator: bwe.New(bounds, log),
		reports:   bucket{interval: reportsInterval, burst: reportsBurst},
	}
	b.take(0)
	return b
}

// begin says that packets can be sent.
func (b *budget) begin(now int64) { b.estimator.Begin(now) }

// feedback takes a report on what was sent. It is off if something else fits than was given
// out, and not ok if the report is none, or one of too many. The report is decoded into r, which the
// caller has for all its connections: one of each would never be in the cache.
func (b *budget) feedback(r *bwe.Report, raw []byte, now int64) (off, ok bool) {
	if !b.reports.take(now) || r.Unmarshal(raw) != nil {
		return false, false
	}
	setFlag(&b.heard, true)
	b.estimator.OnReport(now, r)
	b.estimator.Want(now, b.best.Load(), b.next.Load())
	b.estimator.Tick(now)
	return b.take(now), true
}

// remb takes what the receiver says that it takes, in bits a second.
func (b *budget) remb(now int64, bits uint64) (off bool) {
	b.heard.Store(true)
	b.estimator.OnREMB(now, int64(min(bits, mostEstimate)))
	return b.take(now)
}

// tick is due some times a second.
func (b *budget) tick(now int64) (off bool) {
	b.estimator.Want(now, b.best.Load(), b.next.Load())
	b.estimator.Tick(now)
	b.through.Store(b.estimator.Throughput())
	return b.take(now)
}

// take publishes what may be sent. It is true once when something else fits than was given
// out.
func (b *budget) take(now int64) (off bool) {
	target, room := b.estimator.Target(), b.estimator.Room()
	if b.isDeaf(now) {
		target, room = unlimited, unlimited
	}
	target, room = min(target, b.most), min(room, b.most)
	setRate(&b.target, target)
	setRate(&b.room, room)
	setFlag(&b.full, b.estimator.Full())
	setFlag(&b.crowded, b.estimator.Crowded() || b.crowded.Load() && b.bucket.Waiting(now))
	b.pace()
	given, next, used := b.given.Load(), b.next.Load(), b.used.Load()
	less := room < min(used, given/20*19)
	more := next > 0 && room > given && float64(room) >= allocate.Margin*float64(next)
	return (b.judgeThin(used) || less || more) && b.off.CompareAndSwap(false, true)
}

// setRate and setFlag store what others read, if it is another value: most reports change nothing,
// and a store waits for the cache line and for all stores before it.
func setRate(to *atomic.Int64, bits int64) {
	if to.Load() != bits {
		to.Store(bits)
	}
}

func setFlag(to *atomic.Bool, is bool) {
	if to.Load() != is {
		to.Store(is)
	}
}

// judgeThin notes whether the path overflows with the least that is shown in any case, and
// is true when that has come out. It is so until there is plenty of room for what is shown. A
// queue of what was sent before drains by less being sent, not by nothing.
func (b *budget) judgeThin(used int64) (found bool) {
	switch {
	case b.thin.Load():
		setFlag(&b.thin, b.estimator.Full() && (!b.shows.Load() || b.room.Load() < plenty*used))
	case b.estimator.Estimate() < used && b.estimator.Overflows():
		b.thin.Store(true)
		return true
	}
	return false
}

// pace limits bursts, once the path was full, unless there is ample room. What was given out
// goes in any case, and is no reason to fall behind. Where a deep queue stands there are no
// bursts: what they bring would be lost, the next key frame above all.
func (b *budget) pace() {
	full, target, used := b.full.Load(), b.target.Load(), b.used.Load()
	b.paceRepairs()
	if !full || target >= ample*used {
		b.bucket.SetRate(0)
		return
	}
	rate := max(target, used)
	if b.crowded.Load() {
		rate = int64(float64(rate) * crowdedFactor / pace.Factor)
	}
	b.bucket.SetRate(rate)
}

// paceRepairs limits retransmissions, once the path was full.
func (b *budget) paceRepairs() {
	rate := int64(0) // no limit
	if target := b.target.Load(); b.full.Load() && target < unlimited {
		share, burst := repairShare, repairBurst
		if b.crowded.Load() {
			share, burst = crowdedShare, pace.Burst
		}
		b.repairs.SetBurst(burst)
		rate = int64(float64(target) * share / pace.Factor)
	}
	b.repairs.SetRate(rate)
}

// isDeaf says whether the receiver has had time to report on something, and has not.
func (b *budget) isDeaf(now int64) bool {
	if b.estimator.Heard() {
		return false
	}
	if b.speaking == 0 && b.log.Count() > 0 {
		b.speaking = now
	}
	return b.speaking != 0 && now-b.speaking > int64(deaf)
}

// give says what was given out of the room, of which audio takes a part, and what could have
// been used.
func (b *budget) give(room, audio int64, given allocate.Result) {
	b.overfull = room < b.used.Load()/overfull
	b.given.Store(room)
	b.used.Store(given.Used)
	b.best.Store(given.Want)
	b.next.Store(given.Next)
	b.shows.Store(given.Used > audio)
	b.off.Store(false)
	b.pace()
}

// wavers says whether what is given may have to change though nothing has happened, or costs far more
// than was thought: an encoding that nobody had measured was held to be small. Who is thought to want
// no more is not probed for.
func (b *budget) wavers() bool {
	if b == nil {
		return false
	}
	best, used := b.best.Load(), b.used.Load()
	return used < best || b.target.Load() < 2*best || float64(b.through.Load()) > mistaken*float64(used)
}

// countBudgets adds what is known of the paths of a room's participants who are sent video, or
// would be: what opening probes found out of the others is renewed by nothing.
func (r *room) countBudgets(s *Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.connections() {
		if b := c.budget.Load(); b != nil && b.heard.Load() && b.best.Load() > 0 {
			s.Estimates = append(s.Estimates, b.target.Load())
			s.Allocated += b.used.Load()
			s.Wanted += b.best.Load()
		}
	}
}
