package bwe

import "time"

const (
	// probeFirst is how long after a cut the path is asked whether it has become better,
	// and probeLongest how long the pauses become while it has not.
	probeFirst   = 1500 * time.Millisecond
	probeLongest = 5 * time.Second
	probeGrowth  = 1.6
	// probeStep is how much more than the estimate a probe asks for, probeLeap while
	// nothing is known or the step before was proven.
	probeStep = 2.0
	probeLeap = 3.0
	// wantMargin is how much above what is wanted is worth proving: the allocator steps up
	// only with room to spare.
	wantMargin = 1.25
	// proofShare of a probe's rate must be proven for the next to follow at once.
	proofShare = 0.7
	// fullShare is how much more than the estimate a probe must prove that found the path
	// full, though the estimate was in use: a burst takes more than its share of what
	// others use too.
	fullShare = 1.4
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
}

// fell is told that the estimate was cut.
func (p *probePlan) fell(now int64) {
	p.leap = false
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
	goal := min(wantMargin*e.want, float64(e.config.Max))
	quiet := e.queue.standing() <= calm+e.queue.noise && e.usage != overusing
	if e.heard == 0 || e.prober.waiting || now < e.plan.at || goal <= 1.05*e.estimate || !quiet {
		return 0, false
	}
	step := probeStep
	if e.plan.leap || !e.plan.begun {
		step = probeLeap
	}
	rate = step * e.estimate
	if next := wantMargin * e.plan.next; next > 1.2*e.estimate {
		rate = min(max(rate, next), probeLeap*e.estimate)
	}
	e.plan.begun = true
	return min(rate, goal), true
}

// concludeProbe takes what a probe has proven.
func (e *Estimator) concludeProbe(now int64) {
	o := e.prober.conclude(max(e.loss.average(), e.loss.inherent))
	proven := o.proven
	if o.full {
		proven *= 0.95
	}
	least := 1.05
	if o.full && e.used {
		least = fullShare
	}
	if !o.ok || proven < least*e.estimate || e.usage == overusing {
		e.plan.failed(now)
		return
	}
	e.set(proven)
	e.ceiling = capacity{}
	e.loss.forget()
	e.counts.Proven++
	e.undo = 0
	e.plan.succeeded(now, !o.full && proven >= proofShare*float64(e.prober.probe.Rate))
}
