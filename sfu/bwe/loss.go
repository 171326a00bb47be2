package bwe

import (
	"math"
	"time"
)

// The loss-based part. A path that loses packets at random loses the same share whatever
// is sent; one that is full loses what is sent above its bandwidth B. So with an inherent
// share p0 a packet that is sent while the rate is r is lost with the probability
//
//	p(r) = p0 + (1 - p0) * max(0, 1 - B/r)
//
// and the likelihood of what was seen at different rates tells which B and p0 explain it
// (Chromium's loss-based estimator does so since 2022). Where the rate was always the
// same nothing tells them apart: then much loss counts as a full path, and the lower rate
// that follows is the experiment that decides. A probe is the opposite experiment, made
// already: of what is sent at three times the rate the same share is lost, or more is.
const (
	lossWindows    = 20
	lossWindowSpan = 300 * time.Millisecond
	lossWindowMin  = 10 // packets
	// lossIgnored is the share below which loss means nothing; lossTolerated the one up to
	// which it is held for inherent where nothing tells.
	lossIgnored   = 0.02
	lossTolerated = 0.10
	// lossDoubt is what one unit of inherent loss above lossTolerated costs, in nats: 5 for
	// a share of 20 %.
	lossDoubt = 50.0
	// lossMargin is by how much, in nats, a full path must explain better what was seen.
	lossMargin = 3.0
	// lossProof is by how much inherent loss alone must explain it better to be proven.
	lossProof = 1.0
	// lossTrial is how many windows less is sent to see whether less is lost, the first
	// lossTrialStart of which do not count: they were sent before.
	lossTrial      = 9
	lossTrialStart = 1
	// probeWindows is for how many windows a probe counts: what it has told of inherent loss is
	// known then, and the path may have become another.
	probeWindows = 9
	// lossAging weighs a window against the next one.
	lossAging = 0.93
	// lossGrowth is how much above what was proven is believed as well.
	lossGrowth = 1.3
	// lossStep is from one bandwidth that is thought of to the next, lossSteps how many are
	// at most: down to an eighth of the highest rate.
	lossStep  = 0.9
	lossSteps = 20
	// lossMost is the highest inherent share that is thought of.
	lossMost = 0.45
)

// observation is a stretch of time.
type observation struct {
	packets, lost, bytes int32
	runs                 int32   // of packets that were lost one after another
	first                int64   // sent
	rate                 float64 // bits a second, once it is complete
}

// lossModel holds the latest observations. The zero value is ready.
type lossModel struct {
	open     observation
	count    int     // of complete ones
	average  float64 // share that is lost, newer windows counting more
	inherent float64 // share that is held to be lost at any rate
	proven   float64 // the same, where different rates have shown it
	// probed is what the latest probe has shown, of no packets if there was none, and probedAfter how many
	// windows were complete then.
	probed      observation
	probedAfter int
	// trial is the number of the window with which less began to be sent because of a
	// doubt, 0 for none; before is what was lost till then.
	trial   int
	before  float64
	missing bool // the latest packet is lost
	// windows are the latest, read only when one is complete.
	windows [lossWindows]observation
}

// add takes one packet. It is true when a window is complete: time to judge.
func (m *lossModel) add(a *Acked) bool {
	o := &m.open
	if a.Recovered {
		o.lost = max(0, o.lost-1)
		return false
	}
	complete := o.packets >= lossWindowMin && a.At-o.first >= int64(lossWindowSpan)
	if complete {
		o.rate = rate(int(o.bytes), time.Duration(a.At-o.first))
		m.windows[m.count%lossWindows] = *o
		m.count++
		m.average = m.share()
		*o = observation{}
	}
	if o.packets == 0 {
		o.first = a.At
	}
	o.packets++
	o.bytes += int32(a.Size)
	if !a.Received {
		o.lost++
		if !m.missing {
			o.runs++
		}
	}
	m.missing = !a.Received
	return complete
}

// forget is called when a probe has shown that the path takes more: what was lost before
// says nothing of it. What is proven to be inherent stays.
func (m *lossModel) forget() { m.open, m.count, m.average, m.trial = observation{}, 0, 0, 0 }

// try is told what was lost of a probe at a rate in bits a second that the path took: what is lost of
// it as of what is sent at lower rates is lost at any rate. Of one that filled the path nothing can be
// told: its queue has held what did not fit, or has lost it.
func (m *lossModel) try(rate float64, packets, lost int) {
	m.probed, m.probedAfter = observation{packets: int32(packets), lost: int32(lost), rate: rate}, m.count
}

// otherPath is told that the path takes less than it did: what a probe has shown is over.
func (m *lossModel) otherPath() { m.probed = observation{} }

// seen goes through what was seen, and what it weighs.
func (m *lossModel) seen(yield func(o *observation, weight float64) bool) {
	weight := 1.0
	for i := m.count - 1; i >= max(0, m.count-lossWindows); i-- {
		if !yield(&m.windows[i%lossWindows], weight) {
			return
		}
		weight *= lossAging
	}
	if age := m.count - m.probedAfter; m.probed.packets > 0 && age < probeWindows {
		yield(&m.probed, math.Pow(lossAging, float64(age)))
	}
}

// share is what is lost of all windows, newer ones counting more.
func (m *lossModel) share() float64 {
	packets, lost := 0.0, 0.0
	for i, weight := m.count-1, 1.0; i >= max(0, m.count-lossWindows); i, weight = i-1, weight*lossAging {
		o := &m.windows[i%lossWindows]
		packets += weight * float64(o.packets)
		lost += weight * float64(o.lost)
	}
	if packets == 0 {
		return 0
	}
	return lost / packets
}

// excess is how much more than usual was lost in the latest window.
func (m *lossModel) excess() float64 {
	if m.count == 0 {
		return 0
	}
	o := &m.windows[(m.count-1)%lossWindows]
	return float64(o.lost)/float64(o.packets) - m.inherent
}

// explanation of what was seen.
type explanation struct {
	bandwidth float64 // bits a second; infinite if the rate does not matter
	inherent  float64
	score     float64 // logarithm of the likelihood
	spread    float64 // how far what was seen is from it, 1 being what chance makes
}

// judge says what bandwidth the losses speak of, infinite if of none.
func (m *lossModel) judge() (bandwidth float64) {
	average := m.average
	if m.count >= lossTrial {
		m.proven = min(m.proven, lossGrowth*average)
	}
	if average < lossIgnored {
		m.inherent = min(m.inherent, average)
		return math.Inf(1)
	}
	believed := min(max(lossTolerated, lossGrowth*m.proven), lossMost)
	free := m.explain(math.Inf(1), lossMost)
	bound := m.bound(average, believed)
	m.decide(believed)
	// Bursts of loss make chance wilder than independent losses: all scores count less.
	clumps := m.clumps()
	margin := (bound.score - free.score) / max(clumps, min(free.spread, bound.spread))
	doubt := m.doubt(free, believed, clumps)
	if margin > lossMargin || m.trial == 0 && margin+doubt > lossMargin {
		m.begin(average)
		return bound.bandwidth
	}
	if m.trial != 0 {
		return bound.bandwidth
	}
	m.inherent = free.inherent
	if margin < -lossProof {
		m.proven = max(m.proven, free.inherent)
	}
	return math.Inf(1)
}

// clumps is by how many times the number of losses varies more than if each packet was lost for
// itself, 1 at least: by the mean length of a run of them, less what chance makes of it. As much less
// does that number tell.
func (m *lossModel) clumps() float64 {
	var packets, lost, runs int32
	for i := range min(m.count, lossWindows) {
		o := &m.windows[i]
		packets, lost, runs = packets+o.packets, lost+o.lost, runs+o.runs
	}
	run := float64(lost) / float64(max(runs, 1)) * float64(packets-lost) / float64(packets)
	return max(1, 2*run-1)
}

// doubt is what so much inherent loss costs, if it is more than may be believed, and no chance: of
// fifteen packets three are lost where a tenth is.
func (m *lossModel) doubt(free explanation, believed, clumps float64) float64 {
	tolerated := m.explain(math.Inf(1), believed)
	if (free.score-tolerated.score)/max(clumps, free.spread) <= lossProof {
		return 0
	}
	return lossDoubt * max(0, free.inherent-max(believed, lossGrowth*m.proven))
}

// begin begins a trial: less is sent now.
func (m *lossModel) begin(average float64) {
	if m.trial == 0 {
		m.trial, m.before = m.count, average
	}
}

// decide ends a trial: if about as much is lost as before, though less is sent, that much
// is lost at any rate.
func (m *lossModel) decide(believed float64) {
	if m.trial == 0 || m.count-m.trial < lossTrial {
		return
	}
	var packets, lost int32
	for i := m.trial + lossTrialStart; i < m.count; i++ {
		packets += m.windows[i%lossWindows].packets
		lost += m.windows[i%lossWindows].lost
	}
	if after := float64(lost) / float64(packets); after > (m.before+min(believed, m.before/2))/2 {
		m.proven = max(m.proven, min(m.before, after, lossMost))
	}
	m.trial = 0
}

// bound is the best explanation by a path that is full, and an inherent share that may be
// believed.
func (m *lossModel) bound(average, believed float64) explanation {
	bound := explanation{score: math.Inf(-1)}
	low, high := m.rates()
	b := 0.95 * high
	for n := 0; n < lossSteps && b > low*(1-average)*0.8; n++ {
		if e := m.explain(b, believed); e.score > bound.score {
			bound = e
		}
		b *= lossStep
	}
	return bound
}

// rates are the lowest and the highest of the windows: a bandwidth that is higher, though it may be
// below the rate of a probe, has made no packet of theirs be lost.
func (m *lossModel) rates() (low, high float64) {
	low = math.Inf(1)
	for i := range min(m.count, lossWindows) {
		r := m.windows[i].rate
		low, high = min(low, r), max(high, r)
	}
	return low, high
}

// explain finds the inherent share, up to most, that goes best with a bandwidth. The
// likelihood is concave in it, so its slope shows the way.
func (m *lossModel) explain(bandwidth, most float64) explanation {
	low, high := 0.001, most
	for range 6 {
		if middle := (low + high) / 2; m.slope(bandwidth, middle) > 0 {
			low = middle
		} else {
			high = middle
		}
	}
	e := explanation{bandwidth: bandwidth, inherent: (low + high) / 2}
	e.score, e.spread = m.likelihood(bandwidth, e.inherent)
	return e
}

// chance is the probability of a loss in a window.
func (o *observation) chance(bandwidth, p0 float64) float64 {
	return min(p0+(1-p0)*max(0, 1-bandwidth/o.rate), 0.99)
}

// slope is the derivative of the likelihood's logarithm by the inherent share.
func (m *lossModel) slope(bandwidth, p0 float64) (slope float64) {
	for o, weight := range m.seen {
		p := o.chance(bandwidth, p0)
		lost, came := float64(o.lost), float64(o.packets-o.lost)
		slope += weight * (1 - p) / (1 - p0) * (lost/p - came/(1-p))
	}
	return slope
}

// likelihood gives its logarithm, and how far what was seen is from what was to be
// expected.
func (m *lossModel) likelihood(bandwidth, p0 float64) (score, spread float64) {
	for o, weight := range m.seen {
		p := o.chance(bandwidth, p0)
		packets, lost := float64(o.packets), float64(o.lost)
		score += weight * (lost*math.Log(p) + (packets-lost)*math.Log1p(-p))
		spread += (lost - packets*p) * (lost - packets*p) / (packets * p * (1 - p))
	}
	return score, spread / float64(max(1, min(m.count, lossWindows)-1))
}
