package bwe

import "time"

const (
	// probeSpan is how long a probe lasts: five groups at least.
	probeSpan = 30 * time.Millisecond
	// probeLead is what the first run is for: about as much as those that follow.
	probeLead = 8 * time.Millisecond
	// probePackets are sent at least, of probeSizes bytes.
	probePackets = 6
	probeMinSize = 200
	probeMaxSize = 1200
	// probePatience is how long the feedback on a probe may take, beside the round trip.
	probePatience = 500 * time.Millisecond
	// probeLeast is the share of a probe that must have come.
	probeLeast = 0.5
)

// Probe is a burst that is to prove a rate. See [Estimator.Probe].
type Probe struct {
	Cluster Cluster
	Rate    int64 // bits a second
	Size    int   // bytes that a packet of padding should have, header and all
}

// prober sends one probe at a time and reads what came of it. The zero value is ready.
type prober struct {
	sending bool
	waiting bool // for feedback: without it nothing else is of interest
	probe   Probe
	last    Cluster
	started int64
	span    time.Duration
	first   uint64 // number of the first packet
	end     uint64 // of the first after it, once it is sent
	runs    []group
	came    int
	lost    int
}

// start begins a probe. The packets that follow belong to it.
func (p *prober) start(now int64, rate float64, span time.Duration, log *SentLog) {
	p.last = p.last%MaxCluster + 1
	size := rate * span.Seconds() / 8 / probePackets
	p.probe = Probe{Cluster: p.last, Rate: int64(rate), Size: int(min(max(size, probeMinSize), probeMaxSize))}
	p.started, p.span, p.first = now, span, log.Count()
	p.sending, p.waiting = true, true
	p.runs, p.came, p.lost = p.runs[:0], 0, 0
	log.SetCluster(p.last)
}

// due is how many bytes are to be sent now, so that all that is sent has the probe's
// rate. When enough was sent the probe ends.
func (p *prober) due(now int64, log *SentLog) int {
	sent, packets := p.sent(now, log)
	elapsed := now - p.started
	goal := int(float64(p.probe.Rate) * time.Duration(elapsed+int64(probeLead)).Seconds() / 8)
	if elapsed >= int64(p.span) && packets >= probePackets && sent >= int(float64(p.probe.Rate)*p.span.Seconds()/8) || elapsed > int64(5*p.span) {
		p.sending, p.end = false, log.Count()
		log.SetCluster(0)
		return 0
	}
	return max(0, max(goal, p.probe.Size)-sent)
}

// sent counts what has gone out since the probe began.
func (p *prober) sent(now int64, log *SentLog) (bytes, packets int) {
	for n := max(p.first, log.oldest()); n < log.Count(); n++ {
		if s, ok := log.Get(n, now); ok {
			bytes += s.Size
			packets++
		}
	}
	return bytes, packets
}

// skip is told which packet was reported first of all: the receiver was not there yet for
// those before it.
func (p *prober) skip(first uint64) {
	if p.waiting {
		p.first = max(p.first, first)
	}
}

// add takes a packet of the probe.
func (p *prober) add(a *Acked) {
	if !p.waiting || a.Cluster != p.probe.Cluster || a.Number < p.first {
		return
	}
	if !a.Received {
		p.lost++
		return
	}
	if a.Recovered {
		p.lost--
	}
	p.came++
	if n := len(p.runs); n > 0 && a.At-p.runs[n-1].first < int64(time.Millisecond) {
		r := &p.runs[n-1]
		r.last, r.end, r.size = max(r.last, a.At), max(r.end, a.Arrival), r.size+a.Size
		return
	}
	p.runs = append(p.runs, group{first: a.At, last: a.At, begin: a.Arrival, end: a.Arrival, size: a.Size})
}

// complete says whether all of the probe is known, or time is up.
func (p *prober) complete(now int64, rtt time.Duration) bool {
	if !p.waiting || p.sending {
		return false
	}
	return p.came+p.lost >= int(p.end-p.first) || now-p.started > int64(p.span+2*rtt+probePatience)
}

// outcome of a probe, in bits a second.
type outcome struct {
	sent, proven float64
	// full says that less came in than went out: the path takes no more than most, which is
	// what came in of half of the probe or more at the highest rate. What is sent beside a
	// probe makes it uneven: its end may fill the path, and its beginning not.
	full bool
	most float64
	ok   bool
}

// conclude ends the probe. What follows the first run was sent so that it makes up for the
// time since: so both rates are of all that follows it. usual is the share of packets that
// is lost in any case.
func (p *prober) conclude(usual float64) (o outcome) {
	p.waiting = false
	total := p.came + p.lost
	n := len(p.runs)
	if n < 3 || total < probePackets-2 || float64(p.came) < probeLeast*float64(total) {
		return outcome{sent: float64(p.probe.Rate)}
	}
	size := 0
	for _, r := range p.runs {
		size += r.size
	}
	first, last := p.runs[0], p.runs[n-1]
	sent, came := time.Duration(last.first-first.first), time.Duration(last.end-first.end)
	if sent <= 0 || came <= 0 {
		return outcome{sent: float64(p.probe.Rate)}
	}
	o.ok = true
	o.sent = rate(size-first.size, sent)
	o.proven = rate(size-first.size, came)
	o.most = p.most(size - first.size)
	excess := float64(p.lost)/float64(total) - usual
	if excess > 0.25 && p.lost > 2 {
		o.proven *= 1 - excess
		o.most = o.proven
	}
	o.full = o.most < 0.9*o.sent
	o.proven = min(o.proven, o.sent)
	return o
}

// most is the highest rate at which part of size bytes came that is at least half of them.
func (p *prober) most(size int) (bits float64) {
	for i := range p.runs {
		part := 0
		for j := i + 1; j < len(p.runs); j++ {
			part += p.runs[j].size
			if 2*part >= size {
				bits = max(bits, rate(part, time.Duration(p.runs[j].end-p.runs[i].end)))
			}
		}
	}
	return bits
}
