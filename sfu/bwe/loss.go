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
// that follows is the experiment that decides.
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
	// lossAging weighs a window against the next one.
	lossAging = 0.93
	// lossMost is the highest inherent share that is thought of.
	lossMost = 0.45
)

// observation is a stretch of time.
type observation struct {
	packets, lost, bytes int
	first, last          int64 // sent
}

func (o *observation) span() time.Duration { return time.Duration(o.last - o.first) }

func (o *observation) rate() float64 {
	return float64(o.bytes) * 8 / max(o.span(), time.Millisecond).Seconds()
}

// lossModel holds the latest observations. The zero value is ready.
type lossModel struct {
	open     observation
	windows  [lossWindows]observation
	count    int
	inherent float64 // share that was proven to be lost at any rate
}

// add takes one packet. It is true when a window is complete: time to judge.
func (m *lossModel) add(a Acked) bool {
	o := &m.open
	if a.Recovered {
		o.lost = max(0, o.lost-1)
		return false
	}
	complete := o.packets >= lossWindowMin && a.At-o.first >= int64(lossWindowSpan)
	if complete {
		o.last = a.At
		m.windows[m.count%lossWindows] = *o
		m.count++
		*o = observation{}
	}
	if o.packets == 0 {
		o.first = a.At
	}
	o.packets++
	o.bytes += a.Size
	o.last = max(o.last, a.At)
	if !a.Received {
		o.lost++
	}
	return complete
}

// average is the share that is lost, newer windows counting more.
func (m *lossModel) average() float64 {
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

// judge says what bandwidth the losses speak of, infinite if of none, and whether loss is
// proven to be inherent.
func (m *lossModel) judge() (bandwidth float64, proven bool) {
	average := m.average()
	if average < lossIgnored {
		m.inherent = min(m.inherent, average)
		return math.Inf(1), true
	}
	free := explanation{bandwidth: math.Inf(1), inherent: min(average, lossMost)}
	free.score, free.spread = m.likelihood(free.bandwidth, free.inherent)
	bound := explanation{score: math.Inf(-1)}
	low, high := m.rates()
	for b := 0.95 * high; b > low*(1-average)*0.8; b *= 0.93 {
		if e := m.best(b); e.score-m.doubt(e) > bound.score-m.doubt(bound) {
			bound = e
		}
	}
	// Bursts of loss make chance wilder than independent losses: all scores count less.
	scale := max(1, min(free.spread, bound.spread))
	if (bound.score-free.score)/scale+m.doubt(free)-m.doubt(bound) > lossMargin {
		return bound.bandwidth, false
	}
	m.inherent = free.inherent
	return math.Inf(1), true
}

// doubt is what speaks against so much inherent loss, in nats.
func (m *lossModel) doubt(e explanation) float64 {
	return lossDoubt * max(0, e.inherent-max(lossTolerated, 1.3*m.inherent))
}

// rates are the lowest and the highest at which something was seen.
func (m *lossModel) rates() (low, high float64) {
	low = math.Inf(1)
	for i := range min(m.count, lossWindows) {
		r := m.windows[i].rate()
		low, high = min(low, r), max(high, r)
	}
	return low, high
}

// best is the inherent share that goes best with a bandwidth.
func (m *lossModel) best(bandwidth float64) explanation {
	best := explanation{bandwidth: bandwidth, score: math.Inf(-1)}
	likeliest := math.Inf(-1)
	for p0 := 0.005; p0 < lossMost; p0 *= 1.25 {
		if score, spread := m.likelihood(bandwidth, p0); score-m.doubt(explanation{inherent: p0}) > likeliest {
			best.inherent, best.score, best.spread = p0, score, spread
			likeliest = score - m.doubt(best)
		}
	}
	return best
}

func (m *lossModel) likelihood(bandwidth, p0 float64) (score, spread float64) {
	n := min(m.count, lossWindows)
	weight := 1.0
	for i := m.count - 1; i >= m.count-n; i-- {
		o := &m.windows[i%lossWindows]
		p := min(p0+(1-p0)*max(0, 1-bandwidth/o.rate()), 0.99)
		packets, lost := float64(o.packets), float64(o.lost)
		score += weight * (lost*math.Log(p) + (packets-lost)*math.Log(1-p))
		spread += (lost - packets*p) * (lost - packets*p) / (packets * p * (1 - p))
		weight *= lossAging
	}
	return score, spread / float64(max(1, n-1))
}
