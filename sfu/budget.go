package sfu

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/sfu/bwe"
	"github.com/conclave-sfu/conclave/sfu/pace"
)

// Bounds of what the path to a participant is held to take, in bits a second.
const (
	firstEstimate  = 600_000 // until feedback says more
	lowestEstimate = 50_000
	mostEstimate   = 50_000_000
)

// unlimited is the target of those who should say what arrives, and do not: after deaf
// they get what they want, as if they had not offered to.
const (
	unlimited = math.MaxInt64 / 4
	deaf      = 2 * time.Second
)

// Limits of a receiver's feedback: on average, and at once. Browsers send up to 20 a
// second.
const (
	reportsInterval = 10 * time.Millisecond
	reportsBurst    = 50
)

// budget is what the path to a participant takes, and what the participant could use. A
// connection whose receiver gives no feedback on it has none.
type budget struct {
	// For any goroutine. target is what may be sent in bits a second, best what the
	// slots could use, next what it takes for the next to get more, used what they were
	// given.
	bucket                   *pace.Bucket // of the connection
	target, best, next, used atomic.Int64
	// given is what target was when it was given out. short says that target has become
	// less than what is used since.
	given atomic.Int64
	short atomic.Bool
	// heard says that the receiver has told what arrives, or what it takes.
	heard atomic.Bool

	// Guarded by the connection's intake.
	log       *bwe.SentLog
	estimator *bwe.Estimator
	report    bwe.Report
	reports   bucket
	// speaking is since when something is sent; 0 before.
	speaking int64
}

// newBudget gives that of a connection whose packets log records. A log that stays empty
// is for those who say what they take themselves.
func newBudget(log *bwe.SentLog, paced *pace.Bucket) *budget {
	b := &budget{
		bucket: paced, log: log,
		estimator: bwe.New(bwe.Config{Start: firstEstimate, Min: lowestEstimate, Max: mostEstimate}, log),
		reports:   bucket{interval: reportsInterval, burst: reportsBurst},
	}
	b.take(0)
	return b
}

// feedback takes a report on what was sent. It is short if less fits than was given out,
// and not ok if the report is none, or one of too many.
func (b *budget) feedback(raw []byte, now int64) (short, ok bool) {
	if !b.reports.take(now) || b.report.Unmarshal(raw) != nil {
		return false, false
	}
	b.heard.Store(true)
	b.estimator.OnReport(now, &b.report)
	b.estimator.Want(now, b.best.Load(), b.next.Load())
	b.estimator.Tick(now)
	return b.take(now), true
}

// remb takes what the receiver says that it takes, in bits a second.
func (b *budget) remb(now int64, bits uint64) (short bool) {
	b.heard.Store(true)
	b.estimator.OnREMB(now, int64(min(bits, mostEstimate)))
	return b.take(now)
}

// tick is due some times a second.
func (b *budget) tick(now int64) (short bool) {
	b.estimator.Want(now, b.best.Load(), b.next.Load())
	b.estimator.Tick(now)
	return b.take(now)
}

// take publishes what may be sent. It is true once when less fits than was given out.
func (b *budget) take(now int64) (short bool) {
	target := b.estimator.Target()
	if b.isDeaf(now) {
		target = unlimited
		b.bucket.SetRate(0)
	} else {
		b.bucket.SetRate(target)
	}
	b.target.Store(target)
	return target < min(b.used.Load(), b.given.Load()/20*19) && b.short.CompareAndSwap(false, true)
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

// give says what was given out of target, and what could have been used.
func (b *budget) give(target, used, best, next int64) {
	b.given.Store(target)
	b.used.Store(used)
	b.best.Store(best)
	b.next.Store(next)
	b.short.Store(false)
}

// wavers says whether what is given may have to change though nothing has happened.
func (b *budget) wavers() bool {
	return b != nil && (b.used.Load() < b.best.Load() || b.target.Load() < 2*b.best.Load())
}

// countBudgets adds what is known of the paths of a room's participants.
func (r *room) countBudgets(s *Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.transports {
		if t.connection == nil {
			continue
		}
		if b := t.connection.budget.Load(); b != nil && b.heard.Load() {
			s.Estimates = append(s.Estimates, b.target.Load())
			s.Allocated += b.used.Load()
			s.Wanted += b.best.Load()
		}
	}
}
