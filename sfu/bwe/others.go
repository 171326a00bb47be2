package bwe

import "time"

// A queue that others keep full, TCP as a rule, is not drained by sending less (ADR 0009).

const (
	// othersShare is what part of what came through less must come for othersSpan, while a deep queue
	// stands, for it to be that of others, and othersKept what part is kept; othersPace how much of what is
	// sent must come; othersGone how long there must have been no queue for others to be gone.
	othersShare = 0.6
	othersKept  = 0.4
	othersSpan  = 4 * time.Second
	othersPace  = 0.75
	othersGone  = 3 * time.Second
)

// awaitOthers notices that others have gone: there is no queue, or more comes than beside them.
func (e *Estimator) awaitOthers(now int64, standing float64) {
	if standing > calm {
		e.stoodAt = now
	}
	if now-e.stoodAt > int64(othersGone) || e.through() > e.passed {
		e.others = 0
	}
}

// watchOthers notices that a deep queue is that of others: while one of our own stands, what comes through
// is what the path takes, and not less because less is sent. To send still less would leave others all of
// the path, and drain nothing.
func (e *Estimator) watchOthers(now int64) {
	through := e.through()
	if e.queue.pace() < othersPace {
		e.others = 0 // more is sent than comes: what has been learnt is of another path
	}
	if e.others > 0 {
		return
	}
	if now-e.deepAt < int64(rateSpan+e.rtt) || e.queue.pace() < othersPace {
		e.passed, e.passedAt = through, now
	}
	if through > othersShare*e.passed {
		e.passed, e.passedAt = max(e.passed, through), now
	}
	if now-e.passedAt > int64(othersSpan) {
		e.others, e.stoodAt = othersKept*e.passed, now
		e.set(max(e.estimate, e.others))
	}
}
