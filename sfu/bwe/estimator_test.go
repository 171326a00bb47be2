package bwe

import "testing"

// known gives an estimator that has heard at now of so many bytes a second that came.
func known(now int64, estimate float64, bytes int) *Estimator {
	e := New(Config{Start: int64(estimate), Min: 50e3, Max: 20e6}, NewSentLog(64))
	e.heard, e.newest, e.deepEnd = now, now, now-int64(second)
	e.queue.count = 1
	e.queue.lately = stretch{size: int(float64(bytes) * rateSpan.Seconds()), sent: rateSpan}
	return e
}

// TestRoom: more than the estimate is given out until the path was full, then no more than stays
// below that; of a queue that has to drain, no more than lets it.
func TestRoom(t *testing.T) {
	e := known(int64(second), 1e6, 0)
	for _, tt := range []struct {
		full float64
		want int64
	}{{0, 1_250_000}, {1.2e6, 1_020_000}, {1.1e6, 1_000_000}, {3e6, 1_250_000}} {
		if e.full = tt.full; e.Room() != tt.want {
			t.Errorf("full at %.0f: %d, want %d", tt.full, e.Room(), tt.want)
		}
	}
	e.full, e.deepAt = 0, 1
	e.queue.middles = [2]float64{200, 200}
	if target := e.Target(); target >= 1e6 || e.Room() != target {
		t.Errorf("%d of a target of %d while a deep queue stands", e.Room(), target)
	}
	if e.others = 300e3; e.Target() != 1e6 {
		t.Errorf("target %d, though the queue is that of others", e.Target())
	}
}

// TestCrowded: a deep queue counts for half a second after it.
func TestCrowded(t *testing.T) {
	e := known(int64(second), 1e6, 0)
	for _, ago := range []int64{0, int64(400 * ms)} {
		if e.deepEnd = e.heard - ago; !e.Crowded() {
			t.Errorf("not %v after it was deep", ago)
		}
	}
	if e.deepEnd = e.heard - int64(600*ms); e.Crowded() {
		t.Error("still, 600 ms after it was deep")
	}
}

// TestThrough: what is lost at any rate counts as carried, when the estimate grows and when it is cut.
func TestThrough(t *testing.T) {
	e := known(int64(second), 3e6, 100_000)
	if e.loss.inherent = 0.2; e.through() != 1e6 {
		t.Errorf("%.0f of 800 kbit/s and a fifth lost", e.through())
	}
	e.queue = queue{}
	for i := range 20 { // 10 ms each, while the queue fills
		e.queue.add(step{sent: 5 * ms, at: int64(i) * int64(10*ms), size: 1000}, 5*float64(i))
	}
	if e.cut(int64(second)); e.Estimate() != 850_000 {
		t.Errorf("%d after a cut at 800 kbit/s, with a fifth lost", e.Estimate())
	}
}

// TestCutOnce: while reports are of what was sent before a cut, only far less is another one; what probes
// have told of loss is over.
func TestCutOnce(t *testing.T) {
	e := known(int64(second), 1e6, 0)
	e.loss.try(3e6, 20, 4)
	e.cutTo(int64(second), 1e6)
	if e.Estimate() != 850_000 || e.loss.probed.packets != 0 {
		t.Errorf("%d after a cut, probed %+v", e.Estimate(), e.loss.probed)
	}
	if e.cutTo(int64(second+50*ms), 800e3); e.Estimate() != 850_000 {
		t.Errorf("%d after the same queue again", e.Estimate())
	}
	if e.cutTo(int64(second+50*ms), 600e3); e.Estimate() != 510_000 {
		t.Errorf("%d after far less came", e.Estimate())
	}
	e.newest = int64(2 * second)
	if e.cutTo(int64(2*second), 590e3); e.Estimate() != 501_500 {
		t.Errorf("%d after another queue", e.Estimate())
	}
}

// TestLonger: what comes through a path that has become longer is the estimate, if it is more.
func TestLonger(t *testing.T) {
	e := known(int64(second), 1e6, 250_000)
	e.full = 1e6
	if e.lengthen(int64(second)); e.Estimate() != 2_000_000 || e.Full() {
		t.Errorf("%d, full %t", e.Estimate(), e.Full())
	}
}

// TestOverflows: a queue overflows once it has been deep for a second, and loses packets or grows.
func TestOverflows(t *testing.T) {
	e := known(int64(10*second), 1e6, 0)
	e.level.rising = true
	for _, tt := range []struct {
		deepAt int64
		want   bool
	}{{0, false}, {int64(9500 * ms), false}, {int64(8 * second), true}} {
		if e.deepAt = tt.deepAt; e.Overflows() != tt.want {
			t.Errorf("deep since %d: %t", tt.deepAt, e.Overflows())
		}
	}
	if e.level.rising = false; e.Overflows() {
		t.Error("a queue that neither grows nor loses overflows")
	}
	if e.loss.average = 0.06; !e.Overflows() {
		t.Error("a deep queue that loses does not overflow")
	}
}
