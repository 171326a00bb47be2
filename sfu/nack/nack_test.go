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

// TestLossBothWays: where packets, requests and answers are lost at random, nearly all is back
// within 400 ms, of a round trip of 40 ms.
func TestLossBothWays(t *testing.T) {
	for _, test := range []struct {
		lost, most float64 // share of what was lost that takes longer
		asks       float64 // for each, at most
	}{{0.1, 0.001, 1.3}, {0.2, 0.002, 1.7}, {0.3, 0.015, 2.2}, {0.4, 0.06, 3}} {
		late, asks := lossBothWays(test.lost)
		t.Logf("loss %.1f: %.4f are late, %.2f requests for each", test.lost, late, asks)
		if late > test.most || asks > test.asks {
			t.Errorf("loss %.1f: %.4f are late, at most %.4f; %.2f requests for each, at most %.2f", test.lost, late, test.most, asks, test.asks)
		}
	}
}

// lossBothWays has frames of six packets sent 30 times a second for two minutes.
func lossBothWays(loss float64) (late, asksEach float64) {
	g, random := &Generator{}, rand.New(rand.NewPCG(1, 2))
	comes := func() bool { return random.Float64() >= loss }
	arrivals, lostAt := map[int64][]int64{}, map[int64]int64{}
	number, lost, inTime, asks := int64(0), 0, 0, 0
	for now := int64(0); now < 120_000; now++ {
		for range 6 * (30*now/1000 - 30*(now-1)/1000) {
			if number++; comes() {
				arrivals[now] = append(arrivals[now], number)
				continue
			}
			lostAt[number] = now
			lost++
		}
		for _, n := range arrivals[now] {
			if at, ok := lostAt[n]; ok && now-at <= 400 {
				inTime++
			}
			delete(lostAt, n)
			g.Received(n, now*ms)
		}
		delete(arrivals, now)
		if now%5 > 0 {
			continue
		}
		due := g.Due(nil, now*ms)
		asks += len(due)
		if !comes() {
			continue
		}
		for _, n := range due {
			if comes() {
				arrivals[now+40] = append(arrivals[now+40], int64(n))
			}
		}
	}
	return 1 - float64(inTime)/float64(lost), float64(asks) / float64(lost)
}

// TestOneRequestIsLost: that many packets of one request do not come says no more than that
// the request was lost.
func TestOneRequestIsLost(t *testing.T) {
	g := &Generator{}
	receive(g, 0, 1, 50)
	g.Due(nil, 0)
	g.Due(nil, int64(firstRoundTrip))
	if want := firstWindow - firstWindow/narrowsAtOnce; g.window != want {
		t.Errorf("a window of %d, want %d", g.window, want)
	}
}

// TestGaveUp: what is given up is told once, unless a key frame has come behind it.
func TestGaveUp(t *testing.T) {
	for _, test := range []struct {
		key  int64
		want bool
	}{{0, true}, {1, true}, {3, false}} {
		g := &Generator{}
		receive(g, 0, 1, 3)
		if test.key > 0 {
			g.KeyFrame(test.key)
		}
		g.Due(nil, 0)
		if g.GaveUp() {
			t.Error("given up at once")
		}
		g.Due(nil, int64(maxAge))
		if got := g.GaveUp(); got != test.want || g.GaveUp() {
			t.Errorf("key frame at %d: given up %t, want %t, once", test.key, got, test.want)
		}
	}
}

// TestKeyFrame: what is missing before a key frame is asked for where there is room, and
// not where there is little; it is no loss. The latest key frame counts, whatever comes late.
func TestKeyFrame(t *testing.T) {
	for _, test := range []struct {
		window      int
		want, later []uint16
	}{{thinWindow + 1, []uint16{2, 5}, []uint16{11, 20}}, {thinWindow, []uint16{5}, []uint16{20}}} {
		g := &Generator{window: test.window}
		receive(g, 0, 1, 3, 4)
		g.KeyFrame(4)
		receive(g, 0, 6)
		want(t, g, 0, test.want...)

		g = &Generator{window: test.window}
		receive(g, 0, 10, 12, 19, 21)
		g.missing = slices.DeleteFunc(g.missing, func(l lost) bool { return l.number > 12 && l.number < 19 })
		g.KeyFrame(20)
		g.KeyFrame(5)
		want(t, g, 0, test.later...)
		if g.GaveUp() {
			t.Errorf("window %d: what was before the key frame is missed", test.window)
		}
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

// TestSteps: a step of maxGap is a loss, of which the latest MaxMissing packets are remembered, in
// place of the oldest before; a wider one, forth or back, is another beginning.
func TestSteps(t *testing.T) {
	for _, test := range []struct {
		numbers     []int64
		missing     int
		first, high int64
	}{
		{[]int64{5000, 5000, 5001}, 0, 0, 5001},
		{[]int64{5000, 5000 + maxGap}, MaxMissing, 5000 + maxGap - MaxMissing, 5000 + maxGap},
		{[]int64{5000, 5001 + maxGap}, 0, 0, 5001 + maxGap},
		{[]int64{5000, 5003, 5000 + maxGap, 5000}, MaxMissing, 5000 + maxGap - MaxMissing, 5000 + maxGap},
		{[]int64{5000, 5300, 5311}, MaxMissing, 5300 - MaxMissing + 10, 5311},
		{[]int64{5000, 5003, 5003 - maxGap}, 2, 5001, 5003},
		{[]int64{5000, 5003, 5002 - maxGap}, 0, 0, 5002 - maxGap},
	} {
		g := &Generator{}
		receive(g, 0, test.numbers...)
		if len(g.missing) != test.missing || g.high != test.high || test.missing > 0 && g.missing[0].number != test.first {
			t.Errorf("%v: %d missing, the highest is %d: %v", test.numbers, len(g.missing), g.high, g.missing)
		}
	}
}

// TestRoundTrip: that of what comes after one request, smoothed, and somewhat more, within bounds, is
// the time between two requests. What was asked for twice, or not at all, says nothing of it.
func TestRoundTrip(t *testing.T) {
	for _, test := range []struct {
		name string
		asks int     // for each packet
		came []int64 // after the first of these, ms
		want time.Duration
	}{
		{"not known", 0, nil, firstRoundTrip},
		{"60 ms", 1, []int64{60}, 75 * time.Millisecond},
		{"then 100 ms", 1, []int64{60, 100}, 87500 * time.Microsecond},
		{"short", 1, []int64{4}, minInterval},
		{"long", 1, []int64{900}, maxInterval},
		{"after two requests", 2, []int64{150}, firstRoundTrip},
		{"before any", 0, []int64{60}, firstRoundTrip},
	} {
		g, now, n := &Generator{}, int64(0), int64(0)
		g.Received(n, now)
		for _, took := range test.came {
			n += 2
			g.Received(n, now)
			for i := range int64(test.asks) {
				g.Due(nil, now+i*int64(firstRoundTrip))
			}
			now += took * ms
			g.Received(n-1, now)
		}
		if got := time.Duration(g.interval()); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestWindow: so many may be asked for and open, the newest first; what comes when asked for makes
// them more, what does not fewer, and each is asked for less often where they are few.
func TestWindow(t *testing.T) {
	g := &Generator{}
	receive(g, 0, 0, 201)
	due := func(now int64, least uint16, n int) {
		t.Helper()
		if got := g.Due(nil, now); len(got) != n || n > 0 && (got[0] != least || !slices.IsSorted(got)) {
			t.Errorf("at %d ms: %v, want %d from %d on", now/ms, got, n, least)
		}
	}
	due(0, 201-firstWindow, firstWindow)
	due(50*ms, 0, 0)
	receive(g, 60*ms, 5) // it comes by itself
	if g.window != firstWindow {
		t.Errorf("window %d after a packet that was not asked for", g.window)
	}
	left := firstWindow - firstWindow/narrowsAtOnce
	due(100*ms, 201-uint16(left), left)
	receive(g, 120*ms, 200, 199, 198)
	more := 3*widens + 3 // and their own places
	due(130*ms, 201-uint16(left+more), more)
	for n := int64(6); n < 198; n++ {
		g.Received(n, 140*ms)
	}
	if g.window > MaxMissing {
		t.Errorf("window %d", g.window)
	}
	g.window = MaxMissing - 1
	g.widen(widens)
	if g.window != MaxMissing {
		t.Errorf("window %d, at most %d", g.window, MaxMissing)
	}

	g = &Generator{window: thinWindow}
	receive(g, 0, 1, 3)
	want(t, g, 0, 2)
	for _, at := range []int64{100, 300, 700, 1200} { // twice the time again, up to half a second
		want(t, g, at*ms-1)
		want(t, g, at*ms, 2)
	}
	if g.window < minWindow || g.window > thinWindow {
		t.Errorf("window %d", g.window)
	}
	for range 100 {
		g.narrow(0)
	}
	if g.window != minWindow {
		t.Errorf("window %d, at least %d", g.window, minWindow)
	}
}
