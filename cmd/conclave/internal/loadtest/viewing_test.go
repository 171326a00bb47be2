package loadtest

import (
	"slices"
	"testing"
	"time"
)

// watch shows frames at milliseconds to a viewing of a 25 Hz video: negative times
// begin a phase.
func watch(times ...int) *viewing {
	v := &viewing{nominal: 40 * time.Millisecond}
	zero := time.Unix(1000, 0)
	index, began := 0, zero
	for _, ms := range times {
		at := zero.Add(time.Duration(max(ms, -ms)) * time.Millisecond)
		if ms < 0 {
			index, began = index+1, at
			continue
		}
		v.frame(at, index, began, 0, 0, 100)
	}
	return v
}

// every gives n times, 40 ms apart.
func every(from, n int) (times []int) {
	for i := range n {
		times = append(times, from+40*i)
	}
	return times
}

func TestFreezes(t *testing.T) {
	for _, test := range []struct {
		name            string
		times           []int
		freezes         uint64
		frozen, longest int // ms
	}{
		{"smooth", every(0, 100), 0, 0, 0},
		{"190 ms are not more than the average and 150 ms", append(every(0, 20), every(760+190, 20)...), 0, 0, 0},
		{"191 ms are", append(every(0, 20), every(760+191, 20)...), 1, 191, 191},
		{"two", slices.Concat(every(0, 20), every(1260, 40), every(4000, 20)), 2, 1680, 1180},
		{"slow from the first", []int{0, 500, 1000, 1500, 2000, 2500, 3000}, 0, 0, 0},
		{"before there is an average", []int{0, 40, 1000, 1040, 1080}, 0, 0, 0},
		{"nothing", nil, 0, 0, 0},
	} {
		v := watch(test.times...)
		var got viewed
		if len(v.phases) > 0 {
			got = v.phases[0]
		}
		ms := func(d time.Duration) int { return int(d.Milliseconds()) }
		if got.freezes != test.freezes || ms(got.frozen) != test.frozen || ms(got.longest) != test.longest {
			t.Errorf("%s: %d freezes, %v in all, longest %v", test.name, got.freezes, got.frozen, got.longest)
		}
	}
}

func TestFreezeAtTheEnd(t *testing.T) {
	v := watch(every(0, 20)...)
	v.end(time.Unix(1000, 0).Add(5*time.Second), 0, time.Unix(1000, 0))
	if p := v.phases[0]; p.freezes != 1 || p.longest != 4240*time.Millisecond {
		t.Errorf("%d freezes, longest %v", p.freezes, p.longest)
	}
}

func TestRecovery(t *testing.T) {
	// A freeze from 760 to 3000, over a phase that begins at 1000 and one at 2000; then
	// frames with a hole, and then smooth ones.
	v := watch(slices.Concat(every(0, 20), []int{-1000, -2000}, every(3000, 5), every(3400, 20))...)
	if len(v.phases) != 3 {
		t.Fatalf("%d phases", len(v.phases))
	}
	if p := v.phases[0]; p.freezes != 1 || p.longest != 2240*time.Millisecond || p.recovered != 0 {
		t.Errorf("before: %+v", p)
	}
	if p := v.phases[1]; p.recovered >= 0 || p.frames != 0 || p.sharp >= 0 {
		t.Errorf("nothing is seen, and yet: %+v", p)
	}
	if p := v.phases[2]; p.recovered != 1400*time.Millisecond || p.sharp != time.Second || p.frames != 25 {
		t.Errorf("after: %+v", p)
	}
}

// TestSmoothness is that of the phase that there is: what was smooth before says nothing of it.
func TestSmoothness(t *testing.T) {
	v := watch(every(0, smoothRun)...)
	if !v.isSmooth(0) || v.isSmooth(1) {
		t.Errorf("smooth: %t, and in a phase of which nothing has come: %t", v.isSmooth(0), v.isSmooth(1))
	}
	if watch(every(0, smoothRun-1)...).isSmooth(0) {
		t.Error("too few frames are smooth")
	}
}

func TestSummary(t *testing.T) {
	p := PhaseReport{Views: []View{
		{Impaired: true, Sent: 100, Decoded: 50, Freezes: 1, Frozen: 10, Longest: 10, Recovered: 5, Sharp: -1, Rate: 10},
		{Impaired: true, Sent: 100, Decoded: 90, Freezes: 2, Frozen: 30, Longest: 20, Recovered: 7, Sharp: 9, Rate: 30},
		{Sent: 100, Decoded: 100, Recovered: 1, Sharp: 1},
	}}
	got := p.Summarize(func(v View) bool { return v.Impaired })
	want := Summary{Views: 2, Sent: 200, Decoded: 140, Least: 0.5, Freezes: 3, Frozen: 40, Longest: 20, Recovered: 7, Sharp: -1, Rate: 20}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := p.Summarize(func(v View) bool { return false }); got != (Summary{}) {
		t.Errorf("of none: %+v", got)
	}
}

// TestSynthetic holds synthetic video to its rate, and to key frames on request only.
func TestSynthetic(t *testing.T) {
	for i, rate := range []Bits{150_000, 500_000, 1_500_000} {
		r := synthetic(i, rate)
		p := &player{recording: r, track: &track{recordings: []*recording{r}}, ledger: newLedger(1, 30)}
		bytes, keys := 0, 0
		for n := range 900 { // half a minute
			s := p.sample(n%300 == 0)
			bytes += len(s.Data)
			if s.Data[0]&1 == 0 {
				keys++
			}
		}
		if got := bytes * 8 / 30; got < int(rate)*95/100 || got > int(rate)*105/100 || keys != 3 {
			t.Errorf("%d bit/s instead of %d, %d key frames", got, rate, keys)
		}
		if len(r.known) != syntheticFrames {
			t.Errorf("%d frames differ", len(r.known))
		}
	}
	for _, test := range []struct{ layer, of int }{{0, 3}, {1, 3}, {2, 3}, {0, 2}, {0, 1}} {
		if rid := ridOf(test.layer, test.of); len(rid) != 1 {
			t.Errorf("rid %q", rid)
		}
	}
}
