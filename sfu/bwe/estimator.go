package bwe

import (
	"math"
	"time"
)

// Config of an [Estimator], in bits a second.
type Config struct {
	// Start is held to be true until feedback says more.
	Start int64
	// Min and Max bound the estimate whatever is reported.
	Min, Max int64
}

const (
	// decrease is what of the measured bandwidth is used after the path was full, so that
	// its queue drains (draft-ietf-rmcat-gcc-02, Section 5.5).
	decrease = 0.85
	// cutAgain is the share of the estimate that a second cut for the same queue must go
	// below.
	cutAgain = 0.7
	// increase a second, far from where the path was full before.
	increase = 1.08
	// packetBits is how much more is tried in a response time near it.
	packetBits = 1200 * 8
	// limited is the share of the estimate that must come through before more than it is
	// believed without a probe; headroom is how far above what comes through that goes.
	limited  = 0.75
	headroom = 1.5
	// calm is how long a queue may stand, in ms, above the jitter, and not count as full;
	// deep is when the target goes below the estimate, so that it drains.
	calm = 20.0
	deep = 60.0
	// deepSpan is how long it must have stood: that of a key frame drains by itself.
	deepSpan = 400 * time.Millisecond
	// drain is by what share the target is lowered further each second that it stands.
	drain = 0.25
	// overflowSpan is how long it has stood when too much is sent.
	overflowSpan = time.Second
	// crowdedSpan is for how long after it was deep a queue is not filled by a burst.
	crowdedSpan = 500 * time.Millisecond
	// full is when loss, too, says that the queue overflows.
	full = 100.0
	// silence is how long feedback on what was sent may be missing, beside four round
	// trips, before the estimate shrinks by silenceCut, and again each such time.
	silence    = time.Second
	silenceCut = 0.7
	// generous is how much of the estimate may be given out while nothing says that more
	// does not fit: it is what was proven then.
	generous = 1.25
	// fullNoMore is how far above the rate at which the path was full it is not the same
	// path any more.
	fullNoMore = 1.5
	// undoSpan is how long a cut for loss may be taken back when the loss turns out to be
	// there at any rate.
	undoSpan = 8 * time.Second
)

// Estimator follows the path to one receiver. It is not safe for concurrent use.
//
// Reports of thousands of receivers come in turns, so that nothing of one is in the processor's
// cache when its next report comes: what that costs is the number of cache lines it touches. What
// every report touches lies together, before what is rarely of interest, in each part as well.
type Estimator struct {
	log      *SentLog
	estimate float64
	want     float64
	rtt      time.Duration
	heard    int64   // when feedback came last
	answered uint64  // highest packet reported
	newest   int64   // when the newest packet of this report was sent
	raised   int64   // when the estimate was raised last
	full     float64 // at what rate the path was full last, in bits a second; 0 for never
	deepAt   int64   // since when the queue is deep; 0 if it is not
	deepEnd  int64   // when it was deep last
	others   float64 // the estimate that a queue of others leaves; 0 for none
	usage    usage
	used     bool // the estimate, when the probe began
	told     bool // by the receiver what it takes

	plan   probePlan
	ledger ledger
	groups grouper
	level  level
	trend  trend
	queue  queue // whose groups are mostly left alone, and so is what follows them
	loss   lossModel
	prober prober

	config   Config
	ceiling  capacity
	passed   float64 // the most that came through while the queue was deep, in bits a second
	passedAt int64   // when about as much came last
	stoodAt  int64   // when the queue was not calm last, if it is that of others
	cutAt    int64   // when the estimate was cut last, for delay
	undo     float64 // estimate before the cuts for loss; 0 for none
	undoAt   int64
	counts   Counts
}

// Counts of what the estimator did.
type Counts struct {
	// Cuts for delay, for loss, and for silence; probes sent, and those that proved
	// something.
	DelayCuts, LossCuts, SilenceCuts, Probes, Proven uint64
	// Longer is how often the path's own delay has become longer.
	Longer uint64
}

// New gives an estimator that knows nothing yet, for packets that log records.
func New(c Config, log *SentLog) *Estimator {
	return &Estimator{config: c, log: log, ledger: newLedger(log), estimate: float64(c.Start), rtt: 200 * time.Millisecond, deepEnd: -int64(crowdedSpan)}
}

// OnReport takes a feedback packet. It may be a repeated, late, or dishonest one: it
// moves the estimate by what it says of packets that were sent and not reported before.
func (e *Estimator) OnReport(now int64, r *Report) {
	e.newest = 0
	e.usage = normal
	var a Acked
	for reading := e.ledger.read(now, r); reading.next(&a); {
		e.takeAck(&a)
	}
	if e.newest == 0 {
		return
	}
	e.measureRTT(now)
	if e.heard == 0 {
		e.raised = now
	}
	e.heard = now
	e.watchQueue(now)
	e.adjust(now)
	if e.prober.complete(now, e.rtt) {
		e.concludeProbe(now)
	}
}

// watchQueue notes since when the queue is deep, and whether it is one.
func (e *Estimator) watchQueue(now int64) {
	if e.isLonger() {
		e.lengthen(now)
	}
	standing := e.queue.standing() - e.queue.noise
	if standing <= calm && e.loss.count >= usualWindows {
		e.level.usual = min(e.loss.average, levelUsual)
	}
	if e.others > 0 {
		e.awaitOthers(now, standing)
	}
	switch {
	case standing <= deep:
		e.deepAt = 0
		return
	case e.deepAt == 0:
		e.deepAt = now
	}
	e.deepEnd = now
	e.watchOthers(now)
}

// isLonger says whether what looks like a queue is none.
func (e *Estimator) isLonger() bool {
	if !e.level.still(levelSpans) {
		return false
	}
	above := e.queue.above(e.level.least) - e.queue.noise
	return above > deep || above > calm && e.level.still(levelLong)
}

// lengthen takes the delay for the path's own: what comes through while it stays the same
// does not wait. It is another path, of which is known only that it takes this much.
func (e *Estimator) lengthen(now int64) {
	e.queue.rebase(e.level.least)
	e.level.restart()
	e.usage = normal
	e.ceiling = capacity{}
	e.full, e.others = 0, 0
	e.set(max(e.estimate, e.through()))
	e.raised = now
	e.counts.Longer++
	e.plan.anew(now)
}

// takeAck takes what is new of one packet.
func (e *Estimator) takeAck(a *Acked) {
	if e.heard == 0 && e.answered == 0 {
		e.prober.skip(a.Number)
	}
	e.answered = max(e.answered, a.Number)
	e.prober.add(a)
	if e.loss.add(a) {
		e.judgeLoss(a.At)
	}
	e.level.count(a)
	if !a.Received {
		return
	}
	e.newest = max(e.newest, a.At)
	if s, ok := e.groups.add(a); ok {
		e.trend.add(s)
		middle := e.queue.add(s, e.trend.delay)
		e.level.add(s.at, middle, e.queue.noise)
		if e.trend.usage != normal && e.usage != overusing {
			e.usage = e.trend.usage
		}
	}
}

// measureRTT smooths the time from sending to feedback, most of what a reaction takes.
func (e *Estimator) measureRTT(now int64) {
	d := min(max(time.Duration(now-e.newest), time.Millisecond), 2*time.Second)
	e.rtt += (d - e.rtt) / 8
}

// adjust changes the estimate after feedback.
func (e *Estimator) adjust(now int64) {
	switch {
	case e.usage == overusing && e.queue.standing() > calm+e.queue.noise:
		e.cut(now)
	case e.usage != underusing && e.queue.standing() > full+e.queue.noise && e.loss.excess() > lossTolerated/2:
		e.cutTo(now, e.through()) // the queue does not grow any more: it overflows
	case e.usage == normal && e.queue.standing() <= deep:
		e.grow(now)
	default:
		e.raised = now
	}
}

// through is what the path takes of what is sent now, in bits a second: what comes
// through, and what is lost at any rate.
func (e *Estimator) through() float64 {
	return e.queue.throughput() / (1 - min(e.loss.inherent, lossMost))
}

// cut comes down to what the path lets through while its queue fills.
func (e *Estimator) cut(now int64) {
	e.raised = now
	if rate, ok := e.queue.rate(); ok {
		e.cutTo(now, rate/(1-min(e.loss.inherent, lossMost)))
	}
}

// cutTo comes down to a share of rate, unless that was done already and what has been sent
// since was not reported yet: then only if it was not nearly enough.
func (e *Estimator) cutTo(now int64, rate float64) {
	e.raised = now
	most := e.estimate
	if e.newest <= e.cutAt {
		most *= cutAgain
	}
	if max(decrease*rate, e.others) >= most {
		return
	}
	e.ceiling.add(rate)
	e.loss.otherPath()
	e.set(max(decrease*rate, e.others))
	e.full = rate
	e.cutAt, e.undo = now, 0
	e.counts.DelayCuts++
	e.plan.fell(now)
}

// grow raises the estimate if so much is used that the path has proven it: by a share of
// it far from the ceiling, by packets near it.
func (e *Estimator) grow(now int64) {
	elapsed := min(time.Duration(now-e.raised), time.Second).Seconds()
	e.raised = now
	through := e.through()
	if through < limited*e.estimate {
		return
	}
	next := e.estimate
	if e.ceiling.near(e.estimate) {
		next += packetBits * elapsed / (e.rtt + 100*time.Millisecond).Seconds()
	} else {
		next *= math.Pow(increase, elapsed)
		if e.ceiling.above(e.estimate) {
			e.ceiling = capacity{}
			e.plan.grew(now)
		}
	}
	if e.queue.standing() <= calm+e.queue.noise {
		next = max(next, e.queue.throughput()) // it comes, and nothing waits
	}
	e.rise(max(e.estimate, min(next, headroom*through)))
}

// rise takes over a rate at which the path was not full.
func (e *Estimator) rise(bits float64) {
	e.set(bits)
	if e.estimate > fullNoMore*e.full {
		e.full = 0
	}
}

// Full says whether the path was seen to take no more than about the estimate. Until then
// the estimate is what has been proven, and more may well fit.
func (e *Estimator) Full() bool { return e.full > 0 }

// judgeLoss comes down if more is lost than is lost at any rate, and back if the loss
// proves to be there at any rate.
func (e *Estimator) judgeLoss(now int64) {
	bandwidth := e.loss.judge()
	switch {
	case bandwidth < e.estimate:
		if e.undo == 0 || now-e.undoAt > int64(undoSpan) {
			e.undo, e.undoAt = e.estimate, now
		}
		e.set(0.95 * bandwidth)
		e.full = bandwidth
		e.counts.LossCuts++
		e.plan.fell(now)
	case math.IsInf(bandwidth, 1) && e.undo > 0 && e.loss.proven > 0 && now-e.undoAt < int64(undoSpan):
		e.rise(max(e.estimate, e.undo))
		e.undo = 0
	}
}

func (e *Estimator) set(bits float64) {
	e.estimate = min(max(bits, float64(e.config.Min)), float64(e.config.Max))
}

// OnREMB takes what a receiver without transport-wide feedback says that it can take
// (draft-alvestrand-rmcat-remb-03).
func (e *Estimator) OnREMB(now, bits int64) {
	e.told = true
	if e.heard == 0 {
		e.set(float64(bits))
		e.full = e.estimate // it is the receiver's own word
	}
}

// Heard says whether the receiver has said anything of what arrives.
func (e *Estimator) Heard() bool { return e.told || e.heard != 0 }

// Want says how much the allocator could use in bits a second, all slots at their best,
// and how much its next step takes, 0 for none: what probes aim at.
func (e *Estimator) Want(now, best, next int64) {
	e.want = float64(best)
	e.plan.wanted(now, float64(next), e.estimate)
}

// Begin says that packets can be sent from now on. The path is probed at once, and further
// while that succeeds, though nobody has wanted anything yet.
func (e *Estimator) Begin(now int64) {
	if e.plan.begin() {
		e.Tick(now)
	}
}

// Tick is called each 20 to 200 ms. It shrinks the estimate while nothing is heard of what
// was sent, and begins a probe if it is time: then [Estimator.Probe] says what to send.
func (e *Estimator) Tick(now int64) {
	if e.prober.complete(now, e.rtt) {
		e.concludeProbe(now)
	}
	e.listen(now)
	if rate, ok := e.nextProbe(now); ok {
		e.counts.Probes++
		e.used = e.through() >= limited*e.estimate
		span := probeSpan + time.Duration(2*e.queue.noise*float64(time.Millisecond))
		e.prober.start(now, rate, min(span, 3*probeSpan), e.log)
	}
}

// listen notices that feedback has ended.
func (e *Estimator) listen(now int64) {
	patience := silence + 4*e.rtt
	if e.heard == 0 || now-e.heard < int64(patience) {
		return
	}
	first, ok := e.log.Get(e.answered+1, now)
	if !ok && e.log.Count() <= e.answered+1 || ok && now-first.At < int64(patience) {
		return // nothing was sent that could have been answered
	}
	e.heard = now
	e.set(silenceCut * e.estimate)
	e.full = e.estimate
	e.counts.SilenceCuts++
	e.plan.fell(now)
}

// Probe says how many bytes of padding are to be sent now for the probe that is under way,
// if one is. It is called each few milliseconds then.
func (e *Estimator) Probe(now int64) (p Probe, bytes int, ok bool) {
	if !e.prober.sending {
		return Probe{}, 0, false
	}
	bytes = e.prober.due(now, e.log)
	return e.prober.probe, bytes, e.prober.sending
}

// Target is how much may be sent in bits a second, whole SRTP packets counted. It is below
// the estimate while a queue stands that has to drain: the further the deeper it is, and the
// longer that takes, so that none stays as it is because of the target itself.
func (e *Estimator) Target() int64 {
	d := e.queue.standing() - e.queue.noise - deep
	stood := time.Duration(e.heard-e.deepAt) - deepSpan
	if d <= 0 || e.deepAt == 0 || stood <= 0 || e.others > 0 {
		return int64(e.estimate)
	}
	return int64(max(e.estimate*max(0.5, 1-d/300-drain*stood.Seconds()), float64(e.config.Min)))
}

// Room is how much may be given out: more than the target while nothing says that the path
// does not take that. Where it was full it is to stay below.
func (e *Estimator) Room() int64 {
	target := e.Target()
	if target < int64(e.estimate) {
		return target
	}
	room := generous * e.estimate
	if e.full > 0 {
		room = min(room, decrease*e.full)
	}
	return max(target, int64(room))
}

// Crowded says whether a deep queue stands, or has just drained.
func (e *Estimator) Crowded() bool { return e.heard-e.deepEnd < int64(crowdedSpan) }

// Overflows says whether more is sent than the path takes, and not only for a moment: a
// deep queue has stood for long, and loses packets, or grows.
func (e *Estimator) Overflows() bool {
	if e.deepAt == 0 || e.heard-e.deepAt <= int64(overflowSpan) {
		return false
	}
	return e.level.rising || e.loss.excess() > lossTolerated || e.loss.average-e.loss.inherent > lossTolerated/2
}

// Estimate is what the path is held to take in bits a second.
func (e *Estimator) Estimate() int64 { return int64(e.estimate) }

// Throughput is what came through of late in bits a second.
func (e *Estimator) Throughput() int64 { return int64(e.queue.throughput()) }

// State is for those who look on.
type State struct {
	Estimate, Target, Throughput int64 // bits a second
	RTT, Queue                   time.Duration
	Loss, InherentLoss           float64
	Counts                       Counts
}

// State of the estimator now.
func (e *Estimator) State() State {
	return State{
		Estimate: e.Estimate(), Target: e.Target(), Throughput: e.Throughput(),
		RTT: e.rtt, Queue: time.Duration(e.queue.standing() * float64(time.Millisecond)),
		Loss: e.loss.average, InherentLoss: e.loss.inherent, Counts: e.counts,
	}
}
