package bwe

import "time"

const (
	// probeFirst is how long after a cut the path is asked whether it has become better,
	// and probeLongest how long the pauses become while it has not.
	probeFirst   = 1500 * time.Millisecond
	probeLongest = 5 * time.Second
	probeGrowth  = 1.2
	// probeStep is how much more than the estimate a probe asks for, probeLeap while
	// nothing is known or the step before was proven.
	probeStep = 2.0
	probeLeap = 3.0
	// wantMargin is how much above what is wanted is worth proving: the allocator steps up
	// only with room to spare.
	wantMargin = 1.25
	// fullShare is how much more than the estimate a probe must prove that found the path
	// full, though the estimate was in use: a burst takes more than its share of what
	// others use too.
	fullShare = 1.4
	// openingGoal is what the first probes of a connection aim at, in bits a second, before
	// it is known what is wanted: some cameras at their best.
	openingGoal = 5e6
	// openingLeap is how much more than the first estimate the first probe asks for.
	openingLeap = 4.5
	// openingTries is how many of them may say nothing, the receiver may not be there yet; and
	// how many may differ about a path that they found full by more than openingDoubt.
	openingTries = 3
	openingDoubt = 1.25
	// relapse is how soon after a probe a cut says that the probe was wrong.
	relapse = 4 * time.Second
)

// probePlan says when to probe. The zero value probes at once.
type probePlan struct {
	at     int64         // not before
	pause  time.Duration // after the next failure
	leap   bool          // go on from what was proven just now
	next   float64       // rate that the allocator's next step takes
	proven int64         // when a probe raised the estimate last
	begun  bool
	// opening is the time of the first probes. tries are those that said nothing; doubted
	// is the most that those have proven that found the path full, doubts of them: a thread
	// that did not get a processor looks like that too, so another one has to confirm it.
	opening bool
	opened  bool
	tries   int
	doubts  int
	doubted float64
}

// begin opens the first time, and says whether it did.
func (p *probePlan) begin() bool {
	if p.opened {
		return false
	}
	p.opening, p.opened = true, true
	return true
}

// fell is told that the estimate was cut.
func (p *probePlan) fell(now int64) {
	p.leap, p.opening = false, false
	if p.proven != 0 && now-p.proven < int64(relapse) {
		p.failed(now)
		return
	}
	if p.pause < probeFirst {
		p.pause = probeFirst
	}
	p.at = max(p.at, now+int64(probeFirst))
}

// failed is told that a probe proved no more than was known.
func (p *probePlan) failed(now int64) {
	p.leap = false
	p.at = now + int64(max(p.pause, probeFirst))
	p.pause = min(time.Duration(float64(max(p.pause, probeFirst))*probeGrowth), probeLongest)
}

// grew is told that the path takes more than where it was full before.
func (p *probePlan) grew(now int64) { p.at, p.pause = min(p.at, now), 0 }

// anew is told that it is another path: it is probed at once, by leaps.
func (p *probePlan) anew(now int64) { p.at, p.pause, p.leap, p.proven = now, 0, true, 0 }

// succeeded is told that a probe raised the estimate.
func (p *probePlan) succeeded(now int64, further bool) {
	p.pause, p.leap, p.proven = 0, further, now
	p.at = now
	if !further {
		p.at = now + int64(probeFirst)
	}
}

// wanted is told what the next step takes. A new wish does not wait out a long pause.
func (p *probePlan) wanted(now int64, next, estimate float64) {
	if next > estimate && p.next <= estimate {
		p.at = min(p.at, now+int64(probeFirst)/3)
	}
	p.next = next
}

// nextProbe says at what rate to probe, if now is the time.
func (e *Estimator) nextProbe(now int64) (rate float64, ok bool) {
	goal := e.goal()
	quiet := e.queue.standing() <= calm+e.queue.noise && e.usage != overusing
	if quiet && e.full > 0 && !e.plan.opening && !e.plan.leap {
		quiet = !e.Crowded() // what waits for a deep queue to drain comes first
	}
	unheard := e.heard == 0 && !(e.plan.opening && e.plan.tries == 0)
	if unheard || e.prober.waiting || now < e.plan.at || goal <= 1.05*e.estimate || !quiet {
		return 0, false
	}
	step := probeStep
	switch {
	case e.plan.opening && !e.plan.begun:
		step = openingLeap
	case e.plan.leap || !e.plan.begun:
		step = probeLeap
	}
	rate = step * e.estimate
	if next := wantMargin * e.plan.next; next > 1.2*e.estimate {
		rate = min(max(rate, next), probeLeap*e.estimate)
	}
	if e.plan.doubted > 0 {
		rate = min(rate, probeStep*e.plan.doubted)
	}
	e.plan.begun = true
	return min(rate, goal), true
}

// goal is the highest rate that is worth proving.
func (e *Estimator) goal() float64 {
	goal := wantMargin * e.want
	if e.plan.opening {
		goal = max(goal, openingGoal)
	}
	if e.full > 0 { // is it still?
		goal = max(goal, min(1.1*fullNoMore*e.full, 2*e.want))
	}
	return min(goal, float64(e.config.Max))
}

// concludeProbe takes what a probe has proven.
func (e *Estimator) concludeProbe(now int64) {
	o := e.prober.conclude(max(e.loss.average, e.loss.inherent))
	if o.ok && !o.full {
		e.loss.try(o.sent, e.prober.came+e.prober.lost, e.prober.lost)
	}
	proven := o.proven
	if o.full {
		proven *= 0.95
	}
	least := 1.05
	if o.full && e.used {
		least = fullShare
	}
	if e.plan.opening && e.conclude(now, o) {
		return
	}
	if o.ok && o.full {
		e.full = 0.95 * o.most
	}
	if !o.ok || proven < least*e.estimate || e.usage == overusing {
		e.plan.failed(now)
		return
	}
	e.ceiling = capacity{}
	e.loss.forget()
	e.counts.Proven++
	e.undo = 0
	e.rise(proven)
	e.plan.succeeded(now, !o.full)
	e.plan.opening = e.plan.opening && e.plan.leap && 1.05*e.estimate < e.goal()
}

// conclude takes one of the first probes. It is true if that is all that it says: it has to
// be tried again, or the path takes less than was thought.
func (e *Estimator) conclude(now int64, o outcome) bool {
	p := &e.plan
	switch {
	case !o.ok && p.tries < openingTries:
		p.tries++
		return true
	case o.ok && o.full && p.doubt(o.proven):
		return true
	case o.ok && o.full && p.doubted < e.estimate:
		e.full = p.doubted
		e.set(decrease * e.full)
		p.fell(now)
		return true
	}
	p.opening = o.ok && !o.full
	p.doubts, p.doubted = 0, 0
	return false
}

// doubt says whether to try again before it is believed that the path takes no more.
func (p *probePlan) doubt(proven float64) bool {
	before := p.doubted
	p.doubted = max(before, proven)
	p.doubts++
	alike := p.doubted <= openingDoubt*min(before, proven)
	return !alike && p.doubts <= openingTries
}
