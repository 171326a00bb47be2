package client

import (
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// line is an uplink in virtual time: a bottleneck with a queue of drop tail, 20 ms behind
// it a recorder that makes the feedback, once in 50 ms.
type line struct {
	congestion *congestion
	now        time.Time
	recorder   *twcc.Recorder
	rate       float64 // bits a second; 0 for no limit
	lostOf     int     // each such packet is lost; 0 for none
	longer     time.Duration
	idle       time.Time // when the bottleneck is
	sent       int
	events     []func() // what happens at deliveries, in order
	times      []time.Time
	changes    []int // layers, whenever that changed
	padded     int   // bytes of padding
}

const lineQueue = 200 * time.Millisecond

// Of the layers, in bytes a frame: 150, 500 and 1500 kbit/s.
var layerSizes = []int{625, 2083, 6250}

func newLine(layers int) *line {
	return &line{congestion: newCongestion(layers, &counters{}), now: time.Unix(1_700_000_000, 0), recorder: twcc.NewRecorder(1)}
}

// packet sends one.
func (l *line) packet(size int, probe bool) {
	seq := l.congestion.send(size, probe, l.now)
	l.sent++
	if l.lostOf > 0 && l.sent%l.lostOf == 0 {
		return
	}
	start := later(l.now, l.idle)
	if start.Sub(l.now) > lineQueue {
		return
	}
	if l.rate > 0 {
		l.idle = start.Add(time.Duration(float64(8*size) / l.rate * float64(time.Second)))
		start = l.idle
	}
	at := start.Add(20*time.Millisecond + l.longer)
	l.times = append(l.times, at)
	l.events = append(l.events, func() {
		l.recorder.Record(1, seq, at.Sub(time.Unix(1_600_000_000, 0)).Microseconds()%(1<<38))
	})
}

// run sends 30 frames a second of each layer that is allowed, and 50 small packets.
func (l *line) run(d time.Duration) {
	for end := l.now.Add(d); l.now.Before(end); l.now = l.now.Add(time.Millisecond) {
		ms := l.now.UnixMilli()
		if ms%20 == 0 {
			l.packet(120, false)
		}
		if ms%33 == 0 {
			l.frames()
		}
		for len(l.times) > 0 && !l.times[0].After(l.now) {
			l.events[0]()
			l.events, l.times = l.events[1:], l.times[1:]
		}
		if ms%50 != 0 {
			continue
		}
		for _, p := range l.recorder.BuildFeedbackPacket() {
			l.congestion.feedback(p.(*rtcp.TransportLayerCC), l.now)
		}
		if n := l.congestion.allowed(); len(l.changes) == 0 || l.changes[len(l.changes)-1] != n {
			l.changes = append(l.changes, n)
		}
	}
}

func (l *line) frames() {
	for i := range min(l.congestion.allowed(), l.congestion.policy.layers) {
		l.congestion.wrote(i, layerSizes[i])
		for left := layerSizes[i]; left > 0; left -= 1100 {
			l.packet(min(left, 1100), false)
		}
	}
	for range l.congestion.padding(paddingSize, l.now) {
		l.packet(paddingSize+20, true)
		l.padded += paddingSize + 20
	}
}

// until gives after how long so many layers are sent.
func (l *line) until(t *testing.T, layers int) time.Duration {
	t.Helper()
	began := l.now
	for l.congestion.allowed() != layers {
		if l.run(10 * time.Millisecond); l.now.Sub(began) > time.Minute {
			t.Fatalf("not %d layers in a minute, but %d", layers, l.congestion.allowed())
		}
	}
	return l.now.Sub(began)
}

func TestCongestionReports(t *testing.T) {
	l := newLine(1)
	l.lostOf = 20
	l.run(10 * time.Second)
	s := l.congestion.count.snapshot().Uplink
	if total := s.Acknowledged + s.Lost; total < uint64(l.sent)*85/100 || total > uint64(l.sent) || s.Lost < total/25 || s.Lost > total/16 {
		t.Errorf("%d acknowledged, %d lost of %d", s.Acknowledged, s.Lost, l.sent)
	}
	if s.Rate < 170_000 || s.Rate > 200_000 || s.Delay > 2*time.Millisecond {
		t.Errorf("%d bit/s, delay %v", s.Rate, s.Delay)
	}
}

// TestUplinkIsCut: what does not fit stops soon, stays away while it does not fit, and is
// back soon.
func TestUplinkIsCut(t *testing.T) {
	for _, test := range []struct {
		name string
		rate float64
		fits int
	}{
		{"300 kbit/s", 300_000, 1},
		{"1 Mbit/s", 1_000_000, 2},
	} {
		l := newLine(3)
		l.rate = 3_000_000
		l.run(10 * time.Second)
		if n := l.congestion.allowed(); n != 3 {
			t.Fatalf("%d layers on a line that bears all", n)
		}
		l.rate = test.rate
		took := time.Duration(0)
		for end := l.now.Add(time.Minute); l.congestion.allowed() > test.fits && l.now.Before(end); took += 10 * time.Millisecond {
			l.run(10 * time.Millisecond)
		}
		if took > 500*time.Millisecond {
			t.Errorf("%s: %v until what does not fit has stopped", test.name, took)
		}
		l.run(5 * time.Second) // it may have stopped more than it had to
		l.changes = nil
		l.run(time.Minute)
		if len(l.changes) != 1 || l.changes[0] != test.fits {
			t.Errorf("%s: %v layers meanwhile, want %d all the time", test.name, l.changes, test.fits)
		}
		l.rate = 3_000_000
		took = l.until(t, 3)
		if took > 5*time.Second {
			t.Errorf("%s: %v until all are back", test.name, took)
		}
		t.Logf("%s: all back after %v, %d bytes of padding", test.name, took, l.padded)
	}
}

// TestRandomLoss: a tenth is borne, more is congestion.
func TestRandomLoss(t *testing.T) {
	for lostOf, want := range map[int]int{100: 3, 20: 3, 12: 3, 4: 1} {
		l := newLine(3)
		l.lostOf = lostOf
		if l.run(20 * time.Second); l.congestion.allowed() != want {
			t.Errorf("one of %d lost: %d layers, want %d", lostOf, l.congestion.allowed(), want)
		}
	}
}

// TestWayBecomesLonger: a delay that stays is no queue.
func TestWayBecomesLonger(t *testing.T) {
	l := newLine(3)
	l.run(10 * time.Second)
	l.longer = 300 * time.Millisecond
	l.run(30 * time.Second)
	if n := l.congestion.allowed(); n != 3 {
		t.Errorf("%d layers, long after the way has become longer", n)
	}
}

// TestTrains: what a train proves.
func TestTrains(t *testing.T) {
	for _, test := range []struct {
		name    string
		spacing time.Duration
		lost    int
		rate    float64
		want    bool
	}{
		{"fast enough", time.Millisecond, 0, 1_900_000, true},
		{"too slow", time.Millisecond, 0, 2_100_000, false},
		{"all at once", 0, 0, 1e9, true},
		{"one of ten lost", time.Millisecond, 1, 1_600_000, true},
		{"a third lost", time.Millisecond, 3, 1_000, false},
	} {
		tr := train{live: true, sent: 10}
		for i := range tr.sent {
			tr.settle(250, i >= test.lost, time.Duration(i)*test.spacing)
		}
		if got := tr.proves(test.rate); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
		if tr.sent++; tr.proves(1) {
			t.Errorf("%s: proves before it is over", test.name)
		}
	}
}

// TestSuccessor: the layer below one that stops sends a key frame, once, when there is room.
func TestSuccessor(t *testing.T) {
	u, err := newUplink(Track{Source: "camera", Layers: []Layer{{RID: "q"}, {RID: "h"}, {RID: "f"}}}, nil, &counters{})
	if err != nil {
		t.Fatal(err)
	}
	c := newCongestion(3, u.count)
	u.path.Store(c)
	now := time.Unix(1, 0)
	for i, test := range []struct {
		allowed int32
		after   time.Duration
		want    string
	}{
		{3, 0, ""}, {2, 0, ""}, {2, succession - 1, ""}, {2, 1, "h"}, {2, time.Second, ""},
		{1, 0, ""}, {1, succession, "q"}, {3, time.Second, ""},
		{1, 0, ""}, {1, succession, "q"}, {1, time.Second, ""}, // h has stopped too
		{3, time.Second, ""}, {1, 0, ""}, {2, succession, ""}, {2, time.Second, ""}, // it was for a moment only
	} {
		c.now.Store(test.allowed)
		now = now.Add(test.after)
		got := ""
		for _, e := range u.layers {
			if e.succeeds(now) {
				got += e.RID
			}
		}
		if got != test.want {
			t.Errorf("step %d: key frames of %q, want %q", i, got, test.want)
		}
	}
}

func TestMeterIgnoresWhatItDidNotSend(t *testing.T) {
	var m uplinkMeter
	now := time.Unix(1, 0)
	m.send(100, false, now)
	m.feedback(&rtcp.TransportLayerCC{
		BaseSequenceNumber: 65000, PacketStatusCount: 2000,
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 8000}},
	})
	s, ok := m.slow.summary(now.Add(slowInterval), slowInterval, m.base())
	if !ok || s.received != 1 || s.lost != 0 {
		t.Errorf("%+v", s)
	}
}
