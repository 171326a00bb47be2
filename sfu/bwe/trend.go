package bwe

import (
	"math"
	"time"
)

// The filter of draft-ietf-rmcat-gcc-02 as Chromium has it since 2016: the slope of a line
// through the smoothed delays of the latest groups, instead of a Kalman filter.
const (
	trendWindow    = 20  // groups
	trendSmoothing = 0.9 // of the past
	trendGain      = 4.0
	trendMax       = 60 // groups, for the gain

	overuseTime      = 10 * time.Millisecond
	thresholdStart   = 12.5 // ms
	thresholdMin     = 6.0
	thresholdMax     = 600.0
	thresholdMaxStep = 15.0 // beyond which an outlier does not move the threshold
	thresholdUp      = 0.0087
	thresholdDown    = 0.039
	thresholdMaxTime = 100.0 // ms
)

// usage is what the delay says of the path.
type usage int8

const (
	normal usage = iota
	underusing
	overusing
)

// trend watches how the one-way delay changes, in milliseconds.
type trend struct {
	points    [trendWindow]point
	count     int // groups so far
	epoch     int64
	delay     float64 // of the latest group, above that of the first
	smooth    float64
	slope     float64
	threshold float64
	moved     int64   // when the threshold was set
	over      float64 // for how long the slope has been too high, in ms
	times     int     // and for how many groups
	usage     usage
}

type point struct{ at, delay float64 }

// add takes one more group.
func (t *trend) add(s step) usage {
	if t.count == 0 {
		t.epoch, t.threshold, t.moved = s.at, thresholdStart, s.at
	}
	t.delay += milliseconds(s.arrived - s.sent)
	t.smooth = trendSmoothing*t.smooth + (1-trendSmoothing)*t.delay
	t.points[t.count%trendWindow] = point{milliseconds(time.Duration(s.at - t.epoch)), t.smooth}
	t.count++
	before := t.slope
	if t.count >= trendWindow {
		t.slope = slope(t.points[:])
	}
	t.detect(milliseconds(s.sent), before, s.at)
	return t.usage
}

// slope is that of the line with the least squares.
func slope(points []point) float64 {
	var at, delay float64
	for _, p := range points {
		at += p.at
		delay += p.delay
	}
	at, delay = at/float64(len(points)), delay/float64(len(points))
	var over, under float64
	for _, p := range points {
		over += (p.at - at) * (p.delay - delay)
		under += (p.at - at) * (p.at - at)
	}
	if under == 0 {
		return 0
	}
	return over / under
}

// detect compares the slope with the threshold (Section 5.4).
func (t *trend) detect(sent, before float64, at int64) {
	if t.count < 2 {
		return
	}
	m := min(float64(t.count), trendMax) * t.slope * trendGain
	switch {
	case m > t.threshold:
		t.over += sent
		t.times++
		if t.over > milliseconds(overuseTime) && t.times > 1 && t.slope >= before {
			t.over, t.times, t.usage = 0, 0, overusing
		}
	case m < -t.threshold:
		t.over, t.times, t.usage = 0, 0, underusing
	default:
		t.over, t.times, t.usage = 0, 0, normal
	}
	t.adapt(math.Abs(m), at)
}

// adapt lets the threshold follow the slope, so that flows that fill the queue do not
// starve this one.
func (t *trend) adapt(m float64, at int64) {
	elapsed := min(milliseconds(time.Duration(at-t.moved)), thresholdMaxTime)
	t.moved = at
	if m > t.threshold+thresholdMaxStep {
		return
	}
	gain := thresholdUp
	if m < t.threshold {
		gain = thresholdDown
	}
	t.threshold = min(max(t.threshold+gain*(m-t.threshold)*elapsed, thresholdMin), thresholdMax)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// rate of so many bytes in a time, in bits a second; 0 if that is none.
func rate(bytes int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(bytes) * 8 / d.Seconds()
}
