package nack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

func receive(g *Generator, now int64, numbers ...int64) {
	for _, n := range numbers {
		g.Received(n, now)
	}
}

func want(t *testing.T, g *Generator, now int64, numbers ...uint16) {
	t.Helper()
	if got := g.Due(nil, now); !slices.Equal(got, numbers) {
		t.Errorf("at %d ms: %v, want %v", now/ms, got, numbers)
	}
}

// TestTranscript: what is missing is asked for at once, again after a round trip, and
// no more once it has come.
func TestTranscript(t *testing.T) {
	g := &Generator{}
	receive(g, 0, 65533, 65534, 65537, 65538)
	want(t, g, 0, 65535, 0)
	want(t, g, 50*ms)
	receive(g, 60*ms, 65536) // a round trip of 60 ms
	want(t, g, 74*ms)
	want(t, g, 75*ms, 65535)
	receive(g, 140*ms, 65535)
	want(t, g, 1000*ms)
	if g.Waiting() {
		t.Error("something is missing")
	}
}

func TestGivesUp(t *testing.T) {
	g := &Generator{}
	receive(g, 0, 1, 3)
	asks := 0
	for now := int64(0); now < 10_000*ms; now += 10 * ms {
		asks += len(g.Due(nil, now))
	}
	if asks != MaxAsks || g.Waiting() {
		t.Errorf("asked %d times, want %d; waiting %t", asks, MaxAsks, g.Waiting())
	}
}

// TestFullPath: where nothing comes of what is asked for, little is; where a third is lost
// each way, as much as if nothing were.
func TestFullPath(t *testing.T) {
	for _, test := range []struct {
		name        string
		lost        float64 // of packets, requests and answers
		least, most int     // asks in the last 5 of 10 s, in which 1500 packets are sent
	}{
		{"well", 0, 0, 0},
		{"a fifth is lost", 0.2, 300 * 5 / 4, 300 * 2},
		{"a third is lost", 0.33, 500 * 5 / 4, 500 * 3},
		{"nothing comes", 0.9, 100, 1000}, // 7 % would, of 6000
	} {
		g, random := &Generator{}, rand.New(rand.NewPCG(1, 2))
		arrivals := map[int64][]int64{}
		asks := 0
		for now := int64(0); now < 10_000*ms; now += 10 * ms {
			n := now / (10 * ms) * 3
			for i := range int64(3) {
				if random.Float64() >= test.lost {
					g.Received(n+i, now)
				}
			}
			for _, n := range arrivals[now] {
				g.Received(n, now)
			}
			for _, ask := range g.Due(nil, now) {
				if now >= 5000*ms {
					asks++
				}
				if random.Float64() >= 1-(1-test.lost)*(1-test.lost) {
					arrivals[now+50*ms] = append(arrivals[now+50*ms], int64(ask))
				}
			}
		}
		if asks < test.least || asks > test.most {
			t.Errorf("%s: %d asks, want %d to %d", test.name, asks, test.least, test.most)
		}
	}
}

// TestKeyFrame: what is missing before a key frame is asked for where there is room, and
// not where there is little.
func TestKeyFrame(t *testing.T) {
	for _, test := range []struct {
		window int
		want   []uint16
	}{{thinWindow + 1, []uint16{2, 5}}, {thinWindow, []uint16{5}}} {
		g := &Generator{window: test.window}
		receive(g, 0, 1, 3, 4)
		g.KeyFrame(4)
		receive(g, 0, 6)
		want(t, g, 0, test.want...)
	}
}

// TestPatience: on a thin path an answer may wait in the queue, and is waited for twice as
// long each time.
func TestPatience(t *testing.T) {
	for _, test := range []struct {
		window int
		want   []int64 // when it is asked for, in ms
	}{
		{firstWindow, []int64{0, 50, 100, 150, 200, 250, 300, 350}},
		{thinWindow, []int64{0, 50, 150, 350, 750}},
	} {
		g := &Generator{roundTrip: 40 * ms, window: test.window}
		receive(g, 0, 1, 3)
		var asked []int64
		for now := int64(0); now < 800 && len(asked) < len(test.want); now += 10 {
			if len(g.Due(nil, now*ms)) > 0 {
				asked = append(asked, now)
			}
		}
		if !slices.Equal(asked, test.want) {
			t.Errorf("window %d: asked after %v ms, want %v", test.window, asked, test.want)
		}
	}
}

// TestForget: what nobody was shown is not asked for, and what was found missing since is.
func TestForget(t *testing.T) {
	g := &Generator{}
	receive(g, 0, 1, 4)
	receive(g, 10*ms, 6)
	g.Forget(10 * ms)
	want(t, g, 10*ms, 5)
	g.Forget(10*ms + 1)
	if g.Waiting() {
		t.Error("something is missing")
	}
	receive(g, 20*ms, 8)
	want(t, g, 20*ms, 7)
}

// TestNotTooLate: what has been missing for two seconds is of no use any more.
func TestNotTooLate(t *testing.T) {
	g := &Generator{roundTrip: 400 * ms}
	receive(g, 0, 1, 3)
	for _, now := range []int64{0, 500 * ms, 1000 * ms, 1500 * ms} {
		want(t, g, now, 2)
	}
	want(t, g, 2000*ms)
	if g.Waiting() {
		t.Error("something is missing")
	}
}

// TestBounded: a large gap is asked for in its newest part; a jump not at all.
func TestBounded(t *testing.T) {
	g := &Generator{}
	receive(g, 0, 1, 900)
	got := g.Due(nil, 0)
	if len(got) != firstWindow || got[0] != 900-firstWindow || got[firstWindow-1] != 899 || len(g.missing) != MaxMissing {
		t.Errorf("%d numbers from %v", len(got), got[:1])
	}
	for n := int64(902); n < 2000; n += 2 {
		receive(g, 0, n)
	}
	if len(g.missing) != MaxMissing {
		t.Errorf("%d are missing", len(g.missing))
	}
	receive(g, 0, 2000+2*maxGap)
	want(t, g, 0)
	receive(g, 0, 5)
	want(t, g, 0)
	receive(g, 0, 7)
	want(t, g, 0, 6)
}

func TestAllocations(t *testing.T) {
	g, n, ask := &Generator{}, int64(0), make([]uint16, 0, MaxMissing)
	step := func() {
		n += 2
		g.Received(n, n)
		ask = g.Due(ask[:0], n)
	}
	for range 2 * MaxMissing {
		step()
	}
	if got := testing.AllocsPerRun(1000, step); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func FuzzReceived(f *testing.F) {
	f.Add([]byte{1, 2, 5, 255, 3})
	f.Fuzz(func(t *testing.T, steps []byte) {
		g, n, now := &Generator{}, int64(1<<16), int64(0)
		for _, s := range steps {
			n += int64(int8(s)) * int64(s%7)
			now += int64(s) * ms
			g.Received(n, now)
			g.Due(nil, now)
			if len(g.missing) > MaxMissing || !slices.IsSortedFunc(g.missing, func(a, b lost) int { return int(a.number - b.number) }) {
				t.Fatal(fmt.Sprint(g.missing))
			}
		}
	})
}

func BenchmarkReceived(b *testing.B) {
	g, n := &Generator{}, int64(0)
	for b.Loop() {
		n++
		g.Received(n, n)
	}
}
