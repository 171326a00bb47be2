package client

import "time"

// How many layers of a simulcast to send. Layers that the path does not bear stop at
// once; whether it bears one more again a train of padding finds out, not live video:
// a layer too many takes the others with it.
const (
	// congestedRounds is how many congested intervals in a row stop a layer although what
	// arrives is as much as all are said to take.
	congestedRounds = 3
	// A train takes trainLength at the rate to be proved, and loses at most trainLoss.
	trainLength = 30 * time.Millisecond
	trainLoss   = 0.2
	leastTrain  = 5 // packets
	// probeMargin is how much more than the layers take has to be proved.
	probeMargin = 1.2
	// layerRatio is what a layer of which nothing was sent yet is taken for, of those below.
	layerRatio = 3
	// Probes come a pause apart, twice as long after each that fails, and each layer that
	// was too much after all.
	minPause = time.Second
	maxPause = 3 * time.Second
	// trial is how long a layer is new, and the time until the one above is probed for.
	trial = 500 * time.Millisecond
	// probeTimeout is when feedback on a train comes no more.
	probeTimeout = time.Second
)

// train is a probe: packets of padding, sent at once, of which it matters how far apart
// they arrive.
type train struct {
	live        bool // under way
	sent        int  // packets, or to be sent
	got, lost   int
	bits        float64 // of what arrived after the first
	first, last time.Duration
}

func (t *train) settle(size int, received bool, arrival time.Duration) {
	switch {
	case !received:
		t.lost++
		return
	case t.got == 0:
		t.first, t.last = arrival, arrival
	default:
		t.bits += 8 * float64(size)
		t.first, t.last = min(t.first, arrival), max(t.last, arrival)
	}
	t.got++
}

// over says whether all that was sent is accounted for.
func (t *train) over() bool { return t.sent > 0 && t.got+t.lost >= t.sent }

// proves says whether the path took the train at a rate in bits a second.
func (t *train) proves(rate float64) bool {
	return t.over() && float64(t.lost) <= trainLoss*float64(t.sent) && t.bits >= rate*(t.last-t.first).Seconds()
}

// layerPolicy decides how many layers are sent. It knows no clock.
type layerPolicy struct {
	layers, allowed int
	bytes           [maxLayers]int     // written since the last measure
	rates           [maxLayers]float64 // bits a second, while a layer is sent; 0: not known
	rounds          int                // congested intervals in a row without consequence
	pause           time.Duration
	probeAt         time.Time // the next one, or when the one under way was sent
	raisedAt        time.Time
}

func newLayerPolicy(layers int) layerPolicy {
	return layerPolicy{layers: layers, allowed: layers, pause: minPause}
}

// measure takes what the layers have sent in a time.
func (p *layerPolicy) measure(took time.Duration) {
	for i, bytes := range p.bytes {
		rate := 8 * float64(bytes) / took.Seconds()
		switch {
		case p.rates[i] == 0:
			p.rates[i] = rate
		case rate > p.rates[i]/2: // else it was sent for a part of the time
			p.rates[i] += (rate - p.rates[i]) / 4
		}
	}
	p.bytes = [maxLayers]int{}
}

// takes is what so many layers take, in bits a second.
func (p *layerPolicy) takes(layers int) (sum float64) {
	for _, rate := range p.rates[:min(layers, maxLayers)] {
		if rate == 0 {
			rate = layerRatio * sum
		}
		sum += rate
	}
	return sum
}

// decide takes what an interval showed.
func (p *layerPolicy) decide(s uplinkSummary, congested bool, now time.Time) {
	if !congested {
		if s.took < slowInterval {
			p.rounds = 0
		}
		return
	}
	if p.allowed == 1 {
		p.probeAt = later(p.probeAt, now.Add(minPause))
		return
	}
	fit := p.allowed - 1
	for fit > 1 && p.takes(fit) > float64(s.rate) {
		fit--
	}
	if p.rounds++; p.takes(p.allowed) <= float64(s.rate) && p.rounds < congestedRounds {
		return
	}
	p.stop(fit, now)
}

// stop sends so many layers from now on.
func (p *layerPolicy) stop(layers int, now time.Time) {
	if now.Sub(p.raisedAt) < 2*maxPause {
		p.backOff()
	}
	p.allowed, p.rounds = layers, 0
	p.probeAt = now.Add(p.pause)
}

func (p *layerPolicy) backOff() { p.pause = min(2*p.pause, maxPause) }

// probe is how many bits to send at once to see whether one more layer fits; 0 for none.
func (p *layerPolicy) probe(now time.Time) float64 {
	if p.allowed >= p.layers || now.Before(p.probeAt) || p.takes(1) == 0 {
		return 0
	}
	p.probeAt = now.Add(probeTimeout) // if nothing is heard of it
	return p.wanted() * trainLength.Seconds()
}

// wanted is the rate that has to be proved for one more layer.
func (p *layerPolicy) wanted() float64 { return probeMargin * p.takes(p.allowed+1) }

// settle takes what has become of a train.
func (p *layerPolicy) settle(t *train, now time.Time) {
	if !t.live || !t.over() && now.Before(p.probeAt) {
		return
	}
	proved := t.proves(p.wanted())
	*t = train{}
	switch {
	case p.allowed >= p.layers:
	case proved:
		p.allowed++
		p.raisedAt, p.pause, p.probeAt = now, minPause, now.Add(trial)
	default:
		p.backOff()
		p.probeAt = later(p.probeAt, now.Add(p.pause))
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
