package impair

import (
	"math"
	"testing"
	"time"
)

const packets = 200_000

// run sends equal packets at equal distances, and gives their deliveries.
func run(c Conditions, n, size int, every time.Duration) (*Link, [][]int64) {
	l := NewLink(1, c)
	all := make([][]int64, n)
	for i := range all {
		at, copies := l.Send(int64(i)*int64(every), size)
		all[i] = at[:copies]
	}
	return l, all
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s: %.4f, want %.4f +- %.4f", what, got, want, tolerance)
	}
}

func TestNoConditions(t *testing.T) {
	l, all := run(Conditions{}, 1000, 1200, time.Millisecond)
	for i, at := range all {
		if len(at) != 1 || at[0] != int64(i)*int64(time.Millisecond) {
			t.Fatalf("packet %d is delivered at %v", i, at)
		}
	}
	if c := l.Counts(); c != (Counts{Sent: 1000}) {
		t.Errorf("counts %+v", c)
	}
}

func TestLoss(t *testing.T) {
	for _, test := range []struct{ loss, burst float64 }{{0.01, 0}, {0.2, 1}, {0.05, 4}, {0.2, 10}, {1, 3}} {
		l, all := run(Conditions{Loss: test.loss, Burst: test.burst}, packets, 1200, time.Millisecond)
		lost, runs := 0, 0
		for i, at := range all {
			if len(at) == 0 {
				lost++
				if i == 0 || len(all[i-1]) > 0 {
					runs++
				}
			}
		}
		if uint64(lost) != l.Counts().Lost {
			t.Errorf("%d lost, counted %d", lost, l.Counts().Lost)
		}
		near(t, "loss", float64(lost)/packets, test.loss, 0.1*test.loss)
		if test.burst > 1 && test.loss < 1 {
			near(t, "burst", float64(lost)/float64(runs), test.burst, 0.1*test.burst)
		}
	}
}

func TestDelayAndJitterKeepOrder(t *testing.T) {
	c := Conditions{Delay: 100 * time.Millisecond, Jitter: 30 * time.Millisecond}
	_, all := run(c, 10_000, 1200, time.Millisecond)
	last, most := int64(0), int64(0)
	for i, at := range all {
		took := at[0] - int64(i)*int64(time.Millisecond)
		if took < int64(c.Delay) || took > int64(c.Delay+c.Jitter) || at[0] < last {
			t.Fatalf("packet %d took %s, after one that came at %s", i, time.Duration(took), time.Duration(last))
		}
		last, most = at[0], max(most, took)
	}
	if most < int64(c.Delay+c.Jitter*9/10) {
		t.Errorf("the most was %s: hardly any jitter", time.Duration(most))
	}
}

func TestReorderAndDuplicate(t *testing.T) {
	c := Conditions{Delay: 50 * time.Millisecond, Reorder: 0.1, Duplicate: 0.05}
	l, all := run(c, packets, 1200, time.Millisecond)
	overtakers, twice := 0, 0
	for i, at := range all {
		if i > 0 && at[0] < all[i-1][0] {
			overtakers++
		}
		if len(at) == 2 {
			twice++
		}
	}
	near(t, "twice", float64(twice)/packets, 0.05, 0.005)
	near(t, "reordered", float64(l.Counts().Reordered)/packets, 0.1, 0.01)
	if overtakers < packets/20 {
		t.Errorf("%d packets overtook", overtakers)
	}
}

// TestRate sends twice what the bottleneck takes: it must pass what its rate says,
// hold no more than its queue, and come to rest when less is sent.
func TestRate(t *testing.T) {
	const size, rate = 1250, 1_000_000 // a packet takes 10 ms
	c := Conditions{Rate: rate, Queue: 100 * time.Millisecond, Delay: 20 * time.Millisecond}
	l, all := run(c, 2000, size, 5*time.Millisecond)
	passed := 0
	for i, at := range all {
		if len(at) == 0 {
			continue
		}
		passed++
		if took := time.Duration(at[0] - int64(i)*int64(5*time.Millisecond)); took > 135*time.Millisecond {
			t.Fatalf("packet %d took %s, more than queue, own time and delay", i, took)
		}
	}
	near(t, "passed", float64(passed), 1000, 15)
	if got := l.Counts().Overflowed; got != uint64(2000-passed) {
		t.Errorf("%d overflowed, %d did not pass", got, 2000-passed)
	}
	end := int64(2000 * 5 * time.Millisecond)
	if l.Backlog(end) < 90*time.Millisecond || l.Backlog(end+int64(time.Second)) != 0 {
		t.Errorf("backlog %s at the end, %s a second later", l.Backlog(end), l.Backlog(end+int64(time.Second)))
	}
	l.Set(Conditions{})
	if at, n := l.Send(end, size); n != 1 || at[0] < end {
		t.Errorf("after the limit is lifted: %v, %d", at, n)
	}
}

func TestSameSeedSameNetwork(t *testing.T) {
	c := Conditions{Loss: 0.1, Burst: 3, Delay: time.Millisecond, Jitter: time.Millisecond, Reorder: 0.1, Duplicate: 0.1}
	a, _ := run(c, 1000, 100, time.Millisecond)
	b, _ := run(c, 1000, 100, time.Millisecond)
	if a.Counts() != b.Counts() {
		t.Errorf("%+v and %+v", a.Counts(), b.Counts())
	}
}

func BenchmarkSend(b *testing.B) {
	l := NewLink(1, Conditions{Loss: 0.01, Delay: time.Millisecond, Jitter: time.Millisecond, Rate: 1 << 30})
	now := int64(0)
	for b.Loop() {
		l.Send(now, 1200)
		now += 1e6
	}
}
