package bwe

import (
	"math"
	"testing"
	"time"
)

// burst sends a probe over a bottleneck and gives what it proves. tick is how often the
// caller looks what is due.
func burst(rate float64, bottleneck float64, tick time.Duration, lose func(i int) bool) (outcome, int) {
	log := NewSentLog(256)
	now := int64(time.Second)
	log.Add(now, 999) // from before
	var p prober
	p.start(now, rate, probeSpan, log)
	free, sent := now, 0
	for ; p.sending; now += int64(tick) {
		for due := p.due(now, log); due > 0; due -= p.probe.Size {
			log.Add(now, p.probe.Size)
			sent += p.probe.Size
		}
	}
	log.Add(now, 999) // from after
	for n := uint64(0); n < log.Count(); n++ {
		s, _ := log.Get(n, now)
		free = max(free, s.At) + int64(float64(s.Size)*8/bottleneck*1e9)
		p.add(&Acked{Sent: s, Received: lose == nil || !lose(int(n)), Arrival: free + int64(time.Minute)})
	}
	if !p.complete(now, 0) {
		panic("not complete though all is known")
	}
	return p.conclude(0), sent
}

func TestProbe(t *testing.T) {
	for _, rate := range []float64{100e3, 600e3, 2e6, 10e6} {
		for _, tick := range []time.Duration{ms, 5 * ms, 10 * ms} {
			for _, share := range []float64{0.3, 0.7, 0.99, 2, 100} {
				o, sent := burst(rate, share*rate, tick, nil)
				want := min(share, 1) * rate
				if !o.ok || math.Abs(o.proven-want) > 0.2*want {
					t.Errorf("probe of %.0f every %v, bottleneck %.0f: proved %.0f (sent at %.0f)", rate, tick, share*rate, o.proven, o.sent)
				}
				if full := share < 0.9; o.full != full && math.Abs(share-0.9) > 0.1 {
					t.Errorf("probe of %.0f every %v, bottleneck %.0f: full %t", rate, tick, share*rate, o.full)
				}
				most := 1.5*rate/8*(probeSpan+2*tick).Seconds() + (probePackets+2)*max(probeMinSize, rate*probeSpan.Seconds()/8/probePackets)
				if float64(sent) > most {
					t.Errorf("probe of %.0f every %v took %d bytes", rate, tick, sent)
				}
			}
		}
	}
}

// TestUnevenProbe: a frame that is sent at the end of a probe fills the path, which took all
// before it. Then what came on average is not what the path takes.
func TestUnevenProbe(t *testing.T) {
	const bottleneck = 3e6
	log := NewSentLog(256)
	now := int64(time.Second)
	var p prober
	p.start(now, 1.5e6, probeSpan, log)
	free := now
	for began := now; p.sending; now += int64(5 * ms) {
		for due := p.due(now, log); due > 0; due -= p.probe.Size {
			log.Add(now, p.probe.Size)
		}
		if now-began == int64(25*ms) {
			for range 4 {
				log.Add(now, 1100)
			}
		}
	}
	for n := uint64(0); n < log.Count(); n++ {
		s, _ := log.Get(n, now)
		free = max(free, s.At) + int64(float64(s.Size)*8/bottleneck*1e9)
		p.add(&Acked{Sent: s, Received: true, Arrival: free})
	}
	if o := p.conclude(0); !o.ok || o.proven > 1.02*bottleneck || o.full && o.most < 0.8*bottleneck {
		t.Errorf("over %.0f: %+v", bottleneck, o)
	}
}

func TestProbeWithLoss(t *testing.T) {
	o, _ := burst(2e6, 100e6, 5*ms, func(i int) bool { return i%5 == 2 })
	if !o.ok || o.proven < 1.4e6 {
		t.Errorf("a fifth was lost at random: proved %.0f, %t", o.proven, o.ok)
	}
	if o, _ = burst(2e6, 100e6, 5*ms, func(i int) bool { return i > 3 }); o.ok {
		t.Errorf("nearly all was lost: proved %.0f", o.proven)
	}
}

// TestProbeEnds: a caller that sends nothing, or a receiver that reports nothing, ends a
// probe all the same.
func TestProbeEnds(t *testing.T) {
	log := NewSentLog(64)
	var p prober
	p.start(0, 1e6, probeSpan, log)
	now := int64(0)
	for ; p.sending && now < int64(time.Second); now += int64(ms) {
		p.due(now, log)
	}
	if p.sending {
		t.Error("a probe of which nothing is sent goes on")
	}
	log.Add(now, 100)
	p.start(now, 1e6, probeSpan, log)
	log.Add(now, 5000)
	for p.sending {
		now += int64(ms)
		p.due(now, log)
	}
	if p.complete(now, 100*ms) || !p.complete(now+int64(time.Second), 100*ms) {
		t.Error("a probe that is not answered ends after a second")
	}
	if s, ok := log.Get(log.Count()-1, now); !ok || s.Cluster != p.probe.Cluster {
		t.Errorf("%+v is not of the probe", s)
	}
	log.Add(now, 1)
	if s, _ := log.Get(log.Count()-1, now); s.Cluster != 0 {
		t.Error("packets after the probe belong to it")
	}
}

// TestProbePauses: failures make pauses longer, up to a bound; proof and new wishes
// shorter.
func TestProbePauses(t *testing.T) {
	var p probePlan
	now := int64(time.Minute)
	last := time.Duration(0)
	for range 10 {
		p.failed(now)
		if pause := time.Duration(p.at - now); pause < last || pause > probeLongest {
			t.Errorf("pause of %v after %v", pause, last)
		} else {
			last = pause
		}
		now = p.at
	}
	if last != probeLongest {
		t.Errorf("longest pause %v, want %v", last, probeLongest)
	}
	p.failed(now)
	p.wanted(now, 2e6, 1e6)
	if p.at-now > int64(probeFirst) {
		t.Errorf("a new wish waits %v", time.Duration(p.at-now))
	}
	p.succeeded(now, true)
	if p.at != now || !p.leap {
		t.Error("after proof the next probe waits")
	}
	p.fell(now + int64(second))
	if p.at-now < int64(second+probeFirst) || p.leap {
		t.Error("a cut right after a proof counts as its failure")
	}
}
